"""BucketContents: a shared store of artifacts in a bucket that speaks the protocol of S3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from onex.artifacts.contents import CopyGoneError, StoredCopy
from onex.domain.digest import DIGEST_PREFIX
from onex.domain.errors import ArtifactsUnavailableError, ConfigurationError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

PART_BYTES = 8 * 1024 * 1024
PARTS_AT_ONCE = 4
READ_SECONDS = 60
RETRY_SECONDS = 60

CERTIFICATES_VARIABLE = "AWS_CA_BUNDLE"
VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
"""What is taken from the environment, which other tools for S3 read as well."""


class BucketContents:
    """Copies as objects ``PREFIX/GROUP/sha256/NAME``.

    Large ones go up in parts, several at once, each of which is repeated alone if it fails, with
    a checksum that the store verifies. What was not completed is not an object.
    """

    def __init__(self, url: str, group: str, environment: Mapping[str, str]) -> None:
        """Prepare; nothing is asked yet.

        Args:
            url: ``s3://BUCKET/PREFIX``.
            group: keeps histories apart that share the bucket.
            environment: has the variables that all tools for S3 read, as ``VARIABLES`` names them.

        Raises:
            ConfigurationError: the client is not installed, or the variables are of no use.
        """
        try:
            import obstore
            from obstore.exceptions import BaseError
            from obstore.store import S3Store
        except ImportError as error:
            raise ConfigurationError(
                "artifacts in a bucket need a client that is not installed",
                hint="pip install 'onex-registry[s3]'",
            ) from error
        parts = urlsplit(url)
        self.place = f"s3://{parts.netloc}{parts.path}".rstrip("/")
        self._prefix = f"{parts.path.strip('/')}/{group}/sha256/".lstrip("/")
        self._obstore = obstore
        self._error = BaseError
        given = {name.lower(): environment[name] for name in VARIABLES if environment.get(name)}
        endpoint = given.get("aws_endpoint_url_s3") or given.get("aws_endpoint_url", "")
        client: ClientConfig = {
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=5),
            "read_timeout": timedelta(seconds=READ_SECONDS),
            "timeout": timedelta(hours=1),
        }
        try:
            if environment.get(CERTIFICATES_VARIABLE):
                client["root_certificate"] = Path(environment[CERTIFICATES_VARIABLE]).read_bytes()
            self._store = S3Store(
                parts.netloc,
                config=cast("S3Config", {"checksum_algorithm": "sha256"} | given),
                client_options=client,
                retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
            )
        except (BaseError, ValueError, TypeError, OSError) as error:
            raise ConfigurationError(
                f"the bucket {self.place} cannot be used: {_first_line(error)}",
                hint="see the variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and,"
                " unless the bucket is Amazon's, AWS_ENDPOINT_URL",
            ) from error

    def close(self) -> None:
        """Do nothing: connections that are idle end by themselves."""

    def copies(self, digest: str | None = None) -> Iterator[StoredCopy]:
        prefix = self._prefix
        if digest is not None:
            prefix += f"{digest.removeprefix(DIGEST_PREFIX)}/"
        with self._told("listed"):
            for some in self._obstore.list(self._store, prefix):
                for found in some:
                    copy = StoredCopy.parse(found["path"].removeprefix(self._prefix))
                    if copy is not None:
                        yield copy

    def write(self, copy: StoredCopy, content: Path) -> None:
        with self._told("written"), content.open("rb") as file:
            self._obstore.put(
                self._store,
                self._prefix + copy.name,
                file,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )

    def read(self, copy: StoredCopy) -> Iterator[bytes]:
        with self._told("read"):
            try:
                found = self._obstore.get(self._store, self._prefix + copy.name)
            except FileNotFoundError as error:
                raise CopyGoneError from error
            for piece in found.stream(min_chunk_size=PART_BYTES):
                yield bytes(piece)

    def remove(self, copy: StoredCopy) -> None:
        with self._told("written"):
            try:
                self._obstore.delete(self._store, self._prefix + copy.name)
            except FileNotFoundError:
                return

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except (self._error, OSError) as error:
            raise ArtifactsUnavailableError(
                f"the store of artifacts {self.place} cannot be {what}: {_first_line(error)}",
                hint="check the bucket, AWS_ENDPOINT_URL, and what its keys allow",
            ) from error


def _first_line(error: BaseException) -> str:
    """What went wrong, without the trace that the client adds."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:500]
