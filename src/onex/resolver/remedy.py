"""Remedies: the smallest edits after which a failed request can be met, found by solving again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from onex.domain.constraint import VersionConstraint
from onex.domain.errors import ConstraintFact, ResolutionError
from onex.domain.version import Version
from onex.resolver.compatibility_matrix import VersionMatrix
from onex.resolver.matrix_overlays import RelaxedMatrix
from onex.resolver.solver import solve_with

MAXIMUM_ATTEMPTS = 40
MAXIMUM_REMEDIES = 4
MAXIMUM_EDITS = 3

ConstraintSite = tuple[str | None, str]
"""Whose constraint (None: the request's), and on which node."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One constraint to change: whose it is (None for the request), and what it is about.

    ``accept`` is the version it should admit; None means that the dependency
    must go, since no node has that name.
    """

    dependent: str | None
    needed: str
    constraints: tuple[str, ...]
    accept: Version | None

    def __str__(self) -> str:
        asked = " or ".join(self.constraints)
        if self.accept is None:
            whose = "the request" if self.dependent is None else self.dependent
            return f"drop {self.needed} from {whose}, or register a node of that name"
        if self.dependent is None:
            return f"ask for {self.needed}@{self.accept} in place of {asked}"
        return f"let {self.dependent} accept {self.needed} {self.accept}, where it asks {asked}"


def find_remedies(
    requirements: Mapping[str, VersionConstraint],
    matrix: VersionMatrix,
    facts: Sequence[ConstraintFact],
) -> list[tuple[Edit, ...]]:
    """The smallest sets of edits that make the request solvable.

    Only constraints on which a failure rests are tried: those of the given one,
    and with an edit made, those of the failure that is left. Each remedy that is
    returned was solved; at most ``MAXIMUM_ATTEMPTS`` are tried.
    """
    remedies: list[tuple[Edit, ...]] = []
    tried: set[frozenset[ConstraintSite]] = set()
    level: list[tuple[tuple[ConstraintSite, ...], Sequence[ConstraintFact]]] = [((), facts)]
    for _ in range(MAXIMUM_EDITS):
        following: list[tuple[tuple[ConstraintSite, ...], Sequence[ConstraintFact]]] = []
        for made, known in level:
            for place in dict.fromkeys((fact.dependent, fact.needed) for fact in known):
                chosen = (*made, place)
                if frozenset(chosen) in tried or place in made:
                    continue
                if len(tried) == MAXIMUM_ATTEMPTS or len(remedies) == MAXIMUM_REMEDIES:
                    return remedies
                tried.add(frozenset(chosen))
                relaxed = RelaxedMatrix(matrix, chosen)
                try:
                    selected = solve_with(relaxed, relaxed.requirements(requirements))
                except ResolutionError as error:
                    left = [f for f in error.facts if (f.dependent, f.needed) not in chosen]
                    following.append((chosen, [*known, *left]))
                else:
                    remedies.append(tuple(_edit(place, known, selected) for place in chosen))
        if remedies:
            return remedies
        level = following
    return remedies


def _edit(
    place: ConstraintSite, facts: Iterable[ConstraintFact], selected: Mapping[str, Version]
) -> Edit:
    dependent, needed = place
    constraints = dict.fromkeys(
        fact.constraint for fact in facts if (fact.dependent, fact.needed) == place
    )
    return Edit(dependent, needed, tuple(constraints), selected.get(needed))
