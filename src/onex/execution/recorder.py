"""RunRecorder: batches journal writes, and notifies observers only after a batch is committed."""

from __future__ import annotations

from onex.domain.artifact_records import artifacts_in
from onex.domain.json_value import ARTIFACT_KEY, as_text
from onex.execution.events import Observer
from onex.execution.run_actions import Write
from onex.execution.run_telemetry import RunTelemetry
from onex.history.journal import ArtifactUse, JournalEntries, RunJournal


class RunRecorder:
    """Writes what ended in a run to the journal, with the artifacts that it refers to."""

    def __init__(self, journal: RunJournal, observer: Observer, telemetry: RunTelemetry) -> None:
        self._run_id = telemetry.run_id
        self._journal = journal
        self._telemetry = telemetry
        self._observer = observer

    def write(self, action: Write) -> None:
        """Write a batch, and announce its events.

        Raises:
            StorageError: the journal fails; nothing is announced then.
        """
        uses: list[ArtifactUse] = []
        for entry in action.entries:
            if entry.may_hold_artifacts:
                for record in artifacts_in(entry.output):
                    digest, name = as_text(record[ARTIFACT_KEY]), str(record.get("name"))
                    uses.append(ArtifactUse(digest, self._run_id, entry.result.step_id, name))
        if action.entries:
            ended = [entry.result for entry in action.entries]
            kept = [entry.result for entry in action.entries if entry.is_kept]
            self._telemetry.recorded(action.entries)
            measured = self._telemetry.take_measurements()
            self._journal.record(self._run_id, JournalEntries(ended, kept, uses, measured))
        for event in action.events:
            self._observer(event)
