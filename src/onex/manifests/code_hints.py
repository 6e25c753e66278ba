"""Hints from a node's code, which is read and never run: what it may need, and what is odd.

A hint is for people. Code can hide whatever it does, so that the absence of hints says nothing:
what a node may do is up to its permissions alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onex.domain.errors import Location, Problem, Severity
from onex.domain.metadata import NodeMetadata
from onex.manifests.ignore_rules import rules_in
from onex.manifests.node_files import NodeFilesError, collect_files

MAXIMUM_SOURCE_BYTES = 512 * 1024

_NETWORK = frozenset(
    {
        *("socket", "http", "urllib", "ftplib", "smtplib", "telnetlib", "imaplib", "poplib"),
        *("requests", "httpx", "aiohttp", "urllib3", "websockets", "paramiko", "psycopg", "redis"),
    }
)
_OFFLINE = frozenset({"urllib.parse", "http", "urllib", "urllib.error"})
_PROGRAMS = frozenset({"subprocess", "pty"})
_PROGRAM_CALLS = ("os.system", "os.popen", "os.exec", "os.spawn", "os.posix_spawn")
_ODD_IMPORTS = frozenset({"ctypes", "pickle", "marshal", "_ctypes", "cffi"})
_ODD_CALLS = frozenset({"eval", "exec", "compile", "__import__"})


@dataclass(frozen=True, slots=True)
class CodeHint:
    """Something in the code: what it is, and the kind of permission it needs, if any."""

    path: str
    line: int
    what: str
    kind: str | None = None

    def in_words(self) -> str:
        """The hint as a sentence."""
        if self.kind is None:
            return f"{self.what}, which can do what reading it does not show"
        return f"{self.what}, and the manifest asks for no {self.kind}"

    def to_problem(self) -> Problem:
        """The hint as ``onex validate`` reports it."""
        hint = "look at what it does before you trust it"
        if self.kind is not None:
            hint = f"add {self.kind}:... to capabilities, unless this is never reached"
        location = Location(self.path, self.line)
        return Problem("MAN016", Severity.WARNING, self.in_words(), location, hint)


def code_hints(manifest: Path, metadata: NodeMetadata) -> list[CodeHint]:
    """What the Python of a node does that its manifest does not ask for, and what is odd.

    One hint for each matter in each file, in the order of lines; nothing of files that cannot be
    read as Python.
    """
    try:
        rules = rules_in(str(manifest.absolute().parent), None)
        names = collect_files(manifest, metadata.entrypoint, rules).names
    except (NodeFilesError, OSError):
        return []
    asked = {permission.kind for permission in metadata.requests}
    found: list[CodeHint] = []
    for name in sorted(name for name in names if name.endswith(".py")):
        file = manifest.parent / name
        seen: set[str] = set()
        for line, what, kind in sorted(_of_file(file)):
            if (kind or None) not in asked and what not in seen:
                seen.add(what)
                found.append(CodeHint(str(file), line, what, kind or None))
    return found


def _of_file(file: Path) -> list[tuple[int, str, str]]:
    try:
        if file.stat().st_size > MAXIMUM_SOURCE_BYTES:
            return []
        tree = ast.parse(file.read_bytes())
        return [hint for node in ast.walk(tree) for hint in _of_node(node)]
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _of_node(node: ast.AST) -> Iterator[tuple[int, str, str]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from _of_module(node.lineno, alias.name)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield from _of_module(node.lineno, node.module)
    elif isinstance(node, ast.Call):
        yield from _of_call(node)


def _of_module(line: int, module: str) -> Iterator[tuple[int, str, str]]:
    top = module.partition(".")[0]
    if top in _NETWORK and module not in _OFFLINE:
        yield line, f"it imports {module}", "network.connect"
    elif top in _PROGRAMS:
        yield line, f"it imports {module}", "process.execute"
    elif top in _ODD_IMPORTS:
        yield line, f"it imports {module}", ""


def _of_call(node: ast.Call) -> Iterator[tuple[int, str, str]]:
    name = _dotted(node.func)
    first = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
    if name.startswith(_PROGRAM_CALLS):
        yield node.lineno, f"it calls {name}", "process.execute"
    elif name in _ODD_CALLS and not (name == "__import__" and isinstance(first, str)):
        yield node.lineno, f"it calls {name}", ""
    elif name in ("os.getenv", "os.environ.get") and isinstance(first, str):
        yield node.lineno, f"it reads the variable {first}", "environment.read"
    elif name == "open" and isinstance(first, str) and first.startswith("/"):
        yield node.lineno, f"it opens {first}", "file.read"


def _dotted(function: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if isinstance(function, ast.Name):
        parts.append(function.id)
    return ".".join(reversed(parts))
