"""A shared cache that holds what is not ours, refuses, hangs, or was cleared by others."""

from __future__ import annotations

import json
import socket
import sqlite3
import time
from pathlib import Path

import pytest
import redis

from onex.cache.registry_cache import FORMAT, RegistryCache
from onex.domain.errors import ConfigurationError
from onex.domain.event import GENESIS_HASH
from tests.conftest import Project, ValkeyServer

FOREIGN = [
    b"", b"null", b"[]", b"{", b"\xff\xfe\n{}", b"nan\nnull", b"1e400\n{}", b"-1\n{}", b"\nnull",
    b"\n[1, 2]", b'\n{"registry": 1}', b"\n" + b"[" * 100_000,
    b'\n{"registry": "REGISTRY", "serial": 1e400, "hash": "", "names": [], "answer": {}}',
    b'\n{"registry": "REGISTRY", "serial": 99999999999999999999, "hash": "", "names": [], "answer": 1}',
    b'\n{"registry": "REGISTRY", "serial": 0, "hash": {}, "names": [], "answer": {}}',
    b'\n{"registry": "REGISTRY", "serial": 0, "hash": "GENESIS", "names": [1], "answer": []}',
    b'\n{"registry": "REGISTRY", "serial": 0, "hash": "GENESIS", "names": [], "answer": {"a": "b"}}',
    b'\n{"registry": "REGISTRY", "serial": 0, "hash": "GENESIS", "names": [], "answer": "x"}',
]  # fmt: skip


@pytest.fixture
def cached(project: Project, valkey: ValkeyServer) -> Project:
    """A project with a node, whose answers are shared."""
    project.add("a")
    project.environment["ONEX_CACHE"] = valkey.url
    project.scan()
    return project


@pytest.mark.parametrize("value", FOREIGN)
def test_what_is_not_ours_is_no_answer(cached: Project, valkey: ValkeyServer, value: bytes) -> None:
    assert cached.onex_here("resolve", "a", "--format", "json").code == 0
    with cached.registry() as registry:
        identity = registry.storage.identity.encode()
    client = redis.Redis.from_url(valkey.url)
    keys = [key for key in client.scan_iter(match="onex*") if b"generation" not in key]
    assert keys
    written = value.replace(b"REGISTRY", identity).replace(b"GENESIS", GENESIS_HASH.encode())
    for key in keys:
        client.set(key, written)
    (cached.home / "cache.db").unlink()
    answer = cached.onex_here("resolve", "a", "--format", "json")
    assert answer.code == 0, answer.stdout
    assert answer.json["selected"] == {"tool://test.a": "1.0.0"}
    client.close()


def test_noise_on_the_channel_drops_and_breaks_nothing(
    tmp_path: Path, valkey: ValkeyServer
) -> None:
    prefix = f"noise{time.time_ns()}"
    cache = RegistryCache(tmp_path / "cache.db", valkey.url, prefix)
    client = redis.Redis.from_url(valkey.url)
    for noise in (b"\xff\xfe", b"", b"no generation", b"{}", b"g [z-a]", b"g " + b"*" * 1000):
        cache.set("k", b"1")
        assert cache.get("k") == b"1"
        client.publish(f"{prefix}:{FORMAT}:invalidated", noise)
        time.sleep(0.05)
        cache.get("k")
        assert cache.failure is None
    client.close()
    cache.close()


@pytest.mark.parametrize("option", ["no_such_option=1", "db=x", "socket_timeout=a", "protocol=9"])
def test_an_option_that_is_not_known_is_told(tmp_path: Path, option: str) -> None:
    with pytest.raises(ConfigurationError, match="not valid") as caught:
        RegistryCache(tmp_path / "cache.db", f"redis://:SECRET@127.0.0.1:1/0?{option}")
    assert "SECRET" not in caught.value.message


def test_a_value_found_in_the_shared_level_keeps_its_end(
    tmp_path: Path, valkey: ValkeyServer
) -> None:
    prefix = f"life{time.time_ns()}"
    one = RegistryCache(tmp_path / "one.db", valkey.url, prefix)
    other = RegistryCache(tmp_path / "other.db", valkey.url, prefix)
    assert other.get("k") is None
    one.set("k", b"1", ttl_seconds=0.6)
    assert other.get("k") == b"1"
    time.sleep(0.7)
    assert other.get("k") is None
    one.close()
    other.close()


