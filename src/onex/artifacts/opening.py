"""Opening the store of artifacts that is configured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from onex.artifacts.contents import ArtifactContents
from onex.artifacts.folder_contents import FolderContents
from onex.domain.errors import ConfigurationError
from onex.domain.url import without_secrets
from onex.remote.credentials import Credentials
from onex.telemetry.tracing import NO_TRACER, Tracer

BUCKET_SCHEME = "s3"
SEEN_FOLDER = "stores"
"""Within the folder of a registry's state: which folders were stores."""


def open_contents(
    store: str,
    group: str,
    environment: Mapping[str, str],
    settings: Path,
    tracer: Tracer = NO_TRACER,
    seen: Path | None = None,
) -> ArtifactContents:
    """Open a store of artifacts; nothing is asked of it yet.

    Args:
        store: ``s3://BUCKET/PREFIX``, the URL of a registry, or the absolute path of a folder.
        group: keeps histories apart that share the store.
        environment: where keys and tokens come from.
        settings: the user's folder of settings, which has the tokens of registries.
        tracer: is told of requests.
        seen: where this machine notes which folders were stores, as ``FolderContents`` takes it.

    Raises:
        ConfigurationError: it is none of these, or cannot be used from here.
    """
    scheme = _scheme_of(store)
    if scheme == BUCKET_SCHEME:
        from onex.artifacts.bucket_contents import BucketContents

        return BucketContents(store, group, environment)
    if scheme in {"http", "https"}:
        from onex.artifacts.registry_contents import RegistryContents

        token = Credentials(settings, environment).token("artifacts", store)
        return RegistryContents(store, token, group, tracer)
    folder = Path(store)
    if not folder.is_absolute():
        raise ConfigurationError(
            f"{without_secrets(store)} is no store of artifacts",
            hint="write s3://BUCKET/PREFIX, the URL of a registry, or the path of a folder",
        )
    return FolderContents(folder, group, seen)


def _scheme_of(store: str) -> str:
    """The scheme of a URL that names a host; nothing for any other text."""
    try:
        parts = urlsplit(store)
    except ValueError:
        return ""
    return parts.scheme if parts.hostname else ""
