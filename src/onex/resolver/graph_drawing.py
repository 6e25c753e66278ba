"""A dependency graph as DOT, Mermaid, or an SVG that needs no program to draw it."""

from __future__ import annotations

from html import escape

from onex.domain.graph import execution_order
from onex.resolver.dependency_graph import DependencyGraph

_CHARACTER_WIDTH, _BOX_HEIGHT, _ROW_HEIGHT, _GAP, _MARGIN = 7.3, 30.0, 90.0, 24.0, 20.0
_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" \
font-family="ui-monospace, monospace" font-size="12">
<rect width="{width}" height="{height}" fill="#ffffff"/>
<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" \
orient="auto"><path d="M0 0L8 4L0 8z" fill="#577590"/></marker></defs>"""


def to_dot(graph: DependencyGraph) -> str:
    """The graph in the language of Graphviz."""
    lines = ["digraph dependencies {", "  rankdir=TB;", "  node [shape=box];"]
    lines += [f'  "{graph.label(node)}";' for node in sorted(graph.versions)]
    for node, needed, constraint in _edges(graph):
        lines.append(f'  "{graph.label(node)}" -> "{graph.label(needed)}" [label="{constraint}"];')
    return "\n".join([*lines, "}"]) + "\n"


def to_mermaid(graph: DependencyGraph) -> str:
    """The graph as a Mermaid flowchart."""
    names = {node: f"n{index}" for index, node in enumerate(sorted(graph.versions))}
    lines = ["flowchart TD"]
    lines += [f'  {name}["{graph.label(node)}"]' for node, name in names.items()]
    for node, needed, constraint in _edges(graph):
        lines.append(f'  {names[node]} -- "{escape(constraint)}" --> {names[needed]}')
    return "\n".join(lines) + "\n"


def to_svg(graph: DependencyGraph) -> str:
    """The graph in rows: whoever needs others stands above them."""
    boxes, width, height = _layout(graph)
    parts = [_HEAD.format(width=round(width), height=round(height))]
    for node, needed, constraint in _edges(graph):
        (x1, y1, w1), (x2, y2, w2) = boxes[node], boxes[needed]
        start_x, start_y = x1 + w1 / 2, y1 + _BOX_HEIGHT
        end_x, end_y = x2 + w2 / 2, y2
        bend = (end_y - start_y) / 2
        parts.append(
            f'<path d="M{start_x:.1f} {start_y:.1f}C{start_x:.1f} {start_y + bend:.1f}'
            f' {end_x:.1f} {end_y - bend:.1f} {end_x:.1f} {end_y:.1f}" fill="none"'
            ' stroke="#577590" marker-end="url(#tip)"/>'
            f'<text x="{(start_x + end_x) / 2 + 4:.1f}" y="{(start_y + end_y) / 2:.1f}"'
            f' fill="#577590" font-size="10">{escape(constraint)}</text>'
        )
    for node, (x, y, box_width) in sorted(boxes.items()):
        fill = "#2a9d8f" if node in graph.requirements else "#264653"
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{box_width:.1f}" height="{_BOX_HEIGHT:.0f}"'
            f' rx="5" fill="{fill}"/><text x="{x + box_width / 2:.1f}" y="{y + 19:.1f}"'
            f' text-anchor="middle" fill="#ffffff">{escape(graph.label(node))}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _edges(graph: DependencyGraph) -> list[tuple[str, str, str]]:
    return [
        (node, needed, str(constraint))
        for node, needs in sorted(graph.needs.items())
        for needed, constraint in sorted(needs.items())
    ]


def _layout(graph: DependencyGraph) -> tuple[dict[str, tuple[float, float, float]], float, float]:
    """The left, top and width of each box, and the size of the whole."""
    row = dict.fromkeys(graph.versions, 0)
    for node in reversed(execution_order(graph.needs)):
        for needed in graph.needs[node]:
            row[needed] = max(row[needed], row[node] + 1)
    widths = {n: len(graph.label(n)) * _CHARACTER_WIDTH + 20 for n in graph.versions}
    rows: dict[int, list[str]] = {}
    for node in sorted(graph.versions):
        rows.setdefault(row[node], []).append(node)
    lengths = {r: sum(widths[n] + _GAP for n in nodes) - _GAP for r, nodes in rows.items()}
    width = max(lengths.values(), default=0.0) + 2 * _MARGIN
    boxes = {}
    for number, nodes in rows.items():
        x = (width - lengths[number]) / 2
        for node in nodes:
            boxes[node] = (x, _MARGIN + number * _ROW_HEIGHT, widths[node])
            x += widths[node] + _GAP
    height = 2 * _MARGIN + (len(rows) - 1) * _ROW_HEIGHT + _BOX_HEIGHT if rows else 2 * _MARGIN
    return boxes, width, height
