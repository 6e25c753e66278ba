"""Where the constraints of a failed resolution are written, and what would meet them again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from onex.domain.constraint import VersionConstraint
from onex.domain.errors import ConstraintFact
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.version import Version
from onex.manifests.dependency_place import locate_dependency
from onex.resolver.dependency_resolver import DependencyResolver


def places_of(resolver: DependencyResolver, facts: Iterable[ConstraintFact]) -> Iterator[str]:
    """The line of each constraint that a manifest holds."""
    for fact in dict.fromkeys(facts):
        if fact.dependent is None or fact.version is None:
            continue
        owner = NodeVersion(NodeId.parse(fact.dependent), Version.parse(fact.version))
        registered = resolver.view.registered(fact.dependent).get(owner.version)
        if registered is None:
            continue
        manifest = Path(registered.origins[0].path)
        names = frozenset(_names(resolver, fact.needed))
        place = locate_dependency(manifest, names)
        if place is not None:
            yield f"{place}: {owner} asks {fact.needed} {fact.constraint}"


def hint_for(resolver: DependencyResolver, facts: Iterable[ConstraintFact]) -> str | None:
    """How to bring back a version that was withdrawn, if that would meet a constraint."""
    for fact in facts:
        if "://" in fact.needed:
            constraint = VersionConstraint.parse(fact.constraint)
            table = resolver.matrix.table(fact.needed)
            if not table.mask_of(constraint):
                found = way_back(fact.needed, table.left_out(constraint))
                if found is not None:
                    return found
    return None


def way_back(name: str, left_out: Sequence[str]) -> str | None:
    """The command that undoes a yank, if that is why a version is left out."""
    for text in left_out:
        version, _, reason = text.partition(" ")
        if reason.startswith("is yanked"):
            return f"onex yank {name}@{version} --undo brings it back"
    return None


def _names(resolver: DependencyResolver, needed: str) -> Iterator[str]:
    """Everything that a manifest may call a node."""
    yield needed
    if "://" in needed:
        yield NodeId.parse(needed).namespace
        for known in resolver.view.registered(needed).values():
            yield known.metadata.name
            if known.metadata.uuid is not None:
                yield known.metadata.uuid
