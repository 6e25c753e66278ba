"""The contract of shared stores: a folder, a registry server, and a bucket."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from onex.artifacts.artifact_store import ArtifactStore
from onex.artifacts.contents import DAY, FRESH_SECONDS, GRACE_SECONDS, CopyGoneError, StoredCopy
from onex.artifacts.folder_contents import FolderContents, prepare_folder
from onex.artifacts.shared_artifacts import SharedArtifacts
from onex.domain.errors import RunCancelledError
from tests.artifacts.conftest import Store


def made(folder: Path, content: bytes) -> tuple[str, Path]:
    """A file, and the digest of its content."""
    digest = hashlib.sha256(content).hexdigest()
    file = folder / digest
    file.write_bytes(content)
    return f"sha256:{digest}", file


def fetched(shared: SharedArtifacts, digest: str) -> bytes | None:
    target = io.BytesIO()
    return target.getvalue() if shared.fetch(digest, target) else None


@pytest.mark.parametrize("size", [0, 1, 20 * 1024 * 1024 + 1])
def test_what_one_machine_keeps_another_fetches(store: Store, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    digest, file = made(tmp_path, content)
    one, other = SharedArtifacts(store.contents()), SharedArtifacts(store.contents())
    assert not other.has(digest)
    assert fetched(other, digest) is None
    one.keep(digest, size, file)
    assert other.has(digest)
    assert fetched(other, digest) == content


def test_many_are_kept_and_fetched_at_once(store: Store, tmp_path: Path) -> None:
    shared = SharedArtifacts(store.contents())
    files = [made(tmp_path, os.urandom(100_000 + i)) for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        # Twice, as if two steps gave the same file.
        list(pool.map(lambda f: shared.keep(f[0], f[1].stat().st_size, f[1]), files * 2))
        found = list(pool.map(lambda f: fetched(shared, f[0]), files))
    assert found == [file.read_bytes() for _, file in files]
    assert {copy.digest for copy in store.contents().copies()} == {digest for digest, _ in files}


def test_histories_that_share_a_store_see_nothing_of_each_other(
    store: Store, tmp_path: Path
) -> None:
    digest, file = made(tmp_path, b"x" * 10)
    one, other = SharedArtifacts(store.contents()), SharedArtifacts(store.contents("f" * 32))
    one.keep(digest, 10, file)
    assert not other.has(digest)
    old = SharedArtifacts(store.contents("f" * 32), lambda: time.time() + 10 * GRACE_SECONDS)
    assert old.remove_others(frozenset).digests == frozenset()
    assert one.has(digest)


def test_a_young_copy_is_relied_on_and_an_old_one_is_not(store: Store, tmp_path: Path) -> None:
    digest, file = made(tmp_path, b"content")
    contents = store.contents()
    SharedArtifacts(contents).keep(digest, 7, file)
    SharedArtifacts(contents, lambda: time.time() + FRESH_SECONDS - DAY).keep(digest, 7, file)
    assert len(list(contents.copies(digest))) == 1
    SharedArtifacts(contents, lambda: time.time() + FRESH_SECONDS + 1).keep(digest, 7, file)
    assert len(list(contents.copies(digest))) == 2


def test_only_what_is_old_and_not_recorded_is_removed(store: Store, tmp_path: Path) -> None:
    contents = store.contents()
    now = time.time()
    old, young = now - GRACE_SECONDS - 60, now - 60
    kept, left, new = (made(tmp_path, content) for content in (b"kept", b"left", b"new"))
    first = StoredCopy.new(kept[0], 4, old - 60)
    for copy, file in (
        (first, kept[1]),
        (StoredCopy.new(kept[0], 4, old), kept[1]),
        (StoredCopy.new(left[0], 4, old), left[1]),
        (StoredCopy.new(new[0], 3, young), new[1]),
    ):
        contents.write(copy, file)
    shared = SharedArtifacts(contents)
    removed = shared.remove_others(lambda: {kept[0]})
    assert removed.digests == {kept[0], left[0]}
    assert removed.size_bytes == 8
    assert fetched(shared, kept[0]) == b"kept"
    assert not shared.has(left[0])
    assert fetched(shared, new[0]) == b"new"
    with pytest.raises(CopyGoneError):
        list(contents.read(first))
    contents.remove(first)
    assert shared.remove_others(lambda: {kept[0]}).digests == frozenset()


@pytest.mark.parametrize("damage", [b"CONTENT", b"cont", b"", b"content and more"])
def test_a_damaged_copy_is_not_handed_out_and_is_replaced(
    store: Store, tmp_path: Path, damage: bytes
) -> None:
    digest, file = made(tmp_path, b"content")
    contents = store.contents()
    shared = SharedArtifacts(contents)
    shared.keep(digest, 7, file)
    (copy,) = contents.copies(digest)
    store.damage(copy, damage)
    assert fetched(shared, digest) is None
    shared.keep(digest, 7, file)
    assert fetched(shared, digest) == b"content"
    # One that does not know of the damage yet takes the whole copy all the same.
    assert fetched(SharedArtifacts(contents), digest) == b"content"


def test_a_whole_copy_is_not_removed_for_a_damaged_one(store: Store, tmp_path: Path) -> None:
    digest, file = made(tmp_path, b"content")
    contents, now = store.contents(), time.time()
    whole = StoredCopy.new(digest, 7, now - 3 * GRACE_SECONDS)
    damaged = StoredCopy.new(digest, 7, now - 2 * GRACE_SECONDS)
    for copy in (whole, damaged):
        contents.write(copy, file)
    store.damage(damaged, b"CONTENT")
    assert SharedArtifacts(contents).remove_others(lambda: {digest}).digests == frozenset()
    assert fetched(SharedArtifacts(contents), digest) == b"content"
    # One that is whole and newer makes both superfluous.
    contents.write(StoredCopy.new(digest, 7, now), file)
    SharedArtifacts(contents).remove_others(lambda: {digest})
    assert len(list(contents.copies(digest))) == 1
    assert fetched(SharedArtifacts(contents), digest) == b"content"


def test_readers_see_a_copy_whole_or_not_at_all(store: Store, tmp_path: Path) -> None:
    content = os.urandom(24 * 1024 * 1024)
    digest, file = made(tmp_path, content)
    writer, reader = SharedArtifacts(store.contents()), SharedArtifacts(store.contents())
    done = threading.Event()

    def write() -> None:
        writer.keep(digest, len(content), file)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    seen = []
    while not done.is_set():
        seen.append(fetched(reader, digest))
    thread.join()
    assert all(one is None or one == content for one in seen)
    assert fetched(reader, digest) == content


def test_a_store_that_hangs_holds_up_nobody(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "share", tmp_path / "seen")
    contents, is_let_go = FolderContents(tmp_path / "share", "0" * 32), threading.Event()
    contents.copies = lambda digest=None: iter([is_let_go.wait(60)][:0])  # type: ignore[method-assign]
    store = ArtifactStore(tmp_path / "artifacts", SharedArtifacts(contents))
    record = {"$artifact": f"sha256:{'0' * 64}", "name": "a", "size_bytes": 1, "path": "/a"}
    asked = []

    def go_on() -> None:
        asked.append(None)
        if len(asked) == 3:
            raise RunCancelledError("cancelled before it started")

    with pytest.raises(RunCancelledError):
        store.bring(record, go_on)
    is_let_go.set()
    assert store.bring(record, lambda: None) is None
