"""``onex lifecycle``"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.domain.event import Event
from onex.domain.json_value import JsonValue, as_object
from onex.domain.lifecycle import ALLOWED_TRANSITIONS, Lifecycle
from onex.domain.metadata import RegisteredNode
from onex.domain.reference import NodeRef
from onex.registry import Registry
from onex.storage.query import MetadataQuery


@click.group()
def lifecycle() -> None:
    """The state of node versions: draft, active, deprecated, archived."""


def _described(node: RegisteredNode) -> dict[str, JsonValue]:
    metadata = node.metadata
    return {
        "node": str(metadata.node_version),
        "lifecycle": metadata.lifecycle.value,
        "deprecated_by": metadata.deprecated_by,
        "archived_reason": metadata.archived_reason,
        "yanked": node.yanked,
        "allowed": sorted(state.value for state in ALLOWED_TRANSITIONS[metadata.lifecycle]),
    }


@lifecycle.command()
@click.argument("reference", metavar="REF")
@home_option
@output_options
def status(output: Output, reference: str, home: Path | None) -> None:
    """Show the state of each version of a node, and where it can go."""
    with Registry.open(home) as registry:
        wanted = NodeRef.parse(reference)
        found = [
            node
            for node in registry.versions(wanted)
            if wanted.constraint.admits(node.metadata.version)
        ]
    described = [_described(node) for node in found]

    def human() -> None:
        output.table(
            ("VERSION", "STATE", "CAN GO TO"),
            [
                (str(node.metadata.node_version), node.metadata.lifecycle.value,
                 ", ".join(sorted(ALLOWED_TRANSITIONS[node.metadata.lifecycle])))
                for node in found
            ],
        )  # fmt: skip

    output.emit({"versions": described}, human)


@lifecycle.command()
@click.argument("reference", metavar="REF@VERSION")
@click.argument("state", type=click.Choice([state.value for state in Lifecycle]))
@click.option("--by", "deprecated_by", metavar="REF", help="What replaces a deprecated version.")
@click.option("--reason", help="Why; needed to archive an active version.")
@click.option("--to", "remote", metavar="REMOTE", help="Decide there, not here alone.")
@home_option
@output_options
def transition(
    output: Output,
    reference: str,
    state: str,
    deprecated_by: str | None,
    reason: str | None,
    remote: str | None,
    home: Path | None,
) -> None:
    """Take a version to another state.

    The state holds whatever the manifest says, until its author changes the state there.
    """
    if remote is not None:
        with Registry.open(home) as registry:
            version = NodeRef.parse(reference).whole_version()
            answer = registry.publisher(remote).set_lifecycle(
                version, Lifecycle(state), deprecated_by=deprecated_by, reason=reason
            )
        output.emit(answer, lambda: output.line(f"{version} is {state} on {remote} now"))
        return
    with Registry.open(home) as registry:
        node = registry.set_lifecycle(
            NodeRef.parse(reference), Lifecycle(state), deprecated_by=deprecated_by, reason=reason
        )
    output.emit(
        _described(node),
        lambda: output.line(f"{node.metadata.node_version} is {node.metadata.lifecycle} now"),
    )


@lifecycle.command()
@click.argument("reference", metavar="REF")
@home_option
@output_options
def history(output: Output, reference: str, home: Path | None) -> None:
    """Show every change of a node's versions, oldest first."""
    with Registry.open(home) as registry:
        events = registry.changes_of(NodeRef.parse(reference))
    body: JsonValue = {
        "events": [
            {
                "serial": event.serial,
                "time": event.time,
                "actor": event.actor,
                "action": event.action,
                "node": event.object,
                "outcome": event.outcome,
                "lifecycle": _lifecycle_after(event),
                "reason": event.facts.get("reason"),
            }
            for event in events
        ]
    }

    def human() -> None:
        rows = [
            (str(e.serial), e.time, e.actor, e.action, e.object, _lifecycle_after(e) or "")
            for e in events
        ]
        output.table(("SERIAL", "TIME", "WHO", "WHAT", "NODE", "STATE"), rows)

    output.emit(body, human)


def _lifecycle_after(event: Event) -> str | None:
    """The state that a version had after an event, None if it was not there any more."""
    after = event.facts.get("after")
    if not after:
        return None
    state = as_object(after)
    decision = state["decision"]
    return str(as_object(decision or state["metadata"])["lifecycle"])


@lifecycle.command()
@home_option
@output_options
def report(output: Output, home: Path | None) -> None:
    """Count versions by state, and list deprecated ones with what replaces them."""
    with Registry.open(home) as registry:
        nodes = registry.query(MetadataQuery(all_versions=True)).nodes
    counts = Counter(node.metadata.lifecycle for node in nodes)
    deprecated = [n for n in nodes if n.metadata.lifecycle is Lifecycle.DEPRECATED]
    body: JsonValue = {
        "counts": {state.value: counts[state] for state in Lifecycle},
        "yanked": sum(node.yanked for node in nodes),
        "deprecated": [_described(node) for node in deprecated],
    }

    def human() -> None:
        for state in Lifecycle:
            output.line(f"{counts[state]:>7}  {state}")
        for node in deprecated:
            output.line(f"{node.metadata.node_version}: use {node.metadata.deprecated_by}")

    output.emit(body, human)
