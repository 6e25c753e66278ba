"""``onex provenance``"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.domain.workflow import step_of
from onex.history.provenance import CallProvenance, Provenance
from onex.registry import Registry


@click.command()
@click.argument("target", metavar="FILE|ARTIFACT")
@home_option
@output_options
def provenance(output: Output, target: str, home: Path | None) -> None:
    """Show where a file or an artifact comes from: runs, nodes, inputs, lock, isolation."""
    with Registry.open(home) as registry:
        found = registry.history.provenance(target)
    output.emit(found.to_json(), lambda: _print(output, found))


def _print(output: Output, found: Provenance) -> None:
    run = found.run
    output.line(f"{found.name} ({found.artifact})", "bold")
    output.line(f"  run {run.run_id} of {run.workflow}, started {run.started_at}")
    output.line(f"  lock {run.plan.get('lock_digest') or 'none'}")
    for name, value in run.inputs.items():
        output.line(f"  input {name} = {value}")
    for step, calls in groupby(found.calls, key=lambda call: step_of(call.id)):
        _print_step(output, step, list(calls))


def _print_step(output: Output, step: str, calls: list[CallProvenance]) -> None:
    first = calls[0]
    count = f", {counted(len(calls), 'call')}" if len(calls) > 1 else ""
    output.line(f"  {step}: {first.node}{count}")
    output.line(f"    code {first.digest}")
    levels = sorted({call.isolation or "unknown" for call in calls})
    output.line(f"    isolation {', '.join(levels)}")
    shown = calls if output.verbosity > 0 else calls[:1]
    for call in shown:
        cached = f", from the cache, made by {call.cached_from}" if call.cached_from else ""
        output.line(f"    {call.id}: inputs {call.input_digest or 'not recorded'}{cached}")
    if len(shown) < len(calls):
        output.line(f"    and {len(calls) - len(shown)} more; -v lists them", "dim")
