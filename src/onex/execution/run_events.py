"""What those who start a run say of it, and what those who watch it are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onex.domain.result import NodeExecutionResult


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that happened in a run, for those who watch.

    ``kind`` is ``started``, ``progress``, ``retry``, ``call_ended`` or ``step_ended``;
    ``result`` is there for the latter two, ``fraction`` for progress.
    """

    kind: str
    step_id: str
    total_calls: int | None = None
    fraction: float | None = None
    message: str = ""
    result: NodeExecutionResult | None = None


Observer = Callable[[RunEvent], None]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run: ``jobs`` calls at once; ``use_cache`` to take results of earlier runs."""

    jobs: int
    fail_fast: bool
    use_cache: bool = True
