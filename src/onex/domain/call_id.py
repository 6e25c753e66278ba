"""The names of calls: that of the step, or for a child of a fan-out step ``step[index]``."""

from __future__ import annotations

from collections.abc import Iterable


def child_id(step_id: str, index: int) -> str:
    """The name of a child of a fan-out step."""
    return f"{step_id}[{index}]"


def step_of(call_id: str) -> str:
    """The step that a call belongs to."""
    return call_id.partition("[")[0]


def is_child(call_id: str) -> bool:
    """Whether a call is one of several of its step."""
    return "[" in call_id


def index_of(call_id: str) -> int:
    """Which child of its step a call is; -1 where it is the whole step."""
    return int(call_id[call_id.rindex("[") + 1 : -1]) if is_child(call_id) else -1


def calls_among(names: Iterable[str]) -> list[str]:
    """The names without those of fan-out steps, whose children are the calls."""
    listed = list(names)
    fanned_out = {step_of(name) for name in listed if is_child(name)}
    return [name for name in listed if name not in fanned_out]