@pytest.mark.parametrize("glob", ["*", "kept*"])
def test_what_was_dropped_while_a_machine_did_not_listen_is_not_answered(
    tmp_path: Path, valkey: ValkeyServer, glob: str
) -> None:
    prefix = f"away{time.time_ns()}"

    def machine(name: str) -> RegistryCache:
        return RegistryCache(tmp_path / f"{name}.db", valkey.url, prefix)

    first = machine("first")
    assert first.get("kept") is None
    first.set("kept", b"old")
    first.close()
    second = machine("second")
    assert second.get("kept") == b"old"
    second.invalidate(glob)
    second.close()
    again = machine("first")
    assert again.get("kept") is None
    again.set("kept", b"new")
    again.close()
    assert machine("first").get("kept") == b"new"


def test_clearing_what_refuses_is_told(cached: Project, own_valkey: ValkeyServer) -> None:
    client = redis.Redis.from_url(own_valkey.url)
    client.execute_command(
        *("ACL", "SETUSER", "reader", "on", ">pw", "~*", "&*", "+@read", "+subscribe", "+select")
    )
    client.close()
    cached.environment["ONEX_CACHE"] = own_valkey.url.replace("//", "//reader:pw@")
    assert cached.onex_here("resolve", "a").code == 0
    for command in (["cache", "clear"], ["cache", "invalidate", "*"]):
        refused = cached.onex_here(*command, "--format", "json")
        assert (refused.code, refused.json["error"]["code"]) == (2, "CAC001")
    checks = {c["name"]: c for c in cached.onex_here("doctor", "--format", "json").json["checks"]}
    assert checks["cache"]["status"] == "warning"
    assert ":pw@" not in json.dumps(checks)


def test_a_server_that_says_nothing_is_told_when_it_is_cleared(cached: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cached.environment["ONEX_CACHE"] = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        assert cached.onex_here("resolve", "a").code == 0
        refused = cached.onex_here("cache", "clear", "--format", "json")
        assert (refused.code, refused.json["error"]["code"]) == (2, "CAC001")


def test_doctor_looks_at_the_cache(cached: Project, valkey: ValkeyServer) -> None:
    checks = {c["name"]: c for c in cached.onex_here("doctor", "--format", "json").json["checks"]}
    assert checks["cache"]["status"] == "ok"
    assert valkey.url in checks["cache"]["message"]
    cached.environment["ONEX_CACHE"] = "redis://127.0.0.1:1/0"
    checks = {c["name"]: c for c in cached.onex_here("doctor", "--format", "json").json["checks"]}
    assert checks["cache"]["status"] == "warning"


def test_a_user_with_the_rights_that_operations_name_shares_answers(
    cached: Project, own_valkey: ValkeyServer
) -> None:
    client = redis.Redis.from_url(own_valkey.url)
    rights = [
        "+get",
        "+set",
        "+unlink",
        "+scan",
        "+publish",
        "+subscribe",
        "+unsubscribe",
        "+select",
        "+client",
    ]
    client.execute_command(*("ACL", "SETUSER", "onex", "on", ">pw", "~onex*", "&onex*"), *rights)
    client.close()
    cached.environment["ONEX_CACHE"] = own_valkey.url.replace("//", "//onex:pw@")
    checks = {c["name"]: c for c in cached.onex_here("doctor", "--format", "json").json["checks"]}
    assert checks["cache"]["status"] == "ok", checks["cache"]
    assert cached.onex_here("resolve", "a").code == 0
    assert cached.onex_here("cache", "clear").code == 0


def test_a_file_that_another_process_writes_is_told_when_it_is_cleared(cached: Project) -> None:
    del cached.environment["ONEX_CACHE"]
    assert cached.onex_here("resolve", "a").code == 0
    with sqlite3.connect(cached.home / "cache.db", isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        refused = cached.onex_here("cache", "clear", "--format", "json")
        assert (refused.code, refused.json["error"]["code"]) == (2, "CAC001")
        writer.execute("ROLLBACK")
    assert cached.onex_here("cache", "clear").code == 0
