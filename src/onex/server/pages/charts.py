"""Charts as SVG: a line of times, and the waterfall of a run.

Colours come from the style sheet by classes, since pages are dark or light; what a colour says
stands beside it as text, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from onex.domain.result import NodeExecutionResult
from onex.domain.timeline import TimelineRow
from onex.server.pages.text import seconds, visible

WIDTH, ROW, LABEL, BAR = 900.0, 22, 190, 12
MARKS = {
    **dict.fromkeys(("succeeded", "healthy"), "✓"),
    **dict.fromkeys(("failed", "unhealthy"), "✗"),
    **dict.fromkeys(("degraded", "cancelled", "interrupted"), "!"),
    "cached": "↺",
    "running": "▸",
}
"""What stands before a state, so that nobody needs its colour."""

MAXIMUM_BARS = 240
"""How many calls are drawn in one picture; more could not be told apart."""


def sparkline(values: Sequence[float]) -> Markup:
    """A line through values, the last one marked; empty for fewer than two."""
    if len(values) < 2:
        return Markup("")
    top = max(values) or 1.0
    step = 118 / (len(values) - 1)
    points = [(1 + i * step, 27 - 25 * value / top) for i, value in enumerate(values)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    told = escape(f"the last {len(values)} runs: {', '.join(map(seconds, values))}")
    return Markup(
        '<svg class="sparkline" viewBox="0 0 122 29" role="img" aria-label="{0}">'
        '<title>{0}</title><polyline points="{1}"/><circle cx="{2}" cy="{3}" r="2.5"/></svg>'
    ).format(told, path, f"{x:.1f}", f"{y:.1f}")


def waterfall(run_id: str, until: float, rows: Iterable[TimelineRow]) -> Markup:
    """The steps of a run as bars over time, with how each ended as text.

    Args:
        run_id: the run.
        until: where the time axis ends, in seconds; the present for a run that goes on.
        rows: those that are drawn.
    """
    end = max(until, 1e-6)
    scale = (WIDTH - LABEL - 110) / end
    parts, top = [], 0
    rows = list(rows)
    room = max(2, MAXIMUM_BARS // max(1, len(rows)))
    for number, row in enumerate(rows):
        top = 6 + number * ROW
        name = visible(row.step_id, 26)
        parts.append(
            Markup('<a href="#step-{0}"><text class="name" x="4" y="{1}">{2}</text></a>').format(
                row.step_id, top + BAR, name
            )
        )
        parts += _bars(row, top, scale, end, room)
        parts.append(
            Markup('<text class="state {0}" x="{1:.0f}" y="{2}">{3}</text>').format(
                state_of(row), WIDTH - 104, top + BAR, _told(row)
            )
        )
    height = top + ROW + 18
    ticks = [
        Markup(
            '<line x1="{0:.1f}" y1="0" x2="{0:.1f}" y2="{1}"/>'
            '<text x="{0:.1f}" y="{2}">{3}</text>'
        )
        .format(LABEL + end * scale * tick / 4, height - 16, height - 4, seconds(end * tick / 4))
        for tick in range(5)
    ]  # fmt: skip
    return Markup(
        '<svg class="waterfall" viewBox="0 0 {0:.0f} {1}" role="group" aria-label="{2}">'
        '<g class="axis">{3}</g>{4}</svg>'
    ).format(
        WIDTH,
        height,
        f"when the steps of run {run_id} were at work; the table below has it all",
        Markup("").join(ticks),
        Markup("").join(parts),
    )


def _bars(row: TimelineRow, top: int, scale: float, end: float, room: int) -> list[Markup]:
    stride = -(-len(row.calls) // room)
    bars = []
    for call in row.calls[:: max(1, stride)]:
        start = call.started_seconds or 0.0
        took = call.seconds if call.status.is_final else max(0.0, end - start)
        bars.append(
            Markup(
                '<rect class="bar {0}" x="{1:.1f}" y="{2}" width="{3:.1f}" height="{4}" rx="2">'
                "<title>{5}</title></rect>"
            ).format(
                state_of_call(call),
                LABEL + start * scale,
                top + 2,
                max(2.0, took * scale),
                BAR,
                f"{visible(call.step_id, 80)}: {told_of_call(call)}",
            )
        )
    return bars


def state_of_call(call: NodeExecutionResult) -> str:
    """The name of a call's state in the style sheet."""
    return "cached" if call.cached and call.status.value == "succeeded" else call.status.value


def state_of(row: TimelineRow) -> str:
    """The name of a step's state in the style sheet."""
    is_cached = row.calls and all(call.cached for call in row.calls)
    return "cached" if is_cached and row.status.value == "succeeded" else row.status.value


def told_of_call(call: NodeExecutionResult) -> str:
    """How a call ended, in words."""
    if call.cached:
        return f"{call.status.value}, from the cache"
    return f"{call.status.value} in {seconds(call.seconds)}"


def _told(row: TimelineRow) -> str:
    count = f" x {len(row.calls):,}" if len(row.calls) > 1 else ""
    return f"{MARKS.get(state_of(row), '·')} {state_of(row)}{count}"
