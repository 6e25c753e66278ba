"""``onex provenance``"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.domain.json_value import JsonObject, as_list, as_object, as_text
from onex.domain.reference import NodeVersion
from onex.domain.workflow import step_of
from onex.history.provenance import CallProvenance, Provenance
from onex.registry import Registry
from onex.trust.release_provenance import release_provenance


@click.command()
@click.argument("target", metavar="FILE|ARTIFACT")
@home_option
@output_options
def provenance(output: Output, target: str, home: Path | None) -> None:
    """Show where a file or an artifact comes from.

    It leads to the runs, nodes, inputs, lock and isolation, and from each node to its publisher:
    what was signed, by whom, the commit, and the log that has it.
    """
    with Registry.open(home) as registry:
        found = registry.history.provenance(target)
        releases = _releases(registry, found)
    body = found.to_json() | {"releases": releases}
    output.emit(body, lambda: _print(output, found, releases))


def _releases(registry: Registry, found: Provenance) -> dict[str, JsonObject]:
    """Where each node comes from, by its version; those that are not registered so are left out."""
    releases: dict[str, JsonObject] = {}
    for name, digest in dict.fromkeys((call.node, call.digest) for call in found.calls):
        node = registry.storage.node(NodeVersion.parse(name))
        if node is not None and node.digest == digest:
            releases[name] = release_provenance(node, registry.validator)
    return releases


def _print(output: Output, found: Provenance, releases: Mapping[str, JsonObject]) -> None:
    run = found.run
    output.line(f"{found.name} ({found.artifact})", "bold")
    output.line(f"  run {run.run_id} of {run.workflow}, started {run.started_at}")
    output.line(f"  lock {run.plan.get('lock_digest') or 'none'}")
    for name, value in run.inputs.items():
        output.line(f"  input {name} = {value}")
    for step, calls in groupby(found.calls, key=lambda call: step_of(call.id)):
        _print_step(output, step, list(calls), releases)


def _print_release(output: Output, release: JsonObject) -> None:
    output.line(f"    trust {release['level']}, from {release['source']}")
    for statement in map(as_object, as_list(release["statements"])):
        signers = ", ".join(as_text(key)[:16] for key in as_list(statement["signers"]))
        output.line(f"    signed by {signers}, entry {statement['entry']} of the log")
        if statement["source"] is not None:
            source = as_object(statement["source"])
            output.line(f"    made from {source['repository']} at {source['commit']}")


def _print_step(
    output: Output,
    step: str,
    calls: list[CallProvenance],
    releases: Mapping[str, JsonObject],
) -> None:
    first = calls[0]
    count = f", {counted(len(calls), 'call')}" if len(calls) > 1 else ""
    output.line(f"  {step}: {first.node}{count}")
    output.line(f"    code {first.digest}")
    if first.node in releases:
        _print_release(output, releases[first.node])
    levels = sorted({call.isolation or "unknown" for call in calls})
    output.line(f"    isolation {', '.join(levels)}")
    shown = calls if output.verbosity > 0 else calls[:1]
    for call in shown:
        cached = f", from the cache, made by {call.cached_from}" if call.cached_from else ""
        output.line(f"    {call.id}: inputs {call.input_digest or 'not recorded'}{cached}")
    if len(shown) < len(calls):
        output.line(f"    and {len(calls) - len(shown)} more; -v lists them", "dim")
