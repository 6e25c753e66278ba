"""``onex sources``"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.configuration import PROJECT_FILE, SourceConfiguration, check_configuration
from onex.domain.errors import ExitCode, OnexError, UsageError
from onex.domain.json_value import JsonValue
from onex.domain.metadata import SourceId
from onex.local_machine import locked_folder, replace_text
from onex.registry import Registry

_SOURCES_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*sources[ \t]*\]\][^\n]*\n", re.MULTILINE)


@click.group()
def sources() -> None:
    """Where nodes come from, as onex.toml declares it."""


@sources.command("list")
@click.option("--all", "with_known", is_flag=True, help="Also all that is known, of everyone.")
@home_option
@output_options
def list_sources(output: Output, with_known: bool, home: Path | None) -> None:
    """List the declared sources."""
    with Registry.open(home) as registry:
        declared = registry.sources.declared
        known = registry.sources.known() if with_known else {}
        workspace = registry.sources.workspace.name
    body: dict[str, JsonValue] = {"sources": [_described(source) for source in declared]}
    if with_known:
        body["workspace"] = workspace
        body["known"] = [
            {"name": source.name, "workspace": source.workspace, "nodes": nodes}
            for source, nodes in known.items()
        ]

    def human() -> None:
        output.table(
            ("NAME", "KIND", "PATH", "NAMESPACES"),
            [(s.name, s.kind, str(s.path or ""), ", ".join(s.namespaces)) for s in declared],
        )
        if not declared:
            output.note("no source is declared; onex sources add PATH declares one")
        if with_known:
            output.line("")
            output.table(
                ("KNOWN", "WORKSPACE", "NODES"),
                [
                    (
                        s.name,
                        "this one" if s.workspace == workspace else s.workspace or "''",
                        str(n),
                    )
                    for s, n in known.items()
                ],
            )

    output.emit(body, human)


@sources.command()
@click.argument("path", required=False)
@click.option("--name", help="By default the path, or the kind.")
@click.option("--kind", default="filesystem", show_default=True)
@click.option("--namespace", "namespaces", multiple=True, help="Bind this namespace to the source.")
@click.option("--blocks", is_flag=True, help="Read metadata blocks of text files too.")
@click.option("--timeout", type=click.FloatRange(min=0.1), help="Seconds it may take.")
@home_option
@output_options
def add(
    output: Output,
    path: str | None,
    name: str | None,
    kind: str,
    namespaces: tuple[str, ...],
    blocks: bool,
    timeout: float | None,
    home: Path | None,
) -> None:
    """Declare a source in onex.toml."""
    import tomlkit

    table = tomlkit.table()
    given = {
        "name": name or path or kind,
        "kind": None if kind == "filesystem" else kind,
        "path": path,
        "namespaces": list(namespaces) or None,
        "blocks": blocks or None,
        "timeout": timeout,
    }
    for key, value in given.items():
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

    _edit(_project_file(home), append)
    output.emit({"added": str(given["name"])}, lambda: output.line(f"added {given['name']}"))


@sources.command()
@click.argument("name")
@home_option
@output_options
def remove(output: Output, name: str, home: Path | None) -> None:
    """Take a source out of onex.toml, and its nodes out of the registry."""
    file = _project_file(home)

    with Registry.open(home) as registry:
        names = [source.name for source in registry.sources.declared]
        if name not in names:
            raise UsageError(
                f"no source is called {name!r}", hint="the sources are: " + ", ".join(names)
            )
        _edit(file, lambda text: _without(text, name))
        source = SourceId(name, registry.sources.workspace.name)
        dropped = registry.sources.forget(source) if registry.sources.knows(source) else 0
    body: JsonValue = {"removed": name, "nodes": dropped}
    output.emit(
        body,
        lambda: output.line(f"removed {name}, and {counted(dropped, 'node version')} with it"),
    )


@sources.command()
@click.argument("name", metavar="NAME|PATH")
@click.option("--workspace", help="Whose source it is, by default this workspace's.")
@home_option
@output_options
def forget(output: Output, name: str, workspace: str | None, home: Path | None) -> None:
    """Take what a source gave out of the registry.

    It is for what a source left behind that is declared no more, a folder that was scanned
    by its path, or a machine that is there no more. The next scan of a declared source brings
    its nodes back.
    """
    with Registry.open(home) as registry:
        owner = registry.sources.workspace.name if workspace is None else workspace
        path = SourceId(str(Path(name).absolute()), owner)
        source = SourceId(name, owner)
        if not registry.sources.knows(source) and registry.sources.knows(path):
            source = path
        dropped = registry.sources.forget(source)
    body: JsonValue = {"forgotten": source.name, "nodes": dropped}
    output.emit(
        body,
        lambda: output.line(
            f"forgot {source.name}, and {counted(dropped, 'node version')} with it"
        ),
    )


@sources.command()
@home_option
@output_options
def check(output: Output, home: Path | None) -> int:
    """Try every declared source."""
    with Registry.open(home) as registry:
        found = registry.sources.check()
    body: JsonValue = {"sources": [_described(source) | _state(error) for source, error in found]}

    def human() -> None:
        for source, error in found:
            state = "ok" if error is None else f"{error.code}: {error.message}"
            output.line(f"{source.name}: {state}", None if error is None else "red")

    output.emit(body, human)
    has_failed = any(error is not None for _, error in found)
    return ExitCode.USAGE if has_failed else ExitCode.SUCCESS


def _project_file(home: Path | None) -> Path:
    with Registry.open(home) as registry:
        project = registry.configuration.project
    if project is None:
        raise UsageError(f"there is no {PROJECT_FILE} here", hint="run onex init first")
    return project / PROJECT_FILE


def _edit(file: Path, edit: Callable[[str], str]) -> None:
    """Edit onex.toml; a result that is not valid is not written.

    Others that edit it at the same time wait, so that no edit is lost.
    """
    with locked_folder(file.parent):
        text = file.read_bytes().decode("utf-8")
        edited = edit(text.replace("\r\n", "\n"))
        check_configuration(file, edited)
        replace_text(file, edited)


def _without(text: str, name: str) -> str:
    """The text of onex.toml without a source, and with every comment that is not the source's."""
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
    """What stands behind a table and belongs to the next: comments behind an empty line."""
    lines = table.splitlines(keepends=True)
    last = max((i for i, line in enumerate(lines) if line.strip()[:1] not in ("", "#")), default=-1)
    behind = lines[last + 1 :]
    empty = next((i for i, line in enumerate(behind) if not line.strip()), len(behind))
    return "".join(behind[empty:]).lstrip("\n")


def _described(source: SourceConfiguration) -> dict[str, JsonValue]:
    return {
        "name": source.name,
        "kind": source.kind,
        "path": None if source.path is None else str(source.path),
        "namespaces": list(source.namespaces),
        "blocks": source.blocks,
    }


def _state(error: OnexError | None) -> dict[str, JsonValue]:
    return {
        "status": "ok" if error is None else "failed",
        "error": None if error is None else error.message,
    }
