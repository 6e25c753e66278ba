"""Errors as part of the product: a stable code, what happened, where, and what to do next."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the command line returns for each family of outcomes."""

    SUCCESS = 0
    EXECUTION_FAILED = 1
    USAGE = 2
    RESOLUTION_FAILED = 3
    INVALID_DOCUMENT = 4
    SECURITY_REFUSAL = 5
    CANCELLED = 130


class Severity(StrEnum):
    """How serious a problem in a document is."""

    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file; lines and columns count from 1, None if unknown."""

    path: str | None = None
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        parts = [self.path or "<text>"]
        if self.line is not None:
            parts.append(str(self.line))
            if self.column is not None:
                parts.append(str(self.column))
        return ":".join(parts)


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding about one place in one document."""

    code: str
    severity: Severity
    message: str
    location: Location = Location()
    hint: str | None = None

    def to_json(self) -> dict[str, str | int | None]:
        """The problem in the shape that ``scan`` and ``validate`` print."""
        return {
            "code": self.code,
            "severity": self.severity.value,
            "message": self.message,
            "path": self.location.path,
            "line": self.location.line,
            "column": self.location.column,
            "hint": self.hint,
        }


class OnexError(Exception):
    """The root of every error that onex raises on purpose.

    ``code`` identifies the kind for ever; ``exit_code`` is what a command that
    ends with it returns; ``details`` holds further JSON members of the error.
    """

    code: str = "ONEX001"
    exit_code: ClassVar[ExitCode] = ExitCode.EXECUTION_FAILED

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        location: Location | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.location = location
        self.details: dict[str, object] = dict(details or {})

    def to_json(self) -> dict[str, object]:
        """The error in the shape that stands under ``error`` in JSON output."""
        body: dict[str, object] = {"code": self.code, "message": self.message, "hint": self.hint}
        if self.location is not None:
            body["path"] = self.location.path
            body["line"] = self.location.line
            body["column"] = self.location.column
        return body | self.details


class InternalError(OnexError):
    """A defect of onex itself."""

    code = "ONEX002"


class UsageError(OnexError):
    """The command or call was given something it cannot work with."""

    code = "USE001"
    exit_code = ExitCode.USAGE


class PathNotReadableError(UsageError):
    """A path that the user named is missing or may not be read."""

    code = "USE002"


class FolderNotEmptyError(UsageError):
    """A command that creates a folder found other files in it."""

    code = "USE003"


class FileNotWrittenError(UsageError):
    """A file of the user's could not be written."""

    code = "USE004"


class OutputNotWrittenError(UsageError):
    """What a command prints could not be written."""

    code = "USE005"


class SystemRefusedError(UsageError):
    """The operating system refused something: no space, no right, nothing there any more."""

    code = "USE006"


class ConfigurationError(UsageError):
    """A configuration file is not valid."""

    code = "CFG001"


class VersionError(OnexError, ValueError):
    """A text is not a semantic version."""

    code = "VER001"
    exit_code = ExitCode.USAGE


class ConstraintError(OnexError, ValueError):
    """A text is not a version constraint."""

    code = "VER002"
    exit_code = ExitCode.USAGE


class InvalidReferenceError(OnexError, ValueError):
    """A text does not refer to a node."""

    code = "REF001"
    exit_code = ExitCode.USAGE


class InvalidPermissionError(OnexError, ValueError):
    """A text is not a permission that can be enforced."""

    code = "PER001"
    exit_code = ExitCode.INVALID_DOCUMENT


