"""``onex top``"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.domain.json_value import JsonValue
from onex.history.journal import RunProgress
from onex.registry import Registry
from onex.telemetry import metric_catalog as catalog
from onex.telemetry.measurements import Measurements
from onex.telemetry.metric_catalog import Metric

if TYPE_CHECKING:
    from rich.console import Group

REFRESH_SECONDS = 1.0
_COUNTED: tuple[tuple[str, Metric], ...] = (
    ("calls", catalog.CALLS),
    ("runs", catalog.RUNS),
    ("denials", catalog.SANDBOX_DENIALS),
    ("limits exceeded", catalog.LIMITS_EXCEEDED),
    ("refusals", catalog.AUDIT_REFUSALS),
)


@dataclass(frozen=True, slots=True)
class _Look:
    """What was found at one moment."""

    moment: float
    running: Sequence[RunProgress]
    totals: dict[str, float]

    def rates(self, before: _Look | None) -> dict[str, float | None]:
        """How much each total grew in a second since another look."""
        if before is None or self.moment <= before.moment:
            return dict.fromkeys(self.totals)
        seconds = self.moment - before.moment
        return {n: (total - before.totals[n]) / seconds for n, total in self.totals.items()}


@click.command()
@click.option("--once", is_flag=True, help="Print once, as in a pipe.")
@home_option
@output_options
def top(output: Output, once: bool, home: Path | None) -> None:
    """Show what runs in this registry: calls, rates, denials and refusals."""
    with Registry.open(home) as registry:
        if once or not (output.is_terminal and sys.stdin.isatty()):
            look = _look(registry)
            output.emit(_body(look), lambda: _print(output, look))
            return
        from rich.live import Live

        before = None
        with Live(screen=True, auto_refresh=False) as live:
            while True:
                look = _look(registry)
                live.update(_table(look, before), refresh=True)
                before = look
                time.sleep(REFRESH_SECONDS)


def _look(registry: Registry) -> _Look:
    from onex.monitoring.state_metrics import measure

    found = measure(registry)
    totals = {name: _total(found, metric) for name, metric in _COUNTED}
    return _Look(time.monotonic(), registry.history.journal.in_progress(), totals)


def _total(found: Measurements, metric: Metric) -> float:
    return sum(found.numbers.get(metric.name, {}).values())


def _body(look: _Look) -> JsonValue:
    return {
        "runs": [
            {
                "run_id": one.run.run_id,
                "workflow": one.run.workflow,
                "calls": list(one.calls),
                "waiting": one.waiting,
                "steps": one.total,
            }
            for one in look.running
        ],
        "totals": dict(look.totals),
    }


def _print(output: Output, look: _Look) -> None:
    output.table(
        ("RUN", "WORKFLOW", "CALLS", "WAITING"),
        [
            (one.run.run_id, one.run.workflow, str(len(one.calls)), str(one.waiting))
            for one in look.running
        ],
    )
    if not look.running:
        output.line("nothing runs")
    output.line(", ".join(f"{total:,.0f} {name}" for name, total in look.totals.items()))


def _table(look: _Look, before: _Look | None) -> Group:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from onex.cli.output import printable

    runs = Table("RUN", "WORKFLOW", "CALLS NOW", "STEPS WAIT", box=None, header_style="bold")
    for one in look.running:
        calls = ", ".join(one.calls[:4]) + (" ..." if len(one.calls) > 4 else "")
        cells = (one.run.run_id, one.run.workflow, f"{len(one.calls)} {calls}", str(one.waiting))
        runs.add_row(*(Text(printable(cell)) for cell in cells))
    rates = Table("", "TOTAL", "A SECOND", box=None, header_style="bold")
    for name, rate in look.rates(before).items():
        shown = "" if rate is None else f"{rate:.1f}"
        rates.add_row(name, f"{look.totals[name]:,.0f}", shown)
    head = Text(f"{counted(len(look.running), 'run')} in progress; Ctrl-C ends this\n")
    return Group(head, runs, Text(""), rates)
