"""CallBoundary: the input of node calls, and the check of their output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

from onex.artifacts.artifact_store import ArtifactStore
from onex.domain.artifact_records import is_artifact
from onex.domain.errors import (
    InvalidResultError,
    OnexError,
    SchemaMismatchError,
    SecretInResultError,
)
from onex.domain.json_value import JsonValue, find_unwritable, writable
from onex.domain.result import NOT_RECORDED, CallEnd, CallFailure, CallOutcome
from onex.engines.engine import NodeCall, OnEnd
from onex.engines.redaction import LogTail, Redaction
from onex.engines.work_folders import WorkFolders
from onex.execution.context_factory import ExecutionContextFactory
from onex.execution.preparation import PreparedNode
from onex.execution.run_actions import CallAttempts, CheckedOutput
from onex.schemas.places import NO_PLACES, changed_at


@dataclass(frozen=True, slots=True)
class CallBoundary:
    """What goes out to nodes and comes back from them in one run.

    ``redaction`` hides the secrets of all nodes of the run, since one may hand a secret to
    another. ``fetches`` says that artifacts which other machines stored must be fetched at once.
    """

    run_id: str
    folders: WorkFolders
    contexts: ExecutionContextFactory
    artifacts: ArtifactStore
    redaction: Redaction
    fetches: bool = True

    def outgoing(
        self,
        attempts: CallAttempts,
        node: PreparedNode,
        on_start: Callable[[str], None],
        on_progress: Callable[[float, str], None],
        on_end: OnEnd,
        *,
        alone: bool,
        on_log: Callable[[LogTail], None] = lambda log: None,
        traceparent: str | None = None,
    ) -> NodeCall:
        """The call as an engine is handed it, with a working folder of its own."""
        call_id = attempts.call.id
        is_shared = node.loaded.may_share_process(attempts.readable, attempts.writable)
        # What shares a process can write to the folder of all calls that do.
        owner = node.folder if is_shared else f"{node.folder}-alone"
        context = self.contexts.create_context(
            self.run_id, call_id, self.folders.take(owner), node.grants, traceparent
        )
        return NodeCall(
            id=call_id,
            node=node.loaded,
            inputs=attempts.inputs,
            context=context,
            on_end=on_end,
            on_start=on_start,
            on_progress=on_progress,
            on_log=on_log,
            redaction=self.redaction,
            alone=alone,
            readable=attempts.readable,
            writable=attempts.writable,
            given=attempts.call.inputs,
            designated=attempts.designated,
            timeout_seconds=attempts.step.timeout_seconds,
            resources=attempts.step.resources,
            priority=attempts.step.priority,
        )

    def incoming(
        self, node: PreparedNode, end: CallEnd, workdir: str
    ) -> CheckedOutput | CallFailure:
        """Check the end of a call against what its node declares, and store its artifacts.

        The working folder is given back.
        """
        try:
            if isinstance(end, CallFailure):
                return self._failure(node, end)
            return self._checked(node, end, workdir)
        except OnexError as error:
            return self._failure(node, CallFailure(error, log=end.log))
        finally:
            self.folders.give_back(workdir)

    def _failure(self, node: PreparedNode, failure: CallFailure) -> CallFailure:
        """The failure with places in the author's own files."""

        def told(text: str) -> str:
            return node.loaded.at_origin(writable(text))

        error, detail = copy(failure.error), failure.detail
        error.message = told(error.message)
        log = self.redaction.text(told(failure.log))
        return CallFailure(error, None if detail is None else told(detail), log)

    def _checked(self, node: PreparedNode, end: CallOutcome, workdir: str) -> CheckedOutput:
        unwritable = find_unwritable(end.output)
        if unwritable is not None:
            raise InvalidResultError(
                f"in the result, {unwritable}", hint="return what JSON in UTF-8 can hold"
            )
        if end.is_stored:
            output = self.artifacts.stored(end.output, fetches=self.fetches)
        else:
            output = self.artifacts.take(end.output, workdir)
        node.schemas.check_output(output)
        found = node.unrecorded.places_in(output) if node.unrecorded else NO_PLACES
        if found.unknown is not None:
            raise SchemaMismatchError(
                f"it cannot be told which parts must not be recorded: {found.unknown}",
                hint="write the schema of outputs without this reference",
            )
        recorded = output
        if found.places:
            recorded = changed_at(output, found.places, lambda _: NOT_RECORDED)
        if self.redaction:
            self._require_no_secret(node, recorded)
        if not end.is_stored:
            # Not before it was checked, and nothing that may not be recorded.
            self.artifacts.share(recorded)
        uncached = "parts of the result are not recorded" if found.places else None
        return CheckedOutput(output, recorded, end.log, uncached)

    def _require_no_secret(self, node: PreparedNode, recorded: JsonValue) -> None:
        for text in _texts_in(recorded):
            name = self.redaction.named_in(text, node.grants.secrets)
            if name is not None:
                raise SecretInResultError(
                    f"the result holds the secret {name}",
                    hint="leave it out, or mark its place in outputs with writeOnly: true: then it"
                    " is passed on and not recorded",
                )


def _texts_in(value: JsonValue) -> Iterator[str]:
    """Every text and number of a result that the node wrote, keys among them."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield str(value)
        elif isinstance(value, Mapping):
            if is_artifact(value):
                yield str(value.get("name"))
                continue
            yield from value
            pending += value.values()
        elif isinstance(value, Sequence):
            pending += value
