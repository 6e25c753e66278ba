"""A registry that publishes, its tree in a folder that tests falsify, and a reader of it."""

from __future__ import annotations

import datetime
import importlib
import json
import pkgutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from onex.trust.signing import SigningKey
from tests.conftest import CommandResult, Project

CODE = "def execute(context, *, who: str = 'world') -> dict:\n    return {'greeting': f'Hello, {who}!'}\n"


@dataclass
class Origin:
    """A registry to which its project publishes, and the folder it is exported to."""

    project: Project

    @property
    def tree(self) -> Path:
        return self.project.root / "tree"

    def key(self, name: str) -> Path:
        """The file of a key, made when it is first asked for."""
        file = self.project.root / f"{name}.key"
        if not file.exists():
            SigningKey.generate().write(file)
        return file

    def public(self, name: str) -> str:
        return Path(f"{self.key(name)}.pub").read_text().strip()

    def run(self, *arguments: str | Path) -> CommandResult:
        """A command that must succeed."""
        done = self.project.onex_here(*arguments)
        assert done.code == 0, done.stdout + done.stderr
        return done

    def publish(
        self, name: str, *, key: str | None = None, code: str = CODE, **fields: object
    ) -> Any:
        manifest = self.project.add(name, code, **fields)
        keys = ["--key", self.key(key)] if key else []
        return self.run("publish", manifest.parent, "--here", *keys, "--json").json

    def claim(self, namespace: str, key: str, *more: str | Path) -> Any:
        return self.run(
            "trust", "claim", namespace, "--here", "--key", self.key(key), "--json", *more
        ).json

    def change(self, namespace: str, key: str, *more: str | Path) -> CommandResult:
        return self.project.onex_here(
            "trust", "owners", namespace, "--here", "--key", self.key(key), "--json", *more
        )

    def export(self) -> Path:
        self.run("remote", "export", self.tree)
        return self.tree

    def file(self, path: str) -> Path:
        return self.tree / path

    def lines(self, path: str) -> list[Any]:
        return [json.loads(line) for line in self.file(path).read_text().splitlines()]

    def falsify(self, path: str, change: Callable[[list[Any]], object]) -> None:
        """Change the lines of a file of the tree, as whoever holds the server can."""
        lines = self.lines(path)
        change(lines)
        self.file(path).write_text("".join(json.dumps(line) + "\n" for line in lines))


@dataclass
class Reader:
    """A project that takes nodes from the tree of another registry."""

    project: Project
    tree: Path

    def declare(self, policy: str = "") -> None:
        self.project.write(
            "onex.toml",
            f'[[sources]]\nname = "hub"\nkind = "remote"\nurl = {json.dumps(str(self.tree))}\n{policy}',
        )

    def resolve(self, *references: str) -> CommandResult:
        return self.project.onex_here("resolve", *references, "--json")

    def trust_of(self, node: str) -> str:
        return str(self.project.onex_here("show", node, "--json").json["trust"])

    def verify(self, node: str) -> CommandResult:
        return self.project.onex_here("verify", node, "--json")

    def visit(self) -> str:
        """Learn what changed; returns what was told."""
        done = self.project.onex_here("remote", "sync")
        return done.stdout + done.stderr


@dataclass
class Clock:
    """The time of this machine, which tests set forward and back."""

    ahead: timedelta = timedelta()

    def set(self, days: float) -> None:
        """Have it be that many days ahead of the true time."""
        self.ahead = timedelta(days=days)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock for all that runs in this process."""
    import onex.trust

    for found in pkgutil.iter_modules(onex.trust.__path__, "onex.trust."):
        importlib.import_module(found.name)
    import tuf.ngclient  # noqa: F401

    clock, true, true_ns = Clock(), datetime.datetime, time.time_ns

    class Shifted(true):  # type: ignore[misc, valid-type]
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return true.now(tz) + clock.ahead

    for name, module in list(sys.modules.items()):
        if name.startswith("onex.") and getattr(module, "datetime", None) is true:
            monkeypatch.setattr(module, "datetime", Shifted)
    monkeypatch.setattr("tuf.ngclient._internal.trusted_metadata_set.datetime.datetime", Shifted)
    monkeypatch.setattr(time, "time_ns", lambda: true_ns() + clock.ahead // timedelta.resolution * 1000)  # fmt: skip
    return clock


@pytest.fixture
def origin(make_project: Callable[[str], Project]) -> Origin:
    return Origin(make_project("origin"))


@pytest.fixture
def reader(make_project: Callable[[str], Project], origin: Origin) -> Reader:
    found = Reader(make_project("reader"), origin.tree)
    found.declare()
    return found
