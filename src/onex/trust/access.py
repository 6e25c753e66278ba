"""AccessDecisions: at which level each node of a run is isolated, and with which permissions."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from onex.domain.errors import IsolationUnavailableError, UsageError
from onex.domain.grant import RunAccess
from onex.domain.metadata import RegisteredNode
from onex.domain.permission import Permission
from onex.domain.reference import NodeId
from onex.domain.release_trust import Check
from onex.domain.result import IsolationLevel
from onex.domain.trust_errors import PolicyRefusedError
from onex.trust.grants import Grants, PendingGrant
from onex.trust.security_validator import SecurityValidator, Validation


@dataclass(frozen=True, slots=True)
class NodeAccess:
    """How a node runs, and why it may; ``pending`` is what it asks for that nobody granted."""

    isolation: IsolationLevel
    permissions: tuple[Permission, ...]
    is_trusted: bool
    validation: Validation
    pending: PendingGrant | None = None


class AccessDecisions:
    """Decides for each node of one run."""

    def __init__(
        self,
        grants: Grants,
        validator: SecurityValidator,
        access: RunAccess,
        default: IsolationLevel | None,
        why_not_strict: Callable[[], str | None],
    ) -> None:
        """Decide by what was granted, and by what the user says.

        Args:
            grants: what nodes are granted.
            validator: says whether a node may be run at all.
            access: what the user says about this run.
            default: the level of trusted nodes; None for the strictest that can be had.
            why_not_strict: says why this machine cannot confine, None if it can.
        """
        self._grants = grants
        self._validator = validator
        self._default = default
        self._access = access
        # The machine is asked once for all nodes of a run.
        self._why_not_strict = cache(why_not_strict)
        self._named: dict[str, set[NodeId]] = {}
        self.warnings: list[str] = []

    def decide(self, node: RegisteredNode, recorded: IsolationLevel | None = None) -> NodeAccess:
        """How a node runs, which had run at a recorded level before.

        Raises:
            NotVerifiedError, PolicyRefusedError: it may not be run.
            IsolationUnavailableError: the node is not trusted, and would run unconfined.
            GrantRefusedError: it is granted what can be granted to nobody.
        """
        validation = self._validator.require(node)
        trusted = self._grants.is_trusted(node)
        decision = self._grants.decide(node, self._access.grants)
        asked = self._access.isolation or recorded or (self._default if trusted else None)
        level = self._level(node, asked, trusted=trusted)
        self._require_isolation(node, validation, level)
        if level is IsolationLevel.STRICT:
            for permission in decision.granted:
                self._grants.require_grantable(permission)
        pending = None
        if decision.missing:
            pending = self._grants.pending_of(node, decision.missing)
            missing = ", ".join(map(str, decision.missing))
            validation = validation.with_check(Check.fails("grants", f"nobody granted {missing}"))
        else:
            granted = ", ".join(map(str, decision.granted)) or "nothing"
            validation = validation.with_check(Check.holds("grants", f"it is granted {granted}"))
        return NodeAccess(level, decision.granted, trusted, validation, pending)

    def _require_isolation(
        self, node: RegisteredNode, validation: Validation, level: IsolationLevel
    ) -> None:
        weakest = self._validator.weakest_isolation(node, validation)
        order = list(IsolationLevel)
        if weakest is not None and order.index(level) > order.index(weakest):
            raise PolicyRefusedError(
                f"{node.metadata.node_version} would run with {level} isolation, and the policy"
                f" lets {validation.level} nodes run with {weakest} at least",
                hint=f"run it with --isolation {weakest}, or change [policy.trust]",
            )

    def check_names(self) -> None:
        """Raise UsageError if a node that may run unconfined is none of the run's."""
        unknown = sorted(self._access.unsandboxed - self._named.keys())
        if unknown:
            raise UsageError(
                f"no node of this run is called {unknown[0]}",
                hint="--allow-unsandboxed takes the name or type://namespace of a node that runs",
            )
        for name, nodes in self._named.items():
            if len(nodes) > 1:
                raise UsageError(
                    f"{name} is the name of several nodes of this run",
                    hint="name one in full: " + " or ".join(sorted(map(str, nodes))),
                )

    def _level(
        self, node: RegisteredNode, asked: IsolationLevel | None, *, trusted: bool
    ) -> IsolationLevel:
        metadata = node.metadata
        names = {metadata.name, metadata.node.namespace, str(metadata.node)}
        named = self._access.unsandboxed & {*names, str(metadata.node_version)}
        for name in named:
            self._named.setdefault(name, set()).add(metadata.node)
        wanted = asked or IsolationLevel.STRICT
        if named:
            return IsolationLevel.PROCESS if wanted is IsolationLevel.STRICT else wanted
        why_not = None
        if wanted is IsolationLevel.STRICT:
            why_not = self._why_not_strict()
            if why_not is None:
                return wanted
            if asked is not None:
                raise IsolationUnavailableError(
                    f"strict isolation cannot be had here: {why_not}",
                    hint="use --isolation process for nodes that you trust",
                )
        if not trusted:
            reason = (
                f"strict isolation cannot be had here: {why_not}"
                if why_not
                else f"{wanted} isolation does not confine it"
            )
            raise IsolationUnavailableError(
                f"{metadata.node_version} comes from a source that is not trusted, and {reason}",
                hint=f"if you trust it all the same: --allow-unsandboxed {metadata.node}",
            )
        if why_not is None:
            return wanted
        warning = f"nodes run without confinement: {why_not}"
        if warning not in self.warnings:
            self.warnings.append(warning)
        return IsolationLevel.PROCESS


def with_real_paths(access: RunAccess) -> RunAccess:
    """The same access, with denied files denied by their real paths too, which grants name."""
    return access.denying(
        Permission(p.kind, p.resource.replace(p.path, os.path.realpath(p.path), 1))
        for p in access.grants.denied
        if p.kind.startswith("file.")
    )
