"""RunHistory: what is known of the runs of one registry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from onex.artifacts.artifact_store import ArtifactStore
from onex.artifacts.file_content import content_digest
from onex.artifacts.shared_artifacts import SharedArtifacts
from onex.domain.errors import (
    ArtifactNotFoundError,
    RunNotFoundError,
    RunNotResumableError,
)
from onex.domain.json_value import JsonValue
from onex.domain.result import RunStatus
from onex.history.journal import EVERY_RUN, RunFilter, RunJournal, RunRecord
from onex.history.live_log import LiveLog, mark_of_file, read_live_logs
from onex.history.provenance import Provenance, trace_artifact
from onex.local_machine import remove_tree

LATEST = "latest"
"""What stands for the run that began last."""


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What pruning removed, or would remove."""

    runs: Sequence[str]
    cached_results: int
    artifacts: int
    size_bytes: int

    def to_json(self) -> dict[str, JsonValue]:
        """The report in the shape that ``runs prune`` prints."""
        return {
            "runs": list(self.runs),
            "cached_results": self.cached_results,
            "artifacts": self.artifacts,
            "bytes": self.size_bytes,
        }


class RunHistory:
    """Reads and prunes the runs of one registry. One object serves one thread."""

    def __init__(
        self, journal: RunJournal, home: Path, shared: SharedArtifacts | None = None
    ) -> None:
        """``home`` is the registry's folder; ``shared`` has artifacts for other machines too."""
        self.journal = journal
        self.artifacts = ArtifactStore(home / "artifacts", shared)
        self._folders = home / "runs"
        self._live = home / "live"

    def close(self) -> None:
        """Release the journal, and the connections to the shared store."""
        self.artifacts.close()
        self.journal.close()

    def runs(self, limit: int | None = None, which: RunFilter = EVERY_RUN) -> Sequence[RunRecord]:
        """The latest runs, newest first, without their content; all of them for None."""
        return self.journal.runs(limit, which)

    def run(self, run_id: str) -> RunRecord:
        """One run with its steps; raises RunNotFoundError.

        Args:
            run_id: its identifier, the start of it, or ``latest`` for the one that began last.
        """
        if run_id == LATEST:
            latest = self.journal.runs(1)
            if not latest:
                raise RunNotFoundError("nothing has run yet", hint="onex run WORKFLOW runs one")
            run_id = latest[0].run_id
        record = self.journal.run(run_id)
        if record is None:
            raise RunNotFoundError(
                f"there is no one run {run_id!r}", hint="onex runs list shows their identifiers"
            )
        return record

    def mark(self) -> str:
        """What tells one state of the list of runs from another."""
        return self.journal.mark()

    def mark_of(self, run_id: str) -> str:
        """What tells one state of a run from another."""
        return f"{self.journal.mark_of(run_id)}-{mark_of_file(self._live_file(run_id))}"

    def live_logs(self, run_id: str) -> Mapping[str, str]:
        """What the calls of a run that runs have printed until now, by their identifiers."""
        return read_live_logs(self._live_file(run_id))

    def _live_file(self, run_id: str) -> Path:
        return self._live / f"{run_id}.json"

    def live_log(self, run_id: str) -> LiveLog:
        """Where what calls print is written while they run; the caller closes it."""
        return LiveLog(self._live_file(run_id))

    def cancel(self, run_id: str) -> None:
        """Ask the process of a run, wherever it is, to end it.

        Raises:
            RunNotFoundError: there is no such run.
            RunNotResumableError: it does not run, or its process cannot be reached.
        """
        record = self.run(run_id)
        if not self.journal.interrupt(record.run_id):
            raise RunNotResumableError(
                f"run {record.run_id} is {record.status} and cannot be cancelled",
                hint="onex runs list shows what runs",
            )

    def provenance(self, target: str) -> Provenance:
        """The origin of an artifact (its digest), or of a file with the content of one.

        Raises:
            ArtifactNotFoundError: no recorded run gave it.
        """
        path = Path(target)
        digest = content_digest(path) if path.is_file() else target
        found = trace_artifact(digest, self.journal)
        if found is None:
            raise ArtifactNotFoundError(
                f"no recorded run gave {target}",
                hint="name a file that a run gave, unchanged, or the sha256: digest of one",
            )
        return found

    def prune(
        self,
        *,
        keep: int | None = None,
        older_than: timedelta | None = None,
        dry_run: bool = False,
    ) -> PruneReport:
        """Remove old runs, and the results and artifacts that nothing refers to then.

        Args:
            keep: how many of the latest runs stay.
            older_than: only runs that began longer ago are removed. Without either limit no
                run is, and only what is not referred to goes.
            dry_run: whether to say which runs would go, and remove nothing; artifacts are not
                counted then.
        """
        chosen = list(_prunable(self.journal.runs(None), keep, older_than))
        if dry_run:
            return PruneReport(chosen, 0, 0, 0)
        pruned = self.journal.prune(chosen)
        self._remove_leftovers()
        removed = self.artifacts.remove_others(self.journal.artifact_digests)
        return PruneReport(
            pruned.runs, pruned.cached_results, len(removed.digests), removed.size_bytes
        )

    def _remove_leftovers(self) -> None:
        """Remove the working folders of runs that were killed, and what they printed last."""
        # Listed before the runs: the folder of one that begins meanwhile is not among them.
        folders, live = list(self._folders.glob("*")), list(self._live.glob("*"))
        running = {r.run_id for r in self.journal.runs(None) if r.status is RunStatus.RUNNING}
        for folder in folders:
            if folder.name not in running:
                remove_tree(folder)
        for file in live:
            if file.stem not in running:
                file.unlink(missing_ok=True)


def _prunable(
    runs: Iterable[RunRecord], keep: int | None, older_than: timedelta | None
) -> Iterator[str]:
    if keep is None and older_than is None:
        return
    newest = None if older_than is None else datetime.now(UTC) - older_than
    for position, run in enumerate(runs):
        is_old = newest is None or datetime.fromisoformat(run.started_at) < newest
        if is_old and position >= (keep or 0) and run.status is not RunStatus.RUNNING:
            yield run.run_id
