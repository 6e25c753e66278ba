"""CallRunner: one call from its inputs to a checked result, on an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from onex.domain.errors import (
    InvalidResultError,
    OnexError,
    SchemaMismatchError,
    SecretInResultError,
)
from onex.domain.json_value import JsonObject, JsonValue, find_unwritable, writable
from onex.engines.engine import CallFailedError, CallOutcome, NodeCall
from onex.engines.redaction import Redaction
from onex.execution.context_factory import ExecutionContextFactory
from onex.execution.preparation import PreparedNode
from onex.execution.scheduler import Call
from onex.execution.work_folders import WorkFolders
from onex.history.artifacts import ArtifactStore, is_artifact
from onex.schemas.places import NO_PLACES


@dataclass(frozen=True, slots=True)
class CallRunner:
    """What the calls of one run share.

    ``redaction`` hides the secrets of all nodes of the run, since one may hand a secret to
    another.
    """

    run_id: str
    folders: WorkFolders
    contexts: ExecutionContextFactory
    artifacts: ArtifactStore
    redaction: Redaction

    def execute(
        self,
        call: Call,
        node: PreparedNode,
        inputs: JsonObject,
        on_progress: Callable[[float, str], None],
    ) -> CallOutcome:
        """Execute a call in the asking thread; secrets are hidden in what it logs and says.

        Raises:
            CallFailedError: the engine gave no result, or one that is not what the node
                declares, or that hands over files that are not its own.
        """
        folder = self.folders.take()
        context = self.contexts.create_context(self.run_id, call.id, folder, node.grants)
        hide = self.redaction

        def report(fraction: float, message: str) -> None:
            on_progress(fraction, hide.text(writable(message)))

        limit = call.step.timeout_seconds
        made = NodeCall(node.loaded, inputs, context, limit, report, hide)
        try:
            return self._checked(node, node.engine.execute(made), folder)
        except CallFailedError as failure:
            # Without its cause, which says what must not be said.
            raise failure.changed(
                lambda text: hide.text(node.loaded.at_origin(writable(text)))
            ) from None
        finally:
            self.folders.give_back(folder)

    def _checked(self, node: PreparedNode, outcome: CallOutcome, workdir: str) -> CallOutcome:
        """What a node returned with its artifacts stored, if it is what the node declares."""
        try:
            unwritable = find_unwritable(outcome.output)
            if unwritable is not None:
                raise InvalidResultError(
                    f"in the result, {unwritable}", hint="return what JSON in UTF-8 can hold"
                )
            output = self.artifacts.take(outcome.output, workdir)
            node.schemas.check_output(output)
            found = node.unrecorded.places_in(output) if node.unrecorded else NO_PLACES
            if found.unknown is not None:
                raise SchemaMismatchError(
                    f"it cannot be told which parts must not be recorded: {found.unknown}",
                    hint="write the schema of outputs without this reference",
                )
            checked = CallOutcome(output, outcome.log, found.places)
            if self.redaction:
                self._require_no_secret(node, checked.recorded)
        except OnexError as error:
            raise CallFailedError(error, log=outcome.log) from error
        return checked

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
