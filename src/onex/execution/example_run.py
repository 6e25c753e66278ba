"""Runs the examples of a node exactly as any run, and judges what came of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from onex.artifacts.file_content import content_digest
from onex.domain.digest import is_digest
from onex.domain.errors import ExampleFailedError, OnexError
from onex.domain.example import (
    NodeExample,
    artifacts_by_place,
    with_names,
    wrong_examples,
)
from onex.domain.json_value import JsonValue
from onex.domain.metadata import NodeMetadata, RegisteredNode
from onex.domain.reference import NodeVersion
from onex.domain.result import NodeExecutionResult, RunResult, StepError, StepStatus
from onex.domain.text_difference import json_difference, text_difference
from onex.schemas.given_inputs import GivenInputs
from onex.schemas.node_schemas import first_problem_of, schema_problems
from onex.schemas.object_schema import object_schema
from onex.schemas.places import PATH, MarkingSchemas, value_at

_NAMES = ("expected", "returned")


@dataclass(frozen=True, slots=True)
class ExampleOutcome:
    """What came of one example; it passed if there are no ``problems``.

    ``problems`` are lines for people. ``run_id`` names the run in the history, None if the
    call could not even be planned; ``log`` is what the node printed.
    """

    node: NodeVersion
    example: NodeExample
    problems: Sequence[str]
    seconds: float = 0.0
    run_id: str | None = None
    log: str = ""

    @property
    def passed(self) -> bool:
        """Whether it came out as the manifest says."""
        return not self.problems

    def to_json(self) -> dict[str, JsonValue]:
        """The outcome in the shape that ``test`` prints."""
        return {
            "node": str(self.node),
            "example": self.example.name,
            "passed": self.passed,
            "problems": list(self.problems),
            "seconds": round(self.seconds, 6),
            "run_id": self.run_id,
        }


def run_examples(
    node: RegisteredNode, folder: Path, run: Callable[[GivenInputs], RunResult]
) -> list[ExampleOutcome]:
    """Run every example of a node; entries that are no examples fail. See ``run_example``."""
    identity, metadata = node.metadata.node_version, node.metadata
    wrong = [
        ExampleOutcome(identity, NodeExample(f"example {position + 1}"), [message])
        for position, message in wrong_examples(metadata.extra)
    ]
    return wrong + [
        run_example(identity, one, folder, run)
        if (outside := _path_outside(one, metadata, folder)) is None
        else ExampleOutcome(identity, one, [outside])
        for one in metadata.examples
    ]


def _path_outside(example: NodeExample, metadata: NodeMetadata, folder: Path) -> str | None:
    """Why an example may not hand its files over: its author must not choose among the user's."""
    marked = MarkingSchemas.of(PATH, object_schema(metadata.inputs)).places_in(example.inputs)
    for place in marked.places:
        path = value_at(example.inputs, place)
        if isinstance(path, str) and not _lies_below(path, folder):
            return f"{path} does not lie beside the manifest, so the example may not name it"
    return None


def _lies_below(path: str, folder: Path) -> bool:
    """Whether a relative path stays in a folder, also through links."""
    try:
        return not Path(path).is_absolute() and (folder / path).resolve().is_relative_to(
            folder.resolve()
        )
    except (OSError, ValueError):
        return False


def run_example(
    node: NodeVersion,
    example: NodeExample,
    folder: Path,
    run: Callable[[GivenInputs], RunResult],
) -> ExampleOutcome:
    """Run an example and judge it.

    Args:
        node: whose example it is.
        example: the call.
        folder: that of the manifest, to which paths in the example are relative.
        run: calls the node once with inputs, in a step called ``node``.
    """
    given = GivenInputs(example.inputs, folders=dict.fromkeys(example.inputs, folder))
    try:
        result = run(given)
    except OnexError as error:
        # Inputs that the schema refuses are told before anything runs.
        return ExampleOutcome(node, example, judge_error(example, StepError.of(error)))
    step = result["node"]
    problems = judge(example, step, folder)
    return ExampleOutcome(node, example, problems, result.seconds, result.run_id, step.log)


def judge(example: NodeExample, step: NodeExecutionResult, folder: Path) -> list[str]:
    """What is not as the example says, in lines; nothing if all is."""
    if step.status is not StepStatus.SUCCEEDED:
        return judge_error(example, step.error or StepError("EXE000", f"it was {step.status}"))
    if example.error is not None:
        return [
            f"it must end with {example.error}, and it returned:",
            *json_difference(None, with_names(step.output), _NAMES),
        ]
    found: list[str] = []
    if example.has_output:
        found += json_difference(example.output, with_names(step.output), _NAMES)
    if example.output_schema is not None:
        schema = example.output_schema
        for _, wrong in schema_problems({"output_schema": schema}):
            found.append(f"output_schema is not valid: {wrong}")
        problem = first_problem_of(schema, with_names(step.output))
        if problem is not None:
            found.append(f"the result does not match output_schema: {problem}")
    return found + _judge_artifacts(example, step.output, folder)


def judge_error(example: NodeExample, error: StepError) -> list[str]:
    """What is not as the example says of a call that ended with an error."""
    if example.error == error.code:
        return []
    wanted = f"it must end with {example.error}, not " if example.error else ""
    lines = [f"{wanted}{error.code}: {error.message}", *(error.detail or "").splitlines()]
    return [*lines, *([error.hint] if error.hint and not error.detail else [])]


def _judge_artifacts(example: NodeExample, output: JsonValue, folder: Path) -> list[str]:
    found: list[str] = []
    made = artifacts_by_place(output)
    for place, wanted in example.artifacts.items():
        if place not in made:
            there = ", ".join(made) or "none"
            found.append(f"there is no file at {place} of the result; there are: {there}")
            continue
        artifact = made[place]
        if is_digest(wanted):
            if artifact.digest != wanted:
                found.append(f"{place} is {artifact.digest}, not {wanted}")
            continue
        if not _lies_below(wanted, folder):
            found.append(f"{wanted} does not lie beside the manifest")
            continue
        try:
            digest = content_digest(folder / wanted)
        except OSError as error:
            found.append(f"{wanted} cannot be read: {error.strerror}")
            continue
        if artifact.digest != digest:
            found.append(f"{place} ({artifact.path}) is not the same as {wanted}:")
            found += _file_difference(folder / wanted, Path(artifact.path))
    return found


def _file_difference(expected: Path, found: Path) -> list[str]:
    """How two files differ: by line if both are texts, and by size and hash if not."""
    try:
        contents = [path.read_bytes() for path in (expected, found)]
        texts = [content.decode("utf-8") for content in contents]
    except UnicodeDecodeError:
        return [
            f"  {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()[:16]}"
            for content in contents
        ]
    except OSError:
        return []
    before, after = (text.splitlines() for text in texts)
    return text_difference(before, after, _NAMES)


def require_passed(outcomes: Sequence[ExampleOutcome]) -> None:
    """Raise ExampleFailedError if one did not pass."""
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if failed:
        first = failed[0]
        raise ExampleFailedError(
            f"{len(failed)} of {len(outcomes)} examples of {first.node} failed;"
            f" the first is {first.example.name!r}: {first.problems[0]}",
            hint="onex test shows them all",
            details={"examples": [outcome.to_json() for outcome in failed]},
        )
