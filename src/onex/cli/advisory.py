"""``onex advisory``, and ``onex audit advisories``"""

from __future__ import annotations

from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.domain.advisory import MAXIMUM_BYTES, Advisory
from onex.domain.errors import DocumentError, ExitCode, Location, Problem, Severity
from onex.domain.json_value import JsonValue, parse_json
from onex.registry import Registry
from onex.storage.query import MetadataQuery


@click.group()
def advisory() -> None:
    """What is known to be wrong with versions of nodes."""


@advisory.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--to", "remote", metavar="REMOTE", help="By default the only remote there is.")
@click.option("--here", is_flag=True, help="To this registry itself, which is served.")
@home_option
@output_options
def publish(output: Output, file: Path, remote: str | None, here: bool, home: Path | None) -> None:
    """Publish an advisory, a JSON file of the Open Source Vulnerability format.

    The same id again replaces it; a time under "withdrawn" takes it back.
    """
    found = _read(file)
    with Registry.open(home) as registry:
        if here:
            registry.published.require_published(found.nodes)
            serial = registry.advisories.publish(found)
        else:
            serial = registry.publisher(remote).publish_advisory(found)
    body: JsonValue = {"id": found.id, "nodes": list(map(str, found.nodes)), "serial": serial}
    output.emit(body, lambda: output.line(f"{found.id} is published"))


@advisory.command("list")
@home_option
@output_options
def list_advisories(output: Output, home: Path | None) -> int:
    """List the registered versions that advisories are about; exits with 5 if there are any."""
    rows: list[tuple[str, Advisory]] = []
    bodies: list[JsonValue] = []
    with Registry.open(home) as registry:
        known = registry.advisories
        for node in known.known():
            query = MetadataQuery(namespace=node.namespace, type=node.type, all_versions=True)
            for registered in registry.query(query).nodes:
                version = registered.metadata.node_version
                for found in known.affecting(version) if version.node == node else ():
                    rows.append((found.in_words(version), found))
                    bodies.append(found.to_json(version))

    def human() -> None:
        for words, _ in rows:
            output.line(words)
        output.note(f"{counted(len(rows), 'version')} of nodes here with an advisory")

    output.emit({"advisories": bodies}, human)
    return ExitCode.SECURITY_REFUSAL if rows else ExitCode.SUCCESS


def _read(file: Path) -> Advisory:
    content = file.read_bytes()[: 2 * MAXIMUM_BYTES]
    try:
        return Advisory.from_json(parse_json(content))
    except ValueError as error:
        place = Location(str(file))
        problem = Problem("DOC009", Severity.ERROR, str(error), place)
        raise DocumentError(f"{file} is no advisory: {error}", [problem]) from error
