"""The canonical archive of a node: one sequence of bytes for one set of files.

It is an uncompressed ustar archive (POSIX.1-1988) of regular files alone, sorted by their paths,
without times, owners or modes, ended by two empty blocks. So there is one archive for a node's
files, whoever packs them, and everything that differs from it is refused unread: links, devices,
members that stand twice, what follows the end, and members that unpack to more than they are.
"""

from __future__ import annotations

import tarfile
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

from onex.domain.remote_errors import ArchiveRefusedError
from onex.manifests.node_files import MAXIMUM_NODE_BYTES, MAXIMUM_NODE_FILES

BLOCK_BYTES = 512
END = bytes(2 * BLOCK_BYTES)
MAXIMUM_PARTS = 32
MAXIMUM_ARCHIVE_BYTES = MAXIMUM_NODE_BYTES + (2 * MAXIMUM_NODE_FILES) * BLOCK_BYTES + len(END)

_FILE_MODE = 0o644
_FORBIDDEN = frozenset('\\:*?"<>|')
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{name}{i}" for name in ("com", "lpt") for i in range(10))]
)


def pack(files: Mapping[str, bytes]) -> bytes:
    """The archive of files, by their paths with ``/`` from the node's folder.

    Raises:
        ArchiveRefusedError: a path cannot stand in an archive, or the files are too many or large.
    """
    _check_names(files)
    parts: list[bytes] = []
    for path, content in sorted(files.items()):
        parts += (_header(path, len(content)), content, bytes(-len(content) % BLOCK_BYTES))
    archive = b"".join((*parts, END))
    if len(archive) > MAXIMUM_ARCHIVE_BYTES:
        raise _refused(f"the files have more than {MAXIMUM_NODE_BYTES // 1024**2} MiB")
    return archive


def unpack(archive: bytes) -> dict[str, bytes]:
    """The files of an archive, by their paths.

    Raises:
        ArchiveRefusedError: these are not exactly the bytes that ``pack`` makes of the files.
    """
    if len(archive) > MAXIMUM_ARCHIVE_BYTES:
        raise _refused(f"it has more than {MAXIMUM_ARCHIVE_BYTES} bytes")
    files: dict[str, bytes] = {}
    last = ""
    for path, content in _members(archive):
        if path <= last:
            raise _refused(f"the member {path!r} is not in the order of paths")
        files[path] = content
        last = path
        if len(files) > MAXIMUM_NODE_FILES:
            raise _refused(f"it has more than {MAXIMUM_NODE_FILES} files")
    _check_names(files)
    return files


def _members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    position = 0
    while archive[position : position + len(END)] != END:
        block = archive[position : position + BLOCK_BYTES]
        if len(block) < BLOCK_BYTES:
            raise _refused("it ends in the middle")
        try:
            member = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.TarError, ValueError) as error:
            raise _refused(f"the block at {position} heads no member: {error}") from error
        if block != _header(member.name, member.size):
            raise _refused(
                f"the member {member.name!r} is not a regular file without times and owners"
            )
        start = position + BLOCK_BYTES
        end = start + member.size
        position = end + -member.size % BLOCK_BYTES
        content = archive[start:end]
        if len(content) < member.size or archive[end:position].strip(b"\0"):
            raise _refused(f"the member {member.name!r} is not whole")
        yield member.name, content
    if len(archive) != position + len(END):
        raise _refused("something follows its end")


def _header(path: str, size_bytes: int) -> bytes:
    member = tarfile.TarInfo(path)
    member.size = size_bytes
    member.mode = _FILE_MODE
    try:
        return member.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")
    except (ValueError, UnicodeEncodeError) as error:
        raise _refused(f"the path {path!r} cannot stand in it: {error}") from error


def _check_names(paths: Iterable[str]) -> None:
    """Refuse paths that would not be the same files on every platform."""
    names = list(paths)
    if not names or len(names) > MAXIMUM_NODE_FILES:
        raise _refused(f"it has {len(names)} files, and may have 1 to {MAXIMUM_NODE_FILES}")
    spelled: dict[str, str] = {}
    folders: set[str] = set()
    for path in names:
        reason = portability_problem(path)
        if reason is not None:
            raise _refused(f"the path {path!r} {reason}")
        parts = path.split("/")
        for end in range(1, len(parts) + 1):
            prefix = "/".join(parts[:end])
            known = spelled.setdefault(_folded(prefix), prefix)
            if known != prefix:
                raise _refused(f"the paths {known!r} and {prefix!r} are one where case is ignored")
        folders.update("/".join(parts[:end]) for end in range(1, len(parts)))
    both = folders.intersection(names)
    if both:
        raise _refused(f"the path {min(both)!r} is a file and a folder")


def portability_problem(path: str) -> str | None:
    """Why a path would not be the same on every platform; None if it would."""
    parts = path.split("/")
    if len(parts) > MAXIMUM_PARTS:
        return f"has more than {MAXIMUM_PARTS} parts"
    if any(part in ("", ".", "..") for part in parts):
        return "does not lead to a file below the folder"
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        return "holds control characters"
    if _FORBIDDEN.intersection(path):
        return "holds a character that some file systems refuse"
    if unicodedata.normalize("NFC", path) != path:
        return "is not in the normal form NFC of Unicode"
    if any(part.endswith((" ", ".")) for part in parts):
        return "has a name that ends with a space or a dot"
    if any(part.partition(".")[0].lower() in _DEVICES for part in parts):
        return "has the name of a device"
    return None


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", path).casefold())


def _refused(reason: str) -> ArchiveRefusedError:
    return ArchiveRefusedError(
        f"the archive is refused: {reason}",
        hint="pack the node with onex publish; whoever offers other archives is not to be trusted",
    )
