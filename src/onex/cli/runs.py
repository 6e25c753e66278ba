"""``onex runs``"""

from __future__ import annotations

from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.domain.json_value import JsonValue
from onex.registry import Registry


@click.group()
def runs() -> None:
    """The history of runs."""


@runs.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@home_option
@output_options
def list_runs(output: Output, limit: int, home: Path | None) -> None:
    """List the latest runs."""
    with Registry.open(home) as registry:
        records = registry.runs(limit)
    body: JsonValue = {"runs": [record.to_json() for record in records]}

    def human() -> None:
        output.table(
            ("RUN", "WORKFLOW", "STATUS", "SECONDS"),
            [
                (
                    record.run_id,
                    record.workflow,
                    record.status,
                    "" if record.seconds is None else f"{record.seconds:.2f}",
                )
                for record in records
            ],
        )
        if not records:
            output.note("nothing has run yet; onex run WORKFLOW runs something")

    output.emit(body, human)


@runs.command("show")
@click.argument("run_id", metavar="RUN")
@home_option
@output_options
def show_run(output: Output, run_id: str, home: Path | None) -> None:
    """Show one run with its steps; the start of its identifier is enough."""
    with Registry.open(home) as registry:
        record = registry.run_record(run_id)

    def human() -> None:
        seconds = "" if record.seconds is None else f" in {record.seconds:.2f} s"
        output.line(f"run {record.run_id} of {record.workflow}: {record.status}{seconds}", "bold")
        output.line(f"  started {record.started_at}")
        shown = [
            step
            for step in record.steps
            if output.verbosity > 0 or "[" not in str(step["step_id"]) or step["error"]
        ]
        for step in sorted(shown, key=lambda step: _start(step["started_seconds"])):
            cached = " (from the cache)" if step["cached"] else ""
            output.line(f"  {step['step_id']}  {step['status']}{cached}  {step['node']}")
            error = step["error"]
            if isinstance(error, dict):
                output.line(f"    {error['code']}: {error['message']}", "red")
                for line in str(error["detail"] or "").splitlines():
                    output.line(f"      {line}")
            for line in str(step["log"] or "").splitlines():
                output.line(f"    | {line}", "dim")

    output.emit(record.to_json(), human)


def _start(value: JsonValue) -> float:
    return float(value) if isinstance(value, int | float) else float("inf")
