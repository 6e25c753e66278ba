"""What stands in front of every request: sizes, pace, and answers that are always problems."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import Project, RegistryServer
from tests.server.conftest import serve_with_rate

Make = Callable[[str], Project]
Serve = Callable[..., RegistryServer]


@pytest.fixture
def server(make_project: Make, serve: Serve) -> RegistryServer:
    project = make_project("server")
    project.onex_here("publish", "--here", project.add("greeter").parent)
    return serve(project)


def raw(server: RegistryServer, sent: bytes, seconds: float = 20) -> bytes:
    """What a server answers to bytes, until it closes the connection."""
    host, _, port = server.url.rstrip("/").rpartition("://")[2].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(sent)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_a_body_that_is_too_large_is_refused_before_it_is_read(server: RegistryServer) -> None:
    head = b"POST /api/v1/resolve HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    assert b" 413 " in raw(server, head + b"Content-Length: 999999999\r\n\r\n")
    chunk = b"100000\r\n" + b"a" * 0x100000 + b"\r\n"
    told = raw(server, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 2 + b"0\r\n\r\n")
    assert b" 413 " in told
    # Archives may be larger, and nothing else that is put.
    head = b"PUT /api/v1/owners/test HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    assert b" 413 " in raw(server, head + b"Content-Length: 2000000\r\n\r\n")


@pytest.mark.slow
def test_a_head_that_dribbles_in_is_hung_up_on(server: RegistryServer) -> None:
    host, _, port = server.url.rstrip("/").rpartition("://")[2].rpartition(":")
    started = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        assert connection.recv(100) == b""
    assert time.monotonic() - started < 40
    assert server.ask("config.json").status == 200


@pytest.mark.parametrize(
    ("path", "method", "body", "status"),
    [
        ("api/v1/absent", "GET", None, 404),
        ("absent", "GET", None, 404),
        ("api/v1/nodes", "DELETE", None, 405),
        ("config.json", "POST", {}, 405),
        ("api/v1/nodes?limit=0", "GET", None, 422),
        ("api/v1/nodes?limit=99999999999999999999", "GET", None, 422),
        ("api/v1/nodes?cursor=nonsense", "GET", None, 400),
        ("api/v1/nodes?lifecycle=unborn", "GET", None, 422),
        ("api/v1/nodes/tool/..", "GET", None, 422),
        ("api/v1/nodes/TOOL/a", "GET", None, 422),
        ("api/v1/nodes/tool/test.greeter/one", "GET", None, 422),
        ("api/v1/nodes/tool/test.absent", "GET", None, 404),
        ("api/v1/resolve", "POST", {"references": []}, 422),
        ("api/v1/resolve", "POST", {"references": ["@@"]}, 400),
        ("api/v1/resolve", "POST", {"references": ["greeter"], "as_of": "yesterday"}, 400),
        ("api/v1/resolve", "POST", {"references": ["greeter"], "more": 1}, 422),
        ("api/v1/resolve", "POST", {"references": ["absent"]}, 404),
        ("changes?since=x", "GET", None, 400),
        ("blobs/sha256/aa/" + "a" * 64, "GET", None, 404),
        ("blobs/sha256/../../registry.db", "GET", None, 404),
        ("index/tool/%2e%2e/registry.jsonl", "GET", None, 404),
        ("index/tool/test/greeter.jsonl%00", "GET", None, 404),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_a_problem_with_a_code(
    shared: RegistryServer, path: str, method: str, body: object, status: int
) -> None:
    answer = shared.ask(path, method=method, body=body)
    assert answer.status == status, answer.content
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert problem["status"] == status
    assert problem["type"] == f"urn:onex:{problem['code']}"
    assert problem["title"]
    assert problem["detail"]


def test_compressed_and_conditional_answers(shared: RegistryServer) -> None:
    import gzip

    plain = shared.ask("index/tool/test/greeter.jsonl")
    packed = shared.ask("index/tool/test/greeter.jsonl", accept_encoding="gzip")
    assert gzip.decompress(packed.content) == plain.content
    assert packed.headers["etag"] != plain.headers["etag"]
    assert "accept-encoding" in packed.headers["vary"]
    head = shared.ask("index/tool/test/greeter.jsonl", method="HEAD")
    assert (head.content, head.headers["content-length"]) == (b"", str(len(plain.content)))


def test_too_many_refusals_are_put_off_and_cost_nobody_else(server: RegistryServer) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: server.ask("api/v1/tokens"), range(200)))
    statuses = Counter(answer.status for answer in answers)
    assert statuses.keys() == {401, 429}
    assert 60 <= statuses[401] <= 80
    put_off = next(answer for answer in answers if answer.status == 429)
    assert int(put_off.headers["retry-after"]) >= 1
    # Whoever is at the same address goes on, with a token and without.
    assert server.ask("config.json").status == 200
    assert server.ask("api/v1/nodes").status == 200
    assert server.ask("api/v1/tokens", token=server.token).status == 200
    assert [server.ask("api/v1/nodes/tool/test.absent").status for _ in range(100)] == [404] * 100
    refused = server.project.onex_here(
        "audit", "log", "--outcome", "refused", "--limit", "500", "--json"
    )
    assert len(refused.json["events"]) == statuses[401]


def test_a_token_has_a_rate_of_its_own_wherever_it_is_used(server: RegistryServer) -> None:
    with serve_with_rate(server, burst=6, per_second=0.001) as url:
        host, _, port = url.rstrip("/").rpartition("://")[2].rpartition(":")

        def statuses(address: str, path: str, token: str, count: int) -> list[int]:
            found = []
            for _ in range(count):
                connection = http.client.HTTPConnection(
                    host, int(port), timeout=60, source_address=(address, 0)
                )
                headers = {"authorization": f"Bearer {token}"} if token else {}
                connection.request("GET", path, headers=headers)
                response = connection.getresponse()
                if response.status == 429:
                    assert int(response.headers["retry-after"]) >= 1
                    assert json.loads(response.read())["code"] == "ACC003"
                found.append(response.status)
                connection.close()
            return found

        for path in ("/config.json", "/api/v1/nodes"):
            assert statuses("127.0.0.1", path, server.token, 4) == [200] * 4
            assert statuses("127.0.0.2", path, server.token, 4) == [200, 200, 429, 429]
            # Others at the address go on, as far as the address may.
            assert statuses("127.0.0.2", path, "", 3) == [200, 200, 429]
            assert statuses("127.0.0.1", path, "", 3) == [200, 200, 429]


def test_readers_who_leave_their_streams_take_nothing_along(server: RegistryServer) -> None:
    host, _, port = server.url.rstrip("/").rpartition("://")[2].rpartition(":")
    for _ in range(300):
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(
                b"GET /changes?since=999 HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
            )
            assert connection.recv(12).startswith(b"HTTP/1.1 ")
    time.sleep(1)
    assert server.ask("config.json").status == 200
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(
            b"GET /changes?since=0 HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
        )
        assert b" 200 " in connection.makefile("rb").readline()


def test_one_address_cannot_take_every_connection(server: RegistryServer) -> None:
    host, _, port = server.url.rstrip("/").rpartition("://")[2].rpartition(":")
    connections = [socket.create_connection((host, int(port)), timeout=20) for _ in range(600)]
    time.sleep(0.5)
    for connection in connections[:200]:
        connection.close()
    time.sleep(0.5)
    assert server.ask("config.json").status == 200
    for connection in connections[200:]:
        connection.close()


def test_nothing_of_an_upload_is_taken_before_it_is_permitted(server: RegistryServer) -> None:
    head = (
        b"PUT /api/v1/nodes/tool/test.big/1.0.0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Content-Type: application/x-tar\r\nContent-Length: 60000000\r\nExpect: 100-continue\r\n\r\n"
    )
    told = raw(server, head)
    assert told.startswith(b"HTTP/1.1 401 ")


def test_reading_goes_on_while_the_database_cannot_be_written(server: RegistryServer) -> None:
    import sqlite3

    with sqlite3.connect(server.project.home / "registry.db", isolation_level=None) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(2) as pool:
            refused = pool.submit(server.ask, "api/v1/nodes", token="onex_nonsense")
            time.sleep(0.3)
            started = time.monotonic()
            assert server.ask("index/tool/test/greeter.jsonl").status == 200
            assert server.ask("api/v1/nodes").status == 200
            assert time.monotonic() - started < 3
            connection.execute("ROLLBACK")
            assert refused.result().status == 401
    connection.close()


def test_a_stream_ends_when_its_token_is_revoked(make_project: Make, serve: Serve) -> None:
    project = make_project("secretive")
    project.write("onex.toml", '[server]\nprivate_namespaces = ["test"]\n')
    server = serve(project)
    created = server.ask(
        "api/v1/tokens", method="POST", token=server.token,
        body={"name": "r", "role": "reader", "namespaces": ["test"]},
    ).json  # fmt: skip
    host, _, port = server.url.rstrip("/").rpartition("://")[2].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        head = f"GET /changes?since=0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: text/event-stream\r\nAuthorization: Bearer {created['token']}\r\n\r\n"
        connection.sendall(head.encode())
        stream = connection.makefile("rb")
        assert b" 200 " in stream.readline()
        server.ask(f"api/v1/tokens/{created['id']}", method="DELETE", token=server.token)
        project.onex_here("publish", "--here", project.add("later").parent)
        assert b"later" not in stream.read()


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "", "http://a:b"])
def test_an_odd_origin_is_refused(shared: RegistryServer, origin: str) -> None:
    assert shared.ask("api/v1", origin=origin).status == 403


def test_the_feed_as_server_sent_events_ends_with_the_server(server: RegistryServer) -> None:
    host, _, port = server.url.rstrip("/").rpartition("://")[2].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(
            b"GET /changes?since=0 HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
        )
        stream = connection.makefile("rb")
        assert b" 200 " in stream.readline()
        while stream.readline().strip():
            pass
        seen = read_events(stream, 3)
        assert [int(event["id"]) for event in seen] == [1, 2, 3]
        server.project.onex_here("yank", "tool://test.greeter@1.0.0")
        (event,) = read_events(stream, 1)
        assert json.loads(event["data"])["action"] == "node.yanked"
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 8


def read_events(stream: object, count: int) -> list[dict[str, str]]:
    events: list[dict[str, str]] = []
    event: dict[str, str] = {}
    while len(events) < count:
        line = stream.readline().decode().strip()  # type: ignore[attr-defined]
        name, separator, value = line.partition(": ")
        if separator and name:
            event[name] = value
        elif not line and "id" in event:
            events.append(event)
            event = {}
    return events
