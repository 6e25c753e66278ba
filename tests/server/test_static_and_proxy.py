"""Other ways to a registry: a static web server over a mirror, and a proxy that the environment names."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Project

Make = Callable[[str], Project]


@pytest.fixture
def static(make_project: Make) -> Iterator[tuple[Project, Path, str]]:
    """A registry that publishes, its mirror, and the URL of a static server over that."""
    project = make_project("registry")
    folder = project.root / "tree"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    port = process.stdout.readline().split(" port ")[1].split()[0]
    yield project, folder, f"http://127.0.0.1:{port}/"
    process.terminate()
    process.wait(20)
    process.stdout.close()


def publish(project: Project, folder: Path, version: str) -> None:
    project.onex_here("publish", "--here", project.add("tool", version=version).parent)
    assert project.onex_here("remote", "export", folder).code == 0
    for path in folder.rglob("*"):
        # What is long unchanged may be kept by caches, if nothing says otherwise (RFC 9111, 4.2.2).
        long_ago = 1_000_000_000 + 60 * int(version.split(".")[1])
        os.utime(path, (long_ago, long_ago))


def test_a_static_server_over_a_mirror_is_a_registry(
    static: tuple[Project, Path, str], make_project: Make
) -> None:
    project, folder, url = static
    publish(project, folder, "1.0.0")
    user = make_project("user")
    assert user.onex_here("remote", "add", url, "--name", "hub").code == 0
    assert user.onex_here("resolve", "tool", "--json").json["selected"] == {
        "tool://test.tool": "1.0.0"
    }
    publish(project, folder, "1.1.0")
    assert user.onex_here("remote", "sync").code == 0
    assert user.onex_here("resolve", "tool", "--json").json["selected"] == {
        "tool://test.tool": "1.1.0"
    }
    assert user.onex("run", "tool", "--json").json["success"]
    second = user.root / "second"
    assert user.onex_here("remote", "mirror", "hub", second).code == 0
    assert (second / "config.json").read_bytes() == (folder / "config.json").read_bytes()


def test_the_proxy_of_the_environment_is_used_but_for_this_machine(
    static: tuple[Project, Path, str], make_project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, folder, url = static
    publish(project, folder, "1.0.0")
    asked: list[str] = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            real = self.path.replace("http://registry.test/", url)
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            try:
                with opener.open(real) as answer:
                    status, body = 200, answer.read()
            except urllib.error.HTTPError as error:
                status, body = error.code, b""
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        user = make_project("user")
        user.environment |= {
            "http_proxy": f"http://127.0.0.1:{proxy.server_port}/",
        }  # fmt: skip
        assert user.onex_here("remote", "add", "http://registry.test/", "--name", "far").code == 0
        asked_for = {path.removeprefix("http://registry.test/") for path in asked}
        assert asked_for == {"config.json", "metadata/1.root.json"}
        # What is on this machine is asked directly, also if nothing says so.
        assert user.onex_here("remote", "add", url, "--name", "near").code == 0
        assert len(asked) == 2
        proxy.shutdown()
        thread.join()


def test_no_token_is_kept_beside_answers(make_project: Make, serve: Callable[..., object]) -> None:
    server = serve(make_project("server"))
    user = make_project("user")
    server.declare(user)  # type: ignore[attr-defined]
    assert user.onex_here("remote", "check").code == 0
    cache = user.root / "home" / "cache"
    kept = [path for path in cache.rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        assert server.token.encode() not in path.read_bytes()  # type: ignore[attr-defined]
    assert cache.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("spoil", ["file in its place", "not a database"])
def test_a_cache_that_cannot_be_used_costs_no_more_than_the_cache(
    static: tuple[Project, Path, str], make_project: Make, spoil: str
) -> None:
    project, folder, url = static
    publish(project, folder, "1.0.0")
    user = make_project("user")
    cache = user.root / "home" / "cache"
    if spoil == "file in its place":
        cache.write_text("x")
    else:
        user.onex_here("remote", "add", url, "--name", "hub")
        for path in cache.glob("http-*.db*"):
            path.write_bytes(b"not a database, but long enough to be taken for one" * 100)
        user.write("onex.toml", "")
    done = user.onex_here("remote", "add", url, "--name", "hub")
    assert done.code == 0, done.stderr
    done = user.onex_here("resolve", "tool")
    assert done.code == 0, done.stderr
    assert "Traceback" not in done.stderr
