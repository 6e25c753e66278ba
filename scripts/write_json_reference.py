"""Writes ``docs/reference/json.md``: what commands print as JSON, by asking them in a project."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from onex.cli.main import run

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "json.md"

_COMMANDS = (
    "scan",
    "list",
    "search greeter",
    "show greeter",
    "validate .",
    "resolve greeter",
    "lock",
    "tree",
    "why greeter",
    "why-not greeter@0.1.0",
    "outdated",
    "graph",
    "compat greeter",
    "impact greeter@0.1.0",
    "fit greeter",
    "run greeter.workflow.yaml -i who=Ada",
    "run greeter --dry-run",
    "test greeter",
    "runs list",
    "runs show latest",
    "runs timeline latest",
    "runs compare latest latest",
    "runs replay latest",
    "runs prune --dry-run",
    "publish nodes/greeter --here",
    "yank greeter@0.1.0",
    "lifecycle status greeter",
    "lifecycle report",
    "sources list --all",
    "register nodes/greeter",
    "grant list",
    "token list",
    "trust list",
    "verify greeter",
    "audit log --limit 1",
    "audit verify",
    "policy check onex.lock",
    "config show limits.cpu",
    "cache stats",
    "storage check",
    "explain RES001",
    "version",
    "resolve nobody",
)
_NAMED = (
    "steps",
    "selected",
    "overrides",
    "inputs",
    "outputs",
    "requirements",
    "names",
    "greeting",
)
"""Objects whose keys are names, of steps or nodes for example, and not fixed."""


def page() -> str:
    """The text of the page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# JSON"
    yield ""
    yield "What commands print with `--format json`. Keys are a contract: more may be added, and"
    yield "none is taken away. `NAME` stands for the name of a step, a node or an input; a key with"
    yield "`?` was null or empty when this page was made. Errors have the shape at the end, with"
    yield "further keys by code. Exit codes are listed with the [commands](commands.md)."
    for command, body in _bodies():
        yield ""
        yield f"## onex {command}"
        yield ""
        yield "```text"
        yield from _shape(body, 0)
        yield "```"


def _bodies() -> Iterator[tuple[str, object]]:
    before, here = dict(os.environ), Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        try:
            for variable in [v for v in os.environ if v.startswith("ONEX_")]:
                del os.environ[variable]
            os.environ |= {
                "ONEX_SETTINGS_FOLDER": str(folder / "settings"),
                "ONEX_CACHE_FOLDER": str(folder / "cache"),
            }
            os.chdir(folder)
            _run("init project")
            os.chdir(folder / "project")
            _run("new greeter")
            for command in _COMMANDS:
                yield command, json.loads(_run(f"{command} --json"))
        finally:
            os.chdir(here)
            os.environ.clear()
            os.environ.update(before)


def _run(command: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        run(command.split())
    return printed.getvalue()


def _shape(value: object, depth: int, key: str = "") -> Iterator[str]:
    indent = "  " * depth
    if isinstance(value, dict):
        members = value.items()
        if key in _NAMED and members:
            members = [("NAME", next(iter(value.values())))]
        for name, member in members:
            yield f"{indent}{name}{_kind(member)}"
            if isinstance(member, dict | list):
                yield from _shape(member, depth + 1, str(name))
    elif isinstance(value, list) and value and isinstance(value[0], dict | list):
        yield from _shape(value[0], depth, "")


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return ":" if value else "?: object"
    if isinstance(value, list):
        if not value:
            return "?: list"
        return "[]:" if isinstance(value[0], dict | list) else f"[]: {_word(value[0])}"
    return "?" if value is None else f": {_word(value)}"


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "text"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
