"""Stores that are away, in the middle of something, or asked by those who may not."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from onex.artifacts.bucket_contents import BucketContents
from onex.artifacts.contents import ArtifactContents, CopyGoneError, StoredCopy
from onex.artifacts.folder_contents import MARK_FILE, FolderContents, prepare_folder
from onex.artifacts.registry_contents import PART_BYTES, RegistryContents
from onex.artifacts.shared_artifacts import SharedArtifacts
from onex.domain.errors import ArtifactsUnavailableError, ConfigurationError
from onex.server.artifact_routes import ARTIFACTS
from tests.artifacts.bucket_server import BUCKET, BucketServer
from tests.conftest import Project, RegistryServer

ROUTES = ARTIFACTS.strip("/")


def a_file(folder: Path, size: int) -> tuple[StoredCopy, Path]:
    content = os.urandom(size)
    file = folder / "content"
    file.write_bytes(content)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return StoredCopy.new(digest, size, time.time()), file


def content_of(contents: ArtifactContents, copy: StoredCopy) -> bytes:
    return b"".join(contents.read(copy))


@pytest.fixture
def share(tmp_path: Path) -> Path:
    root = tmp_path / "share"
    prepare_folder(root, tmp_path / "seen")
    return root


def test_a_share_that_is_not_mounted_is_no_empty_store(
    share: Path, tmp_path: Path, group: str
) -> None:
    copy, file = a_file(tmp_path, 10)
    contents = FolderContents(share, group, tmp_path / "seen")
    contents.write(copy, file)
    share.rename(tmp_path / "elsewhere")
    share.mkdir()
    shared = SharedArtifacts(contents)
    for ask in (
        lambda: shared.has(copy.digest),
        lambda: shared.keep(copy.digest, 10, file),
        lambda: shared.remove_others(frozenset),
        lambda: content_of(contents, copy),
    ):
        with pytest.raises(ArtifactsUnavailableError, match="not mounted"):
            ask()
    assert list(share.iterdir()) == []
    share.rmdir()
    (tmp_path / "elsewhere").rename(share)
    assert content_of(contents, copy) == file.read_bytes()


def test_another_machine_takes_a_folder_as_the_store_that_it_is(
    share: Path, tmp_path: Path, group: str
) -> None:
    copy, file = a_file(tmp_path, 10)
    FolderContents(share, group).write(copy, file)
    seen = tmp_path / "seen by another"
    assert SharedArtifacts(FolderContents(share, group, seen)).has(copy.digest)


def test_a_rename_whose_answer_was_lost_has_happened(
    share: Path, tmp_path: Path, group: str
) -> None:
    copy, file = a_file(tmp_path, 10)
    contents = FolderContents(share, group)
    draft = contents.draft_of(copy)
    draft.parent.mkdir(parents=True)
    shutil.copy(file, draft)
    contents.publish(copy, draft)
    contents.publish(copy, draft)
    assert content_of(contents, copy) == file.read_bytes()
    other, _ = a_file(tmp_path, 10)
    with pytest.raises(OSError, match="No such file"):
        contents.publish(other, draft)


def test_a_copy_that_another_machine_removed_while_it_was_read_is_gone(
    share: Path, tmp_path: Path, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, file = a_file(tmp_path, 10)
    contents = FolderContents(share, group)
    contents.write(copy, file)

    def stale(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    # There is no file server here: this is what NFS says of a file that is removed while open.
    monkeypatch.setattr(Path, "open", stale)
    with pytest.raises(CopyGoneError):
        content_of(contents, copy)


def test_a_folder_that_takes_nothing_says_so(share: Path, tmp_path: Path, group: str) -> None:
    copy, file = a_file(tmp_path, 10)
    (share / group).write_text("in the way")
    with pytest.raises(ArtifactsUnavailableError, match="cannot be written"):
        FolderContents(share, group).write(copy, file)


def test_drafts_of_writers_that_died_go_in_time(share: Path, tmp_path: Path, group: str) -> None:
    copy, file = a_file(tmp_path, 10)
    contents = FolderContents(share, group)
    contents.write(copy, file)
    other, _ = a_file(tmp_path, 10)
    young, old = contents.draft_of(copy), contents.draft_of(other)
    for draft in (young, old):
        draft.write_bytes(b"half")
    os.utime(old, (0, 0))
    contents.remove(copy)
    assert young.exists()
    assert not old.exists()


WRITE = """
import sys
from pathlib import Path
from onex.artifacts.contents import StoredCopy
from onex.artifacts.opening import open_contents
import os
contents = open_contents(sys.argv[1], sys.argv[2], os.environ, Path(sys.argv[3]))
copy = StoredCopy.parse(sys.argv[4])
print("begins", flush=True)
while True:
    contents.write(StoredCopy.new(copy.digest, copy.size_bytes, copy.written_at), Path(sys.argv[5]))
