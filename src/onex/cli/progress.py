"""A run as it happens: a live tree of steps on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onex.cli.output import Output, printable
from onex.domain.result import NodeExecutionResult, StepStatus

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from onex.execution.run_events import Observer, RunEvent

_MARKS = {
    StepStatus.SUCCEEDED: ("✓", "green"),
    StepStatus.FAILED: ("✗", "red"),
    StepStatus.SKIPPED: ("-", "dim"),
    StepStatus.CANCELLED: ("!", "yellow"),
}


@contextmanager
def progress_observer(output: Output, steps: Sequence[str]) -> Iterator[Observer]:
    """An observer that shows the run while the block lasts."""
    if not output.is_human or output.verbosity < 0:
        yield lambda event: None
    elif sys.stderr.isatty():
        with _live(steps) as observer:
            yield observer
    else:
        yield _Lines(output).observe


def describe_end(result: NodeExecutionResult, children: int, cached_children: int) -> str:
    """How a step ended, in one line."""
    text = f"{result.status} in {result.seconds:.2f} s"
    if children:
        text += f", {children} calls"
    if result.cached:
        text += ", all from the cache" if children else ", from the cache"
    elif cached_children:
        text += f", {cached_children} of them from the cache"
    if result.error is not None:
        text += f": {result.error.code} {result.error.message}"
    return text


@dataclass(slots=True)
class _Counts:
    total: int = 0
    ended: int = 0
    cached: int = 0


@dataclass(slots=True)
class _Lines:
    output: Output
    counts: dict[str, _Counts] = field(default_factory=dict)

    def observe(self, event: RunEvent) -> None:
        counts = self.counts.setdefault(event.step_id, _Counts())
        if event.kind == "started":
            counts.total = event.total_calls or 0
        elif event.kind == "call_ended" and event.result is not None:
            counts.ended += 1
            counts.cached += event.result.cached
        elif event.kind == "step_ended" and event.result is not None:
            self.output.note(
                f"{event.step_id}: {describe_end(event.result, counts.total, counts.cached)}"
            )


@contextmanager
def _live(steps: Sequence[str]) -> Iterator[Observer]:
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
    width = max(map(len, steps), default=0)
    with progress:
        tasks = {
            step: progress.add_task(step.ljust(width), total=None, start=False, mark=" ", note="")
            for step in steps
        }
        yield _Live(progress, tasks).observe


@dataclass(slots=True)
class _Live:
    progress: Progress
    tasks: dict[str, TaskID]
    counts: dict[str, _Counts] = field(default_factory=dict)

    def observe(self, event: RunEvent) -> None:
        task = self.tasks[event.step_id]
        counts = self.counts.setdefault(event.step_id, _Counts())
        if event.kind == "started":
            counts.total = event.total_calls or 0
            self.progress.start_task(task)
            self.progress.update(task, total=counts.total or None, mark="[cyan]•[/]")
        elif event.kind == "progress" and event.fraction is not None:
            if not counts.total:
                note = printable(event.message)[:60].replace("[", "\\[")
                self.progress.update(task, total=1.0, completed=event.fraction, note=note)
        elif event.kind == "call_ended" and event.result is not None:
            counts.ended += 1
            counts.cached += event.result.cached
            self.progress.update(
                task, completed=counts.ended, note=f"{counts.ended}/{counts.total}"
            )
        elif event.kind == "step_ended" and event.result is not None:
            mark, style = _MARKS[event.result.status]
            note = printable(describe_end(event.result, counts.total, counts.cached))[:100]
            self.progress.update(
                task,
                total=1.0,
                completed=1.0,
                mark=f"[{style}]{mark}[/]",
                note=note.replace("[", "\\["),
            )
