"""Questions to a registry of many nodes, beside the bare query by the driver in the same run.

Usage: storage.py [NODES], by default 100,000. PostgreSQL is measured too where the test
server is installed, or at the URL in ONEX_TEST_POSTGRES.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from postgres_server import postgres

from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import Entrypoint, NodeMetadata, Origin
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.version import Version
from onex.storage.node_record import NodeRecord
from onex.storage.opening import open_storage
from onex.storage.query import MetadataQuery
from onex.storage.sql.store import SqlBackend
from onex.storage.sql.writer import SqlWriter

WORDS = (
    *("parse", "crawl", "index", "render", "resize", "fetch", "store", "merge", "split", "filter"),
    *("rank", "graph", "report", "audit", "train", "score", "embed", "chunk", "clean", "join"),
)


def record(i: int) -> NodeRecord:
    words = [WORDS[i % 20], WORDS[i // 20 % 20], WORDS[i // 400 % 20]]
    metadata = NodeMetadata(
        NodeId(("tool", "validator", "agent", "model")[i % 4], f"group{i % 50}.{words[0]}.n{i}"),
        f"{words[0]}_{words[1]}_{i}",
        Version(1, i % 7, 0),
        Lifecycle.ACTIVE,
        Entrypoint("python", "node.py"),
        description=f"Node {i} can {words[1]} and {words[2]} what it is given",
        author=f"author{i % 30}",
        uuid=f"00000000-0000-4000-8000-{i:012}",
        tags=(f"t{i % 50}", words[2]),
        capabilities=(f"c{i % 7}", words[1]),
    )
    return NodeRecord.of(metadata, f"sha256:{i:064x}")


def fill(storage: SqlBackend, count: int) -> float:
    started = time.perf_counter()
    for start in range(0, count, 2000):
        numbers = range(start, min(count, start + 2000))
        records = [record(i) for i in numbers]
        origins = [Origin("s", f"/nodes/{i}/node.onex.yaml") for i in numbers]
        with storage.writing() as writer:
            writer.expect([one.node_version for one in records], origins)
            for one, origin in zip(records, origins, strict=True):
                writer.insert(one, origin)
    return time.perf_counter() - started


def update(storage: SqlBackend, count: int) -> float:
    """How long it takes to store as many nodes with another digest, in transactions of 500."""
    changed = [record(i)._replace(digest=f"sha256:{i + 1:064x}") for i in range(count)]
    started = time.perf_counter()
    for start in range(0, count, 500):
        some = changed[start : start + 500]
        with storage.writing() as writer:
            writer.expect([one.node_version for one in some])
            for one in some:
                writer.update(one)
    return time.perf_counter() - started


def share_of_the_log(folder: Path, count: int) -> float:
    """What part of storing nodes goes into the log's entries, from 0 to 1."""
    ratios = []
    for round_ in range(3):
        with_log = open_storage(None, folder / f"with{round_}")
        without = open_storage(None, folder / f"without{round_}")
        whole = fill(with_log, count)
        append = SqlWriter._append
        SqlWriter._append = lambda *_: None
        try:
            rest = fill(without, count)
        finally:
            SqlWriter._append = append
        ratios.append((whole - rest) / whole)
        with_log.close()
        without.close()
    return statistics.median(ratios)


def timed(work: Callable[[], object], rounds: int = 200) -> tuple[float, float]:
    """The median and the 99th percentile of a piece of work, in seconds."""
    work()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def measure(name: str, storage: SqlBackend, count: int) -> None:
    seconds = fill(storage, count)
    connection = storage._connection
    connection.vacuum()
    print(
        f"\n{name}: {count:,} nodes stored in {seconds:.1f} s, {seconds / count * 1e6:.0f} us each"
    )
    some = min(count, 4_000)
    print(f"{some:,} updates in {update(storage, some):.2f} s")
    target = record(count // 2)
    version = NodeVersion(NodeId(target.type, target.namespace), target.node_version.version)
    page = MetadataQuery(tags=("t7",), capabilities=("c3",), limit=50, with_total=False)
    label = (
        "EXISTS (SELECT 1 FROM labels WHERE kind = ? AND value = ?"
        " AND labels.sort_key = nodes.sort_key)"
    )
    questions: list[tuple[str, Callable[[], object], Callable[[], object], int]] = [
        (
            "exact version",
            lambda: storage.node(version),
            lambda: connection.rows(
                "SELECT body FROM nodes WHERE namespace = ? AND type = ? AND version = ?",
                (target.namespace, target.type, target.version),
            ),
            500,
        ),
        (
            "page of 50, tag AND capability",
            lambda: storage.query(page),
            lambda: connection.rows(
                f"SELECT body FROM nodes WHERE is_best = 1 AND {label} AND {label}"
                " ORDER BY sort_key LIMIT 51",
                ("tag", "t7", "capability", "c3"),
            ),
            100,
        ),
        (
            "full text, two words, 20 best",
            lambda: storage.search("crawl graph", MetadataQuery(limit=20)),
            lambda: connection.rows(
                connection.search("is_best = 1"),
                (connection.search_query(["crawl", "graph"]), 20),
            ),
            50,
        ),
        (
            "full text, a rare word",
            lambda: storage.search(f"n{count // 3}", MetadataQuery(limit=20)),
            lambda: connection.rows(
                connection.search("is_best = 1"),
                (connection.search_query([f"n{count // 3}"]), 20),
            ),
            50,
        ),
        (
            "counts by tag",
            lambda: storage.facets(["tag"]),
            lambda: connection.rows(
                "SELECT value, count(*) FROM labels WHERE kind = ? GROUP BY value", ("tag",)
            ),
            20,
        ),
        (
            "a mistyped word",
            lambda: storage.search("crwal", MetadataQuery(limit=20)),
            lambda: connection.rows("SELECT 1"),
            20,
        ),
        (
            "page by prefix of the name",
            lambda: storage.query(MetadataQuery(pattern="group7.*", limit=50, with_total=False)),
            lambda: connection.rows(
                "SELECT body FROM nodes WHERE is_best = 1 AND sort_key >= ? AND sort_key < ?"
                " ORDER BY sort_key LIMIT 51",
                ("group7.", "group7/"),
            ),
            50,
        ),
        (
            "page by part of the name",
            lambda: storage.query(MetadataQuery(pattern="n4242", limit=50, with_total=False)),
            lambda: connection.rows("SELECT 1"),
            20,
        ),
    ]
    print(f"{'':32} {'median':>10} {'99 %':>10} {'bare':>10} {'ratio':>6}")
    for title, ours, bare, rounds in questions:
        middle, tail = timed(ours, rounds)
        floor, _ = timed(bare, rounds)
        print(
            f"{title:32} {middle * 1e6:8.0f} us {tail * 1e6:8.0f} us {floor * 1e6:8.0f} us"
            f" {middle / floor:6.1f}"
        )


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        storage = open_storage(None, Path(folder))
        measure("sqlite", storage, count)
        storage.close()
        share = share_of_the_log(Path(folder), min(count, 20_000))
        print(f"of the time to make and store records, {share:.1%} goes into the log")
    with postgres() as url:
        if url is None:
            print("\nno PostgreSQL here")
            return
        storage = open_storage(url, Path())
        measure("postgresql", storage, count)
        storage.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
