"""SqlWriter: the changes of the registry inside one transaction, each with its event."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from onex.domain.errors import write_problems
from onex.domain.event import ALLOWED, GENESIS_HASH, REFUSED, Event
from onex.domain.evidence import Evidence, TrustLevel
from onex.domain.grant import APPROVED, REVOKED, Grant
from onex.domain.json_value import JsonObject, canonical_json, canonical_object
from onex.domain.lifecycle import Lifecycle, check_transition, preference
from onex.domain.metadata import (
    NO_DECISION,
    AbsentDecision,
    Origin,
    SourceId,
    VersionState,
    decided,
    trust_of,
    write_decision,
)
from onex.domain.path_text import read_path, stored_path
from onex.domain.permission import Permission
from onex.domain.projection import SOURCE_ADOPTED, Projection, adoption, node_state
from onex.domain.reference import NodeId, NodeVersion
from onex.storage.backend import SeenFile, StoredNode
from onex.storage.node_record import (
    COLUMNS,
    LABELLED_MEMBERS,
    NodeRecord,
    storable,
    stored_version,
)
from onex.storage.scan_memory import FolderSnapshot
from onex.storage.sql.connection import Parameter, SqlConnection
from onex.storage.sql.loaded_nodes import LoadedNodes
from onex.storage.sql.rows import NodeRow, rows_for_keys, source_key

SCAN_TOKEN = "SELECT token FROM scans WHERE source = ? AND workspace = ?"
_DROP_LABELS = "DELETE FROM labels WHERE node_id = ?"
_DROP_SEARCH = "DELETE FROM search WHERE rowid = ?"
_DROP_NAME_PARTS = "DELETE FROM name_parts WHERE rowid = ?"
_DROP_ORIGIN = "DELETE FROM origins WHERE source = ? AND workspace = ? AND path = ?"
_DROP_NODE = "DELETE FROM nodes WHERE id = ?"
_DROP_ABSENT = "DELETE FROM absent_decisions WHERE namespace = ? AND type = ? AND version = ?"
_DROP_FILE = "DELETE FROM seen_files WHERE source = ? AND workspace = ? AND path = ?"
_INSERT_NODE = (
    f"INSERT INTO nodes ({', '.join(COLUMNS)}, id, registered_at, evidence, trust)"
    f" VALUES ({', '.join('?' * (len(COLUMNS) + 4))})"
)
_UPDATE_NODE = f"UPDATE nodes SET {', '.join(f'{column} = ?' for column in COLUMNS)} WHERE id = ?"
_DECIDE = (
    "UPDATE nodes SET yanked = ?, yank_reason = ?, decision = ?, preference = ?, lifecycle = ?"
    " WHERE id = ?"
)
_PUT_EVIDENCE = "UPDATE nodes SET evidence = ?, trust = ? WHERE id = ?"
_INSERT_METADATA = "INSERT INTO signed_metadata (role, version, content) VALUES (?, ?, ?)"
# Readers that came a moment ago still ask for versions that were replaced since.
_DROP_METADATA = (
    "DELETE FROM signed_metadata WHERE role = ? AND version <= (SELECT version FROM"
    " signed_metadata AS kept WHERE kept.role = ? ORDER BY version DESC LIMIT 1 OFFSET ?)"
)
_PUT_TRUST = "UPDATE nodes SET trust = ? WHERE id = ?"
_INSERT_LABEL = (
    "INSERT INTO labels (kind, value, sort_key, node_id) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_INSERT_ORIGIN = (
    "INSERT INTO origins (node_id, source, path, workspace, added) VALUES (?, ?, ?, ?, ?)"
)
_INSERT_ABSENT = "INSERT INTO absent_decisions VALUES (?, ?, ?, ?, ?, ?, ?)"
_INSERT_WORD = "INSERT INTO words (word, length) VALUES (?, ?) ON CONFLICT DO NOTHING"
_INSERT_EVENT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_FILE = (
    "INSERT INTO seen_files (source, workspace, path, fingerprint, outcome, problems, files)"
    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source, workspace, path) DO UPDATE SET"
    " fingerprint = excluded.fingerprint, outcome = excluded.outcome,"
    " problems = excluded.problems, files = excluded.files"
)
_PUT_FOLDER = (
    "INSERT INTO folders (source, workspace, path, stamp, rules, files, folders, fingerprint)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source, workspace, path) DO UPDATE SET"
    " stamp = excluded.stamp, rules = excluded.rules, files = excluded.files,"
    " folders = excluded.folders, fingerprint = excluded.fingerprint"
)
_PUT_TOKEN_USE = (
    "INSERT INTO token_uses (token, used_at) VALUES (?, ?)"
    " ON CONFLICT (token) DO UPDATE SET used_at = excluded.used_at"
)
_DROP_FOLDER = "DELETE FROM folders WHERE source = ? AND workspace = ? AND path = ?"
_PUT_SCAN = (
    "INSERT INTO scans (source, workspace, token, is_complete) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (source, workspace) DO UPDATE SET token = excluded.token,"
    " is_complete = excluded.is_complete"
)
# Steps from one source to the next in the key of the table, instead of reading all of it.
_SOURCES = (
    "WITH RECURSIVE known (source) AS (SELECT min(source) FROM origins UNION ALL"
    " SELECT (SELECT min(source) FROM origins WHERE source > known.source) FROM known"
    " WHERE known.source IS NOT NULL) SELECT source FROM known WHERE EXISTS"
    " (SELECT 1 FROM origins WHERE origins.source = known.source AND workspace = ?)"
)
# What scans note of a source, all in the same columns.
_SCAN_MEMORY = ("seen_files", "folders", "scans")
# What is gathered is written in this order: what makes room comes first.
_DELETES = (
    *(_DROP_LABELS, _DROP_SEARCH, _DROP_NAME_PARTS),
    *(_DROP_ORIGIN, _DROP_NODE, _DROP_ABSENT, _DROP_FILE),
)
_WRITES = (_INSERT_NODE, _UPDATE_NODE, _DECIDE, _PUT_EVIDENCE, _PUT_TRUST)

_OF_THESE_NODES = (
    "FROM wanted CROSS JOIN nodes WHERE nodes.namespace = wanted.namespace"
    " AND nodes.type = wanted.type"
)
_SEVERAL_VERSIONS = (
    f"SELECT nodes.type, nodes.namespace {_OF_THESE_NODES}"
    " GROUP BY nodes.namespace, nodes.type HAVING count(*) > 1"
)
# Each is read off the index, however many versions a node has.
_BEST = (
    "SELECT (SELECT id FROM nodes WHERE nodes.namespace = wanted.namespace"
    " AND nodes.type = wanted.type ORDER BY preference DESC, version_order DESC LIMIT 1)"
    " FROM wanted"
)
_MARKED = f"SELECT nodes.id {_OF_THESE_NODES} AND nodes.is_best = 1"
_MARK_LABELS = "UPDATE labels SET is_best = ? WHERE node_id = ?"
_MARK_NODE = "UPDATE nodes SET is_best = ? WHERE id = ?"


class SqlWriter:
    """The StorageWriter inside one transaction.

    Changes are gathered and written together. What the transaction works on is read in
    bulk (``expect``) and kept current, so that nothing needs to be written before it is read.
    """

    def __init__(self, connection: SqlConnection, actor: str) -> None:
        """``actor`` is who makes the changes, as the log names them."""
        self._connection = connection
        self._actor = actor
        last = connection.rows("SELECT serial, hash, time FROM events ORDER BY serial DESC LIMIT 1")
        self._serial, self._hash = last[0][:2] if last else (0, GENESIS_HASH)
        self._time: str = last[0][2] if last else ""
        self._last_id = int(connection.rows("SELECT max(id) FROM nodes")[0][0] or 0)
        self._loaded = LoadedNodes(connection)
        self._insert_search = connection.insert_search()
        self._insert_name_parts = connection.insert_name_parts()
        self._gathered: dict[str, list[tuple[Parameter, ...]]] = {}
        self._written_ids: set[int] = set()
        self._added_origins: set[Origin] = set()
        self._words: set[str] = set()
        self._inserted: dict[NodeId, None] = {}
        self._touched: dict[NodeId, None] = {}
        self._relabelled: set[int] = set()

    def expect(self, nodes: Iterable[NodeVersion], origins: Iterable[Origin] = ()) -> None:
        """Read at once what is known of these node versions and these places."""
        self._loaded.load(nodes, origins)

    def sources(self, workspace: str) -> Sequence[SourceId]:
        rows = self._connection.rows(_SOURCES, (workspace,))
        return [SourceId(read_path(name), workspace) for (name,) in rows]

    def find(self, node: NodeVersion) -> StoredNode | None:
        row = self._loaded.row(node)
        if row is None:
            return None
        origins = tuple(self._loaded.origins(node))
        return StoredNode(row.digest, row.body, origins, row.known_evidence)

    def node_at(self, origin: Origin) -> NodeVersion | None:
        return self._loaded.node_at(origin)

    def insert(self, record: NodeRecord, origin: Origin, evidence: Evidence | None = None) -> None:
        node = record.node_version
        self._vacate(origin, node)
        now = self._now()
        absent = self._loaded.absent(node)
        self._last_id += 1
        row = NodeRow(
            id=self._last_id,
            type=record.type,
            namespace=record.namespace,
            version=record.version,
            digest=record.digest,
            registered_at=now,
            yanked=0,
            yank_reason=None,
            decision=NO_DECISION,
            body=record.body,
            evidence=_written(evidence),
        )
        trust = trust_of((origin,), evidence)
        self._gather(_INSERT_NODE, (*record.columns, row.id, now, row.evidence, trust.value))
        self._written_ids.add(row.id)
        self._gather_labels(row.id, record)
        self._gather_words(row.id, record)
        self._gather_name_parts(row.id, record)
        action, reason = "node.registered", None
        if absent is not None:
            held = absent.on_return(record.lifecycle)
            row = row._replace(
                yanked=int(held.yanked), yank_reason=held.yank_reason, decision=held.decision
            )
            self._gather(_DROP_ABSENT, _key(row))
            self._gather_decision(row)
            action, reason = "node.returned", held.in_words(row.metadata().lifecycle) or None
        body = {
            "before": "null",
            "after": _state(row),
            "origin": canonical_json(origin.to_json()),
        }
        if reason is not None:
            body["reason"] = canonical_json(reason)
        self._append(action, record.label, body, now)
        self._loaded.put(node, row)
        self._put_origin(origin, node, row.id)
        self._inserted[node.node] = None

    def update(self, record: NodeRecord) -> None:
        row = self._row(record.node_version)
        decision = row.decision
        if json.loads(row.body)["lifecycle"] != record.lifecycle:
            # The author changed the state in the manifest itself, which ends what was decided.
            decision = NO_DECISION
        changed = row._replace(digest=record.digest, decision=decision, body=record.body)
        self._change("node.updated", row, changed, record=record)

    def put_words(self, record: NodeRecord) -> None:
        node_id = self._row(record.node_version).id
        self._make_room(node_id)
        self._gather(_DROP_SEARCH, (node_id,))
        self._gather_words(node_id, record)
        self._written_ids.add(node_id)

    def set_yanked(self, node: NodeVersion, *, yanked: bool, reason: str | None) -> None:
        row = self._row(node)
        reason = None if reason is None else storable(reason)
        action = "node.yanked" if yanked else "node.unyanked"
        changed = row._replace(yanked=int(yanked), yank_reason=reason if yanked else None)
        self._change(action, row, changed, reason=reason)

    def set_lifecycle(
        self,
        node: NodeVersion,
        lifecycle: Lifecycle,
        *,
        deprecated_by: str | None,
        reason: str | None,
    ) -> None:
        row = self._row(node)
        reason = None if reason is None else storable(reason)
        before = row.metadata()
        check_transition(
            before.lifecycle,
            lifecycle,
            deprecated_by=deprecated_by or before.deprecated_by,
            archived_reason=reason or before.archived_reason,
        )
        is_archived = lifecycle is Lifecycle.ARCHIVED
        decision = write_decision(
            lifecycle,
            deprecated_by or before.deprecated_by,
            reason if is_archived else before.archived_reason,
        )
        self._change("node.lifecycle", row, row._replace(decision=decision), reason=reason)

    def follow(self, node: NodeVersion, state: VersionState) -> bool:
        row = self._row(node)
        reason = None if state.yank_reason is None else storable(state.yank_reason)
        decision = NO_DECISION if state.decision is None else canonical_json(state.decision)
        after = row._replace(yanked=int(state.yanked), yank_reason=reason, decision=decision)
        if after == row:
            return False
        self._change("node.followed", row, after, reason=reason)
        return True

    def set_evidence(self, node: NodeVersion, evidence: Evidence) -> bool:
        row = self._row(node)
        after = row._replace(evidence=_written(evidence))
        if after == row:
            return False
        self._make_room(row.id)
        trust = trust_of(self._loaded.origins(node), evidence)
        self._gather(_PUT_EVIDENCE, (after.evidence, trust.value, row.id))
        self._written_ids.add(row.id)
        self._append("node.evidence", str(node), {"before": _state(row), "after": _state(after)})
        self._loaded.put(node, after)
        return True

    def add_origin(self, node: NodeVersion, origin: Origin) -> None:
        row = self._row(node)
        if not self._vacate(origin, node):
            return
        before = trust_of(self._loaded.origins(node), row.known_evidence)
        self._append("node.origin_added", str(node), {"origin": canonical_json(origin.to_json())})
        self._put_origin(origin, node, row.id)
        self._gather_trust(row, before)

    def remove_origin(self, origin: Origin) -> bool:
        node = self._loaded.node_at(origin)
        if node is None:
            return False
        row = self._row(node)
        if origin in self._added_origins:
            self.flush()
        before = trust_of(self._loaded.origins(node), row.known_evidence)
        self._gather(_DROP_ORIGIN, (*source_key(origin.source_id), stored_path(origin.path)))
        self._loaded.drop_origin(origin, node)
        if self._loaded.origins(node):
            facts = {"origin": canonical_json(origin.to_json())}
            self._append("node.origin_removed", str(node), facts)
            self._gather_trust(row, before)
            return False
        self._make_room(row.id)
        for statement in (_DROP_LABELS, _DROP_SEARCH, _DROP_NAME_PARTS):
            self._gather(statement, (row.id,))
        self._gather(_DROP_NODE, (row.id,))
        if row.yanked or row.decision != NO_DECISION:
            lifecycle = json.loads(row.body)["lifecycle"]
            self._gather_absent(
                node,
                AbsentDecision(lifecycle, bool(row.yanked), row.yank_reason, row.decision),
            )
            # An insert of the same version would look for this row.
            self.flush()
        self._append("node.removed", str(node), {"before": _state(row), "after": "null"})
        self._loaded.put(node, None)
        self._touched[node.node] = None
        return True

    def remember(self, source: SourceId, file: SeenFile) -> None:
        problems = write_problems(file.problems)
        path = stored_path(file.path)
        facts = (path, file.fingerprint, file.outcome, problems, file.files)
        self._gather(_PUT_FILE, (*source_key(source), *facts))

    def forget(self, source: SourceId, path: str) -> None:
        if _PUT_FILE in self._gathered:
            self.flush()
        self._gather(_DROP_FILE, (*source_key(source), stored_path(path)))

    def remember_folders(
        self, source: SourceId, changed: Iterable[FolderSnapshot], gone: Iterable[str]
    ) -> None:
        self.flush()
        key = source_key(source)
        self._connection.run_many(_DROP_FOLDER, [(*key, stored_path(path)) for path in gone])
        self._connection.run_many(
            _PUT_FOLDER, [(*key, stored_path(memory.path), *memory[1:]) for memory in changed]
        )

    def scan_token(self, source: SourceId) -> str | None:
        rows = self._connection.rows(SCAN_TOKEN, source_key(source))
        return rows[0][0] if rows else None

    def note_scan(self, source: SourceId, token: str, *, is_complete: bool) -> None:
        self._gather(_PUT_SCAN, (*source_key(source), token, int(is_complete)))

    def adopt(self, source: SourceId, former_workspace: str) -> None:
        self.forget_source(source)
        for table in ("origins", *_SCAN_MEMORY):
            self._connection.rows(
                f"UPDATE {table} SET workspace = ? WHERE source = ? AND workspace = ?",
                (source.workspace, stored_path(source.name), former_workspace),
            )
        self._loaded.clear()
        former = SourceId(source.name, former_workspace)
        self._append(SOURCE_ADOPTED, stored_path(source.name), adoption(former, source))

    def forget_source(self, source: SourceId) -> None:
        self.flush()
        for table in _SCAN_MEMORY:
            self._connection.rows(
                f"DELETE FROM {table} WHERE source = ? AND workspace = ?",
                source_key(source),
            )

    def take_over(self, events: Sequence[Event]) -> None:
        """Append entries of another log, of which this one holds all that came before.

        Raises:
            ValueError: they do not follow from the last entry here.
        """
        for event in events:
            is_next = event.serial == self._serial + 1 and event.previous_hash == self._hash
            if not is_next or event.sealed().hash != event.hash:
                raise ValueError(f"entry {event.serial} does not follow from entry {self._serial}")
            self._gather(_INSERT_EVENT, event)
            self._serial, self._hash, self._time = event.serial, event.hash, event.time
        self.flush()

    def rebuild(self, events: Iterable[Event]) -> int:
        self.flush()
        indexes = ("search", "name_parts", "words", "labels")
        for table in (*indexes, "origins", "nodes", "absent_decisions"):
            self._connection.rows(f"DELETE FROM {table}")
        self._loaded.clear()
        projection = Projection(events)
        for node, decision in projection.absent.items():
            self._gather_absent(node, decision)
        states = projection.states
        for node_id, state in enumerate(states.values(), 1):
            record = NodeRecord.of(state.metadata, state.digest)
            trust = trust_of(state.origins, state.evidence)
            facts: tuple[Parameter, ...] = (
                node_id, state.registered_at, _written(state.evidence), trust.value
            )  # fmt: skip
            self._gather(_INSERT_NODE, (*record.columns, *facts))
            self._gather_labels(node_id, record)
            self._gather_words(node_id, record)
            self._gather_name_parts(node_id, record)
            for order, origin in enumerate(state.origins):
                self._gather(_INSERT_ORIGIN, (node_id, *_place(origin), order))
            self._touched[NodeId(record.type, record.namespace)] = None
            if state.yanked or state.decision is not None:
                metadata = decided(state.metadata, state.decision)
                rank = preference(metadata.version, metadata.lifecycle, yanked=state.yanked)
                self._gather(
                    _DECIDE,
                    (
                        int(state.yanked),
                        state.yank_reason,
                        canonical_json(state.decision),
                        rank,
                        metadata.lifecycle.value,
                        node_id,
                    ),
                )
        self._last_id = len(states)
        self.flush()
        return len(states)

    def note_token_uses(self, uses: Mapping[str, str]) -> None:
        for use in sorted(uses.items()):
            self._gather(_PUT_TOKEN_USE, use)

    def take_identity(self, identity: str) -> None:
        self._gather("UPDATE registry SET value = ? WHERE name = 'identity'", (identity,))

    def put_signed_metadata(self, role: str, version: int, content: str, keep: int) -> None:
        self._gather(_INSERT_METADATA, (role, version, content))
        self._gather(_DROP_METADATA, (role, role, keep))

    def finish(self) -> None:
        """Write all that was gathered, and mark the best version of each node that changed."""
        self.flush()
        self._mark_best()

    def flush(self) -> None:
        """Write what was gathered; what makes room comes first, what refers to nodes last."""
        gathered, self._gathered = self._gathered, {}
        ordered = [s for s in (*_DELETES, *_WRITES) if s in gathered]
        ordered += [statement for statement in gathered if statement not in ordered]
        for statement in ordered:
            self._connection.run_many(statement, gathered[statement])
        if self._words:
            words = sorted(self._words)
            self._connection.run_many(_INSERT_WORD, [(word, len(word)) for word in words])
        self._words, self._written_ids, self._added_origins = set(), set(), set()

    def _mark_best(self) -> None:
        """Mark the best version of each node that changed.

        The only version of a node is its best one, as it is when it is stored, so new
        nodes with one version need no more.
        """
        inserted, self._inserted = list(self._inserted), {}
        touched, self._touched = dict(self._touched), {}
        keys = [(node.namespace, node.type) for node in inserted]
        several = rows_for_keys(self._connection, ("namespace", "type"), keys, _SEVERAL_VERSIONS)
        touched.update((NodeId(*row), None) for row in several)
        keys = [(node.namespace, node.type) for node in touched]
        best, marked = (
            {row[0] for row in rows_for_keys(self._connection, ("namespace", "type"), keys, asked)}
            for asked in (_BEST, _MARKED)
        )
        best.discard(None)
        # Labels that were written anew are marked as those of a best version.
        relabelled, self._relabelled = self._relabelled - best, set()
        self._connection.run_many(_MARK_NODE, [(0, node_id) for node_id in marked - best])
        self._connection.run_many(
            _MARK_LABELS, [(0, node_id) for node_id in (marked - best) | relabelled]
        )
        for statement in (_MARK_NODE, _MARK_LABELS):
            self._connection.run_many(statement, [(1, node_id) for node_id in best - marked])

    def _change(
        self,
        action: str,
        before: NodeRow,
        after: NodeRow,
        *,
        record: NodeRecord | None = None,
        reason: str | None = None,
    ) -> None:
        """Make a row of ``nodes`` another one, with all that follows from it, and log it."""
        self._make_room(after.id)
        was, now = json.loads(before.body), json.loads(after.body)
        if record is not None:
            self._gather(_UPDATE_NODE, (*record.columns, after.id))
            self._gather(_DROP_SEARCH, (after.id,))
            self._gather_words(after.id, record)
            if any(was.get(member) != now.get(member) for member in LABELLED_MEMBERS):
                self._gather(_DROP_LABELS, (after.id,))
                self._gather_labels(after.id, record)
                self._relabelled.add(after.id)
            if was.get("name") != record.name:
                self._gather(_DROP_NAME_PARTS, (after.id,))
                self._gather_name_parts(after.id, record)
        decisions = {before.decision, after.decision}
        if record is None or after.yanked or decisions != {NO_DECISION}:
            # Otherwise the record alone says in what state the version is.
            self._gather_decision(after)
        self._written_ids.add(after.id)
        body = {"before": _state(before), "after": _state(after)}
        if reason is not None:
            body["reason"] = canonical_json(reason)
        self._append(action, str(before.node_version), body)
        self._loaded.put(after.node_version, after)
        is_as_good = (before.yanked, before.decision) == (after.yanked, after.decision)
        if not is_as_good or after.id in self._relabelled or was["lifecycle"] != now["lifecycle"]:
            self._touched[NodeId(after.type, after.namespace)] = None

    def _make_room(self, node_id: int) -> None:
        """Write what was gathered if it concerns a node that is about to change once more."""
        if node_id in self._written_ids:
            self.flush()

    def _gather(self, statement: str, parameters: tuple[Parameter, ...]) -> None:
        self._gathered.setdefault(statement, []).append(parameters)

    def _gather_decision(self, row: NodeRow) -> None:
        metadata = row.metadata()
        rank = preference(metadata.version, metadata.lifecycle, yanked=bool(row.yanked))
        self._gather(
            _DECIDE,
            (row.yanked, row.yank_reason, row.decision, rank, metadata.lifecycle.value, row.id),
        )

    def _gather_trust(self, row: NodeRow, before: TrustLevel) -> None:
        """Store how far a version can be trusted, if its places changed that."""
        trust = trust_of(self._loaded.origins(row.node_version), row.known_evidence)
        if trust is before:
            return
        self._make_room(row.id)
        self._gather(_PUT_TRUST, (trust.value, row.id))
        self._written_ids.add(row.id)

    def _gather_absent(self, node: NodeVersion, left: AbsentDecision) -> None:
        identity = (node.node.namespace, node.node.type, stored_version(node.version))
        facts = (left.lifecycle, int(left.yanked), left.yank_reason, left.decision)
        self._gather(_INSERT_ABSENT, (*identity, *facts))
        self._loaded.note_absent()

    def _gather_labels(self, node_id: int, record: NodeRecord) -> None:
        for kind, value in record.labels:
            self._gather(_INSERT_LABEL, (kind, value, record.sort_key, node_id))

    def _gather_words(self, node_id: int, record: NodeRecord) -> None:
        self._gather(self._insert_search, (node_id, *record.search))
        self._words.update(record.search[0].split(), record.search[1].split())

    def _gather_name_parts(self, node_id: int, record: NodeRecord) -> None:
        self._gather(self._insert_name_parts, (node_id, record.namespace, record.name))

    def _put_origin(self, origin: Origin, node: NodeVersion, node_id: int) -> None:
        """Note an origin under the entry of the log that was written last."""
        facts = (node_id, *_place(origin), self._serial)
        self._gather(_INSERT_ORIGIN, facts)
        self._added_origins.add(origin)
        self._loaded.put_origin(origin, node)

    def _vacate(self, origin: Origin, node: NodeVersion) -> bool:
        """Take a place from another version; False if it offers this one already."""
        holder = self._loaded.node_at(origin)
        if holder is not None and holder != node:
            self.remove_origin(origin)
        return holder != node

    def _row(self, node: NodeVersion) -> NodeRow:
        row = self._loaded.row(node)
        if row is None:
            raise LookupError(f"{node} is not registered")
        return row

    def approve_grant(
        self, node: NodeVersion, digest: str, permissions: Sequence[Permission]
    ) -> None:
        body = {
            "version": canonical_json(str(node.version)),
            "digest": canonical_json(digest),
            "permissions": canonical_json([str(permission) for permission in permissions]),
        }
        self._append(APPROVED, str(node.node), body)

    def revoke_grant(self, node: NodeId, grant: Grant) -> None:
        self._append(REVOKED, str(node), {"before": canonical_json(grant.to_json())})

    def note(self, action: str, object_name: str, body: JsonObject) -> Event:
        return self._append(action, object_name, {k: canonical_json(v) for k, v in body.items()})

    def refused(self, action: str, object_name: str, reason: str) -> None:
        self._append(action, object_name, {"reason": canonical_json(reason)}, outcome=REFUSED)

    def _append(
        self,
        action: str,
        object_name: str,
        body: Mapping[str, str],
        time: str | None = None,
        *,
        outcome: str = ALLOWED,
    ) -> Event:
        """Append an entry to the one log; the members of its body are canonical JSON."""
        event = Event(
            serial=self._serial + 1,
            time=time or self._now(),
            actor=self._actor,
            action=action,
            object=object_name,
            outcome=outcome,
            body=canonical_object(body),
            previous_hash=self._hash,
        ).sealed()
        self._gather(_INSERT_EVENT, event)
        self._serial, self._hash = event.serial, event.hash
        return event

    def _now(self) -> str:
        """The time, or that of the last entry if the clock was set back since."""
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        self._time = max(now, self._time)
        return self._time


def _place(origin: Origin) -> tuple[str, str, str]:
    """An origin as its columns hold it."""
    return (stored_path(origin.source), stored_path(origin.path), origin.workspace)


def _key(row: NodeRow) -> tuple[str, str, str]:
    return (row.namespace, row.type, row.version)


def _state(row: NodeRow) -> str:
    return node_state(
        row.body,
        row.digest,
        yanked=bool(row.yanked),
        decision=row.decision,
        yank_reason=row.yank_reason,
        evidence=row.evidence,
    )


def _written(evidence: Evidence | None) -> str:
    return "" if evidence is None else canonical_json(evidence.to_json())
