"""RunRecorder: what is told of a run: to the journal in groups, then to those who watch."""

from __future__ import annotations

from onex.domain.json_value import JsonValue, as_text
from onex.domain.result import NodeExecutionResult
from onex.execution.events import Observer, RunEvent
from onex.history.artifacts import artifacts_in
from onex.history.journal import ArtifactUse, JournalEntries, RunJournal
from onex.worker.context import ARTIFACT_KEY

MAXIMUM_GROUP = 256
"""So many records are written at once at most, so that a long series of hits is not one group."""


class RunRecorder:
    """Gathers what happens in a run until it is written; nothing is announced before that."""

    def __init__(self, run_id: str, journal: RunJournal, observer: Observer) -> None:
        self._run_id = run_id
        self._journal = journal
        self._observer = observer
        self._entries = JournalEntries()
        self._events: list[RunEvent] = []

    @property
    def is_full(self) -> bool:
        """Whether it is time to write."""
        return len(self._entries) >= MAXIMUM_GROUP

    def end(
        self,
        result: NodeExecutionResult,
        *,
        may_hold_artifacts: bool = True,
        handed_on: JsonValue = None,
    ) -> bool:
        """A call or a step ended; returns whether artifacts stand in its result.

        ``handed_on`` is the result, if it is more than what is recorded.
        """
        self._entries.ended.append(result)
        if not may_hold_artifacts:
            return False
        records = list(artifacts_in(result.output if handed_on is None else handed_on))
        for record in records:
            use = (as_text(record[ARTIFACT_KEY]), self._run_id, result.step_id)
            self._entries.artifacts.append(ArtifactUse(*use, str(record.get("name"))))
        return bool(records)

    def keep(self, result: NodeExecutionResult) -> None:
        """Keep the result of a call that ended for later runs, if it has a key."""
        if result.cache_key is not None:
            self._entries.kept.append(result)

    def announce(self, event: RunEvent) -> None:
        """Tell those who watch, once all that came before is written."""
        self._events.append(event)

    def write(self) -> None:
        """Write what was gathered; raises StorageError, and announces nothing then."""
        if self._entries:
            entries, self._entries = self._entries, JournalEntries()
            self._journal.record(self._run_id, entries)
        events, self._events = self._events, []
        for event in events:
            self._observer(event)
