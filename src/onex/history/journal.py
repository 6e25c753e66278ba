"""RunJournal: what is kept of runs, and of results that later runs may use."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from onex.domain.errors import RunNotResumableError
from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.onex_result import batch_execution_result
from onex.domain.result import (
    CachedOutput,
    NodeExecutionResult,
    RunResult,
    RunStatus,
    StepError,
    Timing,
)
from onex.domain.workflow import Workflow
from onex.history.start_log import StartLog
from onex.telemetry.measurements import Measurements


def new_run_id() -> str:
    """An identifier that sorts by time: seconds and microseconds in UTC, then a random part."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond:05x}{secrets.token_hex(2)[:3]}"


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that starts.

    ``definition`` is the workflow, ``plan`` what it will do, ``replay_of`` the run that it
    repeats; ``started_at`` is an RFC 3339 timestamp in UTC.
    """

    run_id: str
    workflow: str
    started_at: str
    definition: JsonObject
    plan: JsonObject
    inputs: JsonObject
    replay_of: str | None = None


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are meant; what is None does not filter.

    ``since`` is a moment in UTC, as ``RunRecord.started_at`` writes it.
    """

    status: RunStatus | None = None
    workflow: str | None = None
    since: str | None = None


EVERY_RUN = RunFilter()


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as the history holds it; ``steps`` is filled only by ``run``."""

    run_id: str
    workflow: str
    status: RunStatus
    started_at: str
    seconds: float | None
    overhead_seconds: float | None
    replay_of: str | None = None
    definition: JsonObject = field(default_factory=dict)
    plan: JsonObject = field(default_factory=dict)
    inputs: JsonObject = field(default_factory=dict)
    outputs: JsonValue = None
    error: StepError | None = None
    steps: Mapping[str, NodeExecutionResult] = field(default_factory=dict)

    def recorded_workflow(self) -> Workflow:
        """The workflow that was run.

        Raises:
            RunNotResumableError: an older onex recorded the run without it.
        """
        if not self.definition:
            raise RunNotResumableError(
                f"run {self.run_id} was recorded without its workflow", hint="start a new run"
            )
        return Workflow.from_json(self.definition)

    def summary(self) -> dict[str, JsonValue]:
        """The run in the shape that ``runs list`` prints."""
        return {
            "run_id": self.run_id,
            "workflow": self.workflow,
            "status": self.status.value,
            "started_at": self.started_at,
            "seconds": self.seconds,
            "overhead_seconds": self.overhead_seconds,
            "replay_of": self.replay_of,
        }

    def to_json(self) -> dict[str, JsonValue]:
        """The record in the shape that ``runs show`` prints, with the fields of an ONEX result."""
        batch = batch_execution_result(
            self.run_id, self.status, self.started_at, self.seconds or 0.0, self.steps
        )
        return self.summary() | {
            "batch_id": batch["batch_id"],
            "batch_status": batch["status"],
            "results": batch["results"],
            "completed_at": None if self.seconds is None else batch["completed_at"],
            "inputs": self.inputs,
            "outputs": self.outputs,
            "error": self.error.to_json() if self.error else None,
            "plan": self.plan,
            "steps": {
                name: {
                    "step_id": name,
                    **step.to_json(),
                    "output": step.output,
                    "log": step.log,
                }
                for name, step in self.steps.items()
            },
        }


@dataclass(frozen=True, slots=True)
class ArtifactUse:
    """A call whose result holds an artifact."""

    digest: str
    run_id: str
    step_id: str
    name: str


@dataclass(slots=True)
class JournalEntries:
    """Calls and steps that ended, recorded in one transaction.

    ``kept`` are those of the ended whose results later runs may use, ``measured`` is what was
    measured meanwhile.
    """

    ended: list[NodeExecutionResult] = field(default_factory=list)
    kept: list[NodeExecutionResult] = field(default_factory=list)
    artifacts: list[ArtifactUse] = field(default_factory=list)
    measured: Measurements | None = None

    def __len__(self) -> int:
        return len(self.ended)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed from the history: runs, and how many cached results."""

    runs: Sequence[str]
    cached_results: int


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a run is that runs now.

    ``calls`` are those in progress; ``waiting`` is how many steps of ``total`` have neither ended
    nor started.
    """

    run: RunRecord
    calls: Sequence[str]
    waiting: int
    total: int


class RunJournal(Protocol):
    """Stores runs; every method raises StorageError if the storage fails."""

    def begin(self, run: NewRun) -> None:
        """Record that a run starts."""
        ...

    def held(self, run_id: str, on_cancel: Callable[[], None]) -> AbstractContextManager[None]:
        """Hold a run that was begun or resumed as this process's own while the block lasts.

        ``on_cancel`` is called, from any thread, when the run is to end: somebody elsewhere asked
        for it, or another process took it over.
        """
        ...

    def resume(self, run_id: str, plan: JsonObject, again: Collection[str]) -> RunRecord | None:
        """Mark a run that ended early as running again; None if it still runs or succeeded.

        Of two that ask at the same time, one gets it. From now on it follows ``plan``, and what
        the steps ``again`` had given is forgotten.
        """
        ...

    def record(self, run_id: str, entries: JournalEntries) -> None:
        """Record what happened, all of it or nothing; it is stored when the call returns.

        Raises:
            RunLostError: the run belongs to another process now, or to none.
        """
        ...

    def start_log(self, run_id: str, repeatable: Container[str] = ()) -> StartLog:
        """Where the starts of the run's calls are noted; the caller closes it.

        The starts of steps that are ``repeatable`` are of interest only while they last.
        """
        ...

    def finish(
        self,
        result: RunResult,
        timings: Iterable[Timing] = (),
        measured: Measurements | None = None,
    ) -> None:
        """Record the end of a run, with what was measured of it; raises as ``record``."""
        ...

    def runs(self, limit: int | None, which: RunFilter = EVERY_RUN) -> Sequence[RunRecord]:
        """The latest runs, newest first, without their content; all of them for None."""
        ...

    def run(self, run_id: str) -> RunRecord | None:
        """One run with its steps; an unambiguous prefix of its identifier will do.

        Calls that started and did not end are among the steps as running.
        """
        ...

    def in_progress(self) -> Sequence[RunProgress]:
        """The runs that run now, the latest first."""
        ...

    def mark(self) -> str:
        """What tells one state of the list of runs from another; costs next to nothing."""
        ...

    def mark_of(self, run_id: str) -> str:
        """What tells one state of a run from another; costs next to nothing."""
        ...

    def interrupt(self, run_id: str) -> bool:
        """Ask the process of a run to end it; returns whether it was asked.

        It is not if the run does not run.
        """
        ...

    def cached_output(self, key: str) -> CachedOutput | None:
        """The stored result for a key."""
        ...

    def timings(self, digests: Iterable[str]) -> Mapping[str, Sequence[Timing]]:
        """For each node digest, what its calls took in the latest runs, newest first."""
        ...

    def artifact_uses(self, digest: str) -> Sequence[ArtifactUse]:
        """The calls whose results hold an artifact, oldest first."""
        ...

    def artifact_digests(self) -> frozenset[str]:
        """Every artifact that a recorded run or a cached result refers to."""
        ...

    def prune(self, run_ids: Iterable[str]) -> Pruned:
        """Remove runs, and the cached results that they made and no other run used.

        A run that is running by then stays.
        """
        ...

    def close(self) -> None:
        """Release the storage."""
        ...
