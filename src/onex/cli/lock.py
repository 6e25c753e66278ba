"""``onex lock``"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.cli.targets import (
    override_option,
    parse_overrides,
    targets_argument,
    workflow_files,
)
from onex.domain.errors import ConfigurationError, ExitCode, Severity, UsageError
from onex.domain.reference import NodeRef
from onex.local_machine import replace_text
from onex.manifests.workflow_file import load_workflow
from onex.registry import Registry
from onex.resolution.run_target import is_workflow_file, name_of_workflow, places_of
from onex.resolver.lockfile import LockedRequest, Lockfile


@click.command()
@targets_argument
@click.option(
    "--upgrade", multiple=True, metavar="REF", help="Let this node move; may be repeated."
)
@click.option("--upgrade-all", is_flag=True, help="Let every node move.")
@click.option("--check", is_flag=True, help="Change nothing; exit with 3 if it would change.")
@override_option
@click.option(
    "--export",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the versions as JSON, such as resolved_versions.json for ONEX tools.",
)
@home_option
@output_options
def lock(
    output: Output,
    targets: tuple[str, ...],
    upgrade: tuple[str, ...],
    upgrade_all: bool,
    check: bool,
    overrides: tuple[str, ...],
    export: Path | None,
    home: Path | None,
) -> int:
    """Write the chosen versions and digests to onex.lock.

    Without a target every workflow in the project's folder is locked. Versions
    that are locked stay, unless they no longer fit or --upgrade names them.
    """
    with Registry.open(home) as registry:
        output.problems([p for p in registry.refresh() if p.severity is not Severity.INFORMATION])
        path = registry.lock_path
        before = _read(registry, path, output, is_written=not check)
        free = [str(registry.node(NodeRef.parse(text)).metadata.node) for text in upgrade]
        kept = Lockfile() if upgrade_all else before
        forced = parse_overrides(overrides)
        warnings: dict[str, None] = {}
        requests = []
        for asked in requested(registry, targets, path.parent):
            known = kept.request_of(asked.workflow) or LockedRequest()
            with places_of(asked.file):
                request, said = registry.lock(
                    asked.references, asked.workflow, known.without(free), overrides=forced
                )
            earlier = before.request_of(asked.workflow) or LockedRequest()
            requests.append(request.naming_sources_of(earlier))
            warnings |= dict.fromkeys(said)
    # Targets that are named leave the rest of the lock as it is.
    named = {request.workflow for request in requests}
    others = [r for r in before.requests if r.workflow and r.workflow not in named]
    after = Lockfile(tuple(requests + others if targets else requests))
    changes = before.changes_to(after)
    is_current = not changes and before.to_toml() == after.to_toml()
    if not check and not is_current:
        replace_text(path, after.to_toml())
    if export is not None:
        text = json.dumps(after.to_resolved_versions(), indent=2, sort_keys=True)
        replace_text(export, f"{text}\n")
    body = after.to_json() | {"path": str(path), "current": is_current, "changes": list(changes)}

    def human() -> None:
        for warning in warnings:
            output.warning(warning)
        for change in changes:
            output.line(change)
        state = "is current" if is_current else "would change" if check else "is written"
        output.line(f"{path} {state}: {counted(len(after.nodes), 'node')}")

    output.emit(body, human)
    return ExitCode.RESOLUTION_FAILED if check and not is_current else ExitCode.SUCCESS


@dataclass(frozen=True, slots=True)
class Requested:
    """What a workflow, or the user by hand, asks to be locked."""

    workflow: str
    file: Path | None
    references: tuple[NodeRef, ...]


def requested(registry: Registry, targets: Iterable[str], folder: Path) -> list[Requested]:
    """What targets ask; without targets, each workflow in the project's folder."""
    given = list(targets) or workflow_files(registry)
    if not given:
        raise UsageError("there is no workflow here", hint="name a workflow or a node")
    found = []
    by_hand = []
    for target in given:
        if is_workflow_file(target):
            file = Path(target)
            steps = load_workflow(file).steps.values()
            name = name_of_workflow(file, folder)
            found.append(Requested(name, file, tuple(step.node for step in steps)))
        else:
            by_hand.append(NodeRef.parse(target))
    if by_hand:
        found.append(Requested("", None, tuple(by_hand)))
    return found


def _read(registry: Registry, path: Path, output: Output, *, is_written: bool) -> Lockfile:
    """The lock that is there; an empty one, and a warning, if it cannot be read."""
    if not os.path.lexists(path):
        return Lockfile()
    try:
        return registry.read_lock(path) or Lockfile()
    except ConfigurationError as error:
        outcome = "it is written anew" if is_written else "run onex lock to write it anew"
        output.warning(f"{error.message}; {outcome}")
        return Lockfile()
