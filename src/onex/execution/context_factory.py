"""ExecutionContextFactory: the context that each call gets, no wider than its node was granted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onex.domain.errors import SecretMissingError
from onex.domain.json_value import JsonObject
from onex.domain.metadata import NodeMetadata
from onex.execution.context import ContextSpec
from onex.execution.secrets import SECRET_PREFIX, SecretStore, is_secret_name


@dataclass(frozen=True, slots=True)
class NodeGrants:
    """What every call of a node is given: permissions, and the secrets among them."""

    permissions: tuple[str, ...]
    secrets: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ExecutionContextFactory:
    """Makes contexts for calls; a node receives only the secrets that it was granted."""

    config: JsonObject
    secrets: SecretStore = field(repr=False)

    def grants_of(self, node: NodeMetadata) -> NodeGrants:
        """What a node is given.

        Raises:
            SecretsNotPrivateError: the file of secrets is open to others.
            SecretMissingError: a secret that the node declares is not set.
        """
        wanted = [p.resource for p in node.permissions if p.kind == "secret.access"]
        secrets = self.secrets.find(wanted) if wanted else {}
        missing = [name for name in wanted if is_secret_name(name) and name not in secrets]
        if missing:
            raise SecretMissingError(
                f"the secret {missing[0]} that {node.node_version} declares is not set",
                hint=f"set {SECRET_PREFIX}{missing[0]}, or write it to the file of secrets",
            )
        return NodeGrants(tuple(map(str, node.permissions)), secrets)

    def create_context(
        self, run_id: str, call_id: str, workdir: str, grants: NodeGrants
    ) -> ContextSpec:
        """The context of one call; ``workdir`` is a folder of its own, which need not exist."""
        return ContextSpec(
            f"{run_id}/{call_id}", workdir, grants.permissions, self.config, grants.secrets
        )
