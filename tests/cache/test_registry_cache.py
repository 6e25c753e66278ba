"""RegistryCache: its three levels, with a real Valkey server, and with that server dead."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from onex.cache.entry import Entry
from onex.cache.file_cache import FileCache
from onex.cache.memory_cache import MemoryCache
from onex.cache.registry_cache import RegistryCache
from onex.cache.shared_cache import SharedCache
from onex.domain.errors import ConfigurationError
from tests.conftest import Project, ValkeyServer


@pytest.fixture(params=["memory", "file", "shared"])
def level(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator:
    if request.param == "memory":
        yield MemoryCache()
    elif request.param == "file":
        cache = FileCache(tmp_path / "cache.db")
        yield cache
        assert cache.failure is None
        cache.close()
    else:
        cache = SharedCache(
            request.getfixturevalue("valkey").url,
            f"test:{tmp_path}",
            lambda *_: None,
            lambda _: None,
        )
        yield cache
        assert cache.failure is None
        cache.close()


@pytest.mark.parametrize(
    "value", [b"", b"null", b"false", b"0", b'""', b"\x00\xff", b"x" * 100_000]
)
def test_every_level_keeps_any_value(level, value: bytes) -> None:
    assert level.get("k") is None
    level.set("k", Entry(value))
    found = level.get("k")
    assert found is not None
    assert found.value == value


def test_every_level_lets_values_end(level) -> None:
    level.set("short", Entry(b"1", time.time() + 0.15))
    level.set("past", Entry(b"1", time.time() - 1))
    level.set("long", Entry(b"1", time.time() + 60))
    assert level.get("past") is None
    assert level.get("short") is not None
    time.sleep(0.2)
    assert level.get("short") is None
    assert level.get("long") is not None


def test_every_level_drops_by_pattern(level) -> None:
    for key in ("a:1", "a:2", "b:1", "a:[x]"):
        level.set(key, Entry(b"1"))
    level.invalidate("a:[12]")
    assert [level.get(key) is not None for key in ("a:1", "a:2", "b:1", "a:[x]")] == [
        False,
        False,
        True,
        True,
    ]
    level.invalidate("*")
    assert level.get("b:1") is None


def test_memory_is_bounded_by_number_and_bytes_and_keeps_what_is_used() -> None:
    cache = MemoryCache(maximum_entries=3, maximum_bytes=100)
    for key in "abc":
        cache.set(key, Entry(b"1"))
    cache.get("a")
    cache.set("d", Entry(b"1"))
    assert [key for key in "abcd" if cache.get(key)] == ["a", "c", "d"]
    cache.set("big", Entry(b"x" * 99))
    assert len(cache) <= 2
    cache.set("huge", Entry(b"x" * 101))
    assert cache.get("huge") is None


def test_the_file_is_bounded(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "c.db", maximum_entries=50, maximum_bytes=1_000_000)
    for number in range(400):
        cache.set(f"k{number:03}", Entry(b"x" * 100))
    assert cache.count() <= 50 + 64
    assert cache.get("k399") is not None
    assert cache.get("k000") is None
    for number in range(130):
        cache.set(f"big{number}", Entry(b"x" * 100_000))
    assert cache.count("big") <= 10 + 64


def test_a_value_found_far_away_is_brought_near(tmp_path: Path, valkey: ValkeyServer) -> None:
    first = RegistryCache(tmp_path / "a.db", valkey.url, f"p{tmp_path}")
    first.set("k", b"v", ttl_seconds=60)
    other_machine = RegistryCache(tmp_path / "b.db", valkey.url, f"p{tmp_path}")
    assert other_machine.get("k") == b"v"
    assert other_machine.memory.get("k") is not None
    alone = RegistryCache(tmp_path / "a.db")
    assert alone.get("k") == b"v"
    assert alone.get("nothing") is None
    assert (alone.statistics("l1").hits, alone.statistics("l3").hits) == (0, 1)
    stranger = RegistryCache(tmp_path / "c.db", valkey.url, "other-registry")
    assert stranger.get("k") is None
    for cache in (first, other_machine, alone, stranger):
        cache.close()


def test_what_one_process_drops_all_drop(tmp_path: Path, valkey: ValkeyServer) -> None:
    caches = [RegistryCache(tmp_path / f"{n}.db", valkey.url, f"p{tmp_path}") for n in range(3)]
    for cache in caches:
        cache.get("warm up")
    caches[0].set("node:a", b"1")
    caches[0].set("node:b", b"1")
    assert [cache.get("node:a") for cache in caches] == [b"1"] * 3
    caches[1].invalidate("node:a")
    deadline = time.monotonic() + 2
    while any(cache.get("node:a") is not None for cache in caches):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert [cache.get("node:b") for cache in caches] == [b"1"] * 3
    for cache in caches:
        cache.close()


def test_a_dead_server_costs_one_time_out_and_is_tried_again(
    tmp_path: Path, own_valkey: ValkeyServer
) -> None:
    cache = RegistryCache(tmp_path / "c.db", own_valkey.url)
    cache.set("k", b"v")
    own_valkey.stop()
    cache.memory.clear()
    started = time.perf_counter()
    for number in range(200):
        assert cache.get("k") == b"v"
        cache.set(f"n{number}", b"v")
    assert time.perf_counter() - started < 60
    assert "does not answer" in (cache.failure or "")
    own_valkey.start()
    assert cache.shared is not None
    cache.shared._bypassed_until = 0.0
    cache.set("later", b"1")
    assert cache.failure is None
    assert cache.shared.get("later") is not None
    cache.close()


def test_a_server_that_accepts_and_says_nothing_costs_no_more(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        cache = RegistryCache(tmp_path / "c.db", f"redis://127.0.0.1:{port}/0")
        started = time.perf_counter()
        for _ in range(50):
            assert cache.get("k") is None
        assert time.perf_counter() - started < 60
        cache.close()


def test_a_file_damaged_while_it_is_open_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    FileCache(path).set("k", Entry(b"v"))
    for file in tmp_path.iterdir():
        file.write_bytes(b"\xff" * 20_000)
    cache = FileCache(path)
    for _ in range(3):
        cache.set("k", Entry(b"v"))
    assert cache.get("k") == Entry(b"v")
    path.unlink()
    assert FileCache(path).get("k") is None
    cache.close()


@pytest.mark.slow
def test_the_commands_use_the_shared_level(
    project: Project, valkey: ValkeyServer, tmp_path: Path
) -> None:
    project.add("a")
    project.scan()
    project.environment["ONEX_CACHE"] = valkey.url
    for _ in range(2):
        assert project.onex_here("resolve", "a").code == 0
    (project.home / "cache.db").unlink()
    assert project.onex_here("resolve", "a").code == 0
    caches = {
        c["name"]: c for c in project.onex_here("cache", "stats", "--format", "json").json["caches"]
    }
    assert (caches["l2"]["hits"], caches["dependencies"]["hits"]) == (1, 1)
    assert project.onex_here("cache", "invalidate", "dependencies:*").code == 0
    project.onex_here("resolve", "a")
    caches = {
        c["name"]: c for c in project.onex_here("cache", "stats", "--format", "json").json["caches"]
    }
    assert caches["dependencies"]["misses"] == 1
    project.environment["ONEX_CACHE"] = "redis://127.0.0.1:1/0"
    assert project.onex_here("resolve", "a").code == 0
    done = project.onex_here("cache", "stats", "--format", "json")
    assert "does not answer" in json.dumps(done.json["failure"])
    project.environment["ONEX_CACHE"] = "nonsense"
    assert project.onex_here("resolve", "a", "--format", "json").json["error"]["code"] == "CFG001"


def test_without_the_client_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError) as caught:
        RegistryCache(tmp_path / "c.db", "redis://127.0.0.1/0")
    assert "onex-registry[redis]" in (caught.value.hint or "")
