"""SqlBackend: the registry in tables, whichever database holds them.

Specification: Metadata Storage. The statements are the same for every database;
what differs is behind ``SqlConnection``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from onex.domain.access_control import (
    NOTHING_HIDDEN,
    TOKEN_CREATED,
    TOKEN_REVOKED,
    HiddenNamespaces,
)
from onex.domain.advisory import ADVISORY_PUBLISHED, ADVISORY_SEEN
from onex.domain.archive_place import ARCHIVE_PREFIX, PUBLISHED_SOURCE
from onex.domain.audit import audit
from onex.domain.constraint import VersionConstraint
from onex.domain.errors import StorageError, read_problems
from onex.domain.event import ALLOWED, GENESIS_HASH, Event, LogHead
from onex.domain.grant import APPROVED, REVOKED
from onex.domain.metadata import AbsentDecision, Origin, RegisteredNode, SourceId
from onex.domain.namespace_owners import (
    KEY_PINNED,
    KEY_UNPINNED,
    OWNERS_CHANGED,
    OWNERS_SEEN,
)
from onex.domain.path_text import read_path, stored_path
from onex.domain.projection import Projection, changed_names
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.version import Version
from onex.local_machine import user_name
from onex.storage.backend import SeenFile
from onex.storage.node_record import neighbours_of, storable, stored_version, words_of
from onex.storage.query import MetadataQuery, Page, SearchHit, SearchResult
from onex.storage.retrying import retried
from onex.storage.scan_memory import FolderSnapshot
from onex.storage.sql.connection import Parameter, Row, SqlConnection
from onex.storage.sql.listing import (
    conditions_of,
    picks_among_fitting,
    read_cursor,
    visible_under,
    write_cursor,
)
from onex.storage.sql.name_pattern import Condition
from onex.storage.sql.rows import (
    NODE_COLUMNS,
    ORIGIN_COLUMNS,
    NodeRow,
    read_origin,
    read_outcome,
    rows_for_keys,
    source_key,
)
from onex.storage.sql.writer import SCAN_TOKEN, SqlWriter

Result = TypeVar("Result")

MAXIMUM_CHANGES = 1000
MAXIMUM_CANDIDATES = 2_000
MINIMUM_LIKENESS = 0.6
MAXIMUM_CORRECTED_WORDS = 8
EVENT_BATCH = 5_000
# What a hit is worth: the name itself, a name that begins so, a tag, or words of the text, where
# the best hit counts in full and the others by comparison.
NAME_SCORE, PREFIX_SCORE, TAG_SCORE, TEXT_SCORE = 1.0, 0.8, 0.6, 0.5

_KNOWN_WORDS = "SELECT words.word FROM wanted CROSS JOIN words WHERE words.word = wanted.word"
_EVENT_COLUMNS = "serial, time, actor, action, object, outcome, body, previous_hash, hash"


class SqlBackend:
    """A StorageBackend over a SqlConnection. One object serves one thread."""

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection

    @property
    def place(self) -> str:
        """Where the registry is, as messages name it."""
        return self._connection.place

    def close(self) -> None:
        self._connection.close()

    def schema_numbers(self) -> tuple[int, int]:
        return self._connection.schema_numbers()

    def vacuum(self) -> None:
        self._connection.vacuum()

    def rebuild(self) -> int:
        """Make the tables of the present anew from the log."""
        return self.write(lambda writer: writer.rebuild(self.events()))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with self._connection.snapshot():
            yield

    def write(self, change: Callable[[SqlWriter], Result], actor: str | None = None) -> Result:
        def once() -> Result:
            with self.writing(actor) as writer:
                return change(writer)

        return retried(once)

    def _read(self, question: Callable[[], Result]) -> Result:
        """Ask something of one state of the storage."""

        def once() -> Result:
            with self._connection.snapshot():
                return question()

        return retried(once)

    @contextmanager
    def writing(self, actor: str | None = None) -> Iterator[SqlWriter]:
        with self._connection.transaction():
            writer = SqlWriter(self._connection, actor or user_name())
            yield writer
            writer.finish()

    def node(self, node: NodeVersion) -> RegisteredNode | None:
        found = self._registered(
            "namespace = ? AND type = ? AND version = ?",
            (node.node.namespace, node.node.type, stored_version(node.version)),
        )
        return found[0] if found else None

    def versions(self, node: NodeId) -> Sequence[RegisteredNode]:
        found = self._registered("namespace = ? AND type = ?", (node.namespace, node.type))
        return sorted(found, key=lambda version: version.metadata.version)

    def version_numbers(self, node: NodeId) -> Sequence[Version]:
        rows = self._connection.rows(
            "SELECT version FROM nodes WHERE namespace = ? AND type = ? ORDER BY version_order",
            (node.namespace, node.type),
        )
        return [Version.parse(version) for (version,) in rows]

    def find_nodes(self, name: str) -> Sequence[NodeId]:
        name = storable(name)
        rows = self._connection.rows(
            # One version of each node is its best, and all have its namespace.
            "SELECT type, namespace FROM nodes WHERE namespace = ? AND is_best = 1"
            " UNION SELECT type, namespace FROM nodes WHERE name = ?"
            " UNION SELECT type, namespace FROM nodes WHERE uuid = ?",
            (name, name, name),
        )
        return sorted((NodeId(*row) for row in rows), key=lambda n: (n.namespace, n.type))

    def close_names(self, name: str, count: int) -> Sequence[NodeId]:
        typed = name.partition("://")[2] or name
        by_part: dict[str, NodeId] = {}
        for word in self._close_words(words_of(typed)[-1:], 8):
            rows = self._connection.rows(
                self._connection.search("nodes.is_best = 1"),
                (self._connection.search_query([word]), 50),
            )
            for row in self._rows_by_id([node_id for node_id, _ in rows]).values():
                node = NodeId(row.type, row.namespace)
                for part in (str(node), node.namespace, node.namespace.rpartition(".")[2]):
                    by_part.setdefault(part, node)
        close = difflib.get_close_matches(name, by_part, count) or difflib.get_close_matches(
            typed, by_part, count
        )
        return list(dict.fromkeys(by_part[part] for part in close))

    def count(self) -> int:
        return int(self._connection.rows("SELECT count(*) FROM nodes")[0][0])

    def query(self, query: MetadataQuery) -> Page:
        return self._read(lambda: self._page(query))

    def _page(self, query: MetadataQuery) -> Page:
        conditions = conditions_of(query, self._connection, allow_label_scan=True)
        if picks_among_fitting(query):
            key = "nodes.sort_key"
            source = (
                f"(SELECT nodes.*, ROW_NUMBER() OVER (PARTITION BY namespace, type"
                f" ORDER BY preference DESC, version_order DESC) AS place FROM"
                f" {conditions.source} WHERE {conditions.whole.text}) AS nodes"
            )
            whole = Condition("place = 1", conditions.whole.parameters)
            ways: Sequence[Condition] = [whole]
        else:
            if not query.all_versions:
                conditions.add("nodes.is_best = 1")
            key, source = conditions.sort_key, conditions.source
            whole, ways = conditions.whole, conditions.ways
        total = -1
        if query.with_total:
            counted = f"SELECT count(*) FROM {source} WHERE {whole.text}"
            total = int(self._connection.rows(counted, whole.parameters)[0][0])
        if query.limit == 0:
            return Page([], total, None)
        found: dict[str, NodeRow] = {}
        for way in ways:
            statement = f"SELECT nodes.sort_key, {NODE_COLUMNS} FROM {source} WHERE {way.text}"
            parameters = list(way.parameters)
            if query.after is not None:
                statement += f" AND {key} > ?"
                parameters.append(read_cursor(query.after))
            statement += f" ORDER BY {key}"
            if query.limit is not None:
                statement += " LIMIT ?"
                parameters.append(query.limit + 1)
            rows = self._connection.rows(statement, parameters)
            found.update((row[0], NodeRow(*row[1:])) for row in rows)
        keys = sorted(found)
        following = None
        if query.limit is not None and len(keys) > query.limit:
            keys = keys[: query.limit]
            following = write_cursor(keys[-1])
        return Page(self._with_origins([found[key] for key in keys]), total, following)

    def facets(
        self, kinds: Iterable[str], hidden: HiddenNamespaces = NOTHING_HIDDEN
    ) -> Mapping[str, Mapping[str, int]]:
        wanted = list(kinds)
        return self._read(lambda: self._facets(wanted, hidden))

    def _facets(
        self, kinds: Iterable[str], hidden: HiddenNamespaces
    ) -> Mapping[str, Mapping[str, int]]:
        found: dict[str, dict[str, int]] = {}
        shown = visible_under(hidden, "sort_key")
        for kind in kinds:
            if kind in ("type", "lifecycle", "trust"):
                rows = self._connection.rows(
                    f"SELECT {kind}, count(*) FROM nodes WHERE is_best = 1 AND {shown.text}"
                    f" GROUP BY {kind}",
                    shown.parameters,
                )
            else:
                rows = self._connection.rows(
                    "SELECT value, count(*) FROM labels WHERE kind = ? AND is_best = 1"
                    f" AND {shown.text} GROUP BY value",
                    (kind, *shown.parameters),
                )
            found[kind] = dict(sorted((str(v), int(n)) for v, n in rows))
        return found

    def search(self, text: str, query: MetadataQuery) -> SearchResult:
        return self._read(lambda: self._search(text, query))

    def _search(self, text: str, query: MetadataQuery) -> SearchResult:
        words = words_of(text)
        if not words:
            return SearchResult([])
        hits = self._hits(text, words, query)
        if hits:
            return SearchResult(hits)
        if len(words) > MAXIMUM_CORRECTED_WORDS:
            return SearchResult([])
        corrected: list[str] = []
        for word in words:
            known = self._close_words([word], 1)
            if not known:
                return SearchResult([])
            corrected += known
        if corrected == words:
            return SearchResult([])
        typed = " ".join(corrected)
        hits = self._hits(typed, corrected, query)
        # A spelling that leads nowhere may be that of a node which the reader may not see.
        return SearchResult(hits, typed if hits else None)

    def _hits(self, text: str, words: Sequence[str], query: MetadataQuery) -> list[SearchHit]:
        """The nodes of that name, then those that begin so, have it as a tag, or have its words."""
        conditions = conditions_of(query, self._connection)
        if not query.all_versions:
            conditions.add("nodes.is_best = 1")
        fitting = conditions.whole
        limit = 20 if query.limit is None else query.limit
        found: dict[int, float] = {}

        def take(score: float, statement: str, *parameters: Parameter) -> None:
            if len(found) < limit:
                wanted = f"{statement} AND {fitting.text} ORDER BY nodes.sort_key LIMIT ?"
                values = (*parameters, *fitting.parameters, limit)
                for (node_id,) in self._connection.rows(wanted, values):
                    found.setdefault(node_id, score)

        typed = storable(text).strip()
        name = "".join(typed.split())
        select = "SELECT nodes.id FROM nodes WHERE"
        for spelled in dict.fromkeys((name, name.lower())):
            take(NAME_SCORE, f"{select} nodes.name = ?", spelled)
            take(NAME_SCORE, f"{select} nodes.namespace = ?", spelled)
        take(
            PREFIX_SCORE, f"{select} nodes.name >= ? AND nodes.name < ?", name, f"{name}\U0010ffff"
        )
        take(
            TAG_SCORE,
            "SELECT nodes.id FROM labels JOIN nodes ON nodes.sort_key = labels.sort_key"
            " WHERE labels.kind = 'tag' AND labels.value = ?",
            typed,
        )
        if len(found) < limit:
            rows = self._connection.rows(
                self._connection.search(fitting.text),
                (self._connection.search_query(words), *fitting.parameters, limit),
            )
            best = max((float(score) for _, score in rows), default=0.0)
            for node_id, score in rows:
                share = float(score) / best if best > 0 else 1.0
                found.setdefault(node_id, TEXT_SCORE * share)
        chosen = list(found.items())[:limit]
        nodes = self._rows_by_id([node_id for node_id, _ in chosen])
        registered = self._with_origins([nodes[node_id] for node_id, _ in chosen])
        scores = [round(score, 3) for _, score in chosen]
        return [SearchHit(*pair) for pair in zip(registered, scores, strict=True)]

    def _close_words(self, words: Sequence[str], count: int) -> list[str]:
        """Known words that are spelled like the given ones."""
        found: list[str] = []
        for word in words:
            keys = [(other,) for other in sorted(neighbours_of(word))]
            rows = rows_for_keys(self._connection, ("word",), keys, _KNOWN_WORDS)
            for start in (word[: max(2, len(word) // 2)], word[:1]):
                if len(rows) < count:
                    likely = (start, f"{start}\U0010ffff", len(word) - 2, len(word) + 2)
                    rows += self._connection.rows(
                        "SELECT word FROM words WHERE word >= ? AND word < ?"
                        " AND length BETWEEN ? AND ? ORDER BY word LIMIT ?",
                        (*likely, MAXIMUM_CANDIDATES),
                    )
            candidates = dict.fromkeys(row[0] for row in rows)
            found += difflib.get_close_matches(word, candidates, count, MINIMUM_LIKENESS)
        return found

    def nodes_sharing_uuid(self) -> Mapping[str, Sequence[NodeId]]:
        rows = self._connection.rows(
            "SELECT DISTINCT uuid, type, namespace FROM nodes WHERE uuid IN (SELECT uuid"
            " FROM nodes WHERE uuid IS NOT NULL GROUP BY uuid"
            " HAVING min(namespace) <> max(namespace) OR min(type) <> max(type))"
            " ORDER BY uuid, namespace, type"
        )
        sharing: dict[str, list[NodeId]] = {}
        for uuid, node_type, namespace in rows:
            sharing.setdefault(uuid, []).append(NodeId(node_type, namespace))
        return sharing

    def dependents(self, node: NodeId) -> Sequence[NodeVersion]:
        names = self._connection.rows(
            "SELECT name, uuid FROM nodes WHERE namespace = ? AND type = ?",
            (node.namespace, node.type),
        )
        called = {str(node), node.namespace, *(n for row in names for n in row if n is not None)}
        marks = ", ".join("?" * len(called))
        rows = self._connection.rows(
            "SELECT DISTINCT nodes.sort_key, type, namespace, version FROM labels JOIN nodes"
            f" ON nodes.sort_key = labels.sort_key WHERE kind = 'needs' AND value IN ({marks})"
            " ORDER BY nodes.sort_key",
            sorted(called),
        )
        return [
            NodeVersion(NodeId(node_type, namespace), Version.parse(version))
            for _, node_type, namespace, version in rows
        ]

    def fingerprints(self, source: SourceId) -> Mapping[str, str]:
        offered = self._rows_of(source, "SELECT path FROM origins")
        found = dict.fromkeys((read_path(row[0]) for row in offered), "")
        seen = self._rows_of(source, "SELECT path, fingerprint FROM seen_files")
        found.update((read_path(path), str(fingerprint)) for path, fingerprint in seen)
        return found

    def scan_token(self, source: SourceId) -> str | None:
        rows = self._connection.rows(SCAN_TOKEN, source_key(source))
        return rows[0][0] if rows else None

    def incomplete_scans(self) -> Sequence[SourceId]:
        rows = self._connection.rows(
            "SELECT source, workspace FROM scans WHERE is_complete = 0 ORDER BY source, workspace"
        )
        return [SourceId(read_path(name), workspace) for name, workspace in rows]

    def files_at(self, origin: Origin) -> str:
        rows = self._rows_of(
            origin.source_id,
            "SELECT files FROM seen_files",
            "AND path = ?",
            stored_path(origin.path),
        )
        return str(rows[0][0]) if rows else ""

    def folders(self, source: SourceId) -> Mapping[str, FolderSnapshot]:
        rows = self._rows_of(
            source, "SELECT path, stamp, rules, files, folders, fingerprint FROM folders"
        )
        found = [FolderSnapshot(read_path(row[0]), *row[1:]) for row in rows]
        return {memory.path: memory for memory in found}

    def outcomes(self, source: SourceId) -> Mapping[str, int]:
        counted = self._rows_of(
            source, "SELECT outcome, count(*) FROM seen_files", "GROUP BY outcome"
        )
        return {outcome: int(n) for outcome, n in counted}

    def files_with_problems(self, source: SourceId) -> Sequence[SeenFile]:
        rows = self._rows_of(
            source,
            "SELECT path, fingerprint, outcome, problems FROM seen_files",
            "AND problems <> '[]' ORDER BY path",
        )
        return [
            SeenFile(read_path(path), fingerprint, read_outcome(outcome), read_problems(problems))
            for path, fingerprint, outcome, problems in rows
        ]

    def _rows_of(
        self, source: SourceId, selected: str, rest: str = "", *parameters: Parameter
    ) -> list[Row]:
        """Rows of what a source offers, or of what scans noted of it."""
        statement = f"{selected} WHERE source = ? AND workspace = ? {rest}"
        return self._connection.rows(statement, (*source_key(source), *parameters))

    def sources(self) -> Mapping[SourceId, int]:
        rows = self._connection.rows(
            "SELECT source, workspace, sum(manifests) FROM (SELECT source, workspace,"
            " count(*) AS manifests FROM origins GROUP BY source, workspace"
            " UNION ALL SELECT DISTINCT source, workspace, 0 FROM seen_files"
            " UNION ALL SELECT DISTINCT source, workspace, 0 FROM folders) AS known"
            " GROUP BY source, workspace ORDER BY source, workspace"
        )
        return {SourceId(read_path(row[0]), row[1]): int(row[2]) for row in rows}

    def scanned_sources(self, name: str) -> Mapping[SourceId, str | None]:
        rows = self._connection.rows(
            "SELECT workspace, (SELECT min(path) FROM origins WHERE origins.source = scans.source"
            " AND origins.workspace = scans.workspace) FROM scans WHERE source = ?",
            (stored_path(name),),
        )
        return {
            SourceId(name, workspace): None if path is None else read_path(path)
            for workspace, path in rows
        }

    def ambiguous_names(self) -> Mapping[str, Sequence[NodeId]]:
        rows = self._connection.rows(
            "SELECT DISTINCT nodes.namespace FROM nodes JOIN nodes AS other"
            " ON other.name = nodes.namespace WHERE nodes.is_best = 1"
            " AND (other.namespace <> nodes.namespace OR other.type <> nodes.type)"
            " ORDER BY nodes.namespace"
        )
        return {name: self.find_nodes(name) for (name,) in rows}

    def events(self, after: int = 0) -> Iterator[Event]:
        while True:
            rows = self._connection.rows(
                f"SELECT {_EVENT_COLUMNS} FROM events WHERE serial > ? ORDER BY serial LIMIT ?",
                (after, EVENT_BATCH),
            )
            yield from (Event(*row) for row in rows)
            if len(rows) < EVENT_BATCH:
                return
            after = rows[-1][0]

    def events_about(self, object_name: str) -> Sequence[Event]:
        rows = self._connection.rows(
            f"SELECT {_EVENT_COLUMNS} FROM events WHERE object = ? ORDER BY serial", (object_name,)
        )
        return [Event(*row) for row in rows]

    def changes_of(self, node: NodeId, constraint: VersionConstraint) -> Sequence[Event]:
        rows = self._connection.rows(
            f"SELECT {_EVENT_COLUMNS} FROM events WHERE object >= ? AND object < ? ORDER BY serial",
            # Names of versions are that of the node and what follows the sign "@".
            (f"{node}@", f"{node}{chr(ord('@') + 1)}"),
        )
        return [
            event
            for event in (Event(*row) for row in rows)
            if event.outcome == ALLOWED
            and constraint.admits(NodeVersion.parse(event.object).version)
        ]

    def refusals(self) -> Mapping[str, int]:
        rows = self._connection.rows(
            "SELECT action, count(*) FROM events WHERE outcome = 'refused' GROUP BY action"
        )
        return {action: int(count) for action, count in rows}

    def grant_events(self) -> Sequence[Event]:
        return self._events_with(APPROVED, REVOKED)

    def token_events(self) -> Sequence[Event]:
        return self._events_with(TOKEN_CREATED, TOKEN_REVOKED)

    def owner_events(self) -> Sequence[Event]:
        return self._events_with(OWNERS_CHANGED, OWNERS_SEEN, KEY_PINNED, KEY_UNPINNED)

    def advisory_serial(self) -> int:
        rows = self._connection.rows(
            "SELECT max(serial) FROM events WHERE action IN"
            f" ('{ADVISORY_PUBLISHED}', '{ADVISORY_SEEN}')"
        )
        return int(rows[0][0] or 0)

    def advisory_events(self) -> Sequence[Event]:
        return self._events_with(ADVISORY_PUBLISHED, ADVISORY_SEEN)

    def _events_with(self, *actions: str) -> list[Event]:
        """The entries with these actions, for which there must be an index of just these."""
        named = ", ".join(f"'{action}'" for action in actions)
        rows = self._connection.rows(
            f"SELECT {_EVENT_COLUMNS} FROM events WHERE action IN ({named}) ORDER BY serial"
        )
        return [Event(*row) for row in rows]

    def signed_metadata(self, role: str, version: int | None = None) -> str | None:
        chosen: str = ""
        parameters: list[Parameter] = [role]
        if version is not None:
            chosen = " AND version = ?"
            parameters.append(version)
        rows = self._connection.rows(
            f"SELECT content FROM signed_metadata WHERE role = ?{chosen}"
            " ORDER BY version DESC LIMIT 1",
            parameters,
        )
        return str(rows[0][0]) if rows else None

    def signed_versions(self, role: str) -> Sequence[int]:
        rows = self._connection.rows(
            "SELECT version FROM signed_metadata WHERE role = ? ORDER BY version", (role,)
        )
        return [int(version) for (version,) in rows]

    def token_uses(self) -> Mapping[str, str]:
        return dict(self._connection.rows("SELECT token, used_at FROM token_uses"))

    def namespaces_in_folders(self, workspace: str) -> Sequence[str]:
        rows = self._connection.rows(
            "SELECT DISTINCT namespace FROM nodes JOIN origins ON origins.node_id = nodes.id"
            " WHERE (workspace = ? AND NOT (path >= ? AND path < ?)) OR source = ?",
            (workspace, ARCHIVE_PREFIX, f"{ARCHIVE_PREFIX}\U0010ffff", PUBLISHED_SOURCE),
        )
        return [namespace for (namespace,) in rows]

    def namespace_roots(self) -> Sequence[str]:
        # Steps over each root in the index, instead of reading all namespaces.
        found: dict[str, None] = {}
        following = ""
        while True:
            rows = self._connection.rows(
                "SELECT min(namespace) FROM nodes WHERE namespace >= ?", (following,)
            )
            namespace = rows[0][0] if rows else None
            if namespace is None:
                return list(found)
            root, point, _ = str(namespace).partition(".")
            found[root] = None
            # "/" comes after ".", and "-" before it: acme-tools lies between acme and acme.x.
            following = f"{root}/" if point else f"{root}\x01"

    def nodes_from(self, source: SourceId, beginning: str) -> Mapping[str, NodeVersion]:
        start = stored_path(beginning)
        rows = self._connection.rows(
            "SELECT path, type, namespace, version FROM origins JOIN nodes ON nodes.id = node_id"
            " WHERE source = ? AND workspace = ? AND path >= ? AND path < ?",
            (*source_key(source), start, f"{start}\U0010ffff"),
        )
        return {
            read_path(path): NodeVersion(NodeId(node_type, namespace), Version.parse(version))
            for path, node_type, namespace, version in rows
        }

    @property
    def identity(self) -> str:
        return self._registry_value("identity")

    @property
    def instance(self) -> str:
        return self._registry_value("instance")

    def _registry_value(self, name: str) -> str:
        rows = self._connection.rows("SELECT value FROM registry WHERE name = ?", (name,))
        return str(rows[0][0])

    def head(self) -> LogHead:
        rows = self._connection.rows("SELECT serial, hash FROM events ORDER BY serial DESC LIMIT 1")
        return LogHead(*rows[0]) if rows else LogHead(0, GENESIS_HASH)

    def holds(self, head: LogHead) -> bool:
        if head.serial == 0:
            return head.hash == GENESIS_HASH
        return bool(
            self._connection.rows("SELECT 1 FROM events WHERE serial = ? AND hash = ?", head)
        )

    def serial(self) -> int:
        return int(self._connection.rows("SELECT max(serial) FROM events")[0][0] or 0)

    def names_changed(self, after: int) -> frozenset[str] | None:
        rows = self._connection.rows(
            "SELECT object, body FROM events WHERE serial > ? AND action LIKE 'node.%'"
            " AND outcome = ? LIMIT ?",
            (after, ALLOWED, MAXIMUM_CHANGES + 1),
        )
        if len(rows) > MAXIMUM_CHANGES:
            return None
        return frozenset(name for row in rows for name in changed_names(*row))

    def check(self) -> None:
        self._read(self._check)

    def _check(self) -> None:
        finding = self._connection.check()
        if finding is not None:
            raise StorageError(
                f"{self.place} is damaged: {finding}",
                hint="keep it, and restore a backup: onex storage restore FILE --home FOLDER",
            )
        broken = audit(self.events()).reason
        if broken is not None:
            raise StorageError(
                f"the log in {self.place} is not the one that was written: {broken}",
                hint="restore it from a backup",
            )
        difference = self._departure_from_log()
        if difference is not None:
            raise StorageError(
                f"the tables in {self.place} do not say what their log says: {difference}",
                hint="restore it from a backup, or run onex storage rebuild",
            )

    def _departure_from_log(self) -> str | None:
        """The first node version of which the tables and the log say different things."""
        projection = Projection(self.events())
        logged = projection.registered()
        rows = self._connection.rows(f"SELECT {NODE_COLUMNS} FROM nodes ORDER BY sort_key")
        present = {
            node.metadata.node_version: node
            for node in self._with_origins([NodeRow(*row) for row in rows])
        }
        for node in sorted({*logged, *present}, key=str):
            if logged.get(node) != present.get(node):
                return str(node)
        return self._departure_of_absent(projection.absent)

    def _departure_of_absent(self, logged: Mapping[NodeVersion, AbsentDecision]) -> str | None:
        """The first absent version whose decisions the table and the log tell differently."""
        rows = self._connection.rows(
            "SELECT type, namespace, version, yanked, decision FROM absent_decisions"
        )
        present = {
            NodeVersion(NodeId(node_type, namespace), Version.parse(version)): (yanked, decision)
            for node_type, namespace, version, yanked, decision in rows
        }
        expected = {node: (int(d.yanked), d.decision) for node, d in logged.items()}
        for node in sorted({*expected, *present}, key=str):
            if expected.get(node) != present.get(node):
                return f"what was decided of {node}, which is absent"
        return None

    def _registered(self, condition: str, parameters: Sequence[Parameter]) -> list[RegisteredNode]:
        """The node versions that meet a condition, with their origins, in no certain order."""
        rows = self._connection.rows(
            f"SELECT added, {ORIGIN_COLUMNS}, {NODE_COLUMNS} FROM nodes"
            f" LEFT JOIN origins ON origins.node_id = nodes.id WHERE {condition}",
            parameters,
        )
        found: dict[int, NodeRow] = {}
        offered: dict[int, list[tuple[int, str, str, str]]] = {}
        for added, source, path, workspace, *columns in rows:
            node_id = columns[0]
            if node_id not in found:
                found[node_id], offered[node_id] = NodeRow._make(columns), []
            if source is not None:
                offered[node_id].append((added, source, path, workspace))
        return [
            row.registered([read_origin(*place) for _, *place in sorted(offered[node_id])])
            for node_id, row in found.items()
        ]

    def _rows_by_id(self, ids: Sequence[int]) -> dict[int, NodeRow]:
        if not ids:
            return {}
        marks = ", ".join("?" * len(ids))
        rows = self._connection.rows(
            f"SELECT {NODE_COLUMNS} FROM nodes WHERE id IN ({marks})", list(ids)
        )
        return {row[0]: NodeRow(*row) for row in rows}

    def _with_origins(self, rows: Sequence[NodeRow]) -> list[RegisteredNode]:
        """Rows as registered nodes; the origins of many are read at once."""
        origins: dict[int, list[Origin]] = {row.id: [] for row in rows}
        ids = list(origins)
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            marks = ", ".join("?" * len(some))
            for node_id, *place in self._connection.rows(
                f"SELECT node_id, {ORIGIN_COLUMNS} FROM origins WHERE node_id IN ({marks})"
                f" ORDER BY added, {ORIGIN_COLUMNS}",
                some,
            ):
                origins[node_id].append(read_origin(*place))
        return [row.registered(origins[row.id]) for row in rows]