class LifecycleError(OnexError):
    """A lifecycle transition that the rules do not allow; each rule has its own code."""

    exit_code = ExitCode.USAGE

    def __init__(self, code: str, message: str, *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class DocumentError(OnexError):
    """A manifest or workflow that cannot be used; ``problems`` says why, place by place."""

    code = "MAN000"
    exit_code = ExitCode.INVALID_DOCUMENT

    def __init__(
        self, message: str, problems: Sequence[Problem], *, hint: str | None = None
    ) -> None:
        first = next((p for p in problems if p.severity is Severity.ERROR), None)
        super().__init__(
            message,
            hint=hint or (first.hint if first else None),
            location=first.location if first else None,
            details={"problems": [problem.to_json() for problem in problems]},
        )
        self.problems = tuple(problems)


class StampError(OnexError):
    """A file cannot carry a stamp."""

    code = "STM001"
    exit_code = ExitCode.USAGE


class OutdatedStampError(OnexError):
    """A file changed since it was stamped, or was never stamped."""

    code = "STM002"
    exit_code = ExitCode.INVALID_DOCUMENT


class WorkflowError(DocumentError):
    """A workflow that cannot be planned."""

    code = "WFL000"


class WorkflowInputError(OnexError):
    """The inputs given to a workflow do not match what it asks for."""

    code = "WFL010"
    exit_code = ExitCode.USAGE


@dataclass(frozen=True, slots=True)
class ConstraintFact:
    """One constraint on which a failed resolution rests.

    ``dependent`` and ``version`` name the node version that wrote it; both are
    None for the request itself.
    """

    dependent: str | None
    version: str | None
    needed: str
    constraint: str


class ResolutionError(OnexError):
    """No choice of versions meets every constraint.

    ``explanation`` is the argument; ``facts`` are the constraints it starts from;
    ``remedies`` are edits that were found to unblock it, each in words; ``consulted`` are the
    nodes that were looked at.
    """

    code = "RES001"
    exit_code = ExitCode.RESOLUTION_FAILED

    def __init__(
        self,
        message: str,
        *,
        explanation: str,
        facts: Sequence[ConstraintFact] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, details={"explanation": explanation})
        self.explanation = explanation
        self.facts = tuple(facts)
        self.remedies: tuple[str, ...] = ()
        self.consulted: frozenset[str] = frozenset()

    def extend(self, heading: str, lines: Sequence[str]) -> None:
        """Add a section to the explanation."""
        if lines:
            section = "\n".join([heading, *(f"  {line}" for line in lines)])
            self.explanation = f"{self.explanation}\n{section}"
            self.details["explanation"] = self.explanation

    def __str__(self) -> str:
        return f"{self.message}\n{self.explanation}"


class DependencyCycleError(ResolutionError):
    """Every choice of versions has nodes that depend on each other in a circle."""

    code = "RES002"

    def __init__(
        self,
        cycles: Sequence[Sequence[str]],
        *,
        explanation: str,
        facts: Sequence[ConstraintFact] = (),
    ) -> None:
        shown = "; ".join(" -> ".join([*cycle, cycle[0]]) for cycle in cycles)
        super().__init__(
            f"the dependencies form a cycle: {shown}",
            explanation=explanation,
            facts=facts,
            hint="remove one of these dependencies, or ask for versions that do not have it",
        )
        self.cycles = tuple(tuple(cycle) for cycle in cycles)
        self.details["cycles"] = [list(cycle) for cycle in cycles]


class OutdatedLockError(OnexError):
    """The lockfile cannot be honoured: what is needed now differs from what was locked."""

    code = "RES005"
    exit_code = ExitCode.RESOLUTION_FAILED


class NodeNotFoundError(OnexError):
    """No node carries the name that was asked for."""

    code = "RES003"
    exit_code = ExitCode.RESOLUTION_FAILED


class AmbiguousNodeError(OnexError):
    """A short name that several nodes carry."""

    code = "RES004"
    exit_code = ExitCode.RESOLUTION_FAILED


class SourceError(OnexError):
    """A source of nodes cannot be read."""

    code = "DSC010"
    exit_code = ExitCode.USAGE


class SourceTimeoutError(SourceError):
    """A source did not answer within its time limit."""

    code = "DSC011"


class StorageError(OnexError):
    """The registry's database cannot be used."""

    code = "STO001"
    exit_code = ExitCode.USAGE


class FutureDatabaseError(StorageError):
    """The database was written by a newer onex."""

    code = "STO002"


class StorageCopyError(StorageError):
    """A storage could not be copied to another."""

    code = "STO003"


class OldDatabaseError(StorageError):
    """The database has an older schema, and may not be written."""

    code = "STO004"


class StorageConflictError(StorageError):
    """The database ended a transaction in favour of another, several times."""

    code = "STO005"


class StorageUnavailableError(StorageError):
    """The server of a database does not answer; to users as any other trouble with it."""


class RunLostError(StorageError):
    """A run belongs to another process now, or to none."""

    code = "RUN004"
    exit_code = ExitCode.EXECUTION_FAILED


class CacheNotClearedError(OnexError):
    """Cached answers could not be dropped everywhere."""

    code = "CAC001"
    exit_code = ExitCode.USAGE


class RunNotFoundError(OnexError):
    """No run carries the identifier that was asked for."""

    code = "RUN001"
    exit_code = ExitCode.USAGE


class ExecutionError(OnexError):
    """A step did not give a result."""

    code = "EXE000"


class RunFailedError(ExecutionError):
    """A run did not succeed; ``code`` is that of its first failure.

    ``run_id`` names it in the history, ``step_id`` the step that failed, if one did; ``detail``
    is the traceback of the node.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str | None,
        run_id: str,
        step_id: str | None,
        detail: str | None,
    ) -> None:
        details = {"run_id": run_id, "step": step_id, "detail": detail}
        super().__init__(message, hint=hint, details=details)
        self.code = code
        self.run_id = run_id
        self.step_id = step_id
        self.detail = detail

    def __str__(self) -> str:
        step = f"step {self.step_id} of " if self.step_id else ""
        return f"{step}run {self.run_id}: {self.message}"


class ExampleFailedError(ExecutionError):
    """An example of a node did not come out as its manifest says."""

    code = "EXA001"


class NodeRaisedError(ExecutionError):
    """The node's code raised an exception."""

    code = "EXE001"


class InvalidResultError(ExecutionError):
    """The node returned something that is not a JSON value within the limits."""

    code = "EXE002"


class StepTimeoutError(ExecutionError):
    """The node did not return within its time limit and was killed."""

    code = "EXE003"

    @classmethod
    def after(cls, seconds: float) -> StepTimeoutError:
        """The error of a call that was killed after a time."""
        return cls(
            f"the node did not return within {seconds:g} s and was killed",
            hint="set a longer timeout on the step, or give the node less to do",
        )


class WorkerUnfitError(ExecutionError):
    """A worker of a cluster lacks what a call needs."""

    code = "EXE016"


class ClusterUnavailableError(ExecutionError):
    """A cluster cannot be reached, or has no worker that can be used."""

    code = "EXE017"


class WorkerDiedError(ExecutionError):
    """The node's process ended before it gave a result."""

    code = "EXE004"


class RunCancelledError(ExecutionError):
    """The run was cancelled before it ended."""

    code = "EXE005"
    exit_code = ExitCode.CANCELLED


class NodeLoadError(ExecutionError):
    """The node's code cannot be found or imported."""

    code = "EXE006"


class ReferenceValueError(ExecutionError):
    """A reference points into a result that has no such part."""

    code = "EXE007"


class SchemaMismatchError(ExecutionError):
    """A node's inputs or result do not match the schema in its manifest."""

    code = "EXE008"


class StepSkippedError(ExecutionError):
    """A step that did not run because one that it needs gave no result."""

    code = "EXE009"


class LeftInFlightError(ExecutionError):
    """A call of a resumed run had started before, and may have had effects."""

    code = "EXE010"


class CircuitOpenError(ExecutionError):
    """A call was not made, since the calls of its node failed one after another."""

    code = "EXE011"


class RunTimeoutError(ExecutionError):
    """A run did not end within its time limit."""

    code = "EXE012"


class LibraryMissingError(ExecutionError):
    """A Python library that a node declares is not installed in a fitting version."""

    code = "EXE013"


class SecretMissingError(ExecutionError):
    """A secret that a node declares is not set."""

    code = "EXE014"


class RunNotResumableError(OnexError):
    """A run cannot be taken up."""

    code = "RUN002"
    exit_code = ExitCode.USAGE


class StepMismatchError(WorkflowError):
    """What goes into a step can never be what its node declares."""

    code = "WFL011"


class ArtifactNotFoundError(OnexError):
    """No recorded call gave an artifact or file."""

    code = "RUN003"
    exit_code = ExitCode.USAGE


class ArtifactsUnavailableError(OnexError):
    """The shared store of artifacts cannot be used."""

    code = "ART001"
    exit_code = ExitCode.EXECUTION_FAILED


class SecretsNotPrivateError(ConfigurationError):
    """A file of secrets can be read by others, or is not one."""

    code = "CFG002"


class SecurityError(OnexError):
    """Something was refused because it cannot be trusted or confined."""

    code = "SEC001"
    exit_code = ExitCode.SECURITY_REFUSAL


class DigestMismatchError(SecurityError):
    """A node's files are not the ones that were registered."""

    code = "SEC002"


class SecretInResultError(SecurityError):
    """A node returned a secret that it was given, and it would be recorded."""

    code = "SEC004"


class IsolationUnavailableError(SecurityError):
    """The isolation that was asked for cannot be had here."""

    code = "SEC003"


class SandboxError(SecurityError):
    """The process of a node could not be confined, so the node did not run."""

    code = "SEC005"


class GrantMissingError(SecurityError):
    """A node asks for permissions that nobody granted."""

    code = "SEC006"


class GrantRefusedError(SecurityError):
    """A permission cannot be granted, since it would open what must stay closed."""

    code = "SEC007"


class PathNotEntitledError(SecurityError):
    """A step was to be handed a path by a step that may not read there itself."""

    code = "SEC008"


class LimitRefusedError(SecurityError):
    """A step asks for more of the machine than the policy allows."""

    code = "SEC009"


class LimitExceededError(ExecutionError):
    """A call used more of the machine than its step may."""

    code = "EXE015"

    @classmethod
    def of(cls, name: str, value: int, limit: int) -> LimitExceededError:
        """The error for one limit, as ``domain.limits`` has it."""
        return cls(
            f"the call went beyond the limit {name} of {limit}: it came to {value}",
            hint=f"give the step a higher one: limits: {{{name}: ...}}",
            details={"limit": name},
        )


def write_problems(problems: Sequence[Problem]) -> str:
    """Problems as JSON."""
    return json.dumps([problem.to_json() for problem in problems]) if problems else "[]"


def read_problems(text: str) -> tuple[Problem, ...]:
    """Read back what ``write_problems`` wrote."""
    if text == "[]":
        return ()
    return tuple(
        Problem(
            item["code"],
            Severity(item["severity"]),
            item["message"],
            Location(item["path"], item["line"], item["column"]),
            item["hint"],
        )
        for item in json.loads(text)
    )
