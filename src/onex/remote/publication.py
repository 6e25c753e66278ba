"""Publications: takes archives into a registry, after everything about them was checked.

Specification: metadata validation before storage. What was published is never overwritten: the
same bytes again are a success, other bytes of the same version a conflict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from onex.domain.archive_place import PUBLISHED_SOURCE, ArchivePlace
from onex.domain.constraint import LATEST
from onex.domain.envelope import Envelope
from onex.domain.errors import DocumentError, NodeNotFoundError, Severity
from onex.domain.event import ALLOWED
from onex.domain.evidence import Evidence, SignedStatement, TrustLevel
from onex.domain.json_value import JsonObject, as_text
from onex.domain.log_leaf import RELEASED
from onex.domain.look_alikes import NameRules, root_of
from onex.domain.metadata import NodeMetadata, Origin
from onex.domain.namespace_owners import NamespaceOwners
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.release_trust import SIGNED, judge
from onex.domain.remote_errors import (
    ArchiveRefusedError,
    BreakingReleaseError,
    NotPublishableError,
    VersionTakenError,
)
from onex.domain.statement import ReleaseStatement
from onex.domain.trust_errors import StatementRefusedError
from onex.domain.version import Version
from onex.manifests.node_files import target_among
from onex.remote.archive_store import ArchiveStore
from onex.remote.archived_node import ArchivedNode, read_archive
from onex.remote.index_line import IndexLine, index_lines
from onex.remote.release_statements import require_room, require_statement
from onex.remote.tree import MAXIMUM_PART_BYTES, fits_paths
from onex.schemas.node_schemas import schema_problems
from onex.schemas.release_check import added_permissions, breaking_changes, is_compatible_step
from onex.storage.backend import StorageBackend, StorageWriter
from onex.storage.node_record import NodeRecord
from onex.storage.query import MetadataQuery
from onex.trust.owners import AroundChange, PublishedOwners
from onex.trust.signing import signers_of

CALLERS_NAMED = 10
MAXIMUM_OWNER_CHANGES = 500
MAXIMUM_OWNERS_CHAIN_BYTES = 2 * 1024 * 1024
MAXIMUM_REASON = 1_000
_REFUSALS = (
    NotPublishableError,
    VersionTakenError,
    ArchiveRefusedError,
    StatementRefusedError,
)


@dataclass(frozen=True, slots=True)
class Release:
    """What somebody publishes.

    ``override`` is why it may break others, if it does; ``statement`` is what was signed about
    it, if anything was; ``sees`` says whether the publisher may see a node, and be told of it.
    """

    found: ArchivedNode
    override: str | None = None
    statement: Envelope | None = None
    sees: Callable[[NodeId], bool] = lambda node: True

    @property
    def version(self) -> NodeVersion:
        return self.found.metadata.node_version

    @property
    def facts(self) -> ReleaseStatement:
        """What is true of it, as a statement has to say."""
        return ReleaseStatement.about(self.found.metadata, self.found.files.digest)


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a publication.

    ``serial`` is one at which the log has it; ``created`` is false if the same was there before;
    ``warnings`` are what its manifest might do better.
    """

    node: NodeVersion
    digest: str
    serial: int
    created: bool
    warnings: tuple[str, ...] = ()

    def to_json(self) -> JsonObject:
        """The answer in the shape that ``publish`` prints."""
        return {
            "node": str(self.node),
            "digest": self.digest,
            "serial": self.serial,
            "created": self.created,
            "warnings": list(self.warnings),
        }


