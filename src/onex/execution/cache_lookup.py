"""CacheLookup: what goes into a call, and its result from an earlier run if there is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from onex.artifacts.artifact_store import ArtifactStore
from onex.artifacts.records import artifacts_in, with_paths
from onex.domain.json_value import JsonObject, JsonValue, as_object, canonical_json
from onex.domain.result import CachedOutput
from onex.execution.designation import Designations
from onex.execution.preparation import PreparedNode
from onex.execution.run_actions import CallFacts, LookUp
from onex.history.cache_key import FileDigests, Signature, cache_key, input_digest
from onex.history.journal import RunJournal


class CacheLookup:
    """Looks up calls of one run; files that do not change are read once."""

    def __init__(
        self,
        journal: RunJournal,
        artifacts: ArtifactStore,
        nodes: Mapping[str, PreparedNode],
        *,
        has_artifacts: bool,
    ) -> None:
        """``nodes`` are those of the steps; ``has_artifacts`` says whether artifacts may be among
        what the run is given."""
        self._has_artifacts = has_artifacts
        self._journal = journal
        self._artifacts = artifacts
        self._files = FileDigests()
        self._whole: set[str] = set()
        self._designations = Designations(nodes)
        self._seen: dict[str, Mapping[str, Signature]] = {}

    def facts_of(
        self, wanted: LookUp, node: PreparedNode, go_on: Callable[[], None] = lambda: None
    ) -> CallFacts:
        """What is found of a call.

        Args:
            wanted: the call, and what may be used of earlier runs.
            node: its node.
            go_on: called while files are read; what it raises ends that.

        Raises:
            SchemaMismatchError: what goes in is not what the node declares.
            PathNotEntitledError: a path goes in that its maker may not read.
        """
        earlier, call = wanted.earlier, wanted.attempts.call
        # Looking for artifacts in every value would take longer than a short call.
        inputs = as_object(with_paths(call.inputs)) if self._has_artifacts else call.inputs
        if earlier is not None and self._is_whole(earlier.output):
            # What an earlier run stored is not looked for in every value otherwise.
            self._has_artifacts |= any(artifacts_in(earlier.output))
            self._designate(wanted, node, inputs)
            return CallFacts(is_earlier_whole=True)
        node.schemas.check_inputs(inputs)
        found = input_digest(node.paths, inputs, self._files, go_on, reads_folders=wanted.has_key)
        self._designate(wanted, node, inputs)
        if found.files:
            self._seen[call.id] = found.files
        if not wanted.has_key or found.untracked:
            return CallFacts(inputs, found.digest, untracked=found.untracked)
        key = cache_key(node.key, found)
        cached = self._find(key) if wanted.may_hit else None
        return CallFacts(inputs, found.digest, key, cached=cached)

    def _designate(self, wanted: LookUp, node: PreparedNode, inputs: JsonObject) -> None:
        """Note which files are handed over to a call; raises PathNotEntitledError."""
        if node.paths or self._has_artifacts:
            attempts = wanted.attempts
            found = self._designations.of_call(attempts.call, attempts.step, node, inputs)
            attempts.readable, attempts.writable = found.readable, found.writable

    def note_artifacts(self) -> None:
        """From now on artifacts may be among the inputs of calls."""
        self._has_artifacts = True

    def has_changed(self, call_id: str) -> bool:
        """Whether a file that went into a call was written since."""
        seen = self._seen.pop(call_id, None)
        return seen is not None and any(
            self._files.has_changed(Path(path), found) for path, found in seen.items()
        )

    def _find(self, key: str) -> CachedOutput | None:
        """The result under a key, if all its artifacts are there."""
        found = self._journal.cached_output(key)
        if found is None or not found.has_artifacts:
            return found
        self._has_artifacts = True
        return found if self._is_whole(found.output) else None

    def _is_whole(self, output: JsonValue) -> bool:
        """Whether every artifact in a result is stored as it was; each is read once in a run."""
        for record in artifacts_in(output):
            key = canonical_json(record)
            if key not in self._whole:
                if not self._artifacts.has_content(record):
                    return False
                self._whole.add(key)
        return True
