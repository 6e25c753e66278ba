"""Warns of chosen nodes whose names look like others that are known here."""

from __future__ import annotations

from collections.abc import Iterable

from onex.domain.evidence import TrustLevel
from onex.domain.look_alikes import looks_like, root_of
from onex.domain.metadata import RegisteredNode


def look_alike_warnings(chosen: Iterable[RegisteredNode], known: Iterable[str]) -> list[str]:
    """A warning for each node from elsewhere that may be taken for another.

    Args:
        chosen: the nodes of a resolution.
        known: namespaces of folders here, and of owners that were seen.
    """
    nodes = list(chosen)
    names = {root_of(name) for name in known}
    warnings = []
    for node in nodes:
        if node.trust is TrustLevel.LOCAL:
            continue
        root = root_of(node.metadata.node.namespace)
        twin = None if root in names else looks_like(root, sorted(names))
        if twin is not None:
            warnings.append(
                f"{node.metadata.node_version} looks like {twin}, which is known here: is it the"
                " one that is meant?"
            )
    return warnings