class Publications:
    """What was published to one registry."""

    def __init__(
        self,
        storage: StorageBackend,
        store: ArchiveStore,
        actor: str | None = None,
        names: NameRules | None = None,
    ) -> None:
        """``store`` keeps the archives; ``actor`` is who publishes, as the log names them.

        ``names`` say which names are kept back.
        """
        self._names = names or NameRules()
        self._storage = storage
        self._store = store
        self._actor = actor

    def lines(self, node: NodeId) -> list[IndexLine]:
        """The index lines of a node, oldest version first."""
        return index_lines(self._storage.changes_of(node, LATEST))

    def has(self, node: NodeId) -> bool:
        """Whether any version of a node was published here."""
        query = MetadataQuery(
            namespace=node.namespace,
            type=node.type,
            source=PUBLISHED_SOURCE,
            all_versions=True,
            limit=1,
            with_total=False,
        )
        return any(found.metadata.node == node for found in self._storage.query(query).nodes)

    def require_published(self, nodes: Iterable[NodeId]) -> None:
        """Raise NodeNotFoundError if a node was never published here."""
        for node in nodes:
            if not self.has(node):
                raise NodeNotFoundError(
                    f"{node} is not published here", hint="an advisory is about published nodes"
                )

    def publish(
        self,
        archive: bytes,
        manifest: str,
        *,
        expected: NodeVersion | None = None,
        override: str | None = None,
        statement: Envelope | None = None,
        dry_run: bool = False,
        sees: Callable[[NodeId], bool] = lambda node: True,
    ) -> Published:
        """Check an archive, and store it; nothing is stored if anything is wrong.

        A refusal is an entry of the log, with its reason.

        Args:
            archive: the canonical archive of a node.
            manifest: the name of the manifest in it.
            expected: what the publisher says that it is.
            override: why a release may break others, if it does.
            statement: what was signed about it, if anything was.
            dry_run: check alone.
            sees: whether the publisher may see a node, and so be told of it.

        Raises:
            ArchiveRefusedError: the archive is not canonical.
            NotPublishableError: the node cannot be published; BreakingReleaseError if it breaks
                its callers.
            VersionTakenError: the version is there with other files.
            StatementRefusedError: the statement is not true of it, or no owner of the namespace
                signed it.
        """
        try:
            release = Release(_readable(archive, manifest), override, statement, sees)
            self._check(release, expected)
            return self._publish(release, dry_run=dry_run)
        except _REFUSALS as error:
            name = str(expected or manifest)
            reason = f"{error.code}: {error.message}"[:MAXIMUM_REASON]
            if not dry_run:
                self._storage.write(lambda w: w.refused(RELEASED, name, reason), self._actor)
            raise

    def sign(self, version: NodeVersion, statement: Envelope) -> int:
        """Add a statement to a release that is published; returns a serial that has it.

        Raises:
            NodeNotFoundError: it is not published here.
            StatementRefusedError: the statement is not true of it, or no owner signed it. The
                refusal is an entry of the log.
        """

        def store(writer: StorageWriter) -> None:
            lines = [line for line in self.lines(version.node)
                     if line.metadata.node_version == version]  # fmt: skip
            if not lines:
                raise NodeNotFoundError(
                    f"{version} is not published here", hint="publish it: onex publish DIR"
                )
            line = lines[0]
            release = ReleaseStatement.about(line.metadata, line.digest)
            owners = PublishedOwners(self._storage).covering(version.node.namespace)
            level = require_statement(release, statement, owners)
            if not require_room(line.statements, statement):
                return
            facts: JsonObject = {
                "statement": statement.to_json(),
                "owner": None if owners is None else owners.namespace,
            }
            event = writer.note(SIGNED, str(version), facts)
            statements = (
                *line.statements,
                SignedStatement(statement, event.serial, event.time, event.hash),
            )
            evidence = Evidence(line.published_at, line.released, statements, level)
            writer.set_evidence(version, evidence)

        try:
            self._storage.write(store, self._actor)
        except StatementRefusedError as error:
            reason = f"{error.code}: {error.message}"[:MAXIMUM_REASON]
            self._storage.write(lambda w: w.refused(SIGNED, str(version), reason), self._actor)
            raise
        return self._storage.serial()

    def change_owners(
        self, statement: Envelope, sees: Callable[[NodeId], bool] = lambda node: True
    ) -> NamespaceOwners:
        """Change the owners of a namespace, and judge what was published in it anew.

        ``sees`` is as for ``publish``.

        Raises as ``PublishedOwners.change``, and NotPublishableError for a name that nobody may
        take.
        """

        def require_room(name: str, before: NamespaceOwners | None) -> None:
            if before is None:
                self._require_free(name, sees)
                return
            size = sum(len(link.envelope.payload) for link in before.links)
            if len(before.links) >= MAXIMUM_OWNER_CHANGES or size > MAXIMUM_OWNERS_CHAIN_BYTES:
                raise NotPublishableError(
                    f"the owners of {name} were changed too often", hint="claim another namespace"
                )

        def judge_anew(writer: StorageWriter, owners: NamespaceOwners) -> None:
            query = MetadataQuery(
                namespace=owners.namespace, source=PUBLISHED_SOURCE, all_versions=True
            )
            for node in self._storage.query(query).nodes:
                known = node.evidence
                if known is None or known.registry:
                    continue
                release = ReleaseStatement.about(node.metadata, node.digest)
                judgement = judge(release, known, owners, signers_of, is_ordered=True)
                evidence = replace(known, level=judgement.level, reason=judgement.failure)
                writer.set_evidence(node.metadata.node_version, evidence)

        published = PublishedOwners(self._storage, self._actor)
        return published.change(statement, AroundChange(require_room, judge_anew))

    def _publish(self, release: Release, *, dry_run: bool) -> Published:
        found, version = release.found, release.version
        digest = found.files.digest
        warnings = tuple(p.message for p in found.problems)
        known = self._released_digest(version)
        if known is not None:
            _require_same(version, known, digest)
            if not dry_run:
                # Also mends a store that lost the archive.
                self._store.put(found.place.sha256, found.archive)
                if release.statement is not None:
                    self.sign(version, release.statement)
            serial = self._storage.serial()
            return Published(version, digest, serial, created=False, warnings=warnings)
        if dry_run:
            serial = self._storage.serial()
            return Published(version, digest, serial, created=True, warnings=warnings)
        self._store.put(found.place.sha256, found.archive)
        created = self._storage.write(lambda writer: self._store_node(writer, release), self._actor)
        return Published(version, digest, self._storage.serial(), created, warnings)

    def _check(self, release: Release, expected: NodeVersion | None) -> None:
        found, version = release.found, release.version
        if expected is not None and expected != version:
            raise NotPublishableError(
                f"the archive holds {version}, not {expected}",
                hint="publish it as what its manifest says",
            )
        if self._released_digest(version) is None:
            _require_valid(found)
            _, owners = self._judge(release)
            if owners is None:
                self._require_free(version.node.namespace, release.sees)
            self._require_compatible(release)

    def _require_free(self, namespace: str, sees: Callable[[NodeId], bool]) -> None:
        """Refuse a name that is reserved, too long, or looks like one that others have."""
        owned = PublishedOwners(self._storage).names()
        roots = dict.fromkeys([*self._storage.namespace_roots(), *map(root_of, owned)])
        # What somebody may not see is not named to them either.
        shown = [root for root in roots if sees(NodeId("tool", root))]
        known = () if root_of(namespace) in roots else roots
        refusal = self._names.refusal(namespace, known, shown)
        if refusal is None and not fits_paths(namespace):
            refusal = f"has a part of more than {MAXIMUM_PART_BYTES} characters"
        if refusal is not None:
            raise NotPublishableError(
                f"{namespace} {refusal}",
                hint="choose another namespace; who runs the registry can allow it, in [server] of"
                " its onex.toml",
            )

    def _judge(self, release: Release) -> tuple[TrustLevel, NamespaceOwners | None]:
        """How far a release can be trusted, and the owners that it had to come from."""
        owners = PublishedOwners(self._storage).covering(release.version.node.namespace)
        return require_statement(release.facts, release.statement, owners), owners

    def _released_digest(self, version: NodeVersion) -> str | None:
        """The digest with which a version was published; None if it never was."""
        for event in self._storage.events_about(str(version)):
            if event.action == RELEASED and event.outcome == ALLOWED:
                return as_text(event.facts["digest"])
        return None

    def _store_node(self, writer: StorageWriter, release: Release) -> bool:
        found, version, statement = release.found, release.version, release.statement
        metadata, digest = found.metadata, found.files.digest
        # Others may have published it, versions around it, or its owners, since that was looked up.
        known = self._released_digest(version)
        if known is not None:
            _require_same(version, known, digest)
            return False
        level, owners = self._judge(release)
        if owners is None:
            self._require_free(version.node.namespace, release.sees)
        self._require_compatible(release)
        origin = Origin(PUBLISHED_SOURCE, str(found.place))
        record = NodeRecord.of(metadata, digest, found.readme)
        existing = writer.find(version)
        if existing is None:
            writer.insert(record, origin)
        elif existing.digest != digest:
            raise VersionTakenError(
                f"{version} is registered here with other files, from a source of this registry",
                hint="give the node a new version",
            )
        else:
            writer.add_origin(version, origin)
        facts: JsonObject = {
            "digest": digest,
            "place": str(found.place),
            "override": release.override,
            "owner": None if owners is None else owners.namespace,
            "statement": None if statement is None else statement.to_json(),
        }
        event = writer.note(RELEASED, str(version), facts)
        if statement is not None:
            signed = SignedStatement(statement, event.serial, event.time, event.hash)
            evidence = Evidence(event.time, event.serial, (signed,), level)
            writer.set_evidence(version, evidence)
        return True

    def _require_compatible(self, release: Release) -> None:
        """Refuse a patch or minor release that breaks callers, unless a reason is given.

        It must keep what the version before it promised, and the one after it what it promises.
        """
        metadata = release.found.metadata
        if release.override:
            return
        before, after = self._neighbours(metadata)
        for earlier, later in ((before, metadata), (metadata, after)):
            if earlier is None or later is None:
                continue
            reasons = breaking_changes(earlier, later)
            asked = added_permissions(earlier, later)
            reasons += [f"it asks for {permission}, which it did not" for permission in asked]
            if reasons:
                callers = self._callers(metadata, release.sees)
                raise BreakingReleaseError(
                    f"{later.node_version} is no compatible release after {earlier.version}:"
                    f" {'; '.join(reasons)}"
                    + (f". Callers: {', '.join(callers)}" if callers else ""),
                    reasons,
                    hint="publish it as a new major version, or with --override REASON",
                )

    def _neighbours(
        self, metadata: NodeMetadata
    ) -> tuple[NodeMetadata | None, NodeMetadata | None]:
        """The published versions before and after a version that callers may get in its place."""
        own = metadata.version
        known = [n for n in self._storage.version_numbers(metadata.node) if not n.is_prerelease]
        before = (n for n in reversed(known) if n < own and is_compatible_step(n, own))
        after = (n for n in known if n > own and is_compatible_step(own, n))
        if own.is_prerelease:
            return None, None
        return self._first_released(metadata.node, before), self._first_released(
            metadata.node, after
        )

    def _first_released(self, node: NodeId, numbers: Iterable[Version]) -> NodeMetadata | None:
        """The first of these versions that was published, and not yanked since."""
        for number in numbers:
            found = self._storage.node(NodeVersion(node, number))
            if found is not None and not found.yanked and _is_published(found.origins):
                return found.metadata
        return None

    def _callers(self, metadata: NodeMetadata, sees: Callable[[NodeId], bool]) -> list[str]:
        """The node versions whose constraints would take a version."""
        found: list[str] = []
        for dependent in self._storage.dependents(metadata.node):
            registered = self._storage.node(dependent) if sees(dependent.node) else None
            if registered is None:
                continue
            names = (str(metadata.node), metadata.node.namespace, metadata.name)
            if any(
                str(d.reference.node or d.reference.name) in names
                and d.reference.constraint.admits(metadata.version)
                for d in registered.metadata.dependencies
            ):
                found.append(str(dependent))
        more = len(found) - CALLERS_NAMED
        return [*found[:CALLERS_NAMED], *([f"{more} more"] if more > 0 else [])]


