"""A run as it happens: a live tree of steps on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from onex.cli.output import Output, printable
from onex.domain.errors import OutputNotWrittenError, PathNotReadableError
from onex.domain.result import NodeExecutionResult, StepStatus
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
from onex.execution.progress_display import StepCounts, StepLines, describe_end

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

MAXIMUM_ROWS = 30
"""With more steps than this, only those that run are shown, under a bar for all of them."""

_MARKS = {
    StepStatus.SUCCEEDED: ("✓", "green"),
    StepStatus.FAILED: ("✗", "red"),
    StepStatus.SKIPPED: ("-", "dim"),
    StepStatus.CANCELLED: ("!", "yellow"),
}


@contextmanager
def run_observer(output: Output, events: Path | None = None) -> Iterator[Observer]:
    """An observer that shows the run while the block lasts, and writes its events if asked.

    Args:
        output: how this command prints.
        events: a file for the events as lines of JSON, ``-`` for standard output.
    """
    with ExitStack() as stack:
        observers: list[Observer] = []
        if events is not None:
            observers.append(_EventLines(stack.enter_context(_opened(events))).observe)
        if output.is_human and output.verbosity >= 0:
            observers.append(lambda event: _print_warning(output, event))
            is_live = sys.stderr.isatty()
            shown = stack.enter_context(_live()) if is_live else StepLines(output.note).observe
            observers.append(shown)
            if output.verbosity > 0:
                observers.append(lambda event: _print_log(output, event))

        def observe(event: RunEvent) -> None:
            for observer in tuple(observers):
                try:
                    observer(event)
                except (OSError, ValueError, OutputNotWrittenError) as error:
                    # Whoever watches may go away; what runs goes on.
                    observers.remove(observer)
                    with contextlib.suppress(OSError, ValueError, OutputNotWrittenError):
                        output.warning(f"the run is not followed any more: {error}")

        yield observe


def _print_warning(output: Output, event: RunEvent) -> None:
    if isinstance(event, Warned):
        output.warning(event.message)


def _print_log(output: Output, event: RunEvent) -> None:
    if isinstance(event, Logged):
        for line in event.text.splitlines():
            output.note(f"{event.call_id} | {line}", "dim")


@contextmanager
def _opened(events: Path) -> Iterator[TextIO]:
    if str(events) == "-":
        yield sys.stdout
        return
    try:
        stream = events.open("w", encoding="utf-8")
    except OSError as error:
        raise PathNotReadableError(
            f"{events} cannot be written: {error.strerror}", hint="name another file for --events"
        ) from error
    try:
        yield stream
    finally:
        # What a full disk did not take is lost with the events, and with nothing else.
        with contextlib.suppress(OSError):
            stream.close()


@dataclass(frozen=True, slots=True)
class _EventLines:
    stream: TextIO

    def observe(self, event: RunEvent) -> None:
        self.stream.write(json.dumps(event.to_json(), ensure_ascii=False) + "\n")
        self.stream.flush()


@contextmanager
def _live() -> Iterator[Observer]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    progress = Progress(
        TextColumn("{task.fields[mark]}"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        refresh_per_second=12,
    )
    with progress:
        yield _Live(progress).observe


@dataclass(slots=True)
class _Live:
    progress: Progress
    tasks: dict[str, TaskID] = field(default_factory=dict)
    counts: dict[str, StepCounts] = field(default_factory=dict)
    total: TaskID | None = None
    width: int = 0
    steps: int = 0
    ended_steps: int = 0
    started: float = field(default_factory=time.monotonic)
    forecast_seconds: float | None = None

    def observe(self, event: RunEvent) -> None:
        if isinstance(event, RunStarted):
            self._begin(event)
        if isinstance(event, RunStarted | Warned | RunEnded | Logged):
            return
        counts = self.counts.setdefault(event.step_id, StepCounts())
        match event:
            case StepStarted():
                counts.total = event.total_calls or 0
                task = self._task(event.step_id)
                self.progress.start_task(task)
                self.progress.update(task, total=counts.total or None, mark="[cyan]•[/]")
            case Progressed():
                if not counts.total:
                    self._note(event.step_id, event.message, total=1.0, completed=event.fraction)
            case RetryScheduled():
                self._note(event.step_id, event.message)
            case CallEnded():
                counts.add(event.result)
                note = f"{counts.ended}/{counts.total}"
                self._note(event.step_id, note, completed=float(counts.ended))
            case StepEnded():
                self._end(event.step_id, event.result, counts)
        self._update_total()

    def _begin(self, event: RunStarted) -> None:
        self.steps = len(event.steps)
        self.forecast_seconds = event.forecast_seconds
        self.width = max((len(step) for step in event.steps[:MAXIMUM_ROWS]), default=0)
        if self.steps <= MAXIMUM_ROWS:
            for step in event.steps:
                self._task(step)
        self.total = self.progress.add_task(
            "run".ljust(self.width), total=self.steps, mark=" ", note=""
        )
        self._update_total()

    def _task(self, step_id: str) -> TaskID:
        if step_id not in self.tasks:
            self.tasks[step_id] = self.progress.add_task(
                step_id.ljust(self.width), total=None, start=False, mark=" ", note=""
            )
        return self.tasks[step_id]

    def _note(
        self,
        step_id: str,
        note: str,
        *,
        total: float | None = None,
        completed: float | None = None,
    ) -> None:
        text = printable(note)[:60].replace("[", "\\[")
        self.progress.update(self._task(step_id), total=total, completed=completed, note=text)

    def _end(self, step_id: str, result: NodeExecutionResult, counts: StepCounts) -> None:
        self.ended_steps += 1
        if self.steps > MAXIMUM_ROWS and result.error is None:
            task = self.tasks.pop(step_id, None)
            if task is not None:
                self.progress.remove_task(task)
            return
        mark, style = _MARKS[result.status]
        note = printable(describe_end(result, counts))[:100]
        self.progress.update(
            self._task(step_id),
            total=1.0,
            completed=1.0,
            mark=f"[{style}]{mark}[/]",
            note=note.replace("[", "\\["),
        )

    def _update_total(self) -> None:
        if self.total is None:
            return
        elapsed = time.monotonic() - self.started
        note = f"{self.ended_steps}/{self.steps} steps, {elapsed:.1f} s"
        if self.forecast_seconds is not None and self.ended_steps < self.steps:
            left = self.forecast_seconds - elapsed
            note += f", about {left:.0f} s left" if left >= 1 else ", nearly done"
        self.progress.update(self.total, completed=self.ended_steps, note=note)
