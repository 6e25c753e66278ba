"""ResultLookup: whether a call's result may come from an earlier run, and that result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from onex.domain.json_value import JsonObject, JsonValue, canonical_json
from onex.domain.workflow import Step
from onex.execution.cache_key import FileDigests, Signature, cache_key, input_digest
from onex.execution.events import RunOptions
from onex.execution.preparation import PreparedNode
from onex.execution.scheduler import Call
from onex.history.artifacts import ArtifactStore, artifacts_in
from onex.history.journal import CachedOutput, RunJournal


class ResultLookup:
    """Looks results up in a journal, as far as the options of a run allow."""

    def __init__(self, journal: RunJournal, artifacts: ArtifactStore, options: RunOptions) -> None:
        self._journal = journal
        self._artifacts = artifacts
        self._files = FileDigests()
        self._whole: set[str] = set()
        self._seen: dict[str, Mapping[str, Signature]] = {}
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
        self,
        call: Call,
        node: PreparedNode,
        inputs: JsonObject,
        go_on: Callable[[], None] = lambda: None,
    ) -> tuple[str, str | None, str | None]:
        """The digest of a call's inputs; its key, or why it has none, in words for the user.

        ``go_on`` is called while files are read; what it raises ends that.
        """
        digest = input_digest(node.paths, inputs, self._files, go_on)
        if digest.files:
            self._seen[call.id] = digest.files
        if call.step.id not in self._notes:
            self._notes[call.step.id] = self._note(call.step, node)
        note = self._notes[call.step.id] or digest.untracked
        return digest.digest, None if note else cache_key(node.key, digest), note

    def has_changed(self, call_id: str) -> bool:
        """Whether a file that went into a call was written since."""
        seen = self._seen.pop(call_id, {})
        return any(self._files.has_changed(Path(path), found) for path, found in seen.items())

    def find(self, key: str | None, step_id: str) -> CachedOutput | None:
        """The result for a key, if it is whole and may be taken."""
        if key is None or step_id in self._options.refreshed:
            return None
        found = self._journal.cached_output(key)
        if found is None or not found.has_artifacts:
            return found
        return found if self.has_artifacts(found.output) else None

    def has_artifacts(self, output: JsonValue) -> bool:
        """Whether every artifact in a result is stored as it was; each is read once in a run."""
        for record in artifacts_in(output):
            key = canonical_json(record)
            if key not in self._whole:
                if not self._artifacts.has_content(record):
                    return False
                self._whole.add(key)
        return True
