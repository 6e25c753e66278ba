"""Servers that answer with anything but what the protocol has: told plainly, and nothing is lost."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Project

CONFIG = json.dumps(
    {"protocol": "onex-index", "version": 1, "registry": "r1", "serial": 1, "api": None}
).encode()
Respond = Callable[[str, socket.socket], None]


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}",
             "Connection: close", *headers]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextlib.contextmanager
def hostile(respond: Respond) -> Iterator[str]:
    """A server that answers each request as it is told to; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        ending = threading.Event()

        def one(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.settimeout(20)
                head = b""
                while b"\r\n\r\n" not in head:
                    received = connection.recv(65536)
                    if not received:
                        return
                    head += received
                respond(head.split()[1].decode()[1:], connection)

        def accept() -> None:
            while not ending.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    continue
                threading.Thread(target=one, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            ending.set()
            thread.join()


def resolved(project: Project, respond: Respond, *arguments: str | Path) -> tuple[int, str, float]:
    """How a command ends with such a remote: its code, all that it printed, and how long it took."""
    with hostile(respond) as url:
        project.write("onex.toml", f'[[sources]]\nname = "bad"\nkind = "remote"\nurl = "{url}"\n')
        started = time.monotonic()
        done = project.onex_here(*(arguments or ("resolve", "greeter")))
        return done.code, done.stdout + done.stderr, time.monotonic() - started


def always(body: bytes) -> Respond:
    return lambda path, connection: connection.sendall(body)


def after_config(body: bytes) -> Respond:
    def respond(path: str, connection: socket.socket) -> None:
        connection.sendall(answer(CONFIG) if path == "config.json" else body)

    return respond


HTML = b"<html><body>Please log in to this network</body></html>"


@pytest.mark.parametrize(
    "respond",
    [
        always(answer(HTML, "Content-Type: text/html")),
        always(answer(HTML)),
        always(answer(b"", "Location: http://127.0.0.1:1/", status="302 Found")),
        always(answer(b"", "Location: http://169.254.169.254/latest", status="307 Temporary Redirect")),
        always(answer(b"", "Location: http://10.0.0.1/", status="301 Moved Permanently")),
        always(answer(b"proxy error", status="502 Bad Gateway")),
        always(answer(b"", status="204 No Content")),
        always(answer(b"{}")),
        always(answer(CONFIG, length=len(CONFIG) + 50)),
        always(answer(CONFIG, "Content-Encoding: gzip")),
        always(answer(gzip.compress(bytes(300 * 1024 * 1024)), "Content-Encoding: gzip")),
        always(b"HTTP/1.1 200 OK\r\n"),
        always(b"\x16\x03\x01 not http"),
        always(b""),
        always(b"HTTP/1.1 200 OK\r\n" + b"x-filler: " + b"a" * 2_000_000 + b"\r\n\r\n"),
        always(answer(b"", status="304 Not Modified")),
        after_config(answer(HTML, "Content-Type: text/html")),
        after_config(answer(b"not a line\n")),
        after_config(answer(b"tool://greeter\n", length=5)),
        after_config(answer(b"\xff\xfe\n")),
        after_config(answer(b"", status="500 Internal Server Error")),
    ],
    ids=range(21),
)  # fmt: skip
def test_an_answer_that_is_none_leaves_what_is_here_usable(
    project: Project, respond: Respond
) -> None:
    project.add("local")
    project.scan()
    code, told, _ = resolved(project, respond)
    assert code == 3, told
    assert "ONEX002" not in told
    assert "Traceback" not in told
    code, told, _ = resolved(project, respond, "resolve", "local")
    assert code == 0, told
    assert "test.local@1.0.0" in told
    assert "REM00" in told or "warning" in told


@pytest.mark.slow
def test_endless_bodies_and_dribbled_heads_end(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onex.remote import http_tree

    monkeypatch.setattr(http_tree, "REQUEST_SECONDS", 3.0)

    def endless(path: str, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"10000\r\n" + b"a" * 65536 + b"\r\n")

    def dribble(path: str, connection: socket.socket) -> None:
        for character in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 200:
            connection.sendall(bytes([character]))
            time.sleep(0.2)

    for respond in (endless, dribble):
        code, told, seconds = resolved(project, respond)
        assert code == 3, told
        assert seconds < 15


def test_a_dead_remote_costs_one_time_out_and_is_passed_over(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    project.add("local")
    project.scan()
    project.write(
        "onex.toml",
        f'[[sources]]\nname = "dead"\nkind = "remote"\nurl = "http://127.0.0.1:{port}/"\n',
    )
    assert "does not answer" in project.onex_here("resolve", "local").stderr
    assert "passed over" in project.onex_here("resolve", "local").stderr
    assert project.onex_here("remote", "check").code == 1
    scanned = project.onex_here("scan", "--json")
    (source,) = scanned.json["sources"]
    assert source["status"] == "degraded"


class Recorder:
    """Answers as a real tree would, from a folder, and with one file replaced."""

    def __init__(self, folder: Path, replaced: dict[str, bytes]) -> None:
        self.folder = folder
        self.replaced = replaced
        self.asked: list[str] = []

    def __call__(self, path: str, connection: socket.socket) -> None:
        name = path.partition("?")[0]
        self.asked.append(name)
        if name in self.replaced:
            connection.sendall(self.replaced[name])
            return
        file = self.folder / name
        if file.is_file():
            connection.sendall(answer(file.read_bytes()))
        else:
            connection.sendall(answer(b"", status="404 Not Found"))


@pytest.fixture
def exported(project: Project) -> Path:
    folder = project.root / "tree"
    manifest = project.add("greeter")
    assert project.onex_here("publish", "--here", manifest.parent).code == 0
    assert project.onex_here("remote", "export", folder).code == 0
    return folder


def blob_of(folder: Path) -> tuple[str, bytes]:
    (file,) = (path for path in folder.rglob("*") if path.parent.parent.name == "sha256")
    return file.relative_to(folder).as_posix(), file.read_bytes()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda blob: answer(blob[:-1] + b"x"),
        lambda blob: answer(blob[:-512]),
        lambda blob: answer(blob + bytes(512)),
        lambda blob: answer(b""),
        lambda blob: answer(gzip.compress(blob), "Content-Encoding: gzip"),
        lambda blob: answer(HTML, "Content-Type: text/html"),
        lambda blob: answer(b"", status="404 Not Found"),
        lambda blob: answer(blob, "Content-Range: bytes 512-1023/9", status="206 Partial Content"),
        lambda blob: answer(b"", "Location: http://127.0.0.1:9/", status="302 Found"),
    ],
    ids=range(9),
)  # fmt: skip
def test_an_archive_that_is_not_the_one_of_the_index_never_runs(
    make_project: Callable[[str], Project],
    project: Project,
    exported: Path,
    spoil: Callable[[bytes], bytes],
) -> None:
    path, blob = blob_of(exported)
    user = make_project("user")
    code, told, _ = resolved(user, Recorder(exported, {path: spoil(blob)}), "run", "greeter")
    assert code != 0, told
    assert "ONEX002" not in told
    assert not list((user.root / "home" / "cache").rglob("blobs/sha256/*/*"))
    code, told, _ = resolved(user, Recorder(exported, {}), "run", "greeter")
    assert code == 0, told


def test_an_archive_that_breaks_off_is_continued_where_it_ended(
    make_project: Callable[[str], Project], project: Project, exported: Path
) -> None:
    path, blob = blob_of(exported)
    ranges: list[str] = []

    def respond(asked: str, connection: socket.socket) -> None:
        if asked != path:
            Recorder(exported, {})(asked, connection)
            return
        ranges.append(asked)
        if len(ranges) == 1:
            connection.sendall(answer(blob, length=len(blob))[: -len(blob) + 700])
        else:
            rest = blob[700:]
            connection.sendall(
                answer(
                    rest,
                    f"Content-Range: bytes 700-{len(blob) - 1}/{len(blob)}",
                    status="206 Partial Content",
                )
            )

    user = make_project("user")
    code, told, _ = resolved(user, respond, "run", "greeter")
    assert code == 0, told
    assert len(ranges) == 2


def test_a_bad_line_costs_its_node_alone(
    make_project: Callable[[str], Project], project: Project
) -> None:
    for name in ("good", "bad"):
        project.onex_here("publish", "--here", project.add(name).parent)
    folder = project.root / "tree"
    project.onex_here("remote", "export", folder)
    user = make_project("user")
    spoiled = Recorder(folder, {"index/tool/test/bad.jsonl": answer(b'{"schema": 1}\n')})
    code, told, _ = resolved(user, spoiled, "resolve", "tool://test.good")
    assert code == 0, told
    code, told, _ = resolved(user, spoiled, "resolve", "tool://test.bad")
    assert code == 3


def test_only_what_is_needed_is_asked_for(
    make_project: Callable[[str], Project], project: Project
) -> None:
    project.onex_here("publish", "--here", project.add("leaf").parent)
    project.onex_here(
        "publish", "--here", project.add("root", dependencies=["tool://test.leaf"]).parent
    )
    project.onex_here("publish", "--here", project.add("other").parent)
    folder = project.root / "tree"
    project.onex_here("remote", "export", folder)
    user = make_project("user")
    recorder = Recorder(folder, {})
    assert resolved(user, recorder, "resolve", "tool://test.root")[0] == 0
    assert recorder.asked == [
        "config.json", "index/tool/test/root.jsonl", "index/tool/test/leaf.jsonl",
    ]  # fmt: skip
