"""The impact of a proposed version of a node on its dependents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from onex.domain.constraint import VersionConstraint
from onex.domain.errors import ConstraintFact, ResolutionError
from onex.domain.json_value import JsonValue
from onex.domain.version import Version
from onex.resolver.compatibility_matrix import VersionMatrix
from onex.resolver.solver import solve_with

Effect = Literal["moves", "held", "breaks", "unresolved"]


@dataclass(frozen=True, slots=True)
class Change:
    """One node whose chosen version differs; None if it is not chosen at all."""

    node: str
    before: Version | None
    after: Version | None

    def __str__(self) -> str:
        if self.before is None:
            return f"add {self.node} {self.after}"
        if self.after is None:
            return f"drop {self.node} {self.before}"
        return f"move {self.node} from {self.before} to {self.after}"


@dataclass(frozen=True, slots=True)
class Impact:
    """What happens to one dependent or workflow once the proposed version is there.

    It ``moves`` to the version, it is ``held`` at another one, it ``breaks``, or it
    was ``unresolved`` before and stays so. ``reason`` says why it does not move,
    and ``facts`` are the constraints on which the reason rests.
    """

    dependent: str
    effect: Effect
    changes: tuple[Change, ...] = ()
    reason: str = ""
    facts: tuple[ConstraintFact, ...] = ()

    def to_json(self) -> dict[str, JsonValue]:
        """The entry in the shape that ``impact`` prints."""
        return {
            "dependant": self.dependent,
            "effect": self.effect,
            "changes": [
                {
                    "node": change.node,
                    "before": None if change.before is None else str(change.before),
                    "after": None if change.after is None else str(change.after),
                }
                for change in self.changes
            ],
            "reason": self.reason,
        }


def assess(
    dependent: str,
    requirements: Mapping[str, VersionConstraint],
    node: str,
    version: Version,
    before: VersionMatrix,
    after: VersionMatrix,
) -> Impact | None:
    """Solve for one dependent without and with the proposed version of a node.

    Returns:
        None if the dependent has nothing to do with the node.
    """
    old = _solve(before, requirements)
    new = _solve(after, requirements)
    if isinstance(new, ResolutionError):
        effect: Effect = "unresolved" if isinstance(old, ResolutionError) else "breaks"
        return Impact(dependent, effect, (), new.explanation, new.facts)
    had = {} if isinstance(old, ResolutionError) else old
    if node not in had and node not in new:
        return None
    changes = tuple(
        Change(name, had.get(name), new.get(name))
        for name in sorted({*had, *new})
        if had.get(name) != new.get(name)
    )
    if new.get(node) == version:
        return Impact(dependent, "moves", changes)
    exact = VersionConstraint.parse(str(version))
    asked = requirements.get(node)
    if asked is not None and not asked.allows(version):
        return Impact(dependent, "held", changes, f"it asks {node} {asked} itself")
    prevented = _solve(after, {**requirements, node: exact})
    if isinstance(prevented, ResolutionError):
        return Impact(dependent, "held", changes, prevented.explanation, prevented.facts)
    better = f"{node} {new[node]} is preferred" if node in new else f"{node} is not needed any more"
    return Impact(dependent, "held", changes, better)


def _solve(
    matrix: VersionMatrix, requirements: Mapping[str, VersionConstraint]
) -> Mapping[str, Version] | ResolutionError:
    try:
        return solve_with(matrix, requirements)
    except ResolutionError as error:
        return error
