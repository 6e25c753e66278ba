"""Provenance: from an artifact back to every call, node and input that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from onex.domain.json_value import JsonValue, as_object, as_text
from onex.domain.result import NodeExecutionResult
from onex.domain.workflow import Workflow, index_of, is_child, step_of
from onex.history.journal import ArtifactUse, RunJournal, RunRecord


@dataclass(frozen=True, slots=True)
class CallProvenance:
    """One call on the way; ``needs`` are the calls whose results went into it.

    ``isolation`` is the level that was applied when it was executed, maybe in the earlier
    run ``cached_from``.
    """

    run_id: str
    id: str
    node: str
    digest: str
    input_digest: str | None
    isolation: str | None
    cached_from: str | None
    needs: tuple[str, ...]

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "run_id": self.run_id,
            "id": self.id,
            "node": self.node,
            "digest": self.digest,
            "input_digest": self.input_digest,
            "isolation": self.isolation,
            "cached_from": self.cached_from,
            "needs": list(self.needs),
        }


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where an artifact comes from; ``calls`` begin with the one that made it."""

    artifact: str
    name: str
    run: RunRecord
    calls: Sequence[CallProvenance]
    uses: int

    def to_json(self) -> dict[str, JsonValue]:
        """The provenance in the shape that ``provenance`` prints."""
        return {
            "artifact": self.artifact,
            "name": self.name,
            "run_id": self.run.run_id,
            "workflow": self.run.workflow,
            "started_at": self.run.started_at,
            "inputs": self.run.inputs,
            "actor": self.run.plan.get("actor"),
            "lock_digest": self.run.plan.get("lock_digest"),
            "environment": self.run.plan.get("environment"),
            "calls": [call.to_json() for call in self.calls],
            "uses": self.uses,
        }


def trace_artifact(digest: str, journal: RunJournal) -> Provenance | None:
    """The provenance of an artifact, from the earliest recorded call that gave it.

    Returns:
        None if no recorded call gave it.
    """
    uses = journal.artifact_uses(digest)
    run = journal.run(uses[0].run_id) if uses else None
    if run is None:
        return None
    origins: dict[str, RunRecord | None] = {run.run_id: run}

    def run_of(run_id: str) -> RunRecord | None:
        if run_id not in origins:
            origins[run_id] = journal.run(run_id)
        return origins[run_id]

    use: ArtifactUse = uses[0]
    return Provenance(digest, use.name, run, _walk(run, use.step_id, run_of), len(uses))


def _walk(
    run: RunRecord, start: str, run_of: Callable[[str], RunRecord | None]
) -> list[CallProvenance]:
    """The call that is asked for, then all that it rests on, each once."""
    workflow = Workflow.from_json(run.definition)
    calls_of_step: dict[str, list[str]] = {}
    for call_id in run.steps:
        calls_of_step.setdefault(step_of(call_id), []).append(call_id)
    found: dict[str, CallProvenance] = {}
    pending = [start]
    while pending:
        call_id = pending.pop(0)
        if call_id in found:
            continue
        step = workflow.steps[step_of(call_id)]
        needs = [call for name in sorted(step.needs) for call in _executed(calls_of_step, name)]
        result = run.steps[call_id]
        planned = as_object(as_object(run.plan["steps"])[step.id])
        found[call_id] = CallProvenance(
            run_id=run.run_id,
            id=call_id,
            node=result.node,
            digest=as_text(planned["digest"]),
            input_digest=result.input_digest,
            isolation=_isolation(result, run_of),
            cached_from=result.cached_from,
            needs=tuple(needs),
        )
        pending += needs
    return list(found.values())


def _executed(calls_of_step: dict[str, list[str]], step_id: str) -> list[str]:
    """The calls of a step: its children, if it is a fan-out step."""
    calls = calls_of_step.get(step_id, [])
    children = [call for call in calls if is_child(call)]
    return sorted(children, key=index_of) or calls


def _isolation(
    result: NodeExecutionResult, run_of: Callable[[str], RunRecord | None]
) -> str | None:
    if result.isolation is not None or not result.cached_runs:
        return result.isolation
    origin = run_of(result.cached_runs[0])
    made = () if origin is None else origin.steps.values()
    return next((r.isolation for r in made if r.cache_key == result.cache_key), None)
