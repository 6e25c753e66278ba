"""``onex bench``"""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING

import click

from onex.cli.options import no_home_option, output_options
from onex.cli.output import Output
from onex.domain.json_value import JsonValue

if TYPE_CHECKING:
    from onex.monitoring.self_benchmark import Measurement


@click.command()
@no_home_option
@output_options
def bench(output: Output) -> None:
    """Measure onex on this machine: the targets of its specification, and its own budgets.

    Beside each figure stands its floor, the least that the same work costs here. It works in a
    temporary folder, and takes up to a minute.
    """
    from onex.monitoring.self_benchmark import measure_all

    found: list[Measurement] = []
    output.note("measuring; this takes up to a minute")
    for measurement in measure_all():
        found.append(measurement)
        output.note(f"  {measurement.name}: {_time(measurement.seconds)}", "dim")
    body: JsonValue = {
        "measurements": [measurement.to_json() for measurement in found],
        "machine": {
            "system": platform.system(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
        },
    }

    def human() -> None:
        rows = [
            (
                one.name,
                _time(one.seconds),
                f"{_time(one.floor_seconds)} ({one.floor})",
                f"{one.ratio:.1f}x",
                _target(one.specified_seconds, one.meets_specification),
                _budget(one),
            )
            for one in found
        ]
        output.table(("WHAT", "TIME", "FLOOR", "RATIO", "SPECIFIED", "BUDGET"), rows)

    output.emit(body, human)


def _budget(one: Measurement) -> str:
    if one.budget_ratio is not None:
        return f"{one.budget_ratio:g}x floor, {_word(one.meets_budget)}"
    return _target(one.budget_seconds, one.meets_budget)


def _target(seconds: float | None, is_met: bool | None) -> str:
    return "" if seconds is None else f"{_time(seconds)}, {_word(bool(is_met))}"


def _word(is_met: bool) -> str:
    return "met" if is_met else "missed"


def _time(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f} us"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
