"""Draws docs/images/architecture.svg from the imports of the tree: rooms as boxes, by layer.

An arrow leads from a room to one that it imports; those that follow from others are left out.
With ``--check`` nothing is written, and the exit code is 1 if the picture is not current.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
WIDTH, ROW, BOX_WIDTH, BOX_HEIGHT, TOP = 1000, 92, 172, 46, 20
STYLE = """\
text { font-family: system-ui, sans-serif; fill: #1b1f24 }
.name { font-size: 14px; font-weight: 600; text-anchor: middle }
.says { font-size: 9.5px; fill: #57606a; text-anchor: middle }
rect { fill: #f6f8fa; stroke: #8c959f; rx: 6px }
path { fill: none; stroke: #8c959f; stroke-opacity: 0.75 }
"""
SAYS = {
    "cli": "one module a command group",
    "server": "HTTP: index and interface",
    "agents": "tools of agents, by MCP",
    "monitoring": "metrics of state, health",
    "pytest_plugin": "the fixture of pytest",
    "testing": "a registry for one test",
    "registry": "the facade: what one does",
    "registry_parts": "its parts, opened on use",
    "backup": "the whole in one folder",
    "execution": "the run: state machine and loop",
    "discovery": "sources, walks, merging",
    "resolution": "the resolver on the registry",
    "engines": "what drives a worker",
    "history": "journal, replay, provenance",
    "artifacts": "files of results, here and shared",
    "trust": "grants, levels of isolation",
    "remote": "trees, archives, publishing",
    "configuration": "onex.toml",
    "sandbox": "permissions to kernel rules",
    "schemas": "what goes in and comes out",
    "storage": "SQLite, PostgreSQL, the log",
    "cache": "memory, Valkey, file",
    "worker": "inside a node's process",
    "resolver": "PubGrub on bit masks; pure",
    "manifests": "text to metadata",
    "local_machine": "files, folders, users",
    "telemetry": "metrics, traces, logs",
    "domain": "values and rules; pure",
}


def layers() -> list[list[str]]:
    """The rooms by layer, the top one first, as the contract on imports has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = project["tool"]["importlinter"]["contracts"][0]
    rows = [[room.strip() for room in layer.split("|")] for layer in contract["layers"]]
    return [row for row in rows if row != ["__main__"]]


def imports(rooms: Sequence[str]) -> dict[str, set[str]]:
    """For each room those that it imports."""
    graph = grimp.build_graph("onex", cache_dir=None)
    found: dict[str, set[str]] = {room: set() for room in rooms}
    for module in graph.modules:
        room = module.split(".")[1] if "." in module else ""
        for imported in graph.find_modules_directly_imported_by(module):
            other = imported.split(".")[1] if "." in imported else ""
            if room in found and other in found and other != room:
                found[room].add(other)
    return found


def reduced(found: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """The imports that do not follow from others."""

    def reached(room: str) -> set[str]:
        return found[room].union(*(reached(other) for other in found[room]))

    return [
        (room, other)
        for room, others in found.items()
        for other in sorted(others)
        if not any(other in reached(between) for between in others - {other})
    ]


def picture() -> str:
    rows = layers()
    places = {
        room: (round(WIDTH * (i + 0.5) / len(row)), TOP + number * ROW)
        for number, row in enumerate(rows)
        for i, room in enumerate(row)
    }
    parts = []
    for room, other in reduced(imports(list(places))):
        (x, y), (to_x, to_y) = places[room], places[other]
        start, end = y + BOX_HEIGHT, to_y
        bend = (end - start) / 2
        parts.append(
            f'<path d="M{x} {start} C{x} {start + bend:.0f} {to_x} {end - bend:.0f} {to_x} {end}"'
            ' marker-end="url(#arrow)"/>'
        )
    for room, (x, y) in places.items():
        left = x - BOX_WIDTH // 2
        parts += [
            f'<rect x="{left}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}"/>',
            f'<text class="name" x="{x}" y="{y + 19}">{escape(room)}</text>',
            f'<text class="says" x="{x}" y="{y + 35}">{escape(SAYS[room])}</text>',
        ]
    height = TOP * 2 + (len(rows) - 1) * ROW + BOX_HEIGHT
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        ' role="img" aria-label="The rooms of onex, and which imports which">\n'
        f"<style>\n{STYLE}</style>\n"
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="6"'
        ' markerHeight="6" orient="auto"><path d="M0 0 L8 4 L0 8 z"'
        ' style="fill: #8c959f; stroke: none"/></marker></defs>\n'
        f'<rect x="0" y="0" width="{WIDTH}" height="{height}" style="fill: #fff; stroke: none"/>\n'
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; compare")
    drawn = picture()
    if parser.parse_args().check:
        is_current = PICTURE.is_file() and PICTURE.read_text(encoding="utf-8") == drawn
        if not is_current:
            sys.exit(f"{PICTURE.name} is not current: run scripts/draw_architecture.py")
        return
    PICTURE.write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
