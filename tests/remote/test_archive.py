"""The canonical archive: one sequence of bytes for one set of files, and nothing else is taken."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex.domain.digest import digest_of_files
from onex.domain.remote_errors import ArchiveRefusedError
from onex.remote.archive import MAXIMUM_ARCHIVE_BYTES, pack, portability_problem, unpack
from onex.remote.archived_node import files_of

PART = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12).filter(
    lambda part: portability_problem(part) is None
)
FILES = st.dictionaries(
    st.lists(PART, min_size=1, max_size=4).map("/".join),
    st.binary(max_size=1500),
    min_size=1,
    max_size=8,
)
PLAIN = {"node.onex.yaml": b"name: a\n", "lib/code.py": b"x = 1\n"}


def packable(files: dict[str, bytes]) -> bytes | None:
    try:
        return pack(files)
    except ArchiveRefusedError:
        return None


@given(FILES)
def test_what_is_packed_is_unpacked_the_same(files: dict[str, bytes]) -> None:
    archive = packable(files)
    if archive is None:
        return
    assert unpack(archive) == files
    assert pack(dict(reversed(files.items()))) == archive
    entries = files_of(files).entries
    assert digest_of_files(entries) == digest_of_files(files_of(unpack(archive)).entries)


@given(FILES, st.data())
def test_no_other_bytes_unpack(files: dict[str, bytes], data: st.DataObject) -> None:
    archive = packable(files)
    if archive is None:
        return
    place = data.draw(st.integers(0, len(archive) - 1))
    changed = bytearray(archive)
    changed[place] ^= data.draw(st.integers(1, 255))
    try:
        found = unpack(bytes(changed))
    except ArchiveRefusedError:
        return
    # What is still canonical is the archive of other files, with another digest.
    assert pack(found) == bytes(changed)
    assert found != files


@given(FILES, st.integers(1, 2000))
def test_a_truncated_or_longer_archive_is_refused(files: dict[str, bytes], count: int) -> None:
    archive = packable(files)
    if archive is None:
        return
    with pytest.raises(ArchiveRefusedError):
        unpack(archive[:-count])
    with pytest.raises(ArchiveRefusedError):
        unpack(archive + bytes(count))


def tar(*members: tuple[tarfile.TarInfo, bytes], kind: int = tarfile.USTAR_FORMAT) -> bytes:
    """An archive as anybody may write one."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    # Not padded to records, as the canonical one is not.
    return stream.getvalue().rstrip(b"\0").ljust(512, b"\0")


def member(name: str, **members: object) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    for key, value in members.items():
        setattr(found, key, value)
    return found


def canonical_end(archive: bytes) -> bytes:
    return archive.ljust(-(-len(archive) // 512) * 512, b"\0") + bytes(1024)


@pytest.mark.parametrize(
    "hostile",
    [
        member("../escape"),
        member("/etc/passwd"),
        member("a/../../b"),
        member("a//b"),
        member("./a"),
        member("a", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("a", type=tarfile.LNKTYPE, linkname="b"),
        member("a", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        member("a", type=tarfile.BLKTYPE),
        member("a", type=tarfile.FIFOTYPE),
        member("a", type=tarfile.DIRTYPE),
        member("a", mode=0o4755),
        member("a", uid=1000),
        member("a", uname="root"),
        member("a", mtime=1),
        member("nul"),
        member("aux.txt"),
        member("a."),
        member("a "),
        member("a\\b"),
        member("a:b"),
        member("e\u0301"),
        member("line\nend"),
    ],
    ids=lambda m: f"{m.name!a}-{m.type!r}",
)
def test_a_hostile_member_is_refused(hostile: tarfile.TarInfo) -> None:
    content = b"" if hostile.type != tarfile.REGTYPE else b"x"
    with pytest.raises(ArchiveRefusedError):
        unpack(canonical_end(tar((hostile, content))))


@pytest.mark.parametrize(
    "names",
    [("a", "A"), ("a/x", "A/y"), ("ss", "\u00df"), ("a", "a/b"), ("\ufb01", "fi")],
    ids=repr,
)
def test_names_that_clash_are_refused(names: tuple[str, str]) -> None:
    with pytest.raises(ArchiveRefusedError):
        pack(dict.fromkeys(names, b"x"))


def test_members_that_stand_twice_or_out_of_order_are_refused() -> None:
    one, two = pack({"a": b"1"})[:-1024], pack({"b": b"2"})[:-1024]
    for parts in ((one, one), (two, one)):
        with pytest.raises(ArchiveRefusedError, match="order"):
            unpack(b"".join(parts) + bytes(1024))


def test_what_follows_the_end_or_stands_in_the_padding_is_refused() -> None:
    archive = pack(PLAIN)
    with pytest.raises(ArchiveRefusedError, match="follows"):
        unpack(archive + b"hidden")
    content_end = archive.index(b"x = 1\n") + len(b"x = 1\n")
    with pytest.raises(ArchiveRefusedError, match="not whole"):
        unpack(archive[:content_end] + b"hidden" + archive[content_end + 6 :])


def test_a_member_that_says_it_is_huge_is_refused_at_once() -> None:
    header = bytearray(pack({"a": b""})[:512])
    huge = tarfile.TarInfo("a")
    huge.size, huge.mode = 8 * 1024**3 - 1, 0o644
    header[:] = huge.tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(ArchiveRefusedError, match="not whole"):
        unpack(bytes(header) + bytes(1024))


def test_limits_hold_before_anything_is_read() -> None:
    with pytest.raises(ArchiveRefusedError, match="more than"):
        unpack(bytes(MAXIMUM_ARCHIVE_BYTES + 512))
    with pytest.raises(ArchiveRefusedError, match="files"):
        pack({f"f{i}": b"" for i in range(2001)})


def test_extended_headers_are_refused() -> None:
    long = member("x/" * 80 + "end")
    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        with pytest.raises(ArchiveRefusedError):
            unpack(canonical_end(tar((long, b"x"), kind=kind)))
