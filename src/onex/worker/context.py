"""ExecutionContext: what a node is handed beside its inputs.

This module is imported inside worker processes, so it stays small, and imports what few
nodes need when they need it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from onex.domain.json_value import (
    ARTIFACT_KEY,
    JsonObject,
    JsonValue,
    as_object,
    as_optional_text,
    as_text,
    as_texts,
)

if TYPE_CHECKING:
    import logging

SECRET_PREFIX = "ONEX_SECRET_"
"""What the variables are called that carry secrets, before the names of these."""


@dataclass(frozen=True, slots=True)
class ContextSpec:
    """The content of a context, as it is sent to the process that runs the node."""

    correlation_id: str
    workdir: str
    permissions: tuple[str, ...] = ()
    config: JsonObject = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    traceparent: str | None = None

    def to_json(self) -> JsonObject:
        """The content as JSON; ``from_json`` reads it back unchanged."""
        return {
            "correlation_id": self.correlation_id,
            "workdir": self.workdir,
            "permissions": self.permissions,
            "config": self.config,
            "secrets": self.secrets,
            "traceparent": self.traceparent,
        }

    @classmethod
    def from_json(cls, body: JsonObject) -> ContextSpec:
        """Read back what ``to_json`` wrote."""
        return cls(
            correlation_id=as_text(body["correlation_id"]),
            workdir=as_text(body["workdir"]),
            permissions=as_texts(body["permissions"]),
            config=as_object(body["config"]),
            secrets={name: as_text(value) for name, value in as_object(body["secrets"]).items()},
            traceparent=as_optional_text(body["traceparent"]),
        )


class ExecutionContext:
    """The node's view of its execution."""

    def __init__(
        self,
        spec: ContextSpec,
        node_dir: Path,
        log: Callable[[str, str], None],
        report_progress: Callable[[float, str], None],
    ) -> None:
        """``node_dir`` is the folder of the node's own files."""
        self._spec = spec
        self._node_dir = node_dir
        self._log = log
        self._logger: logging.Logger | None = None
        self._report_progress = report_progress

    @property
    def workdir(self) -> Path:
        """A folder of this execution alone; what is left there is removed when it ends."""
        folder = Path(self._spec.workdir)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def node_dir(self) -> Path:
        """The folder of the node's own files, exactly those that were hashed, to be read only."""
        return self._node_dir

    def get_correlation_id(self) -> str:
        """The run and the step, to join logs by."""
        return self._spec.correlation_id

    def get_trace_context(self) -> dict[str, str]:
        """The headers that join what a node asks of others to the trace of its run.

        They are those of W3C Trace Context; none if the run is not traced.
        """
        traceparent = self._spec.traceparent
        return {} if traceparent is None else {"traceparent": traceparent}

    def get_logger(self) -> logging.Logger:
        """A logger whose records are kept with the step."""
        if self._logger is None:
            from onex.worker.node_logging import make_logger

            self._logger = make_logger(self._log)
        return self._logger

    def get_config(self, key: str, default: JsonValue = None) -> JsonValue:
        """A value from the ``[config]`` table of ``onex.toml``."""
        return self._spec.config.get(key, default)

    def get_secret(self, name: str) -> str:
        """A secret this node was granted by ``secret.access:NAME``.

        Raises:
            LookupError: the node was not granted the secret, or it is not set.
        """
        if name not in self._spec.secrets:
            raise LookupError(
                f"the secret {name} is not available: declare secret.access:{name} in the manifest"
                f" and set ONEX_SECRET_{name}, or write it to the file of secrets"
            )
        return self._spec.secrets[name]

    def check_permission(self, kind: str, resource: str) -> bool:
        """Whether the node was granted a permission."""
        from onex.domain.errors import InvalidPermissionError
        from onex.domain.permission import Permission

        try:
            wanted = Permission.of(kind, resource)
        except InvalidPermissionError:
            return False
        granted = map(Permission.parse, self._spec.permissions)
        return any(permission.covers(wanted) for permission in granted)

    def artifact(self, path: str | Path) -> dict[str, str]:
        """Hand over a file below ``workdir``: return the value as part of the result.

        Raises:
            ValueError: the path is not a file below ``workdir``.
        """
        folder = self.workdir.resolve()
        file = (folder / path).resolve()
        if not file.is_relative_to(folder) or not file.is_file():
            raise ValueError(f"{path} is not a file below the working folder {folder}")
        return {ARTIFACT_KEY: str(file)}

    def progress(self, fraction: float, message: str = "") -> None:
        """Tell those who watch how far the work is, from 0 to 1."""
        self._report_progress(min(1.0, max(0.0, fraction)), message)
