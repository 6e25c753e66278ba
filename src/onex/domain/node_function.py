"""Whether a function takes the context of its execution, by how its first parameter is written.

Those who read code without running it and those who call it must agree on this.
"""

from __future__ import annotations

CONTEXT_NAMES = frozenset({"context", "ctx", "_context", "_ctx", "_"})
_OPEN_TYPES = frozenset({"Any", "object"})


def takes_context(name: str, annotation: str | None, *, has_default: bool) -> bool:
    """Whether the first positional parameter of a node's function is its context.

    Args:
        name: what it is called; ``context`` and ``ctx`` always are.
        annotation: as it is written; a parameter without one, or of a type whose name ends with
            ``Context``, is the context, and any other is an input.
        has_default: whether it may be left out, as a context never is.
    """
    if name in CONTEXT_NAMES:
        return True
    if has_default:
        return False
    plain = (annotation or "").strip("'\"").partition("[")[0].rpartition(".")[2]
    return not plain or plain in _OPEN_TYPES or plain.endswith("Context")
