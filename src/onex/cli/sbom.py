"""``onex sbom``"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from onex import __version__
from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.domain.bill_of_materials import UsedNode, bill_of_materials
from onex.domain.errors import NodeNotFoundError
from onex.domain.json_value import as_object, as_text
from onex.domain.reference import NodeVersion
from onex.history.journal import RunRecord
from onex.registry import Registry
from onex.resolver.lockfile import Lockfile


@click.command()
@click.argument("target", metavar="LOCK|RUN")
@home_option
@output_options
def sbom(output: Output, target: str, home: Path | None) -> None:
    """Write the bill of materials of a lock or a run, as CycloneDX.

    It has the nodes with their digests, permissions and levels of trust, and the Python libraries
    that they declare; those of a run in the versions that were installed then.
    """
    with Registry.open(home) as registry:
        lock = registry.read_lock(Path(target)) if Path(target).is_file() else None
        if lock is not None:
            subject, installed = Path(target).name, _none()
            nodes = _locked(registry, lock)
        else:
            record = registry.history.run(target)
            subject, nodes = record.workflow, _of_run(registry, record)
            environment = as_object(record.plan.get("environment") or {})
            libraries = as_object(environment.get("libraries") or {})
            installed = {name: as_text(version) for name, version in libraries.items()}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    bill = bill_of_materials(subject, nodes, installed, made_at=now, tool_version=__version__)
    # There is one form of it, whichever was asked for.
    Output("json" if output.format == "human" else output.format).emit(bill, lambda: None)


def _none() -> Mapping[str, str]:
    return {}


def _locked(registry: Registry, lock: Lockfile) -> list[UsedNode]:
    found: dict[str, UsedNode] = {}
    for request in lock.requests:
        for name, entry in request.nodes.items():
            version = NodeVersion.parse(f"{name}@{entry.version}")
            node = _used(registry, version, entry.digest, entry.dependencies)
            found[node.reference] = node
    return [node for _, node in sorted(found.items())]


def _of_run(registry: Registry, record: RunRecord) -> list[UsedNode]:
    found: dict[str, UsedNode] = {}
    for step in map(as_object, as_object(record.plan["steps"]).values()):
        version = NodeVersion.parse(as_text(step["node"]))
        node = _used(registry, version, as_text(step["digest"]))
        found[node.reference] = node
    return [node for _, node in sorted(found.items())]


def _used(
    registry: Registry, version: NodeVersion, digest: str, needs: tuple[str, ...] = ()
) -> UsedNode:
    node = registry.storage.node(version)
    if node is None:
        raise NodeNotFoundError(
            f"{version} is not registered here any more",
            hint="onex scan, or onex fetch, brings it back",
        )
    return UsedNode(node.metadata, digest, node.trust.value, needs)
