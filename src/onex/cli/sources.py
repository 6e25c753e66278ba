"""``onex sources``"""

from __future__ import annotations

from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.cli.project_file import declare_source, project_file, remove_with_nodes
from onex.configuration.settings import SourceConfiguration
from onex.domain.errors import ExitCode, OnexError, UsageError
from onex.domain.json_value import JsonValue
from onex.domain.metadata import SourceId
from onex.registry import Registry


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
@click.option(
    "--kind",
    default="filesystem",
    show_default=True,
    help="filesystem for a folder, package for installed Python packages.",
)
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
    given = {
        "name": name or path or kind,
        "kind": None if kind == "filesystem" else kind,
        "path": path,
        "namespaces": list(namespaces) or None,
        "blocks": blocks or None,
        "timeout": timeout,
    }
    declare_source(project_file(home), given)

    def human() -> None:
        output.line(f"added {given['name']}")
        output.note("onex scan registers its nodes; onex run and onex test scan first")

    output.emit({"added": str(given["name"])}, human)


@sources.command()
@click.argument("name")
@home_option
@output_options
def remove(output: Output, name: str, home: Path | None) -> None:
    """Take a source out of onex.toml, and its nodes out of the registry."""
    file = project_file(home)

    with Registry.open(home) as registry:
        names = [source.name for source in registry.sources.declared]
        if name not in names:
            raise UsageError(
                f"no source is called {name!r}", hint="the sources are: " + ", ".join(names)
            )
        remove_with_nodes(output, registry, file, name)


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