def _readable(archive: bytes, manifest: str) -> ArchivedNode:
    try:
        return read_archive(archive, manifest)
    except DocumentError as error:
        reasons = [
            f"{problem.location}: {problem.message}"
            for problem in error.problems
            if problem.severity is Severity.ERROR
        ]
        raise NotPublishableError(
            f"the manifest cannot be used: {'; '.join(reasons[:5]) or error.message}",
            reasons,
            hint="correct the manifest: onex validate",
        ) from error


def _is_published(origins: Iterable[Origin]) -> bool:
    return any(origin.source == PUBLISHED_SOURCE for origin in origins)


def _require_same(version: NodeVersion, digest: str, offered: str) -> None:
    if digest != offered:
        raise VersionTakenError(
            f"{version} was published before with other files, as {digest}",
            hint="published versions never change; give the node a new version",
        )


def _require_valid(found: ArchivedNode) -> None:
    """Refuse a node that could not be used by anybody."""
    metadata = found.metadata
    reasons = [
        f"{kind} {name}: {reason}"
        for kind, members in (("input", metadata.inputs), ("output", metadata.outputs))
        for name, reason in schema_problems(members)
    ]
    if target_among(found.files.contents, metadata.entrypoint) is None:
        reasons.append(
            f"its entry point {metadata.entrypoint.target} is not among its files; write it from"
            " the folder of the manifest"
        )
    if ArchivePlace.parse(str(found.place)) != found.place:
        reasons.append("its manifest must lie in the folder of the node itself")
    too_long = [p for p in metadata.node.namespace.split(".") if len(p) > MAXIMUM_PART_BYTES]
    if too_long:
        reasons.append(f"a part of its namespace has more than {MAXIMUM_PART_BYTES} characters")
    if reasons:
        raise NotPublishableError(
            f"{metadata.node_version} cannot be published: {'; '.join(reasons)}",
            reasons,
            hint="correct it, and try again: onex publish DIR --dry-run",
        )
