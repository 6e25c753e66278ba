"""ResultLookup: whether a call's result may come from an earlier run, and that result."""

from __future__ import annotations

from pathlib import Path

from onex.domain.json_value import JsonObject
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

    def facts_of(
        self, call: Call, node: PreparedNode, inputs: JsonObject
    ) -> tuple[str, str | None, str | None]:
        """The digest of a call's inputs; its key, or why it has none, in words for the user."""
        digest = input_digest(node.path_inputs, inputs)
        note = digest.untracked
        if not node.registered.metadata.idempotent:
            note = "the node is not marked idempotent"
        elif not (self._options.use_cache and call.step.use_cache):
            note = "the cache is turned off for this step"
        elif not call.is_reproducible:
            note = "the inputs refer to this run itself"
        return digest.digest, None if note else cache_key(node.key, digest), note

    def find(self, key: str | None, step_id: str) -> CachedOutput | None:
        """The result for a key, if it is whole and may be taken."""
        if key is None or step_id in self._options.refreshed:
            return None
        found = self._journal.cached_output(key)
        if found is None:
            return None
        artifacts = artifacts_in(found.output)
        return found if all(Path(str(a["path"])).exists() for a in artifacts) else None
