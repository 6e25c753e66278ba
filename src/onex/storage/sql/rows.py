"""Between rows of the registry's tables and values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from onex.domain.evidence import Evidence
from onex.domain.metadata import (
    NO_DECISION,
    NodeMetadata,
    Origin,
    Outcome,
    RegisteredNode,
    SourceId,
    decided,
)
from onex.domain.path_text import read_path, stored_path
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.version import Version
from onex.storage.sql.connection import Parameter, Row, SqlConnection

NODE_COLUMNS = (
    "nodes.id, nodes.type, nodes.namespace, nodes.version, nodes.digest, nodes.registered_at,"
    " nodes.yanked, nodes.yank_reason, nodes.decision, nodes.body, nodes.evidence"
)

ORIGIN_COLUMNS = "source, path, workspace"

KEYS_IN_A_STATEMENT = 300


class NodeRow(NamedTuple):
    """One row of ``nodes`` with the columns of ``NODE_COLUMNS``."""

    id: int
    type: str
    namespace: str
    version: str
    digest: str
    registered_at: str
    yanked: int
    yank_reason: str | None
    decision: str
    body: str
    evidence: str = ""

    @property
    def node_version(self) -> NodeVersion:
        """The identity of the version."""
        return NodeVersion(NodeId(self.type, self.namespace), Version.parse(self.version))

    def metadata(self) -> NodeMetadata:
        """The metadata, in the lifecycle state that was decided for it, if one was."""
        metadata = NodeMetadata.from_json(json.loads(self.body))
        if self.decision == NO_DECISION:
            return metadata
        return decided(metadata, json.loads(self.decision))

    def registered(self, origins: Sequence[Origin]) -> RegisteredNode:
        """The node version with its origins."""
        return RegisteredNode(
            self.metadata(),
            self.digest,
            tuple(origins),
            self.registered_at,
            bool(self.yanked),
            self.yank_reason,
            self.known_evidence,
        )

    @property
    def known_evidence(self) -> Evidence | None:
        """What speaks for the version; None if nothing is known."""
        return Evidence.from_json(json.loads(self.evidence)) if self.evidence else None


def read_origin(source: str, path: str, workspace: str) -> Origin:
    """An origin from its columns, those of ``ORIGIN_COLUMNS``."""
    return Origin(read_path(source), read_path(path), workspace)


def source_key(source: SourceId) -> tuple[str, str]:
    """A source as the columns ``source`` and ``workspace`` hold it."""
    return (stored_path(source.name), source.workspace)


def read_outcome(text: str) -> Outcome:
    """The outcome of a scan as it is stored."""
    match text:
        case "node" | "rejected" | "skipped" | "listing" | "plain":
            return text
        case _:
            raise ValueError(f"{text!r} is not an outcome of a scan")


def rows_for_keys(
    connection: SqlConnection,
    columns: Sequence[str],
    keys: Sequence[Sequence[Parameter]],
    statement: str,
) -> list[Row]:
    """The rows of a statement on a table ``wanted``, which holds keys of these columns.

    Databases look up the keys of a joined table one by one. They may read the whole other
    table instead for ``IN`` and a list of rows. The keys are asked for in several statements if
    there are many.
    """
    found: list[Row] = []
    for start in range(0, len(keys), KEYS_IN_A_STATEMENT):
        some = keys[start : start + KEYS_IN_A_STATEMENT]
        marks = ", ".join([f"({', '.join('?' * len(columns))})"] * len(some))
        found += connection.rows(
            f"WITH wanted ({', '.join(columns)}) AS (VALUES {marks}) {statement}",
            [part for key in some for part in key],
        )
    return found
