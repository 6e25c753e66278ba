"""What a worker makes sure of before it runs a node: what was granted, who signed it, its policy.

A host may have a looser policy, or a registry that was tampered with. So a worker does not take its
word: it reads the manifest among the files that have the digest of the call, and checks the
statements itself. Whoever can send tasks of their own to the scheduler needs no node for anything.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from onex.configuration.toml_file import read_configuration
from onex.domain.errors import ConfigurationError, DocumentError, WorkerUnfitError
from onex.domain.evidence import Evidence, TrustLevel
from onex.domain.metadata import NodeMetadata
from onex.domain.permission import Permission
from onex.domain.release_trust import judge
from onex.domain.remote_errors import ArchiveRefusedError
from onex.domain.result import IsolationLevel
from onex.domain.statement import ReleaseStatement
from onex.domain.trust_errors import NotVerifiedError, PolicyRefusedError
from onex.domain.trust_rules import TrustRules, Use
from onex.engines.cluster_call import ClusterNode
from onex.manifests.node_files import NodeFiles, may_be_target
from onex.remote.archived_node import read_files
from onex.trust.signing import signers_of

POLICY_VARIABLE = "ONEX_WORKER_POLICY"
"""The file whose ``[policy]`` says what a worker runs; it is written as ``onex.toml``."""


@dataclass(frozen=True, slots=True)
class WorkerPolicy:
    """Which nodes a worker runs, and how; without any, all that are asked for."""

    rules: TrustRules = field(default_factory=TrustRules)
    isolation: IsolationLevel | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is forbidden."""
        return self.rules.is_empty and self.isolation is None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> WorkerPolicy:
        """The policy of this worker, as the environment names it.

        Raises:
            ConfigurationError: the file cannot be read, or is not valid.
        """
        place = environment.get(POLICY_VARIABLE)
        if not place:
            return cls()
        found = read_configuration(Path(place))
        if found.ceilings:
            raise ConfigurationError(
                f"{place} has [policy.limits], which a worker does not know",
                hint="set the limits of workers by dask worker --memory-limit",
            )
        return cls(found.trust_rules, found.isolation)


def require_trusted(
    node: ClusterNode, files: NodeFiles, evidence: Evidence | None, policy: WorkerPolicy
) -> None:
    """Refuse a node that was granted more than it asks for, or that nobody should run here.

    Args:
        node: what the call says of it.
        files: its files, which have the digest that the call names.
        evidence: what the registry shows for it, if that has anything.
        policy: that of this worker.

    Raises:
        WorkerUnfitError: it was granted what its manifest does not ask for, or is to be run
            otherwise than the manifest says.
        NotVerifiedError: a statement about it is not true, or not about it.
        PolicyRefusedError: the policy of this worker forbids it.
    """
    metadata = _metadata_of(node, files)
    asked = {} if metadata is None else {str(one): one for one in metadata.requests}
    granted = (*node.permissions, *(f"environment.read:{name}" for name in node.variables))
    more = [text for text in granted if not _is_asked_for(text, asked)]
    if more:
        raise WorkerUnfitError(
            f"{node.identity} was granted {more[0]}, which its manifest does not ask for",
            hint="look at who can reach the scheduler of the cluster",
        )
    if metadata is not None and (wrong := _difference(node, files, metadata)) is not None:
        raise WorkerUnfitError(
            f"{node.identity} is to be run with another {wrong} than its manifest has",
            hint="look at who can reach the scheduler of the cluster",
        )
    # A manifest may leave the name to the package around it, which is not among the files.
    if metadata is None or str(metadata.node_version) != node.identity:
        if evidence is None and policy.is_empty:
            return
        raise NotVerifiedError(
            f"{node.identity} is not run: its manifest says nothing of that name",
            hint="publish the node with a manifest that has its whole name",
        )
    level = TrustLevel.UNVERIFIED
    if evidence is not None:
        release = ReleaseStatement.about(metadata, node.digest)
        judgement = judge(release, evidence, None, signers_of, is_ordered=False)
        if judgement.failure is not None:
            raise NotVerifiedError(
                f"{node.identity} is not run: {judgement.failure}",
                hint=f"see the whole argument: onex verify {node.identity}",
            )
        level = judgement.level
    refusal = _refusal(node, metadata, level, policy)
    if refusal is not None:
        raise PolicyRefusedError(
            f"{node.identity} {refusal}",
            hint=f"this is the policy of the worker, by {POLICY_VARIABLE}",
        )


def _metadata_of(node: ClusterNode, files: NodeFiles) -> NodeMetadata | None:
    """What the manifest says; None if it cannot be read by itself."""
    try:
        return read_files(files, node.manifest).metadata
    except (DocumentError, ArchiveRefusedError):
        return None


def _difference(node: ClusterNode, files: NodeFiles, metadata: NodeMetadata) -> str | None:
    """What a call says otherwise than the manifest of its node; None for nothing."""
    entrypoint = metadata.entrypoint
    is_there = node.target in files.contents and may_be_target(node.target, entrypoint)
    if node.kind != entrypoint.type or not is_there:
        return "entry point"
    if node.callable_name != entrypoint.callable_name:
        return "function"
    return None if node.is_idempotent == metadata.idempotent else "value of idempotent"


def _is_asked_for(text: str, asked: Mapping[str, Permission]) -> bool:
    """Whether a permission is among those of a manifest, files by their real paths, too."""
    if text in asked:
        return True
    granted = Permission.parse(text)
    return any(
        one.kind == granted.kind
        and one.kind.startswith("file.")
        and os.path.realpath(one.path) == granted.path
        and one.resource.removeprefix(one.path) == granted.resource.removeprefix(granted.path)
        for one in asked.values()
    )


def _refusal(
    node: ClusterNode, metadata: NodeMetadata, level: TrustLevel, policy: WorkerPolicy
) -> str | None:
    """Why a policy forbids a node, as the rest of a sentence; None if it does not."""
    namespace, rules = metadata.node.namespace, policy.rules
    order = list(IsolationLevel)
    for weakest in (policy.isolation, rules.weakest_isolation(namespace, level)):
        if weakest is not None and order.index(node.isolation) > order.index(weakest):
            return f"would run at the level {node.isolation}, and the policy asks for {weakest}"
    return rules.level_refusal(namespace, Use.RUN, level) or rules.forbidden(metadata)
