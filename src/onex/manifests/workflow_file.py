"""From a parsed ``*.workflow.yaml`` to a Workflow whose references are checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from onex.domain.errors import (
    ConstraintError,
    InvalidReferenceError,
    Location,
    Problem,
    VersionError,
    WorkflowError,
)
from onex.domain.json_value import JsonObject, JsonValue, as_object
from onex.domain.limits import Limits
from onex.domain.reference import NodeRef
from onex.domain.retry import (
    DEFAULT_BREAKER,
    MAXIMUM_ATTEMPTS,
    MAXIMUM_DELAY_SECONDS,
    NO_RETRY,
    REASONS,
    BreakerPolicy,
    RetryPolicy,
)
from onex.domain.template import TemplateSyntaxError, whole_reference
from onex.domain.version import Version
from onex.domain.workflow import (
    DEFAULT_STEP_TIMEOUT_SECONDS,
    STEP_ID,
    Step,
    Workflow,
    check_references,
)
from onex.manifests.field_reader import FieldReader
from onex.manifests.yaml_document import YamlDocument, read_yaml

_CODE = re.compile(r"[A-Z]{3}\d{3}")
WORKFLOW_SUFFIX = ".workflow.yaml"

_WORKFLOW_KEYS = frozenset(
    {"name", "version", "description", "inputs", "steps", "outputs", "policy"}
)
_STEP_KEYS = frozenset(
    {
        *("node", "with", "needs", "foreach", "when", "timeout", "cache", "retry", "limits"),
        *("resources", "priority"),
    }
)
_WHOLE_NUMBERS = frozenset({"attempts", "failures", "priority"})
MAXIMUM_RESOURCE, MAXIMUM_PRIORITY = 1e15, 1e6
_RETRY_KEYS = frozenset({"attempts", "delay", "backoff", "jitter", "on"})
_POLICY_KEYS = frozenset({"fail_fast", "timeout", "breaker"})
_BREAKER_KEYS = frozenset({"failures", "cooldown"})


def load_workflow(path: Path) -> Workflow:
    """Read and check a workflow file.

    Raises:
        DocumentError: the file cannot be read as YAML.
        WorkflowError: it can, but is not a workflow that could run.
    """
    document = read_yaml(path)
    workflow, problems = read_workflow(document)
    if workflow is None:
        raise WorkflowError(
            f"{path} is not a workflow that can run: {problems[0].message}", problems
        )
    return replace(workflow, folder=str(path.absolute().parent))


def locate_nodes(path: Path) -> Iterator[tuple[Location, str]]:
    """Where each step of a workflow file names its node, and the reference as it is written."""
    document = read_yaml(path)
    steps = document.data.get("steps")
    entries: Iterable[tuple[str | int, JsonValue]] = (
        enumerate(steps) if isinstance(steps, list) else as_object(steps).items()
    )
    for key, entry in entries:
        if isinstance(entry, Mapping) and isinstance(entry.get("node"), str):
            yield document.locate(("steps", key, "node")), str(entry["node"])


def read_workflow(document: YamlDocument) -> tuple[Workflow | None, tuple[Problem, ...]]:
    """Read a workflow; it is None when a problem of severity error was found."""
    reader = _WorkflowReader(document)
    workflow = reader.read()
    if not reader.has_errors:
        for problem in check_references(workflow):
            place = (problem.location.path or "").split(".")
            reader.problems.append(replace(problem, location=document.locate(place)))
    return (None if reader.has_errors else workflow), tuple(reader.problems)


class _WorkflowReader(FieldReader):
    def __init__(self, document: YamlDocument) -> None:
        super().__init__(document, "WFL")
        self._data = document.data

    def read(self) -> Workflow:
        data = self._data
        self._refuse_unknown_keys((), data, _WORKFLOW_KEYS)
        policy = self.object(("policy",), data.get("policy"))
        self._refuse_unknown_keys(("policy",), policy, _POLICY_KEYS)
        return Workflow(
            name=self._name(),
            version=self._version(),
            description=self.text(("description",), data.get("description")),
            inputs={
                name: self.object(("inputs", name), schema)
                for name, schema in self.object(("inputs",), data.get("inputs")).items()
            },
            steps=self._steps(),
            outputs=self.object(("outputs",), data.get("outputs")),
            fail_fast=self.boolean(("policy", "fail_fast"), policy.get("fail_fast"), default=True),
            timeout_seconds=(
                None
                if policy.get("timeout") is None
                else self.seconds(("policy", "timeout"), policy["timeout"], 1.0)
            ),
            breaker=self._breaker(("policy", "breaker"), policy.get("breaker")),
        )

    def _breaker(self, place: tuple[str | int, ...], value: JsonValue) -> BreakerPolicy:
        """A mapping, or ``false`` for none."""
        if value is None:
            return DEFAULT_BREAKER
        if value is False:
            return BreakerPolicy(0)
        body = self.object(place, value)
        self._refuse_unknown_keys(place, body, _BREAKER_KEYS)
        default = DEFAULT_BREAKER
        failures, cooldown = body.get("failures"), body.get("cooldown")
        return BreakerPolicy(
            None
            if failures is None
            else int(self._number((*place, "failures"), failures, 5, 1, 1_000_000)),
            self._number(
                (*place, "cooldown"), cooldown, default.cooldown_seconds, 0, MAXIMUM_DELAY_SECONDS
            ),
        )

    def _name(self) -> str:
        name = self.text(("name",), self._data.get("name"))
        if not name:
            self.report("001", "name is missing", ("name",), "add a line name: my-workflow")
        return name

    def _version(self) -> Version:
        text = self.text(("version",), self._data.get("version"), "1.0.0")
        try:
            return Version.parse(text)
        except VersionError as error:
            self.report("009", error.message, ("version",), error.hint)
            return Version(0, 0, 0)

    def _steps(self) -> dict[str, Step]:
        value = self._data.get("steps")
        if isinstance(value, list):
            steps: dict[str, Step] = {}
            for index, entry in enumerate(value):
                body = self.object(("steps", index), entry)
                name = self.text(("steps", index, "id"), body.get("id"))
                if name in steps:
                    self.report("009", f"there is a second step {name!r}", ("steps", index, "id"))
                step = self._step(
                    ("steps", index), name, {k: v for k, v in body.items() if k != "id"}
                )
                if step is not None:
                    steps[name] = step
        else:
            steps = {}
            for name, entry in self.object(("steps",), value).items():
                step = self._step(("steps", name), name, self.object(("steps", name), entry))
                if step is not None:
                    steps[name] = step
        if not steps and not self.has_errors:
            self.report("001", "the workflow has no steps", ("steps",), "add a step under steps:")
        return steps

    def _step(self, place: tuple[str | int, ...], name: str, body: JsonObject) -> Step | None:
        self._refuse_unknown_keys(place, body, _STEP_KEYS)
        if not STEP_ID.fullmatch(name):
            self.report(
                "009", f"{name!r} is not the name of a step", place, "use letters, digits, _ and -"
            )
            return None
        node = self._node((*place, "node"), body.get("node"))
        if node is None:
            return None
        needs = body.get("needs")
        return Step(
            id=name,
            node=node,
            arguments=self.object((*place, "with"), body.get("with")),
            explicit_needs=self.texts(
                (*place, "needs"), [needs] if isinstance(needs, str) else needs
            ),
            foreach=self._foreach((*place, "foreach"), body.get("foreach")),
            when=self._when((*place, "when"), body.get("when")),
            timeout_seconds=self.seconds(
                (*place, "timeout"), body.get("timeout"), DEFAULT_STEP_TIMEOUT_SECONDS
            ),
            use_cache=self.boolean((*place, "cache"), body.get("cache"), default=True),
            retry=self._retry((*place, "retry"), body.get("retry")),
            limits=self._limits((*place, "limits"), body.get("limits")),
            resources=self._resources((*place, "resources"), body.get("resources")),
            priority=int(
                self._number(
                    (*place, "priority"),
                    body.get("priority"),
                    0,
                    -MAXIMUM_PRIORITY,
                    MAXIMUM_PRIORITY,
                )
            ),
        )

    def _resources(self, place: tuple[str | int, ...], value: JsonValue) -> dict[str, float]:
        return {
            name: self._number((*place, name), amount, 1.0, 0, MAXIMUM_RESOURCE)
            for name, amount in self.object(place, value).items()
        }

    def _limits(self, place: tuple[str | int, ...], value: JsonValue) -> JsonObject:
        limits = self.object(place, value)
        try:
            Limits().with_table(limits)
        except ValueError as error:
            self.report("002", str(error), place, "such as limits: {memory: 512 MiB, cpu: 60}")
            return {}
        return limits

    def _retry(self, place: tuple[str | int, ...], value: JsonValue) -> RetryPolicy:
        """A mapping, or the number of attempts alone."""
        if value is None:
            return NO_RETRY
        body = {"attempts": value} if isinstance(value, int) else self.object(place, value)
        self._refuse_unknown_keys(place, body, _RETRY_KEYS)
        return RetryPolicy(
            attempts=int(
                self._number((*place, "attempts"), body.get("attempts"), 3, 1, MAXIMUM_ATTEMPTS)
            ),
            delay_seconds=self._number(
                (*place, "delay"), body.get("delay"), 1.0, 0, MAXIMUM_DELAY_SECONDS
            ),
            backoff=self._number((*place, "backoff"), body.get("backoff"), 2.0, 1, 100),
            jitter=self._number((*place, "jitter"), body.get("jitter"), 0.1, 0, 1),
            on=self._reasons((*place, "on"), body.get("on")),
        )

    def _number(
        self,
        place: tuple[str | int, ...],
        value: JsonValue,
        default: float,
        least: float,
        most: float,
    ) -> float:
        if value is None:
            return default
        if isinstance(value, int | float) and not isinstance(value, bool):
            is_whole = place[-1] not in _WHOLE_NUMBERS or value == int(value)
            if least <= value <= most and is_whole:
                return float(value)
        self.report("002", f"{place[-1]} must be a number from {least:g} to {most:g}", place)
        return default

    def _reasons(self, place: tuple[str | int, ...], value: JsonValue) -> frozenset[str]:
        if value is None:
            return NO_RETRY.on
        codes = []
        listed = [value] if isinstance(value, str) else value
        for index, reason in enumerate(self.texts(place, listed)):
            if reason not in REASONS and not _CODE.fullmatch(reason):
                self.report(
                    "009",
                    f"{reason!r} is not a reason to try again",
                    (*place, index),
                    "use error, timeout, crash, or the code of an error",
                )
            codes.append(REASONS.get(reason, reason))
        return frozenset(codes)

    def _foreach(self, place: tuple[str | int, ...], value: JsonValue) -> JsonValue:
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, Sequence):
            return value
        self.report("002", "foreach must be a list or a reference to one", place)
        return None

    def _when(self, place: tuple[str | int, ...], value: JsonValue) -> JsonValue:
        """A boolean, or one reference: what stands around it would make a text, which is true."""
        if value is None or isinstance(value, bool):
            return value
        try:
            if whole_reference(value) is not None:
                return value
        except TemplateSyntaxError:
            # Reported with all other references.
            return value
        self.report(
            "012",
            "when is neither true, false nor one reference",
            place,
            "references compute nothing: have a step return true or false, and refer to that,"
            " as in when: ${{ steps.check.ok }}",
        )
        return None

    def _node(self, place: tuple[str | int, ...], value: JsonValue) -> NodeRef | None:
        text = self.text(place, value)
        if not text:
            self.report(
                "001", "the step names no node", place, "add node: type://namespace@constraint"
            )
            return None
        try:
            return NodeRef.parse(text)
        except (InvalidReferenceError, ConstraintError) as error:
            self.report("009", error.message, place, error.hint)
            return None

    def _refuse_unknown_keys(
        self, place: tuple[str | int, ...], body: JsonObject, known: frozenset[str]
    ) -> None:
        for key in body:
            if key in known:
                continue
            message = f"{key!r} is not a key that belongs here"
            hint = "known keys: " + ", ".join(sorted(known))
            self.report("009", message, (*place, key), hint)
