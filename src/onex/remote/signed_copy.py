"""Copying what is signed of a tree, once the copy is what was signed.

So a copy is verified exactly as its origin is, also where there is no network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from onex.domain.errors import SourceError
from onex.domain.json_value import as_object, parse_json
from onex.domain.merkle import TILE_WIDTH, TiledTree, root_of
from onex.domain.trust_errors import IndexSignatureError, LogForkError
from onex.remote.folder_tree import FolderTree
from onex.remote.tree import (
    LOG_HEAD_PATH,
    MAXIMUM_INDEX_BYTES,
    MAXIMUM_TILE_BYTES,
    Change,
    FileAnswer,
    Tree,
    tile_path,
)
from onex.trust.index_layout import ROOT, TIMESTAMP_PATH, metadata_of_path
from onex.trust.log_head import SignedHead
from onex.trust.signed_index import MAXIMUM_METADATA_BYTES, SignedIndex

ATTEMPTS = 5
PATHS_AT_ONCE = 200

Write = Callable[[str, bytes], None]
"""Puts a file of the copy in place whole."""


def copy_signed(
    source: Tree, folder: Path, signed: SignedIndex, changes: Iterable[Change], write: Write
) -> None:
    """Bring a copy to what is signed now, and copy the signatures, the timestamp last.

    Args:
        source: what is copied.
        folder: the copy, which has all files of the tree but those that are signed.
        signed: what is signed of the source.
        changes: the whole feed of changes.
        write: writes a file of the copy.

    Raises:
        IndexSignatureError: the source is not what its registry signed.
        SourceError: it cannot be read.
    """
    signed.refresh()
    copy = FolderTree(folder)
    pending = list(dict.fromkeys(change.path for change in changes if change.path is not None))
    for attempt in range(1, ATTEMPTS + 1):
        pending = _differing(source, copy, signed, pending, write)
        if not pending:
            break
        if attempt == ATTEMPTS:
            signed.require(pending[0], _contents(copy, pending[:1])[0])
        # The source went on while it was copied.
        signed.refresh()
    _copy_metadata(source, copy, signed, write)


def _differing(
    source: Tree, copy: FolderTree, signed: SignedIndex, paths: list[str], write: Write
) -> list[str]:
    """The files that are not what is signed, after they were read from the source once more."""
    wrong = []
    for start in range(0, len(paths), PATHS_AT_ONCE):
        some = paths[start : start + PATHS_AT_ONCE]
        wrong += [
            path
            for path, content in zip(some, _contents(copy, some), strict=True)
            if not is_signed(signed, path, content)
        ]
    left = []
    for start in range(0, len(wrong), PATHS_AT_ONCE):
        some = wrong[start : start + PATHS_AT_ONCE]
        for path, content in zip(some, _contents(source, some), strict=True):
            if not is_signed(signed, path, content):
                left.append(path)
            elif content is not None:
                write(path, content)
    return left


def _copy_metadata(source: Tree, copy: FolderTree, signed: SignedIndex, write: Write) -> None:
    files = signed.metadata()
    timestamp = files.pop(TIMESTAMP_PATH)
    # A root may trust other keys than the timestamp that is here, so it comes just before the next.
    roots = {path: files.pop(path) for path in list(files) if path.endswith(f".{ROOT}.json")}
    for path, content in files.items():
        write(path, content)
    _copy_log(source, copy, signed, write)
    bins = list(signed.bin_paths())
    for start in range(0, len(bins), PATHS_AT_ONCE):
        some = bins[start : start + PATHS_AT_ONCE]
        known = zip(some, _contents(copy, some), strict=True)
        missing = [path for path, content in known if not _is_metadata(path, content)]
        for path, found in zip(missing, _contents(source, missing), strict=True):
            if found is None or not _is_metadata(path, found):
                raise IndexSignatureError(
                    f"{source.place} lacks {path}, which its registry signed",
                    hint="try again later, or take another mirror",
                )
            write(path, found)
    for path, content in roots.items():
        write(path, content)
    write(TIMESTAMP_PATH, timestamp)


def _copy_log(source: Tree, copy: FolderTree, signed: SignedIndex, write: Write) -> None:
    """Copy the tiles of the log that are new or have grown, and its head last."""
    (content,) = _contents(source, [LOG_HEAD_PATH])
    if content is None:
        raise LogForkError(f"{source.place} shows no head of its log", hint="ask those who run it")
    try:
        head = SignedHead.parse(content)
    except ValueError as error:
        raise LogForkError(
            f"{source.place} shows a head of its log that is none: {error}",
            hint="ask those who run it",
        ) from error
    if not head.is_signed_by_any(signed.online_keys()):
        raise LogForkError(
            f"{source.place} shows a head of its log that its registry did not sign",
            hint="ask those who run it",
        )
    has_root = _copy_tiles(source, copy, write, head, is_whole=False)
    # If not, one of those that were there before may be damaged.
    if not has_root and not _copy_tiles(source, copy, write, head, is_whole=True):
        raise LogForkError(
            f"{source.place} shows tiles of its log that are not those of its head",
            hint="ask those who run it",
        )
    _require_growth(copy, head)
    write(LOG_HEAD_PATH, content)


def _require_growth(copy: FolderTree, head: SignedHead) -> None:
    """Raise LogForkError if the log does not begin with what the copy had of it."""
    (content,) = _contents(copy, [LOG_HEAD_PATH])
    try:
        former = None if content is None else SignedHead.parse(content)
    except ValueError:
        # A head that is damaged here says nothing; the new one takes its place.
        former = None
    if former is None or former.registry != head.registry:
        return
    tree = TiledTree(lambda level, index: _contents(copy, [tile_path(level, index)])[0] or b"")
    is_grown = former.size <= head.size and root_of(tree.subtree, former.size).hex() == former.root
    if not is_grown:
        raise LogForkError(
            f"{copy.place} has another history than what it is a copy of shows now",
            hint="keep it, and ask those who run the registry; then copy to an empty folder",
        )


def _copy_tiles(
    source: Tree, copy: FolderTree, write: Write, head: SignedHead, *, is_whole: bool
) -> bool:
    """Copy the tiles that are not full here, or all; returns whether they have the root."""
    level, count = 0, head.size
    while count:
        paths = [tile_path(level, index) for index in range((count - 1) // TILE_WIDTH + 1)]
        for start in range(0, len(paths), PATHS_AT_ONCE):
            some = paths[start : start + PATHS_AT_ONCE]
            known = zip(some, _contents(copy, some), strict=True)
            missing = [p for p, tile in known if is_whole or len(tile or b"") < MAXIMUM_TILE_BYTES]
            for path, tile in zip(missing, _contents(source, missing), strict=True):
                if tile is not None:
                    write(path, tile)
        level, count = level + 1, count // TILE_WIDTH

    def read(level: int, index: int) -> bytes:
        return _contents(copy, [tile_path(level, index)])[0] or b""

    try:
        return root_of(TiledTree(read).subtree, head.size).hex() == head.root
    except IndexError:
        return False


def _is_metadata(path: str, content: bytes | None) -> bool:
    """Whether a file has the version of metadata that its path names."""
    named = metadata_of_path(path)
    try:
        signed = as_object(as_object(parse_json(content or b""))["signed"])
        return named is not None and signed["version"] == named[1]
    except (KeyError, TypeError, ValueError):
        return False


def _contents(tree: Tree, paths: list[str]) -> list[bytes | None]:
    """The contents of files; raises what is wrong with one."""
    answers = tree.read(paths, max(MAXIMUM_INDEX_BYTES, MAXIMUM_METADATA_BYTES))
    return list(map(_content, answers))


def _content(answer: FileAnswer) -> bytes | None:
    if isinstance(answer, SourceError):
        raise answer
    return answer


def is_signed(signed: SignedIndex, path: str, content: bytes | None) -> bool:
    """Whether a file is what was signed."""
    try:
        signed.require(path, content)
    except IndexSignatureError:
        return False
    return True
