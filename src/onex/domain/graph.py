"""Graphs of needs: cycles and execution order. An edge leads from a node to what it needs."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping


def find_cycle(needs: Mapping[str, Iterable[str]]) -> list[str] | None:
    """One cycle, starting at its least name, each node needing the next; None if there is none."""
    finished: set[str] = set()
    for start in sorted(needs):
        if start in finished:
            continue
        path = [start]
        on_path = {start: 0}
        pending = [iter(sorted(needs.get(start, ())))]
        while pending:
            following = next(pending[-1], None)
            if following is None:
                pending.pop()
                left = path.pop()
                del on_path[left]
                finished.add(left)
            elif following in on_path:
                cycle = path[on_path[following] :]
                first = cycle.index(min(cycle))
                return cycle[first:] + cycle[:first]
            elif following not in finished:
                on_path[following] = len(path)
                path.append(following)
                pending.append(iter(sorted(needs.get(following, ()))))
    return None


def execution_order(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Every node after all that it needs, and otherwise by name.

    Raises:
        ValueError: the graph has a cycle.
    """
    waiting: dict[str, set[str]] = {
        node: {needed for needed in wanted if needed in needs} for node, wanted in needs.items()
    }
    dependents: dict[str, list[str]] = {}
    for node, wanted in waiting.items():
        for needed in wanted:
            dependents.setdefault(needed, []).append(node)
    ready = [node for node, wanted in waiting.items() if not wanted]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        node = heapq.heappop(ready)
        order.append(node)
        for dependent in dependents.get(node, ()):
            waiting[dependent].discard(node)
            if not waiting[dependent]:
                heapq.heappush(ready, dependent)
    if len(order) < len(waiting):
        raise ValueError("the graph has a cycle")
    return order
