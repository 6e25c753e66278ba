"""ExecutionContextFactory: the context that each call gets, no wider than its node was granted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from onex.domain.errors import SecretMissingError
from onex.domain.json_value import JsonObject
from onex.domain.permission import Permission
from onex.domain.reference import NodeVersion
from onex.engines.secret_store import SecretStore, missing_secret, secrets_among
from onex.worker.context import SECRET_PREFIX, ContextSpec


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

    def grants_of(self, node: NodeVersion, permissions: Sequence[Permission]) -> NodeGrants:
        """What a node is given that was granted these permissions.

        Raises:
            SecretsNotPrivateError: the file of secrets is open to others.
            SecretMissingError: a secret that the node declares is not set.
        """
        wanted = secrets_among(permissions)
        secrets = self.secrets.find(wanted) if wanted else {}
        missing = missing_secret(wanted, secrets)
        if missing is not None:
            raise SecretMissingError(
                f"the secret {missing} that {node} declares is not set",
                hint=f"set {SECRET_PREFIX}{missing}, or write it to the file of secrets",
            )
        return NodeGrants(tuple(map(str, permissions)), secrets)

    def create_context(
        self,
        run_id: str,
        call_id: str,
        workdir: str,
        grants: NodeGrants,
        traceparent: str | None = None,
    ) -> ContextSpec:
        """The context of one call.

        ``workdir`` is a folder of its own, which need not exist; ``traceparent`` is the context of
        its span, as W3C Trace Context has it.
        """
        return ContextSpec(
            correlation_id=f"{run_id}/{call_id}",
            workdir=workdir,
            permissions=grants.permissions,
            config=self.config,
            secrets=grants.secrets,
            traceparent=traceparent,
        )
