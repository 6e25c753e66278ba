"""ClusterCall: a call as it goes to a worker of a cluster, and its end as it comes back; as JSON.

It names everything by digest. Neither code nor files are part of it, and secrets are only if the
cluster is this machine's own.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version

from onex.domain.errors import ExecutionError, OnexError
from onex.domain.json_value import (
    JsonObject,
    JsonValue,
    as_object,
    as_optional_text,
    as_text,
    as_texts,
    parse_json,
)
from onex.domain.limits import Limits
from onex.domain.result import CallEnd, CallFailure, CallOutcome, IsolationLevel

ONEX = version("onex-registry")
PYTHON = f"{platform.python_implementation()} {'.'.join(platform.python_version_tuple()[:2])}"


@dataclass(frozen=True, slots=True)
class StorePlace:
    """Where a cluster's store of artifacts is, and the part of it that is used."""

    url: str
    group: str

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, named by its path."""
        return "://" not in self.url


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """The node of a call.

    ``archive`` is the digest of the canonical archive of its files, which lies in the store as an
    artifact; ``target`` the file of its entry point; ``digest`` that of its files. ``folder`` is
    where they are on the machine of the run, which is told in place of where they are elsewhere.
    ``manifest`` is its name among the files, ``evidence`` the digest of what its registry shows for
    it, which lies in the store as well.
    """

    identity: str
    digest: str
    archive: str
    kind: str
    target: str
    folder: str
    callable_name: str
    isolation: IsolationLevel
    permissions: tuple[str, ...]
    limits: Limits
    asks_for_files: bool
    is_trusted: bool
    is_idempotent: bool
    variables: Mapping[str, str]
    libraries: Mapping[str, str]
    hidden: tuple[str, ...]
    manifest: str
    evidence: str | None

    def to_json(self) -> JsonObject:
        """The node as JSON; ``from_json`` reads it back unchanged."""
        body = {name.name: getattr(self, name.name) for name in fields(self)}
        return {**body, "limits": self.limits.to_json(), "isolation": self.isolation.value}

    @classmethod
    def from_json(cls, body: JsonObject) -> ClusterNode:
        """Read back what ``to_json`` wrote."""
        return cls(
            identity=as_text(body["identity"]),
            digest=as_text(body["digest"]),
            archive=as_text(body["archive"]),
            kind=as_text(body["kind"]),
            target=as_text(body["target"]),
            folder=as_text(body["folder"]),
            callable_name=as_text(body["callable_name"]),
            isolation=IsolationLevel(as_text(body["isolation"])),
            permissions=as_texts(body["permissions"]),
            limits=Limits().with_table(as_object(body["limits"])),
            asks_for_files=body["asks_for_files"] is True,
            is_trusted=body["is_trusted"] is True,
            is_idempotent=body["is_idempotent"] is True,
            variables=_texts_of(body["variables"]),
            libraries=_texts_of(body["libraries"]),
            hidden=as_texts(body["hidden"]),
            manifest=as_text(body["manifest"]),
            evidence=as_optional_text(body["evidence"]),
        )


@dataclass(frozen=True, slots=True)
class ClusterCall:
    """One attempt of a call.

    ``inputs`` have artifacts as records; ``secrets`` are the values of those that the node is
    granted, None if the worker has them itself; ``readable`` and ``writable`` are the files that
    are handed over, beside artifacts. ``topic`` is where its news are told.
    """

    id: str
    attempt: str
    node: ClusterNode
    store: StorePlace
    topic: str
    correlation_id: str
    inputs: JsonObject
    timeout_seconds: float
    config: JsonObject = field(default_factory=dict)
    secrets: Mapping[str, str] | None = None
    traceparent: str | None = None
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    onex: str = ONEX
    python: str = PYTHON

    def to_text(self) -> str:
        """The call as JSON text; ``parse`` reads it back unchanged."""
        body = {name.name: getattr(self, name.name) for name in fields(self)}
        return json.dumps({**body, "node": self.node.to_json(), "store": asdict(self.store)})

    @classmethod
    def parse(cls, text: str) -> ClusterCall:
        """Read back what ``to_text`` wrote."""
        body = as_object(parse_json(text))
        secrets, store = body["secrets"], as_object(body["store"])
        seconds = body["timeout_seconds"]
        return cls(
            id=as_text(body["id"]),
            attempt=as_text(body["attempt"]),
            node=ClusterNode.from_json(as_object(body["node"])),
            store=StorePlace(as_text(store["url"]), as_text(store["group"])),
            topic=as_text(body["topic"]),
            correlation_id=as_text(body["correlation_id"]),
            inputs=as_object(body["inputs"]),
            timeout_seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
            config=as_object(body["config"]),
            secrets=None if secrets is None else _texts_of(secrets),
            traceparent=as_optional_text(body["traceparent"]),
            readable=as_texts(body["readable"]),
            writable=as_texts(body["writable"]),
            onex=as_text(body["onex"]),
            python=as_text(body["python"]),
        )


@dataclass(frozen=True, slots=True)
class ClusterEnd:
    """The end of an attempt: how long ago it began and ended, by the clock of its worker.

    ``is_made`` is false if the node did not begin.
    """

    end: CallEnd
    seconds: float
    worker: str
    is_made: bool = True

    def to_text(self) -> str:
        """The end as JSON text; ``parse`` reads it back, errors by their codes."""
        end = self.end
        body: dict[str, JsonValue] = {
            "seconds": self.seconds,
            "worker": self.worker,
            "is_made": self.is_made,
            "log": end.log,
        }
        if isinstance(end, CallOutcome):
            return json.dumps(body | {"output": end.output})
        error = end.error
        failure = {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "detail": end.detail,
            "details": error.details,
        }
        return json.dumps(body | {"failure": failure}, default=str)

    @classmethod
    def parse(cls, text: str) -> ClusterEnd:
        """Read back what ``to_text`` wrote; raises TypeError, ValueError, KeyError."""
        body = as_object(parse_json(text))
        log, seconds = as_text(body["log"]), body["seconds"]
        end: CallEnd
        if "failure" in body:
            failure = as_object(body["failure"])
            error = _error_of(as_text(failure["code"]))(
                as_text(failure["message"]),
                hint=as_optional_text(failure["hint"]),
                details=dict(as_object(failure["details"])),
            )
            end = CallFailure(error, as_optional_text(failure["detail"]), log)
        else:
            end = CallOutcome(body["output"], log, is_stored=True)
        return cls(
            end,
            float(seconds) if isinstance(seconds, int | float) else 0.0,
            as_text(body["worker"]),
            is_made=body["is_made"] is True,
        )


def _error_of(code: str) -> type[OnexError]:
    """The class of errors with a code; that of any execution for a code that is not known."""
    pending: list[type[OnexError]] = [OnexError]
    while pending:
        kind = pending.pop()
        if kind.__dict__.get("code") == code and kind.__init__ is OnexError.__init__:
            return kind
        pending += kind.__subclasses__()
    return ExecutionError


def _texts_of(value: JsonValue) -> dict[str, str]:
    return {name: as_text(text) for name, text in as_object(value).items()}
