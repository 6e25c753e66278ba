"""ExecutionContext: what a node is handed beside its inputs.

This module is imported inside worker processes, so it stays small.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from onex.domain.errors import InvalidPermissionError
from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.permission import Permission

ARTIFACT_KEY = "$artifact"


@dataclass(frozen=True, slots=True)
class ContextSpec:
    """The content of a context, as it is sent to the process that runs the node."""

    correlation_id: str
    workdir: str
    permissions: tuple[str, ...] = ()
    config: JsonObject = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)


class ExecutionContext:
    """The node's view of its execution."""

    def __init__(
        self,
        spec: ContextSpec,
        logger: logging.Logger,
        report_progress: Callable[[float, str], None],
    ) -> None:
        self._spec = spec
        self._logger = logger
        self._report_progress = report_progress
        self._permissions: Sequence[Permission] = [Permission.parse(p) for p in spec.permissions]

    @property
    def workdir(self) -> Path:
        """A folder of this execution alone, made when first asked for."""
        folder = Path(self._spec.workdir)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def get_correlation_id(self) -> str:
        """The run and the step, to join logs by."""
        return self._spec.correlation_id

    def get_logger(self) -> logging.Logger:
        """A logger whose records are kept with the step."""
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
                f" and set ONEX_SECRET_{name}"
            )
        return self._spec.secrets[name]

    def check_permission(self, kind: str, resource: str) -> bool:
        """Whether the node was granted a permission."""
        try:
            wanted = Permission.of(kind, resource)
        except InvalidPermissionError:
            return False
        return any(granted.covers(wanted) for granted in self._permissions)

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
