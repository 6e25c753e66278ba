"""Layered layout: places for the boxes and lines of an acyclic graph.

Source: K. Sugiyama, S. Tagawa, M. Toda: Methods for Visual Understanding of Hierarchical System
Structures (1981). A line that crosses a layer gets a lane of its own there, as if it were a narrow
box, so that no line ever leads behind a box.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from onex.domain.graph import execution_order

SWEEPS = 12
LANE_WIDTH = 12.0
GAP = 24.0

Lane = tuple[str, str, int]
_Item = str | Lane


@dataclass(frozen=True, slots=True)
class Box:
    """A box: its layer, counted from the top, its left edge, and its width."""

    layer: int
    left: float
    width: float

    @property
    def centre(self) -> float:
        return self.left + self.width / 2


@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes by node; for each line, by its ends, where it crosses the layers between them."""

    boxes: Mapping[str, Box]
    crossings: Mapping[tuple[str, str], Sequence[float]]
    width: float
    layers: int


def lay_out(widths: Mapping[str, float], lines: Mapping[str, Iterable[str]]) -> Layout:
    """Place the nodes of a graph in layers, each above all that its lines lead to.

    Args:
        widths: the width of each node's box.
        lines: for each node, those that its lines lead to; it has no cycles.
    """
    targets = {node: sorted(set(lines.get(node, ())) & widths.keys()) for node in sorted(widths)}
    layer = _layers(targets)
    count = max(layer.values(), default=-1) + 1
    rows: list[list[_Item]] = [[] for _ in range(count)]
    for node in targets:
        rows[layer[node]].append(node)
    above: dict[_Item, list[_Item]] = {}
    below: dict[_Item, list[_Item]] = {}

    def link(upper: _Item, lower: _Item) -> None:
        below.setdefault(upper, []).append(lower)
        above.setdefault(lower, []).append(upper)

    for node, reached in targets.items():
        for target in reached:
            last: _Item = node
            for between in range(layer[node] + 1, layer[target]):
                lane = (node, target, between)
                rows[between].append(lane)
                link(last, lane)
                last = lane
            link(last, target)
    _order(rows, above, below)
    size = {item: widths[item] if isinstance(item, str) else LANE_WIDTH for r in rows for item in r}
    centres = _centres(rows, size, above, below)
    left = min((centres[i] - size[i] / 2 for row in rows for i in row), default=0.0)
    boxes = {
        node: Box(layer[node], centres[node] - widths[node] / 2 - left, widths[node])
        for node in targets
    }
    crossings = {
        (node, target): [
            centres[node, target, between] - left
            for between in range(layer[node] + 1, layer[target])
        ]
        for node, reached in targets.items()
        for target in reached
    }
    right = max((centres[i] + size[i] / 2 - left for row in rows for i in row), default=0.0)
    return Layout(boxes, crossings, right, count)


def size_of(nodes: Iterable[str], lines: Mapping[str, Iterable[str]]) -> int:
    """How many lanes and lines a drawing would have; it takes time by that."""
    known = sorted(nodes)
    targets = {node: sorted(set(lines.get(node, ())) & set(known)) for node in known}
    layer = _layers(targets)
    return sum(layer[target] - layer[node] for node in known for target in targets[node])


def _layers(targets: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The layer of each node: below all whose lines lead to it."""
    layer = dict.fromkeys(targets, 0)
    for node in reversed(execution_order({n: dict.fromkeys(t) for n, t in targets.items()})):
        for target in targets[node]:
            layer[target] = max(layer[target], layer[node] + 1)
    return layer


def _order(
    rows: list[list[_Item]],
    above: Mapping[_Item, Sequence[_Item]],
    below: Mapping[_Item, Sequence[_Item]],
) -> None:
    """Order each row by the middle of its neighbours, down and up again, for few crossings."""
    for sweep in range(SWEEPS):
        is_down = sweep % 2 == 0
        order = range(1, len(rows)) if is_down else range(len(rows) - 2, -1, -1)
        for number in order:
            beside = rows[number - 1] if is_down else rows[number + 1]
            place = {item: index for index, item in enumerate(beside)}
            neighbours = above if is_down else below
            own = {item: index for index, item in enumerate(rows[number])}

            def key(
                item: _Item,
                neighbours: Mapping[_Item, Sequence[_Item]] = neighbours,
                place: Mapping[_Item, int] = place,
                own: Mapping[_Item, int] = own,
            ) -> float:
                found = [place[other] for other in neighbours.get(item, ())]
                return sum(found) / len(found) if found else float(own[item])

            rows[number].sort(key=key)


def _centres(
    rows: Sequence[Sequence[_Item]],
    size: Mapping[_Item, float],
    above: Mapping[_Item, Sequence[_Item]],
    below: Mapping[_Item, Sequence[_Item]],
) -> dict[_Item, float]:
    """The middle of each item: near its neighbours, without overlaps within a row."""
    centres: dict[_Item, float] = {}
    for row in rows:
        x = 0.0
        for item in row:
            centres[item] = x + size[item] / 2
            x += size[item] + GAP
        for item in row:
            centres[item] -= x / 2
    for _ in range(SWEEPS):
        for row in rows:
            wanted = []
            for item in row:
                near = [centres[o] for o in (*above.get(item, ()), *below.get(item, ()))]
                wanted.append(sum(near) / len(near) if near else centres[item])
            centres |= dict(zip(row, _spread(row, wanted, size), strict=True))
    return centres


def _spread(
    row: Sequence[_Item], wanted: Sequence[float], size: Mapping[_Item, float]
) -> list[float]:
    """Places as near to those wanted as the order and the gaps of a row allow.

    By least squares: items that would overlap move together (pool adjacent violators).
    """
    offsets, offset = [], 0.0
    for place, item in enumerate(row):
        if place:
            offset += (size[row[place - 1]] + size[item]) / 2 + GAP
        offsets.append(offset)
    groups: list[tuple[float, int]] = []
    for target, own in zip(wanted, offsets, strict=True):
        total, count = target - own, 1
        while groups and groups[-1][0] / groups[-1][1] > total / count:
            earlier, number = groups.pop()
            total, count = total + earlier, count + number
        groups.append((total, count))
    shifts = [total / count for total, count in groups for _ in range(count)]
    return [shift + own for shift, own in zip(shifts, offsets, strict=True)]
