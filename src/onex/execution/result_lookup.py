"""ResultLookup: whether a call's result may come from an earlier run, and that result."""

from __future__ import annotations

from pathlib import Path

from onex.domain.json_value import JsonObject, as_text
from onex.domain.workflow import Step
from onex.execution.artifacts import artifacts_in
from onex.execution.prepared_plan import PreparedNode
from onex.execution.result_cache import cache_key, input_digest
from onex.execution.run_events import RunOptions
from onex.execution.scheduler import Call
from onex.storage.journal import CachedOutput, RunJournal


class ResultLookup:
    """Looks results up in a journal, as far as the options of a run allow."""

    def __init__(self, journal: RunJournal, options: RunOptions) -> None:
        self._journal = journal
        self._options = options
        self._notes: dict[str, str | None] = {}

    def may_find(self, step: Step, node: PreparedNode) -> bool:
        """Whether results for calls of a step could be looked up at all."""
        return self._note(step, node) is None

    def _note(self, step: Step, node: PreparedNode) -> str | None:
        """Why no result of a step comes from the cache, in words for the user."""
        if not node.registered.metadata.idempotent:
            return "the node is not marked idempotent"
        if not (self._options.use_cache and step.use_cache):
            return "the cache is turned off for this step"
        if step.refers_to_run:
            return "the inputs refer to this run itself"
        return None

    def facts_of(
        self, call: Call, node: PreparedNode, inputs: JsonObject
    ) -> tuple[str, str | None, str | None]:
        """The digest of a call's inputs; its key, or why it has none, in words for the user."""
        digest = input_digest(node.path_inputs, inputs)
        if call.step.id not in self._notes:
            self._notes[call.step.id] = self._note(call.step, node)
        note = self._notes[call.step.id] or digest.untracked
        return digest.digest, None if note else cache_key(node.key, digest), note

    def find(self, key: str | None, step_id: str) -> CachedOutput | None:
        """The result for a key, if it is whole and may be taken."""
        if key is None or step_id in self._options.refreshed:
            return None
        found = self._journal.cached_output(key)
        if found is None or not found.has_artifacts:
            return found
        paths = (Path(as_text(record["path"])) for record in artifacts_in(found.output))
        return found if all(path.exists() for path in paths) else None
