"""``onex list`` and ``onex show``"""

from __future__ import annotations

from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.domain.json_value import JsonValue
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import RegisteredNode
from onex.domain.reference import NodeRef
from onex.registry import Registry
from onex.storage.query import MetadataQuery


def summary(node: RegisteredNode) -> dict[str, JsonValue]:
    """A node version in the shape that ``list`` prints."""
    metadata = node.metadata
    return {
        "type": metadata.node.type,
        "namespace": metadata.node.namespace,
        "name": metadata.name,
        "version": str(metadata.version),
        "lifecycle": metadata.lifecycle.value,
        "description": metadata.description,
        "tags": list(metadata.tags),
        "capabilities": list(metadata.capabilities),
        "permissions": [str(permission) for permission in metadata.permissions],
        "source": node.source,
        "digest": node.digest,
        "trust": "local",
    }


@click.command("list")
@click.argument("pattern", required=False)
@click.option("--type", "node_type", help="Only nodes of this type, such as tool.")
@click.option("--tag", "tags", multiple=True, help="Only nodes with this tag; may be repeated.")
@click.option("--capability", "capabilities", multiple=True, help="Only nodes that offer this.")
@click.option("--lifecycle", type=click.Choice([state.value for state in Lifecycle]))
@click.option("--source", help="Only nodes from this source.")
@click.option("--all-versions", is_flag=True, help="Every version, not only the best of each node.")
@click.option("--limit", type=click.IntRange(1, 10_000), help="How many to list.")
@click.option("--cursor", help='Go on after the page whose "next" this is.')
@home_option
@output_options
def list_nodes(
    output: Output,
    pattern: str | None,
    node_type: str | None,
    tags: tuple[str, ...],
    capabilities: tuple[str, ...],
    lifecycle: str | None,
    source: str | None,
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
        lifecycle=Lifecycle(lifecycle) if lifecycle else None,
        source=source,
        all_versions=all_versions,
        limit=limit,
        after=cursor,
    )
    with Registry.open(home) as registry:
        page = registry.query(query)
    body: JsonValue = {
        "nodes": [summary(node) for node in page.nodes],
        "total": page.total,
        "next": page.next,
    }

    def human() -> None:
        output.table(
            ("NODE", "VERSION", "LIFECYCLE", "DESCRIPTION"),
            [
                (
                    str(node.metadata.node),
                    str(node.metadata.version),
                    node.metadata.lifecycle.value,
                    node.metadata.description,
                )
                for node in page.nodes
            ],
        )
        if not page.nodes:
            output.note("no node matches; onex scan PATH registers nodes")
        elif page.next:
            output.note(f"{len(page.nodes)} of {page.total}; go on with --cursor {page.next}")

    output.emit(body, human)


@click.command()
@click.argument("reference", metavar="REF")
@home_option
@output_options
def show(output: Output, reference: str, home: Path | None) -> None:
    """Show one node with its versions, dependencies and origins."""
    with Registry.open(home) as registry:
        wanted = NodeRef.parse(reference)
        node = registry.node(wanted)
        versions = registry.versions(wanted)
        dependents = registry.dependents(node)
    metadata = node.metadata
    body = (
        metadata.to_json()
        | summary(node)
        | {
            "versions": [str(other.metadata.version) for other in reversed(versions)],
            "dependencies": [dependency.to_json() for dependency in metadata.dependencies],
            "dependents": [str(dependent) for dependent in dependents],
            "origins": [{"source": o.source, "path": o.path} for o in node.origins],
            "registered_at": node.registered_at,
            "yanked": node.yanked,
        }
    )

    def human() -> None:
        output.line(str(metadata.node_version), "bold")
        rows: list[tuple[str, str]] = [
            ("description", metadata.description),
            ("lifecycle", metadata.lifecycle.value),
            ("author", metadata.author),
            ("versions", ", ".join(str(v.metadata.version) for v in reversed(versions))),
            ("entrypoint", f"{metadata.entrypoint.type} {metadata.entrypoint.target}"),
            ("inputs", ", ".join(metadata.inputs)),
            ("outputs", ", ".join(metadata.outputs)),
            ("tags", ", ".join(metadata.tags)),
            ("capabilities", ", ".join(metadata.capabilities)),
            ("permissions", ", ".join(map(str, metadata.permissions))),
            ("dependencies", ", ".join(str(d.reference) for d in metadata.dependencies)),
            ("libraries", ", ".join(metadata.libraries)),
            ("dependents", ", ".join(map(str, dependents))),
            ("digest", node.digest),
            ("found at", ", ".join(origin.path for origin in node.origins)),
        ]
        for name, value in rows:
            if value:
                output.line(f"  {name:<13} {value}")

    output.emit(body, human)
