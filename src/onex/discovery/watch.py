"""Being told of changes below folders, by the operating system.

A watch is tied to the folder that was there when it began. So the folders are looked at now
and then: if one was replaced, came or went, watching begins anew.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from onex.domain.errors import Problem, Severity, UsageError
from onex.manifests.node_files import is_owned_file, is_pruned

DEBOUNCE_MILLISECONDS = 200
LOOK_AGAIN_MILLISECONDS = 500

Identity = tuple[int, int] | None
"""Device and inode of a folder; None while it is absent."""


def changes_below(
    folders: Callable[[], Sequence[Path]], settings: Path | None
) -> Iterator[Problem | None]:
    """Yield whenever something that discovery looks at has changed; ends by KeyboardInterrupt.

    What is yielded is a problem once, if the system cannot tell of changes, so that the folders
    are looked through again and again instead; else None.

    Args:
        folders: gives the folders to watch; asked again whenever ``settings`` changed.
        settings: a file that says which folders there are, None for none.

    Raises:
        UsageError: there is nothing to watch, it cannot be watched, or watchfiles is not
            installed.
    """
    require_watching()
    from watchfiles import watch

    if not folders():
        raise UsageError(
            "there is no folder to watch", hint="name a folder: onex scan --watch PATH"
        )
    is_polling = False
    while True:
        roots = [folder.absolute() for folder in folders()]
        before = _state(roots, settings)
        present = [root for root in roots if root.is_dir()]
        if not present:
            while _state(roots, settings) == before:
                time.sleep(LOOK_AGAIN_MILLISECONDS / 1000)
            yield None
            continue

        def is_relevant(_: object, path: str, roots: Sequence[Path] = tuple(present)) -> bool:
            return any(_is_seen(Path(path), root) for root in roots)

        changes = watch(
            *present,
            watch_filter=is_relevant,
            debounce=DEBOUNCE_MILLISECONDS,
            rust_timeout=LOOK_AGAIN_MILLISECONDS,
            yield_on_timeout=True,
            force_polling=is_polling or None,
        )
        # What changed before the watch had begun is not told, so the first look counts as one.
        is_first = True
        try:
            for changed in changes:
                is_replaced = _state(roots, settings) != before
                if changed or is_replaced or is_first:
                    yield None
                if is_replaced:
                    break
                is_first = False
        except (OSError, RuntimeError) as error:
            if _state(roots, settings) != before:
                continue
            if is_polling:
                raise UsageError(
                    f"the folders cannot be watched: {error}", hint="run onex scan now and then"
                ) from error
            is_polling = True
            yield _polling_instead(error)


def _polling_instead(error: Exception) -> Problem:
    return Problem(
        "DSC020",
        Severity.WARNING,
        f"the system cannot tell of changes ({error}), so the folders are looked through",
        hint="check the folders' permissions, and the limits fs.inotify.max_user_watches and"
        " max_user_instances",
    )


def _state(roots: Sequence[Path], settings: Path | None) -> list[object]:
    """The state that must not change during a watch."""
    found: list[object] = [_identity(root) for root in roots]
    if settings is not None:
        try:
            status = settings.stat()
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        except OSError:
            found.append(None)
    return found


def _identity(folder: Path) -> Identity:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_seen(path: Path, root: Path) -> bool:
    """Whether a scan of the root would look at a path."""
    if not path.is_relative_to(root):
        return False
    parts = path.relative_to(root).parts
    return not any(map(is_pruned, parts[:-1])) and is_owned_file(path.name)


def require_watching() -> None:
    """Raise UsageError if what watches is not installed."""
    if importlib.util.find_spec("watchfiles") is None:
        raise UsageError(
            "watching needs the library watchfiles", hint="pip install 'onex-registry[watch]'"
        )
