"""Kept answers against fresh ones, while nodes come, change and go."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onex.cache.entry import Entry
from onex.cache.file_cache import FileCache
from onex.cache.registry_cache import RegistryCache
from onex.domain.errors import OnexError
from onex.domain.host import HostEnvironment
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import Dependency, Entrypoint, NodeMetadata, Origin
from onex.domain.projection import Projection
from onex.domain.reference import NodeId, NodeRef, NodeVersion
from onex.domain.version import Version
from onex.resolution.cached_resolver import CachedResolver
from onex.resolution.caches import ResolutionCaches
from onex.storage.node_record import NodeRecord
from onex.storage.opening import open_storage
from onex.storage.query import MetadataQuery
from onex.storage.sql.store import SqlBackend

HOST = HostEnvironment(Version(3, 11, 0), "linux")
NAMESPACES = ["x.a", "y.a", "x.b", "x.c"]
VERSIONS = ["1.0.0", "1.1.0", "2.0.0"]
REFERENCES = ["a", "b", "c", "tool://x.a@^1", "tool://y.a", "tool://x.b@>=1.1", "tool://x.c@2.0.0"]

nodes = st.tuples(st.sampled_from(NAMESPACES), st.sampled_from(VERSIONS))
registrations = st.tuples(
    st.just("register"),
    nodes,
    st.lists(st.sampled_from(REFERENCES), max_size=2, unique=True),
    st.sampled_from([Lifecycle.ACTIVE, Lifecycle.DRAFT]),
)
removals = st.tuples(st.just("remove"), nodes)
yanks = st.tuples(st.just("yank"), nodes, st.booleans())
questions = st.tuples(
    st.just("resolve"), st.lists(st.sampled_from(REFERENCES), min_size=1, max_size=2)
)


def change(storage: SqlBackend, action: str, node: tuple[str, str], *details: object) -> None:
    namespace, version = node
    identity = NodeVersion(NodeId("tool", namespace), Version.parse(version))
    origin = Origin("test", f"/{namespace}/{version}")
    with storage.writing() as writer:
        is_there = writer.find(identity) is not None
        if action == "register":
            dependencies, lifecycle = details
            metadata = NodeMetadata(
                identity.node,
                namespace.partition(".")[2],
                identity.version,
                lifecycle,
                Entrypoint("python", "node.py"),
                dependencies=tuple(Dependency(NodeRef.parse(text)) for text in dependencies),
            )
            if is_there:
                writer.update(NodeRecord.of(metadata, "sha256:1"))
            else:
                writer.insert(NodeRecord.of(metadata, "sha256:0"), origin)
        elif is_there and action == "remove":
            writer.remove_origin(origin)
        elif is_there:
            writer.set_yanked(identity, yanked=bool(details[0]), reason=None)


def answer(resolution: CachedResolver, references: list[str]) -> object:
    try:
        return resolution.resolve(references).to_json()
    except OnexError as error:
        return error.code, error.message


@pytest.mark.slow
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    st.lists(
        st.one_of(registrations, registrations, questions, questions, removals, yanks), max_size=30
    )
)
def test_kept_answers_are_those_that_would_be_found_anew(steps: list[tuple]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = RegistryCache(Path(folder, "cache.db"))
        storage = open_storage(None, Path(folder))
        other = open_storage(None, Path(folder))
        kept = CachedResolver(storage, HOST, ResolutionCaches(file, storage))
        for number, (action, *details) in enumerate(steps):
            if action != "resolve":
                # Half of the changes come from elsewhere, as from another process.
                change(other if number % 2 else storage, action, *details)
                continue
            fresh = CachedResolver(
                storage,
                HOST,
                ResolutionCaches(RegistryCache(Path(folder, f"{number}.db")), storage),
            )
            expected = answer(fresh, *details)
            assert answer(kept, *details) == expected
            assert answer(kept, *details) == expected
            later = CachedResolver(storage, HOST, ResolutionCaches(file, storage))
            assert answer(later, *details) == expected
        assert file.failure is None
        registered = storage.query(MetadataQuery(all_versions=True)).nodes
        assert {n.metadata.node_version: n for n in registered} == Projection(
            storage.events()
        ).registered()
        for opened in (storage, other, file):
            opened.close()


def test_an_unrelated_change_costs_no_answer(tmp_path: Path) -> None:
    storage = open_storage(None, tmp_path)
    change(storage, "register", ("x.a", "1.0.0"), [], Lifecycle.ACTIVE)
    caches = ResolutionCaches(RegistryCache(tmp_path / "cache.db"), storage)
    resolution = CachedResolver(storage, HOST, caches)
    first = resolution.resolve(["tool://x.a"])
    change(storage, "register", ("x.b", "1.0.0"), [], Lifecycle.ACTIVE)
    assert resolution.resolve(["tool://x.a"]) is first
    change(storage, "register", ("x.a", "1.1.0"), [], Lifecycle.ACTIVE)
    assert [
        str(n.metadata.version) for n in resolution.resolve(["tool://x.a"]).selected.values()
    ] == ["1.1.0"]
    found = {report.name: report.statistics for report in caches.reports()}
    assert (found["dependencies"].hits, found["dependencies"].misses) == (1, 2)
    storage.close()


def test_a_damaged_or_unusable_cache_file_costs_answers_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(b"no database at all" * 500)
    damaged = FileCache(path)
    damaged.set("k", Entry(b"v"))
    assert (damaged.get("k"), damaged.failure) == (Entry(b"v"), None)
    damaged.close()
    (tmp_path / "file").write_text("")
    unusable = FileCache(tmp_path / "file" / "cache.db")
    unusable.set("k", Entry(b"v"))
    assert unusable.get("k") is None
    assert "cannot be used" in (unusable.failure or "")
