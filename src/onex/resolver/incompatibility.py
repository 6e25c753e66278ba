"""Incompatibilities: sets of terms that cannot all hold, and why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from onex.domain.constraint import VersionConstraint


@dataclass(frozen=True, slots=True)
class RootRequired:
    """The request itself must be met."""


@dataclass(frozen=True, slots=True)
class DependencyOf:
    """Versions of a node need another; ``constraints`` gives what a set of them asks."""

    node: str
    versions: int
    needed: str
    constraints: Callable[[int], Sequence[VersionConstraint]]


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Versions of a node cannot be used here, for a reason that no choice can change."""

    node: str
    versions: int
    reason: str


@dataclass(frozen=True, slots=True)
class CycleThrough:
    """These nodes, in the versions of the terms, need each other in a circle."""

    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Derived:
    """Concluded from two other incompatibilities."""

    first: Incompatibility
    second: Incompatibility


Cause: TypeAlias = RootRequired | DependencyOf | Unavailable | CycleThrough | Derived


@dataclass(frozen=True, slots=True, eq=False)
class Incompatibility:
    """Terms, as a version mask for each node, that cannot all be satisfied.

    Identity, not content, distinguishes incompatibilities: the same terms may
    be concluded in two ways.
    """

    terms: Mapping[str, int]
    cause: Cause


def resolve(
    conflict: Incompatibility, cause: Incompatibility, pivot: str, full_mask_of_pivot: int
) -> Incompatibility:
    """The rule of resolution: what follows from two incompatibilities that share the pivot.

    Either the pivot's version satisfies one of the two terms, and then the rest
    of that incompatibility cannot hold; so both rests together cannot hold,
    beyond the versions that satisfy either term.
    """
    terms = dict(conflict.terms)
    for node, mask in cause.terms.items():
        if node == pivot:
            merged = terms[node] | mask
            if merged == full_mask_of_pivot:
                del terms[node]
            else:
                terms[node] = merged
        else:
            terms[node] = terms[node] & mask if node in terms else mask
    return Incompatibility(terms, Derived(conflict, cause))
