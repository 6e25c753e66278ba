"""``onex tree``, ``why``, ``why-not``, ``outdated``, ``graph`` and ``compat``"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.cli.targets import in_option, references, targets_argument, together
from onex.domain.errors import NodeNotFoundError, ResolutionError, UsageError
from onex.domain.json_value import JsonValue
from onex.domain.reference import NodeRef
from onex.registry import Registry
from onex.resolver.dependency_graph import DependencyGraph
from onex.resolver.graph_drawing import to_dot, to_mermaid, to_svg
from onex.resolver.outdated import find_outdated

_DRAWINGS = {"dot": to_dot, "mermaid": to_mermaid, "svg": to_svg}


def _graph(registry: Registry, targets: tuple[str, ...]) -> DependencyGraph:
    wanted = references(registry, targets)
    with together(registry, targets):
        return DependencyGraph.of(registry.resolve(wanted, registry.read_lock()))


@click.command()
@targets_argument
@click.option("--invert", metavar="REF", help="Show who needs this node, up to the targets.")
@click.option("--duplicates", is_flag=True, help="Show only nodes that several others ask for.")
@home_option
@output_options
def tree(
    output: Output,
    targets: tuple[str, ...],
    invert: str | None,
    duplicates: bool,
    home: Path | None,
) -> None:
    """Show dependencies as a tree.

    Without a target, those of every workflow in the project's folder.
    """
    with Registry.open(home) as registry:
        graph = _graph(registry, targets)
        roots = sorted(graph.requirements)
        if invert is not None:
            roots = [_needed(registry, graph, invert)]
        elif duplicates:
            roots = graph.duplicates()
    lines = list(graph.tree(roots, invert=invert is not None or duplicates))
    body = graph.to_json() | {
        "tree": [
            {
                "depth": line.depth,
                "node": graph.label(line.node),
                "asked": line.asked,
                "repeated": line.is_repeated,
            }
            for line in lines
        ]
    }

    def human() -> None:
        for line in lines:
            output.line(f"{'    ' * line.depth}{graph.describe(line)}")

    output.emit(body, human)


@click.command()
@click.argument("reference", metavar="REF")
@in_option
@home_option
@output_options
def why(output: Output, reference: str, targets: tuple[str, ...], home: Path | None) -> None:
    """Show who needs a node, and through which path."""
    with Registry.open(home) as registry:
        graph = _graph(registry, targets)
        node = _needed(registry, graph, reference)
    paths = graph.paths_to(node)
    body: JsonValue = {
        "node": node,
        "version": str(graph.versions[node]),
        "paths": [[_link(graph, path, i) for i in range(len(path))] for path in paths],
    }

    def human() -> None:
        output.line(f"{graph.label(node)} is needed:", "bold")
        for path in paths:
            output.line(f"  you ask for {path[0]} {graph.asked(None, path[0])}")
            for dependent, needed in pairwise(path):
                asked = graph.asked(dependent, needed)
                output.line(f"    {graph.label(dependent)} needs {needed} {asked}")

    output.emit(body, human)


def _link(graph: DependencyGraph, path: list[str], position: int) -> dict[str, JsonValue]:
    dependent = path[position - 1] if position else None
    asked = graph.asked(dependent, path[position])
    return {"node": graph.label(path[position]), "asked": str(asked)}


def _needed(registry: Registry, graph: DependencyGraph, reference: str) -> str:
    node = str(registry.node(NodeRef.parse(reference)).metadata.node)
    if node not in graph.versions:
        raise NodeNotFoundError(f"nothing here needs {node}", hint="onex tree shows what is needed")
    return node


@click.command("why-not")
@click.argument("reference", metavar="REF@VERSION")
@in_option
@home_option
@output_options
def why_not(output: Output, reference: str, targets: tuple[str, ...], home: Path | None) -> None:
    """Show what prevents a version from being chosen."""
    wanted = NodeRef.parse(reference)
    if not wanted.constraint.is_exact:
        raise UsageError(
            f"{reference!r} does not name one version", hint="write REF@1.2.3, with all numbers"
        )
    with Registry.open(home) as registry:
        asked = references(registry, targets)
        explanation = ""
        try:
            registry.resolve([*asked, wanted])
        except ResolutionError as error:
            explanation = error.explanation
    body: JsonValue = {"possible": not explanation, "explanation": explanation}

    def human() -> None:
        if not explanation:
            output.line(f"nothing prevents {wanted}; onex lock --upgrade lets it move")
        for line in explanation.splitlines():
            output.line(line)

    output.emit(body, human)


@click.command()
@targets_argument
@home_option
@output_options
def outdated(output: Output, targets: tuple[str, ...], home: Path | None) -> None:
    """Show newer versions, and what holds them back."""
    with Registry.open(home) as registry:
        wanted = references(registry, targets)
        with together(registry, targets):
            resolved = registry.resolve(wanted, registry.read_lock())
            have = DependencyGraph.of(resolved)
            allowed = DependencyGraph.of(registry.resolve(wanted))
        advised = registry.advisories.warnings(resolved.execution_order)
        latest = {
            node: registry.node(NodeRef.parse(node)).metadata.version for node in have.versions
        }
    found = find_outdated(have, allowed, latest)
    body: JsonValue = {"nodes": [entry.to_json() for entry in found], "advisories": advised}

    def human() -> None:
        for warning in advised:
            output.warning(warning)
        rows = [
            (e.node, str(e.have), str(e.allowed), str(e.latest), ", ".join(e.held_by))
            for e in found
        ]
        output.table(("NODE", "HAVE", "ALLOWED", "LATEST", "HELD BACK BY"), rows)
        if not found:
            output.note("every node is at its latest version")

    output.emit(body, human)


@click.command()
@targets_argument
@click.option(
    "--output",
    "drawing",
    type=click.Choice(sorted(_DRAWINGS)),
    default="dot",
    show_default=True,
    help="What to draw.",
)
@home_option
@output_options
def graph(output: Output, targets: tuple[str, ...], drawing: str, home: Path | None) -> None:
    """Draw dependencies."""
    with Registry.open(home) as registry:
        found = _graph(registry, targets)
    output.emit(found.to_json(), lambda: click.echo(_DRAWINGS[drawing](found), nl=False))


@click.command()
@click.argument("reference", metavar="REF")
@home_option
@output_options
def compat(output: Output, reference: str, home: Path | None) -> None:
    """Show for each version of a node which of the nodes that need it accept that version."""
    with Registry.open(home) as registry:
        node = registry.node(NodeRef.parse(reference))
        found = registry.compatibility(node)
    body: JsonValue = {
        "node": str(node.metadata.node),
        "versions": [entry.to_json() for entry in found],
    }

    def human() -> None:
        output.table(
            ("VERSION", "LIFECYCLE", "ALLOWED BY", "REFUSED BY"),
            [
                (str(e.version), e.lifecycle, ", ".join(e.allowed_by), ", ".join(e.refused_by))
                for e in found
            ],
        )

    output.emit(body, human)
