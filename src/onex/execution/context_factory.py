"""ExecutionContextFactory: the context that each call gets, no wider than its node was granted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from onex.domain.json_value import JsonObject
from onex.domain.metadata import RegisteredNode
from onex.execution.context import ContextSpec

SECRET_PREFIX = "ONEX_SECRET_"


@dataclass(frozen=True, slots=True)
class ExecutionContextFactory:
    """Makes contexts for the calls of one run.

    ``environment`` is where secrets are looked up; a node receives only those
    that its manifest asks for by ``secret.access``.
    """

    run_id: str
    workdir: Path
    config: JsonObject
    environment: Mapping[str, str]

    def create_context(self, call_id: str, node: RegisteredNode) -> ContextSpec:
        """The context of one call."""
        permissions = node.metadata.permissions
        wanted = [p.resource for p in permissions if p.kind == "secret.access"]
        return ContextSpec(
            correlation_id=f"{self.run_id}/{call_id}",
            workdir=str(self.workdir / call_id),
            permissions=tuple(map(str, permissions)),
            config=self.config,
            secrets={
                name: self.environment[SECRET_PREFIX + name]
                for name in wanted
                if SECRET_PREFIX + name in self.environment
            },
        )
