"""``onex runs watch``"""

from __future__ import annotations

import time
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.domain.errors import ExitCode, RunNotFoundError
from onex.domain.result import NodeExecutionResult, RunStatus, StepStatus
from onex.domain.workflow import is_child
from onex.history.journal import RunRecord
from onex.history.live_log import added_to
from onex.history.run_history import RunHistory
from onex.registry import Registry

LOOK_SECONDS = 0.3
_STYLES = {StepStatus.SUCCEEDED: "green", StepStatus.FAILED: "red", StepStatus.CANCELLED: "yellow"}
_CODES = {
    RunStatus.SUCCEEDED: ExitCode.SUCCESS,
    RunStatus.CANCELLED: ExitCode.CANCELLED,
}


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@home_option
@output_options
def watch(output: Output, run_id: str | None, home: Path | None) -> int:
    """Follow a run until it ends: its steps as they end, and what they print.

    Without RUN, the latest that runs. The exit code is that of the run.
    """
    with Registry.open(home) as registry:
        history = registry.history
        watched = _Watched(history, output, history.run(run_id or _latest(history)).run_id)
        record = watched.follow()
    summary = record.summary()
    output.emit(
        summary,
        lambda: output.line(f"run {record.run_id} of {record.workflow} {record.status}", "bold"),
    )
    return _CODES.get(record.status, ExitCode.EXECUTION_FAILED)


def _latest(history: RunHistory) -> str:
    running = history.journal.in_progress()
    if not running:
        raise RunNotFoundError(
            "nothing runs at the moment", hint="onex runs list shows what ran; name a run"
        )
    return running[0].run.run_id


class _Watched:
    """One run, and how much of it was told."""

    def __init__(self, history: RunHistory, output: Output, run_id: str) -> None:
        self._history = history
        self._output = output
        self._run_id = run_id
        self._told: set[str] = set()
        self._printed: dict[str, str] = {}

    def follow(self) -> RunRecord:
        """Tell what happens until the run ends; returns its record."""
        mark = None
        while True:
            now = self._history.mark_of(self._run_id)
            if now != mark:
                mark = now
                record = self._history.run(self._run_id)
                self._tell_logs()
                self._tell_steps(record)
                if record.status is not RunStatus.RUNNING:
                    return record
            time.sleep(LOOK_SECONDS)

    def _tell_logs(self) -> None:
        for call_id, text in self._history.live_logs(self._run_id).items():
            before = self._printed.get(call_id, "")
            self._print(call_id, added_to(before, text))
            self._printed[call_id] = text

    def _tell_steps(self, record: RunRecord) -> None:
        for step in record.steps.values():
            if step.step_id in self._told or not step.status.is_final:
                continue
            self._told.add(step.step_id)
            self._print(step.step_id, added_to(self._printed.pop(step.step_id, ""), step.log))
            if not is_child(step.step_id) or step.error is not None:
                self._tell_end(step)

    def _tell_end(self, step: NodeExecutionResult) -> None:
        how = "from the cache" if step.cached else f"in {step.seconds:.2f} s"
        style = _STYLES.get(step.status, "dim")
        self._output.note(f"{step.step_id}: {step.status} {how}", style)
        if step.error is not None:
            self._output.note(f"    {step.error.code}: {step.error.message}", "red")

    def _print(self, call_id: str, text: str) -> None:
        for line in text.splitlines():
            self._output.note(f"{call_id} | {line}", "dim")
