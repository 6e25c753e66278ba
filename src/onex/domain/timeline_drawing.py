"""A run's timeline as a Gantt chart: in text, as SVG, or as a page that needs nothing else."""

from __future__ import annotations

from html import escape

from onex.domain.result import NodeExecutionResult, StepStatus
from onex.domain.timeline import Timeline, TimelineRow

_COLOURS = {
    StepStatus.SUCCEEDED: "#2a9d8f",
    StepStatus.FAILED: "#c1121f",
    StepStatus.SKIPPED: "#adb5bd",
    StepStatus.CANCELLED: "#e9a820",
    StepStatus.RUNNING: "#577590",
    StepStatus.PENDING: "#adb5bd",
}
_CACHED_COLOUR = "#a8dadc"
_CHARACTER_WIDTH, _ROW_HEIGHT, _BAR_HEIGHT, _CHART_WIDTH, _MARGIN = 7.3, 26, 14, 720, 16
_MAXIMUM_BARS = 2_000
_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
    ' font-family="ui-monospace, monospace" font-size="12">'
    '<rect width="{width}" height="{height}" fill="#ffffff"/>'
)
_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; color: #1d2b36 }}
svg {{ width: 100%; height: auto }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #dde3e8 }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums }}
</style></head><body>
<h1>{title}</h1>
<p>{summary}</p>
{chart}
<table><thead><tr><th>Step</th><th>Node</th><th>Status</th><th>Calls</th><th>From the cache</th>\
<th>Started</th><th>Seconds</th><th>Error</th></tr></thead>
<tbody>
{rows}
</tbody></table>
</body></html>
"""


def to_text(timeline: Timeline, width: int) -> list[tuple[str, str]]:
    """Lines for a terminal ``width`` characters wide, each with a style.

    A full block is time in which a call of the step was at work; a light one is
    time that was spent on results from the cache.
    """
    labels = max((len(row.step_id) for row in timeline.rows), default=4)
    columns = max(10, width - labels - 22)
    lines = []
    for row in timeline.rows:
        bar = _text_bar(row, timeline.seconds, columns)
        took = row.end_seconds - row.start_seconds
        count = f" x{len(row.calls)}" if len(row.calls) > 1 else ""
        line = f"{row.step_id.ljust(labels)} {bar} {took:8.3f} s{count}"
        lines.append((line, _style(row)))
    scale = f"{timeline.seconds:.3f} s"
    lines.append((f"{' ' * labels} 0{scale.rjust(columns - 1)}", "dim"))
    return lines


def _text_bar(row: TimelineRow, seconds: float, columns: int) -> str:
    cells = [" "] * columns
    for call in row.calls:
        first, last = _cells(call, seconds, columns)
        mark = "░" if call.cached else "█"
        for column in range(first, last + 1):
            if cells[column] != "█":
                cells[column] = mark
    return "".join(cells)


def _cells(call: NodeExecutionResult, seconds: float, columns: int) -> tuple[int, int]:
    scale = columns / seconds if seconds else 0.0
    start = call.started_seconds or 0.0
    first = min(columns - 1, int(start * scale))
    return first, max(first, min(columns - 1, int((start + call.seconds) * scale)))


def _style(row: TimelineRow) -> str:
    match row.status:
        case StepStatus.FAILED:
            return "red"
        case StepStatus.CANCELLED:
            return "yellow"
        case StepStatus.SKIPPED:
            return "dim"
        case _:
            return ""


def to_svg(timeline: Timeline) -> str:
    """The chart as an SVG file: a row for each step, a bar for each call."""
    labels = max((len(row.step_id) for row in timeline.rows), default=4) * _CHARACTER_WIDTH
    left = _MARGIN + labels + 12
    width = round(left + _CHART_WIDTH + 90 + _MARGIN)
    height = 2 * _MARGIN + (len(timeline.rows) + 1) * _ROW_HEIGHT
    parts = [_HEAD.format(width=width, height=height)]
    scale = _CHART_WIDTH / timeline.seconds if timeline.seconds else 0.0
    for tick in range(5):
        x = left + tick * _CHART_WIDTH / 4
        parts.append(
            f'<line x1="{x:.1f}" y1="{_MARGIN}" x2="{x:.1f}" y2="{height - _MARGIN - 14}"'
            f' stroke="#dde3e8"/><text x="{x:.1f}" y="{height - _MARGIN}" text-anchor="middle"'
            f' fill="#577590">{timeline.seconds * tick / 4:.2f} s</text>'
        )
    for number, row in enumerate(timeline.rows):
        top = _MARGIN + number * _ROW_HEIGHT
        parts.append(
            f'<text x="{_MARGIN}" y="{top + 12}" fill="#1d2b36">{escape(row.step_id)}</text>'
        )
        parts += _bars(row, left, top, scale)
        took = row.end_seconds - row.start_seconds
        count = f" x{len(row.calls)}" if len(row.calls) > 1 else ""
        parts.append(
            f'<text x="{left + _CHART_WIDTH + 8:.1f}" y="{top + 12}" fill="#577590">'
            f"{took:.2f} s{count}</text>"
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bars(row: TimelineRow, left: float, top: int, scale: float) -> list[str]:
    parts = []
    # Of very many calls every so-manieth is drawn: more bars than points cannot be told apart.
    stride = max(1, len(row.calls) // _MAXIMUM_BARS)
    is_single = len(row.calls) == 1
    for call in row.calls[::stride]:
        x = left + (call.started_seconds or 0.0) * scale
        colour = _CACHED_COLOUR if call.cached else _COLOURS[call.status]
        title = f"{call.step_id}: {call.status} in {call.seconds:.3f} s"
        parts.append(
            f'<rect x="{x:.2f}" y="{top}" width="{max(1.0, call.seconds * scale):.2f}"'
            f' height="{_BAR_HEIGHT}" fill="{colour}" fill-opacity="{1 if is_single else 0.6}">'
            f"<title>{escape(title)}</title></rect>"
        )
    return parts


def to_html(timeline: Timeline, title: str, summary: str) -> str:
    """The chart and a table of the steps as one page, under a title and a summary of the run."""
    return _PAGE.format(
        title=escape(title),
        summary=escape(summary),
        chart=to_svg(timeline),
        rows="\n".join(map(_table_row, timeline.rows)),
    )


def _table_row(row: TimelineRow) -> str:
    failed = next((call for call in row.calls if call.error is not None), None)
    error = f"{failed.error.code}: {failed.error.message}" if failed and failed.error else ""
    texts = (row.step_id, row.node, row.status.value)
    numbers = (
        str(len(row.calls)),
        str(row.cached_calls),
        f"{row.start_seconds:.3f}",
        f"{row.end_seconds - row.start_seconds:.3f}",
    )
    return (
        "<tr>"
        + "".join(f"<td>{escape(text)}</td>" for text in texts)
        + "".join(f'<td class="number">{number}</td>' for number in numbers)
        + f"<td>{escape(error)}</td></tr>"
    )
