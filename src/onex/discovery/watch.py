"""Being told of changes below folders, by the operating system."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from onex.domain.errors import UsageError
from onex.manifests.node_files import is_owned_file, is_pruned

DEBOUNCE_MILLISECONDS = 200


def changes_below(folders: Sequence[Path]) -> Iterator[None]:
    """Yield whenever something that discovery looks at has changed; ends by KeyboardInterrupt.

    Raises:
        UsageError: there is nothing to watch, or watchfiles is not installed.
    """
    try:
        from watchfiles import watch
    except ImportError as error:
        raise UsageError(
            "watching needs the library watchfiles", hint="pip install 'onex-registry[watch]'"
        ) from error
    roots = [folder.absolute() for folder in folders if folder.exists()]
    if not roots:
        raise UsageError(
            "there is no folder to watch", hint="name a folder: onex scan --watch PATH"
        )

    def is_relevant(_: object, path: str) -> bool:
        return any(_is_seen(Path(path), root) for root in roots)

    for _ in watch(*roots, watch_filter=is_relevant, debounce=DEBOUNCE_MILLISECONDS):
        yield


def _is_seen(path: Path, root: Path) -> bool:
    """Whether a scan of the root would look at a path."""
    if not path.is_relative_to(root):
        return False
    parts = path.relative_to(root).parts
    return not any(map(is_pruned, parts[:-1])) and is_owned_file(path.name)
