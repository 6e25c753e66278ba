"""CacheLookup: what goes into a call, and its result from an earlier run if there is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from onex.domain.artifact_records import artifacts_in, with_paths, with_records, without_paths
from onex.domain.json_value import (
    ARTIFACT_KEY,
    JsonObject,
    JsonValue,
    as_object,
    as_text,
    canonical_json,
)
from onex.domain.result import CachedOutput
from onex.execution.designation import Designations, OfferedFolders
from onex.execution.preparation import PreparedNode
from onex.execution.run_actions import CallAttempts, CallFacts, LookUp
from onex.history.cache_key import FileDigests, Signature, cache_key, input_digest
from onex.history.journal import RunJournal

BringArtifact = Callable[[JsonObject, Callable[[], None]], JsonObject | None]
"""Has the artifact of a record here; gives the record as it is here, None if it cannot be had."""


class CacheLookup:
    """Looks up calls of one run; files that do not change are read once."""

    def __init__(
        self,
        journal: RunJournal,
        bring: BringArtifact,
        nodes: Mapping[str, PreparedNode],
        *,
        has_artifacts: bool,
        is_shared: bool = False,
        offered: OfferedFolders | None = None,
    ) -> None:
        """Prepare for the calls of a run.

        Args:
            journal: has the results of earlier runs.
            bring: has the artifact of a record here, as ``ArtifactStore.bring`` does.
            nodes: those of the steps.
            has_artifacts: whether artifacts may be among what the run is given.
            is_shared: whether other machines may use the results.
            offered: the folders whose files may be handed over; None for any.
        """
        self._is_shared = is_shared
        self._has_artifacts = has_artifacts
        self._journal = journal
        self._bring = bring
        self._files = FileDigests()
        self._brought: dict[str, JsonObject | None] = {}
        self._designations = Designations(nodes, offered)
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
            ArtifactsUnavailableError: the shared store of artifacts cannot be used.
            PathNotEntitledError: a path goes in that its maker may not read.
            PathOutsideRootsError: a path goes in that is not offered.
        """
        earlier, call = wanted.earlier, wanted.attempts.call
        # Looking for artifacts in every value would take longer than a short call.
        inputs = as_object(with_paths(call.inputs)) if self._has_artifacts else call.inputs
        if earlier is not None:
            with suppress(_ArtifactMissingError):
                output = self._here(earlier.output, go_on)
                self._designate(wanted, node, inputs)
                return CallFacts(earlier=replace(earlier, output=output))
        node.schemas.check_inputs(inputs)
        artifacts, counted = {}, inputs
        if self._has_artifacts:
            records = artifacts_in(call.inputs)
            artifacts = {as_text(one["path"]): as_text(one[ARTIFACT_KEY]) for one in records}
            counted = as_object(without_paths(call.inputs))
        found = input_digest(
            node.paths,
            inputs,
            self._files,
            go_on,
            artifacts=artifacts,
            counted=counted,
            reads_folders=wanted.has_key,
        )
        self._designate(wanted, node, inputs)
        if found.files:
            self._seen[call.id] = found.files
        if not wanted.has_key or found.untracked:
            return CallFacts(inputs, found.digest, untracked=found.untracked)
        key = cache_key(node.key, found)
        cached = self._find(key, go_on) if wanted.may_hit else None
        return CallFacts(inputs, found.digest, key, cached=cached)

    def _designate(self, wanted: LookUp, node: PreparedNode, inputs: JsonObject) -> None:
        """Note which files are handed over to a call; raises PathNotEntitledError."""
        if node.paths or self._has_artifacts:
            attempts = wanted.attempts
            found = self._designations.of_call(attempts.call, attempts.step, node, inputs)
            attempts.readable = (*found.artifacts, *found.readable)
            attempts.designated, attempts.writable = found.readable, found.writable

    def note_artifacts(self) -> None:
        """From now on artifacts may be among the inputs of calls."""
        self._has_artifacts = True

    def why_not_kept(self, attempts: CallAttempts, output: JsonValue) -> str | None:
        """Why no later run may use a result, in words; None if one may."""
        seen = self._seen.pop(attempts.call.id, None)
        if seen is not None and any(
            self._files.has_changed(Path(path), found) for path, found in seen.items()
        ):
            return "a file that went in changed meanwhile"
        artifacts = set(attempts.readable) - set(attempts.designated)
        if self._is_shared and artifacts:
            told = canonical_json(without_paths(output))
            if any(canonical_json(path)[1:-1] in told for path in artifacts):
                return "it holds the path of an artifact, which is another on each machine"
        return None

    def _find(self, key: str, go_on: Callable[[], None]) -> CachedOutput | None:
        """The result under a key, if all its artifacts can be had."""
        found = self._journal.cached_output(key)
        if found is None or not found.has_artifacts:
            return found
        with suppress(_ArtifactMissingError):
            return replace(found, output=self._here(found.output, go_on))
        return None

    def _here(self, output: JsonValue, go_on: Callable[[], None]) -> JsonValue:
        """A recorded result with its artifacts on this machine; each is brought once in a run.

        Raises:
            _ArtifactMissingError: one of them cannot be had.
        """
        if not any(artifacts_in(output)):
            return output
        # What an earlier run stored is not looked for in every value otherwise.
        self._has_artifacts = True

        def here(record: JsonObject) -> JsonObject:
            key = canonical_json(record)
            if key not in self._brought:
                self._brought[key] = self._bring(record, go_on)
            brought = self._brought[key]
            if brought is None:
                raise _ArtifactMissingError
            return brought

        return with_records(output, here)


class _ArtifactMissingError(Exception):
    """An artifact of an earlier result is not there any more."""
