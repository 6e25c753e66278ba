"""Advisories, from the registry that publishes them to the run that they stop."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex.domain.advisory import ADVISORY_SEEN, Advisory, Rating, advisories_after
from onex.domain.event import ALLOWED, Event
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.version import Version
from tests.conftest import Project, RegistryServer
from tests.trust.conftest import Origin, Reader

GREETER = NodeId("tool", "test.greeter")


def advisory(
    *events: dict[str, str], node: NodeId = GREETER, severity: str = "HIGH", **members: object
) -> dict[str, Any]:
    return {
        "schema_version": "1.6.0",
        "id": "ONEX-2026-1",
        "modified": "2026-05-01T00:00:00Z",
        "summary": "It greets the wrong person.",
        "database_specific": {"severity": severity},
        "affected": [
            {
                "package": {"ecosystem": "onex", "name": str(node)},
                "ranges": [{"type": "SEMVER", "events": list(events)}],
            }
        ],
    } | members


FIXED = ({"introduced": "0"}, {"fixed": "1.1.0"})


def publish(origin: Origin, body: dict[str, Any]) -> None:
    file = origin.project.root / "advisory.json"
    file.write_text(json.dumps(body))
    origin.run("advisory", "publish", file, "--here")
    origin.export()


@pytest.fixture
def greeting(origin: Origin, reader: Reader) -> Origin:
    origin.publish("greeter")
    origin.publish("greeter", version="1.1.0")
    publish(origin, advisory(*FIXED))
    return origin


def test_everything_that_resolves_says_so(greeting: Origin, reader: Reader) -> None:
    assert reader.resolve("greeter").json["warnings"] == ["tool://test.greeter@1.1.0 is a draft"]
    warnings = reader.resolve("greeter@1.0.0").json["warnings"]
    words = "tool://test.greeter@1.0.0 is affected by ONEX-2026-1 (high): It greets the wrong person.; mended in 1.1.0"
    assert words in warnings
    workflow = reader.project.workflow({"a": {"node": "greeter@1.0.0"}})
    assert words in reader.project.onex_here("lock", workflow).stderr
    assert words in reader.project.onex_here("lock", workflow, "--check").stderr
    assert words in reader.project.onex_here("run", workflow).stderr
    assert reader.project.onex_here("outdated", workflow, "--json").json["advisories"] == [words]
    done = reader.project.onex_here("audit", "advisories", "--json")
    assert done.code == 5
    (found,) = done.json["advisories"]
    assert (found["id"], found["severity"], found["fixed"]) == ("ONEX-2026-1", "high", "1.1.0")
    checks = {c["name"]: c for c in reader.project.onex_here("doctor", "--json").json["checks"]}
    assert checks["advisories"]["status"] == "ok"


def test_the_policy_can_forbid_what_is_affected(greeting: Origin, reader: Reader) -> None:
    reader.declare('[policy]\nforbidden_advisories = "high"\n')
    assert reader.resolve("greeter").code == 0
    done = reader.resolve("greeter@1.0.0")
    assert (
        "has the advisory ONEX-2026-1 (high) (mended in 1.1.0), which the policy forbids"
        in (done.json["error"]["explanation"])
    )
    reader.declare('[policy]\nforbidden_advisories = "critical"\n')
    assert reader.resolve("greeter@1.0.0").code == 0


def test_an_advisory_that_comes_later_is_learned_and_one_that_is_withdrawn_forgotten(
    origin: Origin, reader: Reader
) -> None:
    origin.publish("greeter")
    origin.export()
    reader.declare('[policy]\nforbidden_advisories = "low"\n')
    assert reader.resolve("greeter").code == 0
    publish(origin, advisory({"introduced": "0"}, severity="LOW"))
    reader.visit()
    done = reader.resolve("greeter")
    assert done.code == 3
    assert "ONEX-2026-1 (low), which the policy forbids" in done.json["error"]["explanation"]
    assert reader.project.onex_here("run", "greeter").code in (3, 5)
    publish(origin, advisory({"introduced": "0"}, withdrawn="2026-06-01T00:00:00Z"))
    reader.visit()
    assert reader.resolve("greeter").code == 0
    assert reader.project.onex_here("audit", "advisories").code == 0


def test_what_one_registry_says_does_not_take_back_what_another_said() -> None:
    def seen(source: str, body: dict[str, Any]) -> Event:
        facts = json.dumps({"source": source, "advisories": [body]})
        return Event(1, "", "me", ADVISORY_SEEN, str(GREETER), ALLOWED, facts, "")

    first = advisory(*FIXED)
    milder = advisory(*FIXED, severity="LOW", modified="2026-09-01T00:00:00Z")
    older = milder | {"modified": "2026-01-01T00:00:00Z"}
    known = advisories_after([seen("a", first), seen("b", milder), seen("a", older)])[GREETER]
    assert {key: found.rating for key, found in known.items()} == {
        ("a", "ONEX-2026-1"): Rating.HIGH,
        ("b", "ONEX-2026-1"): Rating.LOW,
    }


def test_who_may_decide_about_a_node_may_warn_of_it(
    make_project: Callable[[str], Project], serve: Callable[..., RegistryServer]
) -> None:
    server = serve(make_project("server"))
    author, user = make_project("author"), make_project("user")
    server.declare(author)
    server.declare(user, token=False)
    manifest = author.add("greeter")
    assert author.onex_here("publish", manifest.parent, "--to", "hub").code == 0
    file = author.root / "advisory.json"
    file.write_text(json.dumps(advisory({"introduced": "0"})))
    assert user.onex_here("resolve", "greeter").code == 0
    refused = user.onex_here("advisory", "publish", file, "--to", "hub")
    assert "ACC001" in refused.stderr
    done = author.onex_here("advisory", "publish", file, "--to", "hub", "--json")
    assert done.code == 0, done.stderr
    user.onex_here("remote", "sync")
    assert "ONEX-2026-1" in user.onex_here("resolve", "greeter").stderr
    file.write_text(json.dumps(advisory({"introduced": "0"}, node=NodeId("tool", "test.absent"))))
    refused = author.onex_here("advisory", "publish", file, "--to", "hub")
    assert "is not published here" in refused.stderr


def test_hostile_advisories_cost_no_more_than_themselves(greeting: Origin, reader: Reader) -> None:
    path = "index/tool/test/greeter.jsonl"
    lines = greeting.lines(path)
    assert lines[-1]["schema"] == 2
    for body in (None, {}, {"id": "../../x"}, advisory({"introduced": "x"}), {"id": "a" * 40_000}):
        greeting.falsify(path, lambda found, body=body: found[-1].update(advisory=body))  # type: ignore[misc]
        told = reader.project.onex_here("scan", "--force")
        assert "ONEX002" not in told.stderr
        assert reader.resolve("greeter").code == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=6), st.integers(0, 9))
def test_ranges_are_those_of_the_evaluation_of_osv(
    marks: list[tuple[int, bool]], minor: int
) -> None:
    """Against the algorithm as the schema describes it: going through sorted events."""
    marks = list(dict(marks).items())
    events = [
        {"introduced": f"1.{m}.0"} if starts else {"fixed": f"1.{m}.0"} for m, starts in marks
    ]
    if not any("introduced" in event for event in events):
        return
    found = Advisory.from_json(advisory(*events))
    affected = False
    for m, starts in sorted(marks):
        if minor >= m:
            affected = starts
    assert found.affects(NodeVersion(GREETER, Version(1, minor, 0))) == affected
