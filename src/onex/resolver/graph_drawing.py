"""A dependency graph as DOT, Mermaid, or an SVG that needs no program to draw it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from onex.resolver.dependency_graph import DependencyGraph
from onex.resolver.layered_layout import Layout, lay_out

_CHARACTER_WIDTH, _BOX_HEIGHT, _ROW_HEIGHT, _MARGIN = 7.3, 30.0, 90.0, 20.0
_LABELLED_NODES = 30
"""In larger graphs the constraints are told where one points at a line."""

_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" \
viewBox="0 0 {width} {height}" \
font-family="ui-monospace, monospace" font-size="12">
<rect class="ground" width="{width}" height="{height}" fill="#ffffff"/>
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


def to_svg(
    graph: DependencyGraph,
    links: Mapping[str, str] | None = None,
    hidden: Mapping[str, int] | None = None,
) -> str:
    """The graph in rows: whoever needs others stands above them, and no line leads behind a box.

    Args:
        graph: what is drawn.
        links: where the box of a node leads.
        hidden: how many that a node needs are not in the graph, which its box says.
    """
    links, hidden = links or {}, hidden or {}
    labels = {node: graph.label(node) for node in graph.versions}
    for node, count in hidden.items():
        labels[node] += f"  +{count}"
    widths = {node: len(label) * _CHARACTER_WIDTH + 20 for node, label in labels.items()}
    layout = lay_out(widths, graph.needs)
    height = 2 * _MARGIN + max(0, layout.layers - 1) * _ROW_HEIGHT + _BOX_HEIGHT
    parts = [_HEAD.format(width=round(layout.width + 2 * _MARGIN), height=round(height))]
    for node, needed, constraint in _edges(graph):
        path = _path(layout, node, needed)
        parts.append(
            f'<path class="edge" d="{path}" fill="none" stroke="#577590" marker-end="url(#tip)">'
            f"<title>{escape(labels[node])} asks for {escape(needed)} {escape(constraint)}"
            "</title></path>"
        )
        if len(graph.versions) <= _LABELLED_NODES:
            box = layout.boxes[node]
            line = layout.crossings[node, needed]
            end = line[0] if line else layout.boxes[needed].centre
            x = _MARGIN + (box.centre + end) / 2 + 4
            y = _MARGIN + box.layer * _ROW_HEIGHT + _BOX_HEIGHT + (_ROW_HEIGHT - _BOX_HEIGHT) / 2
            parts.append(
                f'<text class="asked" x="{x:.1f}" y="{y:.1f}" fill="#577590" font-size="10">'
                f"{escape(constraint)}</text>"
            )
    for node, box in sorted(layout.boxes.items()):
        kind, fill = ("root", "#1f7a70") if node in graph.requirements else ("node", "#264653")
        x, y = box.left + _MARGIN, _MARGIN + box.layer * _ROW_HEIGHT
        drawn = (
            f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}"'
            f' height="{_BOX_HEIGHT:.0f}" rx="5" fill="{fill}"/>'
            f'<text class="label" x="{box.centre + _MARGIN:.1f}" y="{y + 19:.1f}"'
            f' text-anchor="middle" fill="#ffffff">{escape(labels[node])}</text>'
        )
        link = links.get(node)
        parts.append(drawn if link is None else f'<a href="{escape(link)}">{drawn}</a>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _path(layout: Layout, node: str, needed: str) -> str:
    """A line: curves between the rows, where there are no boxes, and straight through its lanes."""
    upper, lower = layout.boxes[node], layout.boxes[needed]
    x, y = upper.centre + _MARGIN, _MARGIN + upper.layer * _ROW_HEIGHT + _BOX_HEIGHT
    path = f"M{x:.1f} {y:.1f}"
    space = _ROW_HEIGHT - _BOX_HEIGHT
    curves = []
    for centre in (*layout.crossings[node, needed], lower.centre):
        end, bottom, middle = centre + _MARGIN, y + space, y + space / 2
        curves.append(f"C{x:.1f} {middle:.1f} {end:.1f} {middle:.1f} {end:.1f} {bottom:.1f}")
        x, y = end, bottom + _BOX_HEIGHT
        curves.append(f"V{y:.1f}")
    # The last curve ends at the box.
    return path + "".join(curves[:-1])


def _edges(graph: DependencyGraph) -> list[tuple[str, str, str]]:
    return [
        (node, needed, str(constraint))
        for node, needs in sorted(graph.needs.items())
        for needed, constraint in sorted(needs.items())
    ]
