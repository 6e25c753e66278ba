"""The layout of graphs: nothing overlaps, and no line leads behind a box that it does not join."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from onex.domain.constraint import VersionConstraint
from onex.domain.version import Version
from onex.resolver.dependency_graph import DependencyGraph
from onex.resolver.graph_drawing import to_svg
from onex.resolver.layered_layout import GAP, LANE_WIDTH, lay_out

Graph = dict[str, list[str]]


@st.composite
def acyclic(draw: st.DrawFn) -> tuple[dict[str, float], Graph]:
    count = draw(st.integers(0, 14))
    names = [f"n{number}" for number in range(count)]
    lines = {
        name: draw(st.lists(st.sampled_from(names[place + 1 :]), unique=True, max_size=5))
        if place + 1 < count
        else []
        for place, name in enumerate(names)
    }
    widths = {name: draw(st.floats(20, 400)) for name in names}
    return widths, lines


@given(acyclic())
def test_lines_lead_down_and_never_behind_a_box(case: tuple[dict[str, float], Graph]) -> None:
    widths, lines = case
    layout = lay_out(widths, lines)
    boxes = layout.boxes
    assert boxes.keys() == widths.keys()
    for node, box in boxes.items():
        assert box.left >= -1e-6
        assert box.left + box.width <= layout.width + 1e-6
        for other, beside in boxes.items():
            if node < other and box.layer == beside.layer:
                apart = abs(box.centre - beside.centre) - (box.width + beside.width) / 2
                assert apart >= GAP - 1e-6
    drawn = {(node, target) for node, reached in lines.items() for target in reached}
    assert layout.crossings.keys() == drawn
    lanes: dict[int, list[float]] = {}
    for (node, target), places in layout.crossings.items():
        top, bottom = boxes[node].layer, boxes[target].layer
        assert top < bottom
        assert len(places) == bottom - top - 1
        for layer, place in enumerate(places, top + 1):
            lanes.setdefault(layer, []).append(place)
            for box in boxes.values():
                if box.layer == layer:
                    assert abs(box.centre - place) >= (box.width + LANE_WIDTH) / 2
    for places in lanes.values():
        ordered = sorted(places)
        assert all(b - a >= LANE_WIDTH for a, b in pairwise(ordered))


def graph_of(lines: Graph) -> DependencyGraph:
    anything = VersionConstraint.parse("^1")
    return DependencyGraph(
        {node: Version.parse("1.0.0") for node in lines},
        {node: dict.fromkeys(reached, anything) for node, reached in lines.items()},
        {"a": anything},
    )


def test_a_drawing_has_every_line_and_says_what_is_hidden() -> None:
    lines = {"a": ["b", "c"], "b": ["c"], "c": []}
    drawing = to_svg(graph_of(lines), {"b": "/node/b"}, {"c": 7})
    assert drawing.count('class="edge"') == 3
    assert "c@1.0.0  +7" in drawing
    assert '<a href="/node/b">' in drawing


def test_names_of_strangers_do_not_get_out_of_a_drawing() -> None:
    lines = {'a"><script>': [], "a": ['a"><script>']}
    drawing = to_svg(graph_of(lines), {"a": '"><script>'})
    assert "<script>" not in drawing


def test_a_large_graph_is_drawn_in_little_time() -> None:
    lines = {f"n{i}": [f"n{j}" for j in range(i + 1, min(300, i + 4))] for i in range(300)}
    assert to_svg(graph_of({"a": ["n0"], **lines})).count('class="edge"') == 895
