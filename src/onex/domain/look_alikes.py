"""Names that look like others: refused when something is published, told of when it is resolved.

A name stands for whoever has it, so that one which is taken for another misleads people who type
or read it. Namespaces are ASCII: what can be confused there are letters and digits of one shape,
signs between words, and slips of typing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from onex.domain.access_control import covers

MINIMUM_SLIP_LENGTH = 5
"""Shorter names differ in one character by chance."""

_SHAPES = (("rn", "m"), ("vv", "w"), ("0", "o"), ("1", "l"), ("i", "l"), ("5", "s"))


def root_of(namespace: str) -> str:
    """The first part of a namespace, which says whose it is."""
    return namespace.partition(".")[0]


def shape_of(name: str) -> str:
    """What a name looks like: names of one shape are taken for each other."""
    shape = name.lower().replace("-", "").replace("_", "").replace(".", "")
    for one, other in _SHAPES:
        shape = shape.replace(one, other)
    return shape


def is_slip(one: str, other: str) -> bool:
    """Whether two names differ by a slip: a character more, less, another, or two swapped.

    Source: F. J. Damerau, 1964, as ``node_record.neighbours_of``.
    """
    if abs(len(one) - len(other)) > 1 or min(len(one), len(other)) < MINIMUM_SLIP_LENGTH:
        return False
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if start is None:
        return len(one) != len(other)
    a, b = one[start:], other[start:]
    if len(a) == len(b):
        return a[1:] == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])
    return a[1:] == b if len(a) > len(b) else a == b[1:]


def looks_like(namespace: str, known: Iterable[str]) -> str | None:
    """The first of some namespaces for which another one may be taken; None for none.

    Those with the same first part belong together, and are not taken for each other.
    """
    root, shape = root_of(namespace), shape_of(namespace)
    for other in known:
        other_root = root_of(other)
        if other_root == root:
            continue
        is_same_shape = shape_of(other_root) == shape_of(root) or shape_of(other) == shape
        if is_same_shape or is_slip(root.lower(), other_root.lower()):
            return other
    return None


@dataclass(frozen=True, slots=True)
class NameRules:
    """Which names a registry keeps back, and which may look like others; patterns as ``covers``."""

    reserved: Sequence[str] = ()
    allowed: Sequence[str] = ()

    def refusal(
        self, namespace: str, known: Iterable[str], shown: Iterable[str] | None = None
    ) -> str | None:
        """Why a namespace cannot be used by somebody new, as the rest of a sentence.

        ``known`` are those of others; ``shown`` are those that may be named, None for all.
        """
        reserved = next((pattern for pattern in self.reserved if covers(pattern, namespace)), None)
        if reserved is not None:
            return f"is reserved ({reserved})"
        if any(covers(pattern, namespace) for pattern in self.allowed):
            return None
        twin = looks_like(namespace, known)
        if twin is None:
            return None
        if shown is not None and root_of(twin) not in shown:
            return "looks like a name that others have"
        return f"looks like {root_of(twin)}, which others have"
