"""Editing ``onex.toml``: what is declared there is added and removed by commands too."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from onex.cli.output import Output, counted
from onex.configuration.settings import PROJECT_FILE
from onex.configuration.toml_file import check_configuration
from onex.domain.errors import UsageError
from onex.domain.json_value import JsonValue
from onex.domain.metadata import SourceId
from onex.local_machine import locked, replace_text
from onex.registry import Registry

_SOURCES_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*sources[ \t]*\]\][^\n]*\n", re.MULTILINE)


def project_file(home: Path | None) -> Path:
    """The project's ``onex.toml``; raises UsageError if there is none."""
    with Registry.open(home) as registry:
        project = registry.configuration.project
    if project is None:
        raise UsageError(f"there is no {PROJECT_FILE} here", hint="run onex init first")
    return project / PROJECT_FILE


def declare_source(file: Path, members: Mapping[str, object]) -> None:
    """Declare a source; members without a value are left out."""
    import tomlkit

    table = tomlkit.table()
    for key, value in members.items():
        if value is not None:
            table.add(key, value)

    def append(text: str) -> str:
        document = tomlkit.parse(text)
        declared = document.setdefault("sources", tomlkit.aot())
        if isinstance(declared, tomlkit.items.Array):
            inline = tomlkit.inline_table()
            inline.update(table)
            declared.append(inline)
        else:
            declared.append(table)
        return tomlkit.dumps(document)

    _edit(file, append)


def remove_source(file: Path, name: str) -> None:
    """Take a source out, and leave every comment that is not the source's."""
    _edit(file, lambda text: _without(text, name))


def remove_with_nodes(output: Output, registry: Registry, file: Path, name: str) -> None:
    """Take a source out, with the nodes that come from it here, and say so."""
    remove_source(file, name)
    source = SourceId(name, registry.sources.workspace.name)
    dropped = registry.sources.forget(source) if registry.sources.knows(source) else 0
    body: JsonValue = {"removed": name, "nodes": dropped}
    output.emit(
        body,
        lambda: output.line(f"removed {name}, and {counted(dropped, 'node version')} with it"),
    )


def _edit(file: Path, edit: Callable[[str], str]) -> None:
    """Edit onex.toml; a result that is not valid is not written.

    Others that edit it at the same time wait, so that no edit is lost.
    """
    with locked(file.parent):
        text = file.read_bytes().decode("utf-8")
        edited = edit(text.replace("\r\n", "\n"))
        check_configuration(file, edited)
        replace_text(file, edited)


def _without(text: str, name: str) -> str:
    import tomlkit

    document = tomlkit.parse(text)
    sources = document["sources"]
    headers = list(_SOURCES_HEADER.finditer(text))
    for position, source in enumerate(sources):
        if source.get("name", source.get("path", source.get("kind"))) != name:
            continue
        table = source.as_string()
        if len(headers) == len(sources) and text.startswith(table, headers[position].end()):
            start, end = headers[position].start(), headers[position].end() + len(table)
            return text[:start] + _after(table) + text[end:]
        del sources[position]
        break
    if not sources:
        del document["sources"]
    return tomlkit.dumps(document)


def _after(table: str) -> str:
    """The comments after the first empty line of a table, which belong to the next one."""
    lines = table.splitlines(keepends=True)
    last = max((i for i, line in enumerate(lines) if line.strip()[:1] not in ("", "#")), default=-1)
    behind = lines[last + 1 :]
    empty = next((i for i, line in enumerate(behind) if not line.strip()), len(behind))
    return "".join(behind[empty:]).lstrip("\n")
