"""RunHolder: how a journal tells which process runs a run, and whether it still does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from onex.history.start_log import StartLog
from onex.storage.sql.connection import Parameter


class Assignment(NamedTuple):
    """A column of ``runs``, the expression that it is set to, and the expression's parameter."""

    column: str
    expression: str
    parameter: Parameter


class RunHolder(Protocol):
    """Who holds runs. What is asked within a transaction belongs to that of the journal."""

    def close(self) -> None:
        """Release what the holder has beside the journal's connection."""
        ...

    @property
    def shown(self) -> str:
        """An expression over ``runs`` that tells who holds a run; its value is a text."""
        ...

    def is_live(self, shown: str) -> bool:
        """Whether somebody holds a run that was not finished, by the value of ``shown``."""
        ...

    @property
    def nobody(self) -> Sequence[Assignment]:
        """What is stored of a run that no process holds."""
        ...

    def take(self, run_id: str) -> Sequence[Assignment]:
        """What is stored of a run that this process holds from now on."""
        ...

    def require(self, run_id: str) -> None:
        """Keep a run from being taken over until the transaction ends.

        Raises:
            RunLostError: this process does not hold it any more.
        """
        ...

    def held(self, run_id: str, on_cancel: Callable[[], None]) -> AbstractContextManager[None]:
        """Hold a run that was taken as long as the block lasts.

        ``on_cancel`` is called, from any thread, when somebody elsewhere asks for its end.
        """
        ...

    def interrupt(self, run_id: str) -> bool:
        """Ask the process that holds a run to end it; returns whether it was asked."""
        ...

    def start_log(self, run_id: str, repeatable: Container[str]) -> StartLog:
        """Where the starts of calls are noted; ``repeatable`` are steps that may be repeated."""
        ...

    def note_ended(self, run_id: str, call_ids: Iterable[str]) -> None:
        """Calls of a run that this process holds have ended."""
        ...

    def starts(self, run_id: str) -> Mapping[str, float | None]:
        """The calls of a run that have started, some of which have ended: when (Unix time)."""
        ...

    def keep_starts(self, run_id: str, call_ids: Collection[str]) -> None:
        """Put these calls in the place of those that have started."""
        ...

    def mark_of_starts(self, run_id: str) -> str:
        """What tells one state of the starts from another."""
        ...
