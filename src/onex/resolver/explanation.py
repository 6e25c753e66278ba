"""Explains a failed resolution: the derivation of the conflict from what was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onex.domain.constraint import VersionConstraint
from onex.resolver.incompatibility import (
    CycleThrough,
    DependencyOf,
    Derived,
    Incompatibility,
    RootRequired,
    Unavailable,
)
from onex.resolver.version_table import ABSENT, VersionTable

MAXIMUM_SHOWN = 4


def explain(conclusion: Incompatibility, tables: Mapping[str, VersionTable], root: str) -> str:
    """The derivation of a conclusion in numbered steps, one line each.

    Each step rests on facts (what a manifest or the request says) and on the
    numbers of earlier steps.
    """
    return _Explanation(tables, root).write(conclusion)


class _Explanation:
    def __init__(self, tables: Mapping[str, VersionTable], root: str) -> None:
        self._tables = tables
        self._root = root
        self._numbers: dict[int, int] = {}

    def write(self, conclusion: Incompatibility) -> str:
        if not isinstance(conclusion.cause, Derived):
            return f"{_capital(self._fact(conclusion))}."
        lines = []
        for step in derivation(conclusion):
            if not isinstance(step.cause, Derived):
                continue
            number = len(self._numbers) + 1
            reasons = [self._reason(step.cause.first), self._reason(step.cause.second)]
            self._numbers[id(step)] = number
            said = self._statement(step)
            lines.append(f"{number}. Because {reasons[0]} and {reasons[1]}, {said}.")
        return "\n".join(lines)

    def _reason(self, incompatibility: Incompatibility) -> str:
        number = self._numbers.get(id(incompatibility))
        if number is None:
            return self._fact(incompatibility)
        return f"{self._statement(incompatibility)} ({number})"

    def _fact(self, incompatibility: Incompatibility) -> str:
        cause = incompatibility.cause
        match cause:
            case RootRequired():
                return "the request must be met"
            case Unavailable(node, versions, reason):
                return f"{self._versions(node, versions)} {reason}"
            case CycleThrough(nodes):
                return "there is a cycle " + " -> ".join([*nodes, nodes[0]])
            case DependencyOf(node, versions, needed, constraints_of):
                constraints = constraints_of(versions)
                wanted = f"{needed} {_either(constraints)}"
                if not incompatibility.terms.get(needed, ABSENT) & ABSENT:
                    return f"{self._versions(node, versions)} takes only {wanted}"
                subject = (
                    f"you asked for {wanted}"
                    if node == self._root
                    else f"{self._versions(node, versions)} needs {wanted}"
                )
                table = self._tables[needed]
                if not table.versions:
                    return f"{subject} and no node has that name"
                if not any(map(table.mask_of, constraints)):
                    left_out = [text for c in constraints for text in table.left_out(c)]
                    if left_out:
                        return f"{subject} but {describe_left_out(left_out)}"
                    return f"{subject} and only {_known(table)} exist"
                return subject
            case Derived():
                return self._statement(incompatibility)

    def _statement(self, incompatibility: Incompatibility) -> str:
        """What an incompatibility says, with its positive terms as the subject."""
        positive, negative = [], []
        for node, mask in incompatibility.terms.items():
            if node == self._root:
                continue
            if mask & ABSENT:
                negative.append(self._versions(node, self._tables[node].full & ~mask))
            else:
                positive.append(self._versions(node, mask))
        if not positive and not negative:
            return "the request cannot be met"
        if not positive:
            return "the request needs " + " or ".join(negative)
        if negative:
            return " with ".join(positive) + " needs " + " or ".join(negative)
        if len(positive) == 1:
            return f"{positive[0]} cannot be used"
        return " and ".join(positive) + " cannot be used together"

    def _versions(self, node: str, mask: int) -> str:
        return f"{node} {self._tables[node].describe(mask)}"


def derivation(conclusion: Incompatibility) -> list[Incompatibility]:
    """Every incompatibility behind a conclusion, each after those it rests on."""
    order: list[Incompatibility] = []
    seen: set[int] = set()
    stack: list[tuple[Incompatibility, bool]] = [(conclusion, False)]
    while stack:
        current, causes_are_done = stack.pop()
        if causes_are_done:
            order.append(current)
        elif id(current) not in seen:
            seen.add(id(current))
            stack.append((current, True))
            if isinstance(current.cause, Derived):
                stack += ((current.cause.second, False), (current.cause.first, False))
    return order


def _either(constraints: Sequence[VersionConstraint]) -> str:
    """The ranges that different versions ask for, such as ``^1 or ^2``."""
    texts = [str(constraint) for constraint in constraints]
    shown = texts if len(texts) <= MAXIMUM_SHOWN else [*texts[: MAXIMUM_SHOWN - 1], "others"]
    return " or ".join(shown)


def describe_left_out(left_out: Sequence[str]) -> str:
    """Versions that a constraint reaches and does not take, and which constraint takes them."""
    distinct = list(dict.fromkeys(left_out))
    more = len(distinct) - MAXIMUM_SHOWN
    version = distinct[0].partition(" ")[0]
    return (
        " and ".join(distinct[:MAXIMUM_SHOWN])
        + (f" and {more} more are left out too" if more > 0 else "")
        + f", so only the exact constraint {version} takes it"
    )


def _known(table: VersionTable) -> str:
    versions = [str(version) for version in table.versions]
    shown = versions[-5:]
    more = len(versions) - len(shown)
    return ", ".join(shown) + (f" (and {more} older)" if more else "")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
