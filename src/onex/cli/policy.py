"""``onex policy``"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.domain.errors import ExitCode, UsageError
from onex.domain.json_value import JsonValue
from onex.domain.metadata import RegisteredNode
from onex.domain.reference import NodeVersion
from onex.domain.trust_rules import Use
from onex.registry import Registry
from onex.storage.query import MetadataQuery

PAGE_NODES = 500


@click.group()
def policy() -> None:
    """What [policy] of onex.toml lets be resolved and run."""


@policy.command()
@click.argument("lock", required=False, metavar="LOCK",
                type=click.Path(exists=True, dir_okay=False, path_type=Path))  # fmt: skip
@home_option
@output_options
def check(output: Output, lock: Path | None, home: Path | None) -> int:
    """Judge the nodes of a lock, or all that are registered; exits with 5 if one is forbidden."""
    refused: list[tuple[str, str, str]] = []
    count = 0
    with Registry.open(home) as registry:
        validator, rules = registry.validator, registry.configuration.trust_rules
        for node in _nodes(registry, lock):
            count += 1
            name = str(node.metadata.node_version)
            failure = validator.validate(node).failure
            if failure is not None:
                refused.append((name, Use.RUN.value, failure.detail))
            reason = registry.admission.refusal(node)
            if reason is not None:
                refused.append((name, Use.RESOLVE.value, f"it {reason}"))
        shown = rules.to_json()
    body: JsonValue = {
        "nodes": count,
        "refused": [{"node": n, "use": use, "reason": why} for n, use, why in refused],
        "policy": shown,
    }

    def human() -> None:
        output.table(("NODE", "NOT TO", "REASON"), refused)
        forbidden = len({name for name, _, _ in refused})
        output.note(f"{counted(count, 'version')} judged, {forbidden} forbidden")

    output.emit(body, human)
    return ExitCode.SECURITY_REFUSAL if refused else ExitCode.SUCCESS


def _nodes(registry: Registry, lock: Path | None) -> Iterator[RegisteredNode]:
    """The nodes of a lock, or all that are registered."""
    if lock is not None:
        found = registry.read_lock(lock)
        locked = {
            NodeVersion.parse(f"{node}@{entry.version}")
            for request in (found.requests if found else ())
            for node, entry in request.nodes.items()
        }
        for version in sorted(locked, key=str):
            node = registry.storage.node(version)
            if node is None:
                raise UsageError(
                    f"{version} is locked and not registered here",
                    hint="onex scan, or onex fetch, brings it",
                )
            yield node
        return
    query: MetadataQuery | None = MetadataQuery(all_versions=True, limit=PAGE_NODES)
    while query is not None:
        page = registry.query(query)
        yield from page.nodes
        query = (
            MetadataQuery(all_versions=True, limit=PAGE_NODES, after=page.next)
            if page.next
            else None
        )
