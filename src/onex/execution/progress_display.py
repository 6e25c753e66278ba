"""A run as it happens, for programs: a display that changes in a notebook, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from onex.domain.notebook_view import table_html
from onex.domain.result import NodeExecutionResult
from onex.execution.events import (
    CallEnded,
    Logged,
    Observer,
    Progressed,
    RetryScheduled,
    RunEnded,
    RunEvent,
    RunStarted,
    StepEnded,
    StepStarted,
    Warned,
)

DISPLAY_INTERVAL_SECONDS = 0.2


def show_progress() -> Observer:
    """An observer for ``Registry.run`` and ``arun`` that shows the steps of the run.

    In a notebook it is one table that changes; elsewhere a line for each step goes to standard
    error. Make a new one for each run.
    """
    display = _notebook_display()
    if display is not None:
        return _Table(display).observe
    return StepLines(lambda text, style: print(text, file=sys.stderr, flush=True)).observe  # noqa: T201 - what it is for


def describe_end(result: NodeExecutionResult, counts: StepCounts) -> str:
    """How a step ended, in one line."""
    text = result.status.value
    if result.started_seconds is not None:
        text += f" in {result.seconds:.2f} s"
    if counts.total:
        text += f", {counts.total} calls"
    if result.cached:
        text += ", all from the cache" if counts.total else ", from the cache"
    elif counts.cached:
        text += f", {counts.cached} of them from the cache"
    if result.error is not None:
        text += f": {result.error.code} {result.error.message}"
    return text


@dataclass(slots=True)
class StepCounts:
    """The calls of a fan-out step: all, those that ended, and those taken from the cache."""

    total: int = 0
    ended: int = 0
    cached: int = 0

    def add(self, call: NodeExecutionResult) -> None:
        """Count a call that ended."""
        self.ended += 1
        self.cached += call.cached


@dataclass(slots=True)
class StepLines:
    """Tells how each step ends in a line; ``tell`` takes the text and its style, if it has one."""

    tell: Callable[[str, str | None], None]
    counts: dict[str, StepCounts] = field(default_factory=dict)

    def observe(self, event: RunEvent) -> None:
        """Take in an event."""
        if isinstance(event, RunStarted | Warned | RunEnded | Logged):
            return
        counts = self.counts.setdefault(event.step_id, StepCounts())
        match event:
            case StepStarted():
                counts.total = event.total_calls or 0
            case CallEnded():
                counts.add(event.result)
            case RetryScheduled():
                self.tell(f"{event.step_id}: {event.message}", "yellow")
            case StepEnded():
                self.tell(f"{event.step_id}: {describe_end(event.result, counts)}", None)


class _Display(Protocol):
    """A place in the output of a notebook whose content can be replaced."""

    def update(self, content: object) -> None: ...


@dataclass(slots=True)
class _Table:
    display: _Display
    counts: dict[str, StepCounts] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    shown: float = 0.0

    def observe(self, event: RunEvent) -> None:
        match event:
            case RunStarted():
                self.states = dict.fromkeys(event.steps, "")
            case StepStarted():
                self.counts[event.step_id] = StepCounts(event.total_calls or 0)
                self.states[event.step_id] = "running"
            case Progressed():
                self.states[event.step_id] = f"{event.fraction:.0%} {event.message}"
            case RetryScheduled():
                self.states[event.step_id] = event.message
            case CallEnded():
                counts = self.counts.setdefault(event.step_id, StepCounts())
                counts.add(event.result)
                self.states[event.step_id] = f"{counts.ended} of {counts.total} calls"
            case StepEnded():
                counts = self.counts.get(event.step_id, StepCounts())
                self.states[event.step_id] = describe_end(event.result, counts)
        now = time.monotonic()
        if isinstance(event, RunEnded) or now - self.shown >= DISPLAY_INTERVAL_SECONDS:
            self.shown = now
            self.display.update(_Html(table_html(("step", ""), list(self.states.items()))))


@dataclass(frozen=True, slots=True)
class _Html:
    text: str

    def _repr_html_(self) -> str:
        return self.text


def _notebook_display() -> _Display | None:
    """A new place in the output of the cell that runs; None outside of a notebook."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython
    from IPython.display import display

    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    place: _Display = display(_Html(""), display_id=True)
    return place
