"""``onex list`` and ``onex show``"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.domain.constraint import VersionConstraint
from onex.domain.evidence import TrustLevel
from onex.domain.example import NodeExample
from onex.domain.json_value import JsonValue, as_list, as_number, as_object
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import Origin, RegisteredNode
from onex.domain.reference import NodeRef
from onex.manifests.code_hints import code_hints
from onex.registry import Registry
from onex.schemas.object_schema import object_schema
from onex.schemas.places import PATH, MarkingSchemas
from onex.storage.query import MetadataQuery


@click.command("list")
@click.argument("pattern", required=False)
@click.option("--type", "node_type", help="Only nodes of this type, such as tool.")
@click.option("--tag", "tags", multiple=True, help="Only nodes with this tag; may be repeated.")
@click.option("--capability", "capabilities", multiple=True, help="Only nodes that offer this.")
@click.option("--any-tag", "any_tags", multiple=True, help="Only nodes with one of these tags.")
@click.option("--permission", "permissions", multiple=True, help="Only nodes that ask for this.")
@click.option("--namespace", help="Only nodes in this namespace and below it.")
@click.option("--author", help="Only nodes of this author.")
@click.option("--version", "version", metavar="CONSTRAINT", help="Only versions that meet this.")
@click.option("--facets", is_flag=True, help="Show how many nodes have each type, tag and so on.")
@click.option(
    "--lifecycle",
    type=click.Choice([state.value for state in Lifecycle]),
    help="Only versions in this state.",
)
@click.option("--source", help="Only nodes from this source.")
@click.option("--trust", type=click.Choice([level.value for level in TrustLevel]),
              help="Only nodes of this level of trust.")  # fmt: skip
@click.option("--all-versions", is_flag=True, help="Every version, not only the best of each node.")
@click.option("--limit", type=click.IntRange(1, 10_000), help="How many to list.")
@click.option(
    "--cursor",
    metavar="NEXT",
    help='With --limit, the next page: what stood under "next" of the page before.',
)
@home_option
@output_options
def list_nodes(
    output: Output,
    pattern: str | None,
    node_type: str | None,
    tags: tuple[str, ...],
    capabilities: tuple[str, ...],
    any_tags: tuple[str, ...],
    permissions: tuple[str, ...],
    namespace: str | None,
    author: str | None,
    version: str | None,
    facets: bool,
    lifecycle: str | None,
    source: str | None,
    trust: str | None,
    all_versions: bool,
    limit: int | None,
    cursor: str | None,
    home: Path | None,
) -> None:
    """List nodes.

    PATTERN is a glob, or a part of a name or namespace.
    """
    query = MetadataQuery(
        pattern=pattern,
        type=node_type,
        tags=tags,
        capabilities=capabilities,
        any_tags=any_tags,
        permissions=permissions,
        namespace=namespace,
        author=author,
        version=VersionConstraint.parse(version) if version else None,
        lifecycle=Lifecycle(lifecycle) if lifecycle else None,
        source=source,
        trust=TrustLevel(trust) if trust else None,
        all_versions=all_versions,
        limit=limit,
        after=cursor,
    )
    with Registry.open(home) as registry:
        if facets:
            counted = registry.storage.facets(_FACETS)
            output.emit({"facets": counted}, lambda: _print_facets(output, counted))
            return
        page = registry.query(query)
    body: JsonValue = {
        "nodes": [node.summary() for node in page.nodes],
        "total": page.total,
        "next": page.next,
    }

    def human() -> None:
        output.table(
            ("NODE", "VERSION", "LIFECYCLE", "TRUST", "DESCRIPTION"),
            [
                (
                    str(node.metadata.node),
                    str(node.metadata.version),
                    _state(node),
                    node.trust.value,
                    node.metadata.description,
                )
                for node in page.nodes
            ],
        )
        if not page.nodes:
            output.note("no node matches; onex scan registers those of the sources of onex.toml")
        elif page.next:
            output.note(f"{len(page.nodes)} of {page.total}; go on with --cursor {page.next}")

    output.emit(body, human)


_FACETS = ("type", "lifecycle", "trust", "tag", "capability", "permission")


def _print_facets(output: Output, facets: Mapping[str, Mapping[str, int]]) -> None:
    for kind, values in facets.items():
        output.line(kind, "bold")
        for value, number in sorted(values.items(), key=lambda item: (-item[1], item[0]))[:20]:
            output.line(f"  {number:>7}  {value}")


def _version_and_state(node: RegisteredNode) -> str:
    """A version, with what keeps it from being chosen as others are."""
    version = str(node.metadata.version)
    is_plain = not node.yanked and node.metadata.lifecycle in (Lifecycle.ACTIVE, Lifecycle.DRAFT)
    return version if is_plain else f"{version} ({_state(node)})"


def _state(node: RegisteredNode) -> str:
    """The lifecycle, with what replaces a deprecated node."""
    metadata = node.metadata
    if metadata.lifecycle is Lifecycle.DEPRECATED and metadata.deprecated_by:
        return f"deprecated, use {metadata.deprecated_by}"
    return f"{metadata.lifecycle}, yanked" if node.yanked else metadata.lifecycle.value


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="TEXT...")
@click.option("--type", "node_type", help="Only nodes of this type, such as tool.")
@click.option("--tag", "tags", multiple=True, help="Only nodes with this tag; may be repeated.")
@click.option("--all-versions", is_flag=True, help="Every version, not only the best of each node.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many to list."
)
@click.option("--remote", metavar="REMOTE", help="Search there.")
@home_option
@output_options
def search(
    output: Output,
    words: tuple[str, ...],
    node_type: str | None,
    tags: tuple[str, ...],
    all_versions: bool,
    limit: int,
    remote: str | None,
    home: Path | None,
) -> None:
    """Search names, tags, capabilities, descriptions and READMEs.

    Every word must begin a word of the node. A spelling that is found nowhere is
    replaced by the closest that is.
    """
    text = " ".join(words)
    with Registry.open(home) as registry:
        if remote is not None:
            found = registry.publisher(remote).search(text, limit)
        else:
            query = MetadataQuery(type=node_type, tags=tags, all_versions=all_versions, limit=limit)
            found = registry.search(text, query).to_json()
    nodes = [as_object(node) for node in as_list(found["nodes"])]

    def human() -> None:
        if found["did_you_mean"]:
            output.note(f"searched for {found['did_you_mean']}")
        output.table(
            ("NODE", "VERSION", "SCORE", "DESCRIPTION"),
            [
                (
                    f"{node['type']}://{node['namespace']}",
                    str(node["version"]),
                    f"{as_number(node['score']):.2f}",
                    str(node["description"]),
                )
                for node in nodes
            ],
        )
        if not nodes:
            output.note("no node has these words")

    output.emit(found, human)


@click.command()
@click.argument("reference", metavar="REF")
@home_option
@output_options
def show(output: Output, reference: str, home: Path | None) -> None:
    """Show one node with its versions, dependencies and origins."""
    with Registry.open(home) as registry:
        wanted = NodeRef.parse(reference)
        details = registry.details(wanted)
        workspace = registry.sources.workspace.name
    node, versions, dependents = details.node, details.versions, details.dependents
    metadata = node.metadata
    hints = [
        hint
        for origin in node.origins_from(workspace)[:1]
        if origin.workspace == workspace
        for hint in code_hints(Path(origin.path), metadata)
    ]
    body = details.to_json() | {"hints": [hint.in_words() for hint in hints]}

    def human() -> None:
        output.line(str(metadata.node_version), "bold")
        rows: list[tuple[str, str]] = [
            ("description", metadata.description),
            ("lifecycle", metadata.lifecycle.value),
            ("author", metadata.author),
            ("versions", ", ".join(_version_and_state(v) for v in reversed(versions))),
            ("entrypoint", f"{metadata.entrypoint.type} {metadata.entrypoint.target}"),
            ("inputs", ", ".join(metadata.inputs)),
            ("outputs", ", ".join(metadata.outputs)),
            ("tags", ", ".join(metadata.tags)),
            ("capabilities", ", ".join(metadata.capabilities)),
            ("permissions", ", ".join(map(str, metadata.requests))),
            ("its code", "; ".join(hint.what for hint in hints)),
            ("dependencies", ", ".join(str(d.reference) for d in metadata.dependencies)),
            ("libraries", ", ".join(metadata.libraries)),
            ("dependents", ", ".join(map(str, dependents))),
            ("digest", node.digest),
            ("found at", ", ".join(_place(origin, workspace) for origin in node.origins)),
        ]
        for name, value in rows:
            if value:
                output.line(f"  {name:<13} {value}")
        for example in metadata.examples:
            output.line(f"  example: {example.name}", "bold")
            output.line(f"    {_command_of(example, node)}")
            if example.has_output:
                output.line(f"    {json.dumps(example.output, ensure_ascii=False)}", "dim")
            elif example.error is not None:
                output.line(f"    ends with {example.error}", "dim")

    output.emit(body, human)


def _command_of(example: NodeExample, node: RegisteredNode) -> str:
    """What runs an example by hand, in the folder of the manifest if a path is in it."""
    command = example.command(node.metadata.name)
    marking = MarkingSchemas.of(PATH, object_schema(node.metadata.inputs))
    manifest = Path(node.origins[0].path)
    if marking.places_in(example.inputs).places and manifest.is_file():
        return f"(cd {shlex.quote(os.path.relpath(manifest.parent))} && {command})"
    return command


def _place(origin: Origin, workspace: str) -> str:
    """Where a node is, with whose it is if it is another's."""
    if origin.workspace == workspace:
        return origin.path
    return f"{origin.path} (workspace {origin.workspace or 'unknown'})"
