"""One log for all readers: what is shown to one must be what is shown to everybody, for ever."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onex.trust.log_head import SignedHead
from tests.conftest import Project
from tests.trust.conftest import Origin, Reader
from tests.trust.test_signed_index import Repository


@pytest.fixture
def repository(origin: Origin) -> Repository:
    found = Repository(origin)
    origin.publish("greeter")
    found.start()
    origin.export()
    return found


def reading(project: Project, repository: Repository, tree: Path | None = None) -> Reader:
    """A project that pinned the root and has read the tree."""
    found = Reader(project, tree or repository.origin.tree)
    root = repository.latest("root")
    project.write("onex.toml", "")
    done = project.onex_here("remote", "add", found.tree, "--name", "hub", "--root", root)
    assert done.code == 0, done.stderr
    assert found.resolve("greeter").code == 0
    return found


def test_what_is_resolved_is_proved_to_be_in_the_log(
    repository: Repository, make_project: Callable[[str], Project]
) -> None:
    reader = reading(make_project("reader"), repository)
    told = reader.verify("greeter").json
    (log,) = [reason for reason in told["reasons"] if reason["check"] == "log"]
    assert log["ok"]
    origin = repository.origin
    for number in range(1, 4):
        origin.publish("greeter", version=f"1.{number}.0")
        origin.export()
        assert "ok" in reader.visit()
    assert reader.verify("greeter@1.3.0").code == 0


def test_log_fork_shown_to_two_clients(
    repository: Repository, make_project: Callable[[str], Project], tmp_path: Path
) -> None:
    """The registry has two histories, both signed with its own keys, one for each reader."""
    origin = repository.origin
    first = reading(make_project("first"), repository)
    other = Origin(Project(tmp_path / "fork", dict(origin.project.environment)))
    shutil.copytree(origin.project.root, other.project.root, dirs_exist_ok=True)
    shutil.rmtree(other.tree)
    origin.publish("greeter", version="1.1.0")
    origin.export()
    assert first.resolve("greeter").json["selected"] == {"tool://test.greeter": "1.1.0"}
    other.publish("greeter", version="1.1.0", code="def execute(context):\n    return 'evil'\n")
    other.publish("more")
    other.export()
    second = reading(make_project("second"), repository, other.tree)
    assert second.resolve("greeter").json["selected"] == {"tool://test.greeter": "1.1.0"}
    # They compare what they saw with the registry, or with each other.
    heads = []
    for reader in (first, second):
        done = reader.project.onex_here("remote", "head", "hub")
        assert done.code == 0, done.stderr
        heads.append(tmp_path / f"head{len(heads)}.json")
        heads[-1].write_text(done.stdout)
    assert origin.project.onex_here("audit", "verify", "--head", heads[0]).code == 0
    done = origin.project.onex_here("audit", "verify", "--head", heads[1], "--json")
    assert done.code == 5
    assert "had" in done.json["reason"] or "are others than those" in done.json["reason"]
    # And who once saw the one history is never shown the other.
    shutil.rmtree(origin.tree)
    shutil.copytree(other.tree, origin.tree)
    told = first.visit()
    assert "TRU007" in told
    assert "shows another history than it did" in told
    assert first.resolve("greeter").json["selected"] == {"tool://test.greeter": "1.1.0"}


def test_an_entry_edited_in_the_database(repository: Repository, tmp_path: Path) -> None:
    """Its hashes were made anew, all of them, so that only a signed head can tell."""
    import sqlite3

    from onex.domain.event import GENESIS_HASH, Event

    origin = repository.origin
    head = tmp_path / "head.json"
    head.write_bytes((origin.tree / "log" / "head.json").read_bytes())
    assert origin.run("audit", "verify", "--head", head, "--json").json["head"]["signature"]
    with sqlite3.connect(origin.project.home / "registry.db") as database:
        rows = database.execute("SELECT serial, time, actor, action, object, outcome, body FROM events ORDER BY serial").fetchall()  # fmt: skip
        previous = GENESIS_HASH
        for row in rows:
            actor = "somebody-else" if row[0] == 2 else row[2]
            event = Event(*row[:2], actor, *row[3:], previous).sealed()
            database.execute(
                "UPDATE events SET actor = ?, previous_hash = ?, hash = ? WHERE serial = ?",
                (actor, previous, event.hash, event.serial),
            )
            previous = event.hash
    assert origin.project.onex_here("audit", "verify").code == 0
    done = origin.project.onex_here("audit", "verify", "--head", head, "--json")
    assert done.code == 5
    assert "entries are others than those that were signed" in done.json["reason"]
    forged = tmp_path / "forged.json"
    envelope = json.loads(head.read_text())
    envelope["payload"] = envelope["payload"][::-1]
    forged.write_text(json.dumps(envelope))
    assert origin.project.onex_here("audit", "verify", "--head", forged).code in (2, 5)


@pytest.mark.parametrize("attack", ["tile", "head", "no head", "no tiles"])
def test_a_log_that_is_falsified_or_kept_back(
    repository: Repository, make_project: Callable[[str], Project], attack: str
) -> None:
    reader = reading(make_project("reader"), repository)
    origin = repository.origin
    origin.publish("greeter", version="1.1.0")
    origin.export()
    log = origin.tree / "log"
    match attack:
        case "tile":
            tile = log / "tile" / "0" / "0"
            content = bytearray(tile.read_bytes())
            content[0] ^= 1
            tile.write_bytes(bytes(content))
        case "head":
            head = SignedHead.parse((log / "head.json").read_bytes())
            body = head.envelope.to_json() | {"signatures": []}
            (log / "head.json").write_text(json.dumps(body))
        case "no head":
            (log / "head.json").unlink()
        case "no tiles":
            shutil.rmtree(log / "tile")
    told = reader.visit()
    assert "TRU007" in told
    assert reader.resolve("greeter").json["selected"] == {"tool://test.greeter": "1.0.0"}


def test_the_tree_follows_a_log_that_was_taken_back(repository: Repository) -> None:
    from onex.trust.log_tree import LogTree

    class AbandonedError(Exception):
        pass

    with repository.origin.project.registry() as registry:
        storage = registry.storage
        tree = LogTree(storage)
        before = tree.current().root()

        def write(writer: Any) -> None:
            writer.note("test.note", "nothing", {})
            writer.finish()
            assert tree.current().root() != before
            raise AbandonedError

        with pytest.raises(AbandonedError):
            storage.write(write)
        assert tree.current().root() == before
        storage.write(lambda writer: writer.note("test.note", "something", {}))
        assert tree.current().root() == LogTree(storage).current().root() != before
