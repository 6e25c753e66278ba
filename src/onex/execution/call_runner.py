"""CallRunner: one call from its inputs to a checked result, on an engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from onex.domain.errors import InvalidResultError, OnexError
from onex.domain.json_value import JsonObject, find_unwritable
from onex.execution.artifacts import ArtifactStore
from onex.execution.context_factory import ExecutionContextFactory
from onex.execution.engine import CallFailedError, CallOutcome, NodeCall
from onex.execution.prepared_plan import PreparedNode
from onex.execution.scheduler import Call


@dataclass(frozen=True, slots=True)
class CallRunner:
    """What the calls of one run share; their working folders lie below ``workdir``."""

    run_id: str
    workdir: Path
    contexts: ExecutionContextFactory
    artifacts: ArtifactStore

    def execute(
        self,
        call: Call,
        node: PreparedNode,
        inputs: JsonObject,
        on_progress: Callable[[float, str], None],
        attempt: int,
    ) -> CallOutcome:
        """Execute a call in the asking thread; secrets are taken out of all that it gives.

        Each attempt, counted from 1, has a working folder of its own.

        Raises:
            CallFailedError: the engine gave no result, or one that is not what the node
                declares, or that hands over files that are not its own.
        """
        folder = f"{self.workdir}/{call.id}" + (f"~{attempt}" if attempt > 1 else "")
        context = self.contexts.create_context(self.run_id, call.id, folder, node.grants)
        hide = node.grants.redaction

        def report(fraction: float, message: str) -> None:
            on_progress(fraction, hide.text(message))

        try:
            outcome = node.engine.execute(
                NodeCall(node.loaded, inputs, context, call.step.timeout_seconds, report)
            )
        except CallFailedError as failure:
            if not hide:
                raise
            # Without its cause, which says what must not be said.
            raise failure.changed(hide.text) from None
        log = hide.text(outcome.log)
        try:
            unwritable = find_unwritable(outcome.output)
            if unwritable is not None:
                raise InvalidResultError(
                    f"in the result, {unwritable}", hint="return what JSON in UTF-8 can hold"
                )
            output = hide.value(self.artifacts.take(outcome.output, Path(context.workdir)))
            node.schemas.check_output(output)
        except OnexError as error:
            raise CallFailedError(error, log=log) from error
        return CallOutcome(output, log)
