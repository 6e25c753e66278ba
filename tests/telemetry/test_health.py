"""Health: each check by breaking what it looks at, for the command and for the server."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from onex.configuration.loading import CACHE_VARIABLE
from onex.domain.errors import StorageError
from onex.monitoring import health_checks as checks
from onex.telemetry.health_check import Check, Health, HealthStatus, RegistryHealthCheck
from tests.conftest import Project, RegistryServer

Serve = Callable[[Project], RegistryServer]


def statuses(project: Project) -> dict[str, str]:
    report = project.onex_here("health", "--json").json
    assert set(report) == {"status", "checks"}
    assert all(set(c) == {"name", "status", "message", "seconds"} for c in report["checks"])
    return {check["name"]: check["status"] for check in report["checks"]} | {"*": report["status"]}


def refuse() -> HealthStatus:
    raise StorageError("it is gone", hint="bring it back")


def hang() -> HealthStatus:
    time.sleep(60)
    return HealthStatus()


def break_down() -> HealthStatus:
    raise ZeroDivisionError("a defect")


def test_checks_run_at_once_and_none_holds_up_the_others() -> None:
    report = RegistryHealthCheck(
        [
            Check("fine", HealthStatus),
            Check("refuses", refuse, Health.UNHEALTHY),
            Check("hangs", hang, limit_seconds=0.2),
            Check("hangs too", hang, limit_seconds=0.2),
            Check("breaks", break_down),
        ]
    ).run()
    assert {c.name: (c.found.status.value, c.found.message) for c in report.checks} == {
        "fine": ("healthy", ""),
        "refuses": ("unhealthy", "STO001: it is gone"),
        "hangs": ("degraded", "no answer within 0.2 s"),
        "hangs too": ("degraded", "no answer within 0.2 s"),
        "breaks": ("degraded", "ZeroDivisionError: a defect"),
    }
    assert report.status is Health.UNHEALTHY
    assert RegistryHealthCheck([]).run().status is Health.HEALTHY


def test_looks_that_hang_do_not_pile_up() -> None:
    checks = RegistryHealthCheck([Check("hangs", hang, limit_seconds=0.05)])
    before = threading.active_count()
    for _ in range(5):
        assert checks.run().checks[0].found.message == "no answer within 0.05 s"
    assert threading.active_count() == before + 1


def test_a_new_registry_is_healthy_and_gets_no_files(project: Project) -> None:
    found = statuses(project)
    assert found.pop("sandbox") in ("healthy", "degraded")
    del found["*"]
    assert set(found.values()) == {"healthy"}
    assert not project.home.exists()


def test_each_part_that_is_broken_is_named(project: Project) -> None:
    project.write(
        "onex.toml",
        '[[sources]]\nname = "here"\npath = "nodes"\n'
        '[[sources]]\nname = "away"\npath = "nowhere"\n'
        '[[sources]]\nname = "hub"\nkind = "remote"\nurl = "hub"\n',
    )
    project.add("greeter")
    project.onex_here("scan")
    project.environment[CACHE_VARIABLE] = "redis://127.0.0.1:1/0"
    found = statuses(project)
    assert found["source:here"] == "healthy"
    assert found["source:away"] == "degraded"
    assert found["cache:l2"] == "degraded"
    assert found["storage"] == "healthy"
    assert found["*"] == "degraded"
    assert project.onex_here("health").code == 0


def test_a_database_that_cannot_be_read_is_unhealthy(project: Project) -> None:
    project.add("greeter")
    project.scan()
    (project.home / "registry.db").write_bytes(b"\0" * 8192)
    found = statuses(project)
    assert found["storage"] == found["*"] == "unhealthy"
    assert project.onex_here("health").code == 1


def test_a_newer_schema_is_unhealthy(project: Project) -> None:
    project.add("greeter")
    project.scan()
    with sqlite3.connect(project.home / "registry.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    assert statuses(project)["migrations"] == "unhealthy"


def test_a_damaged_history_is_degraded(project: Project) -> None:
    project.home.mkdir()
    (project.home / "history.db").write_bytes(b"\0" * 8192)
    found = statuses(project)
    assert (found["journal"], found["storage"]) == ("degraded", "healthy")


def test_a_full_disk_is_degraded(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MINIMUM_FREE_BYTES", 2**62)
    monkeypatch.setattr(checks, "MINIMUM_FREE_SHARE", 1.1)
    assert statuses(project)["disk"] == "degraded"


def test_what_expires_soon_and_a_key_that_is_gone_are_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.onex_here("publish", "--here", project.add("greeter").parent)
    assert project.onex_here("trust", "init", "--root-keys", project.root / "root-keys").code == 0
    assert statuses(project)["index"] == "healthy"

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) + timedelta(days=360)

    with monkeypatch.context() as patch:
        patch.setattr(checks, "datetime", Later)
        report = project.onex_here("health", "--json").json
    index = next(check for check in report["checks"] if check["name"] == "index")
    assert index["status"] == "degraded"
    assert "root expires on" in index["message"]
    (project.home / "trust" / "online.key").unlink()
    assert statuses(project)["index"] == "degraded"


def test_the_server_tells_strangers_no_paths_and_probes_any_address(
    make_project: Callable[[str], Project], serve: Serve
) -> None:
    project = make_project("server")
    project.write("onex.toml", '[[sources]]\nname = "away"\npath = "very/private"\n')
    server = serve(project)
    assert server.ask("livez", host="10.0.0.7:80").json == {"status": "alive"}
    ready = server.ask("readyz", host="10.0.0.7:80")
    assert (ready.status, ready.json) == (200, {"status": "degraded"})
    told = server.ask("readyz?verbose")
    assert b"private" not in told.content
    assert b"away" not in told.content
    assert b"source:1" in told.content
    shown = server.ask("readyz?verbose", token=server.token)
    assert b"very/private" in shown.content
    one = server.ask("readyz/source:away", token=server.token)
    assert [check["name"] for check in one.json["checks"]] == ["source:away"]
    assert server.ask("readyz/nothing").status == 404
    assert server.ask("metrics", host="10.0.0.7:80").status == 200
    assert server.ask("api/v1/nodes", host="10.0.0.7:80").status == 421


@pytest.mark.slow
def test_a_server_whose_database_breaks_is_not_ready(
    make_project: Callable[[str], Project], serve: Serve
) -> None:
    project = make_project("server")
    project.onex_here("publish", "--here", project.add("greeter").parent)
    server = serve(project)
    assert server.ask("readyz").status == 200
    with sqlite3.connect(project.home / "registry.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    deadline = time.monotonic() + 60
    while (answer := server.ask("readyz")).status == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert answer.status == 503
    assert json.loads(answer.content)["status"] == "unhealthy"
    assert server.ask("livez").status == 200
