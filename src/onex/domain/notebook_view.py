"""What a notebook shows of results, listings and resolutions: HTML without scripts or styles of
its own, so that it follows the theme of the notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from onex.domain.artifact_records import MAXIMUM_TEXT, in_one_line
from onex.domain.metadata import RegisteredNode
from onex.domain.result import RunResult
from onex.domain.timeline import Timeline
from onex.domain.timeline_drawing import to_svg

MAXIMUM_ROWS, MAXIMUM_BARS = 200, 60
"""A page that shows more than this helps nobody and slows a notebook down."""


def run_html(result: RunResult) -> str:
    """How a run ended, when its steps were at work, why they failed, and the outputs."""
    head = f"run {result.run_id} of {result.workflow}: {result.status} in {result.seconds:.2f} s"
    parts = [f"<p><b>{escape(head)}</b></p>"]
    if result.steps:
        parts.append(run_svg(result))
    errors = [(name, step.error) for name, step in result.steps.items() if step.error is not None]
    if result.error is not None:
        errors.append(("run", result.error))
    if errors:
        rows = [(name, error.code, error.message, error.hint or "") for name, error in errors]
        parts.append(table_html(("step", "code", "what happened", "what to do"), rows))
    if isinstance(result.outputs, dict):
        outputs = [(name, in_one_line(value)) for name, value in result.outputs.items()]
        parts.append(table_html(("output", "value"), outputs))
    return "\n".join(parts)


def run_svg(result: RunResult) -> str:
    """When the steps of a run were at work; of many steps, the first ones."""
    timeline = result.timeline
    return to_svg(Timeline(timeline.rows[:MAXIMUM_BARS], timeline.seconds))


def nodes_html(nodes: Iterable[RegisteredNode], total: int) -> str:
    """Node versions as a table; ``total`` is how many there are in all, -1 if unknown."""
    columns = ("name", "version", "type", "namespace", "lifecycle", "description")
    rows = [
        (
            node.metadata.name,
            str(node.metadata.version),
            node.metadata.node.type,
            node.metadata.node.namespace,
            node.metadata.lifecycle.value,
            node.metadata.description,
        )
        for node in nodes
    ]
    table = table_html(columns, rows)
    return table + (f"<p>{total} in all</p>" if total > len(rows) else "")


def table_html(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts; rows beyond MAXIMUM_ROWS are counted instead."""
    head = "".join(f'<th style="text-align:left">{escape(name)}</th>' for name in columns)
    body = "\n".join(
        "<tr>"
        + "".join(f'<td style="text-align:left">{escape(_cut(text))}</td>' for text in row)
        + "</tr>"
        for row in rows[:MAXIMUM_ROWS]
    )
    left = len(rows) - MAXIMUM_ROWS
    more = f"<p>and {left} more</p>" if left > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>{more}"


def tree_html(lines: Iterable[tuple[int, str]]) -> str:
    """Lines of text, each with how deep it stands, as a tree."""
    text = "\n".join(f"{'    ' * depth}{line}" for depth, line in lines)
    return f"<pre>{escape(text)}</pre>"


def _cut(text: str) -> str:
    return text if len(text) <= MAXIMUM_TEXT else text[: MAXIMUM_TEXT - 3] + "..."