"""


@pytest.mark.parametrize("kind", ["folder", "registry", "bucket"])
@pytest.mark.slow
def test_a_writer_that_is_killed_leaves_only_whole_copies(
    kind: str, request: pytest.FixtureRequest, share: Path, tmp_path: Path, group: str
) -> None:
    environment = dict(os.environ)
    match kind:
        case "folder":
            place = str(share)
        case "registry":
            server: RegistryServer = request.getfixturevalue("registry_server")
            place, environment["ONEX_TOKEN_ARTIFACTS"] = server.url, server.token
        case _:
            bucket: BucketServer = request.getfixturevalue("bucket_server")
            place = f"s3://{BUCKET}/{tmp_path.name}"
            environment |= bucket.environment
    from onex.artifacts.opening import open_contents

    copy, file = a_file(tmp_path, 20_000_000)
    for delay in (0.02, 0.1, 0.3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE, place, group, str(tmp_path), copy.name, str(file)],
            env=environment, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    contents = open_contents(place, group, environment, tmp_path)
    for written in list(contents.copies()):
        assert content_of(contents, written) == file.read_bytes()
    contents.write(copy, file)
    assert content_of(contents, copy) == file.read_bytes()
    contents.close()


# A registry server


@pytest.mark.slow
def test_an_upload_goes_on_when_the_server_is_back(
    own_server: RegistryServer, tmp_path: Path, group: str
) -> None:
    copy, file = a_file(tmp_path, 6 * PART_BYTES + 5)
    contents = RegistryContents(own_server.url, own_server.token, group)
    draft = FolderContents(own_server.project.home / "shared-artifacts", group).draft_of(copy)
    failures: list[ArtifactsUnavailableError] = []

    def write() -> None:
        try:
            contents.write(copy, file)
        except ArtifactsUnavailableError as error:
            failures.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    while not (draft.exists() and draft.stat().st_size >= PART_BYTES):
        assert thread.is_alive()
        time.sleep(0.001)
    own_server.kill()
    had = draft.stat().st_size
    own_server.start()
    thread.join()
    assert not failures
    assert had >= PART_BYTES
    assert content_of(contents, copy) == file.read_bytes()
    contents.close()


@pytest.mark.slow
def test_a_download_goes_on_when_the_server_is_back(
    own_server: RegistryServer, tmp_path: Path, group: str
) -> None:
    copy, file = a_file(tmp_path, 30_000_000)
    contents = RegistryContents(own_server.url, own_server.token, group)
    contents.write(copy, file)
    pieces = contents.read(copy)
    content = next(pieces)
    own_server.kill()
    own_server.start()
    content += b"".join(pieces)
    assert content == file.read_bytes()
    contents.close()


@pytest.mark.slow
def test_a_server_that_is_gone_is_told(
    own_server: RegistryServer, tmp_path: Path, group: str
) -> None:
    contents = RegistryContents(own_server.url, own_server.token, group)
    own_server.stop()
    with pytest.raises(ArtifactsUnavailableError, match="does not answer"):
        list(contents.copies())
    contents.close()


def part(
    server: RegistryServer,
    group: str,
    name: str,
    offset: int,
    content: bytes,
    token: str | None = None,
) -> tuple[int, str | None]:
    answer = server.ask(
        f"{ROUTES}/{group}/{name}", method="PATCH", content=content,
        token=server.token if token is None else token,
        upload_offset=str(offset), content_type="application/octet-stream",
    )  # fmt: skip
    return answer.status, answer.headers.get("upload-offset")


def test_parts_are_taken_once_and_at_their_place(
    registry_server: RegistryServer, tmp_path: Path, group: str
) -> None:
    copy, file = a_file(tmp_path, 30)
    content = file.read_bytes()
    assert part(registry_server, group, copy.name, 5, content[5:10]) == (409, "0")
    assert part(registry_server, group, copy.name, 0, content[:10]) == (200, "10")
    assert part(registry_server, group, copy.name, 0, content[:10]) == (200, "10"), (
        "the answer was lost"
    )
    assert part(registry_server, group, copy.name, 0, content[:9]) == (409, "10")
    assert part(registry_server, group, copy.name, 10, content[10:] + b"!") == (409, "10")
    assert part(registry_server, group, copy.name, 10, content[10:20]) == (200, "20")
    contents = RegistryContents(registry_server.url, registry_server.token, group)
    assert list(contents.copies()) == []
    assert part(registry_server, group, copy.name, 20, content[20:]) == (200, "30")
    assert part(registry_server, group, copy.name, 20, content[20:]) == (200, "30")
    assert list(contents.copies(copy.digest)) == [copy]
    assert content_of(contents, copy) == content
    contents.close()


@pytest.mark.parametrize("arrived", [3, PART_BYTES + 3])
def test_an_upload_goes_on_within_a_part(
    registry_server: RegistryServer, tmp_path: Path, group: str, arrived: int
) -> None:
    """As after a server that was killed while it wrote."""
    copy, file = a_file(tmp_path, 2 * PART_BYTES)
    content = file.read_bytes()
    for start in range(0, arrived, PART_BYTES):
        some = content[start : min(start + PART_BYTES, arrived)]
        assert part(registry_server, group, copy.name, start, some)[0] == 200
    contents = RegistryContents(registry_server.url, registry_server.token, group)
    contents.write(copy, file)
    assert content_of(contents, copy) == content
    contents.close()


def test_a_file_that_is_shorter_than_it_was_is_told(
    registry_server: RegistryServer, tmp_path: Path, group: str
) -> None:
    copy, file = a_file(tmp_path, 30)
    file.write_bytes(b"x" * 10)
    contents = RegistryContents(registry_server.url, registry_server.token, group)
    with pytest.raises(ArtifactsUnavailableError, match="was sent 10 of 30 bytes"):
        contents.write(copy, file)
    assert list(contents.copies()) == []
    contents.close()


def test_what_is_not_what_its_digest_says_is_refused(
    registry_server: RegistryServer, tmp_path: Path, group: str
) -> None:
    copy, file = a_file(tmp_path, 30)
    assert part(registry_server, group, copy.name, 0, b"x" * 30)[0] == 400
    contents = RegistryContents(registry_server.url, registry_server.token, group)
    assert list(contents.copies()) == []
    contents.write(copy, file)
    assert content_of(contents, copy) == file.read_bytes()
    contents.close()


def test_tokens_decide_who_reads_writes_and_removes(
    registry_server: RegistryServer, tmp_path: Path, group: str
) -> None:
    def token(role: str, namespaces: str = "*") -> str:
        made = registry_server.project.onex_here(
            "token", "create", role, "--role", role, "--namespace", namespaces, "--json"
        )
        return str(made.json["token"])

    copy, file = a_file(tmp_path, 30)
    content, name = file.read_bytes(), f"{ROUTES}/{group}/{copy.name}"
    ask = registry_server.ask
    for weak in ("", token("reader"), token("publisher", "acme.*")):
        assert part(registry_server, group, copy.name, 0, content, weak)[0] in {401, 403}
        assert ask(f"{ROUTES}/{group}", token=weak).status in {401, 403}
    publisher = token("publisher")
    assert part(registry_server, group, copy.name, 0, content, publisher)[0] == 200
    assert ask(name, token=publisher).content == content
    assert ask(name, token=publisher, range="bytes=10-").content == content[10:]
    assert ask(name).status == 401
    assert ask(name, method="DELETE", token=publisher).status == 403
    assert ask(name, token=publisher).status == 200
    assert ask(name, method="DELETE", token=token("maintainer")).status == 200
    assert ask(name, token=publisher).status == 404


@pytest.mark.parametrize(
    "name",
    [
        f"GROUP/{'a' * 64}/../../../registry.db",
        f"..%2fGROUP/{'a' * 64}/1-1-{'0' * 32}",
        f"GROUP/{'a' * 63}%00/1-1-{'0' * 32}",
        f"{'G' * 32}/{'a' * 64}/1-1-{'0' * 32}",
        f"GROUP/{'a' * 64}/1-1-{'0' * 31}",
        f"GROUP/{'a' * 64}/1-99999999999999-{'0' * 32}",
    ],
)
def test_odd_names_are_refused(registry_server: RegistryServer, name: str, group: str) -> None:
    answer = registry_server.ask(
        f"{ROUTES}/{name.replace('GROUP', group)}",
        method="PATCH",
        content=b"x",
        token=registry_server.token,
        upload_offset="0",
    )
    assert answer.status in {400, 404, 422}
    assert not (registry_server.project.home / "shared-artifacts" / group).exists()


def test_a_part_that_is_too_large_is_refused(registry_server: RegistryServer, group: str) -> None:
    name = StoredCopy("sha256:" + "a" * 64, 1.0, 2 * PART_BYTES, "0" * 32).name
    assert part(registry_server, group, name, 0, bytes(PART_BYTES + 1))[0] == 413


def test_a_long_list_comes_in_parts(
    registry_server: RegistryServer, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    folder = registry_server.project.home / "shared-artifacts"
    prepare_folder(folder, registry_server.project.home / "stores")
    contents = FolderContents(folder, group)
    made = {
        StoredCopy(f"sha256:{number:064x}", float(number), 0, f"{number:032x}")
        for number in range(4_100)
    }
    for copy in made:
        path = contents.path_of(copy)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    remote = RegistryContents(registry_server.url, registry_server.token, group)
    assert set(remote.copies()) == made
    remote.close()


# What is configured


@pytest.mark.parametrize(
    "place", ["ftp://somewhere/else", "s3:/bucket/x", "s3:bucket", "http://[bad", "https:///x"]
)
def test_places_that_are_no_stores_are_refused(
    make_project: Callable[[str], Project], place: str
) -> None:
    project = make_project("one")
    project.write("onex.toml", f'artifacts = "{place}"\n')
    project.add("maker")
    project.scan()
    done = project.onex_here("run", "maker", "--json")
    assert done.code != 0
    assert done.json["error"]["code"] == ConfigurationError.code
    assert "s3://" in done.json["error"]["hint"]


def test_a_token_is_not_sent_in_the_clear(group: str) -> None:
    with pytest.raises(ConfigurationError, match="unencrypted"):
        RegistryContents("http://registry.example/", "secret", group)


@pytest.mark.slow
def test_a_bucket_that_refuses_says_why(
    bucket_server: BucketServer, tmp_path: Path, group: str
) -> None:
    copy, file = a_file(tmp_path, 10)
    wrong = bucket_server.environment | {"AWS_SECRET_ACCESS_KEY": "wrong"}
    with pytest.raises(ArtifactsUnavailableError, match="403"):
        BucketContents(f"s3://{BUCKET}", group, wrong).write(copy, file)


def test_a_folder_below_the_home_of_the_user(make_project: Callable[[str], Project]) -> None:
    project = make_project("one")
    project.environment["ONEX_ARTIFACTS"] = "~/share"
    assert project.onex_here("doctor", "--json").code == 0
    assert (project.root / "home" / "share" / MARK_FILE).is_file()


def test_many_threads_begin_at_once(tmp_path: Path, group: str) -> None:
    for number in range(20):
        contents = FolderContents(tmp_path / f"new{number}", group, tmp_path / "seen")
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda c: list(c.copies()), [contents] * 8))
        assert found == [[]] * 8


def test_the_mark_is_the_only_thing_that_makes_a_store(tmp_path: Path, group: str) -> None:
    root = tmp_path / "new"
    with pytest.raises(ArtifactsUnavailableError):
        list(FolderContents(root, group).copies())
    assert list(FolderContents(root, group, tmp_path / "seen").copies()) == []
    assert [file.name for file in root.iterdir()] == [MARK_FILE]
