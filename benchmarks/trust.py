"""What trust costs: signing a release, verifying one, and refreshing a signed index.

    python benchmarks/trust.py [NODES]

Budgets: a cached node is verified in 1 ms, a full chain in 5 ms, a statement is signed in 20 ms; a
refresh of an index of 100,000 nodes takes 300 ms and 300 kB. Times are medians of several rounds in
one process; the bytes are those of every file that a reader asks for.
"""

from __future__ import annotations

import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from onex.domain.archive_place import ArchivePlace
from onex.domain.envelope import Envelope
from onex.domain.evidence import Evidence, SignedStatement
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import Entrypoint, NodeMetadata, Origin, RegisteredNode
from onex.domain.namespace_owners import NamespaceOwners, first_owners, read_owners
from onex.domain.reference import NodeId
from onex.domain.release_trust import judge
from onex.domain.statement import (
    NO_STATEMENT,
    PAYLOAD_TYPE,
    OwnerKey,
    OwnersStatement,
    ReleaseStatement,
)
from onex.domain.trust_rules import TrustRules
from onex.domain.version import Version
from onex.registry import Registry
from onex.trust.index_layout import metadata_of_path
from onex.trust.index_roles import IndexRoles
from onex.trust.index_signer import IndexSigner
from onex.trust.log_tree import LogTree
from onex.trust.owners import note_seen
from onex.trust.security_validator import SecurityValidator
from onex.trust.signed_index import SignedIndex
from onex.trust.signing import SigningKey, signers_of

NOW = "2026-01-01T00:00:00+00:00"
OWNER_CHANGES = 10


def median_ms(work: Callable[[], object], rounds: int) -> float:
    """The median time of some work, in milliseconds."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def release() -> NodeMetadata:
    return NodeMetadata(
        NodeId("tool", "acme.parse"), "parse", Version(1, 2, 3), Lifecycle.ACTIVE,
        Entrypoint("python", "node.py"), description="Parses.",
        inputs={f"input{n}": {"type": "string"} for n in range(10)},
    )  # fmt: skip


def chain(keys: Sequence[SigningKey]) -> NamespaceOwners:
    """Owners that hand a namespace on, from key to key."""
    statement = OwnersStatement("acme", 1, NO_STATEMENT, (OwnerKey(keys[0].public),))
    owners = first_owners(
        keys[0].sign(Envelope(PAYLOAD_TYPE, statement.payload())), 1, NOW, signers_of
    )
    for number, (before, after) in enumerate(pairwise(keys), 2):
        previous = hashlib.sha256(owners.links[-1].envelope.payload).hexdigest()
        statement = replace(
            owners.current, sequence=number, previous=previous, keys=(OwnerKey(after.public),)
        )
        envelope = before.sign(Envelope(PAYLOAD_TYPE, statement.payload()))
        owners = owners.with_statement(envelope, number, NOW, signers_of)
    return owners


def statements(home: Path) -> None:
    keys = [SigningKey.generate() for _ in range(OWNER_CHANGES + 1)]
    metadata, digest = release(), "sha256:" + "a" * 64
    facts = ReleaseStatement.about(metadata, digest)

    def sign() -> Envelope:
        return keys[-1].sign(
            Envelope(PAYLOAD_TYPE, ReleaseStatement.about(metadata, digest).payload())
        )

    print(f"sign a statement        {median_ms(sign, 200):8.3f} ms  (20)")
    owners = chain(keys)
    serial = OWNER_CHANGES + 5
    statements = (SignedStatement(sign(), serial, NOW),)
    evidence = Evidence(NOW, serial, statements, logged=serial, registry="hub")
    links = [link.to_json() for link in owners.links]

    def full() -> None:
        found = read_owners(links, signers_of)
        assert judge(facts, evidence, found, signers_of, is_ordered=True).failure is None

    chained = median_ms(full, 200)
    print(f"verify, a full chain    {chained:8.3f} ms  (5; {OWNER_CHANGES} changes of owners)")
    with Registry.open(home) as registry:
        registry.storage.write(lambda writer: note_seen(writer, owners, "hub"))
        place = str(ArchivePlace("b" * 64, 2048, "node.onex.yaml"))
        node = RegisteredNode(metadata, digest, (Origin("hub", place),), NOW, evidence=evidence)
        validator = SecurityValidator(
            registry.storage, TrustRules(), lambda node: False, lambda origin: None
        )
        validator.validate(node)
        cached = median_ms(lambda: validator.validate(node), 500)
        print(f"verify, a cached node   {cached:8.3f} ms  (1)")


def index(home: Path, nodes: int) -> None:
    paths = [f"index/tool/space{n % 500}/node{n}.jsonl" for n in range(nodes)]
    version = 0
    with Registry.open(home) as registry:
        storage = registry.storage
        changed: list[str] = list(paths)
        signer = IndexSigner(
            storage, home / "online.key", lambda since: list(changed),
            lambda path: f"{path}{version}".encode(), LogTree(storage),
        )  # fmt: skip
        root, online = SigningKey.generate(), SigningKey.generate()
        online.write(home / "online.key")
        started = time.perf_counter()
        signer.install(IndexRoles.first([root], 1, online))
        print(f"sign {nodes:,} nodes     {time.perf_counter() - started:8.2f} s")
        asked = 0

        def read(wanted: Sequence[str], _maximum: int) -> list[bytes | None]:
            nonlocal asked
            found: list[bytes | None] = []
            for path in wanted:
                role = metadata_of_path(path)
                content = storage.signed_metadata(*role) if role is not None else None
                found.append(None if content is None else content.encode())
            asked += sum(len(content or b"") for content in found)
            return found

        fingerprint = signer.fingerprint() or ""

        def reader(name: str) -> SignedIndex:
            return SignedIndex("here", read, home / name, fingerprint)

        first = reader("first")
        started = time.perf_counter()
        first.refresh()
        first.digest_of(paths[0])
        elapsed, size = (time.perf_counter() - started) * 1000, asked
        print(f"refresh, the first time {elapsed:8.1f} ms, {size / 1000:6.1f} kB  (300, 300)")
        times, sizes, signing = [], [], []
        for round_ in range(7):
            version += 1
            changed[:] = paths[round_ * 10 : round_ * 10 + 5]
            storage.write(lambda writer: writer.note("benchmark", "round", {}))
            started = time.perf_counter()
            signer.update()
            signing.append((time.perf_counter() - started) * 1000)
            asked = 0
            again = reader("first")
            started = time.perf_counter()
            again.refresh()
            for path in changed:
                again.digest_of(path)
            times.append((time.perf_counter() - started) * 1000)
            sizes.append(asked)
        elapsed, size = statistics.median(times), statistics.median(sizes)
        print(f"refresh, 5 nodes new    {elapsed:8.1f} ms, {size / 1000:6.1f} kB  (300, 300)")
        print(f"sign 5 nodes            {statistics.median(signing):8.1f} ms")
        same = median_ms(lambda: reader("first").refresh(), 20)
        print(f"refresh, nothing new    {same:8.1f} ms")


def main() -> None:
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        for name in ("one", "two"):
            (Path(folder) / name).mkdir()
        statements(Path(folder) / "one")
        index(Path(folder) / "two", nodes)


if __name__ == "__main__":
    main()
