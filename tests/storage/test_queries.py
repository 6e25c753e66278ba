"""Listing, searching, counting, lifecycle and copying, the same on every database."""

from __future__ import annotations

import fnmatch
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onex.domain.constraint import VersionConstraint
from onex.domain.errors import LifecycleError, StorageCopyError
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import Origin
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.version import Version
from onex.storage.copying import copy_registry
from onex.storage.node_record import NodeRecord
from onex.storage.opening import open_storage
from onex.storage.query import MetadataQuery
from onex.storage.sql.store import SqlBackend
from tests.storage.conftest import clear, insert, names, node

VERSIONS = ["0.9.0", "1.0.0-rc.1", "1.0.0", "1.2.0", "1.2.1-beta.2", "2.0.0", "10.0.0-0", "10.0.0"]
CONSTRAINTS = [
    "*",
    "^1",
    "~1.2.0",
    "1.0.0",
    ">=1.2.1-beta.1 <3",
    "<1",
    "1.x || >=10",
    "^1.0.0-rc.0",
]


def test_versions_are_filtered_as_constraints_say(backend: SqlBackend) -> None:
    insert(backend, *(node("a", version) for version in VERSIONS))
    for text in CONSTRAINTS:
        constraint = VersionConstraint.parse(text)
        expected = [v for v in VERSIONS if constraint.allows(Version.parse(v))]
        found = backend.query(MetadataQuery(version=constraint, all_versions=True)).nodes
        assert sorted(str(n.metadata.version) for n in found) == sorted(expected), text
    (best,) = backend.query(MetadataQuery(version=VersionConstraint.parse("^1"))).nodes
    assert str(best.metadata.version) == "1.2.0"


def test_every_filter(backend: SqlBackend) -> None:
    from onex.domain.permission import Permission

    insert(
        backend,
        node("a", tags=("x",), author="me", permissions=(Permission.parse("file.read:/d"),)),
        node("b", tags=("y",), author="you"),
        node("c", tags=("z",), author="me"),
    )
    assert names(backend, any_tags=("x", "y")) == ["a@1.0.0", "b@1.0.0"]
    assert names(backend, author="me", any_tags=("x", "y")) == ["a@1.0.0"]
    assert names(backend, permissions=("file.read:/d",)) == ["a@1.0.0"]
    assert names(backend, namespace="ns") == ["a@1.0.0", "b@1.0.0", "c@1.0.0"]
    assert names(backend, namespace="n") == []
    assert names(backend, namespace="ns.a") == ["a@1.0.0"]
    assert names(backend, pattern="ns.[ab]") == ["a@1.0.0", "b@1.0.0"]
    assert names(backend, pattern="ns.[!a]") == ["b@1.0.0", "c@1.0.0"]
    assert names(backend, pattern="ns.?") == ["a@1.0.0", "b@1.0.0", "c@1.0.0"]
    assert names(backend, source="test") == ["a@1.0.0", "b@1.0.0", "c@1.0.0"]
    assert names(backend, source="other") == []
    page = backend.query(MetadataQuery(limit=1, with_total=False))
    assert (len(page.nodes), page.total) == (1, -1)


_NAMES = st.lists(st.text("ab.", min_size=1, max_size=7), min_size=1, max_size=12)
_GLOBS = st.lists(
    st.sampled_from(
        [
            "a",
            "b",
            "ab",
            "aba",
            ".",
            "*",
            "?",
            "[ab]",
            "[!a]",
            "[a-b]",
            "[b-a]",
            "[!b-a]",
            "[]a]",
            "[-a]",
            "[a-]",
            "[ab",
            "\\\\",
        ]
    ),
    min_size=1,
    max_size=5,
).map("".join)


@pytest.mark.parametrize("candidates", [0, 3, 2_000])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(names=_NAMES, pattern=_GLOBS, limit=st.integers(1, 4))
def test_pages_by_a_pattern_hold_what_a_glob_matches(
    backend: SqlBackend, monkeypatch, candidates: int, names, pattern: str, limit: int
) -> None:
    monkeypatch.setattr("onex.storage.sql.name_pattern.MAXIMUM_CANDIDATES", candidates)
    clear(backend)
    with backend.writing() as writer:
        for number, name in enumerate(names):
            metadata = replace(
                node(f"x{number}"), name=name, node=NodeId("tool", f"{name}.x{number}")
            )
            writer.insert(NodeRecord.of(metadata, "d"), Origin("test", f"/{number}"))
    glob = pattern if set(pattern) & set("*?[") else f"*{pattern}*"
    expected = sorted(
        f"{name}.x{number}"
        for number, name in enumerate(names)
        if fnmatch.fnmatchcase(name, glob) or fnmatch.fnmatchcase(f"{name}.x{number}", glob)
    )
    found, after = [], None
    while True:
        page = backend.query(MetadataQuery(pattern=pattern, limit=limit, after=after))
        assert page.total == len(expected)
        found += [one.metadata.node.namespace for one in page.nodes]
        after = page.next
        if after is None:
            break
    assert found == expected
    whole = backend.query(MetadataQuery(pattern=pattern, lifecycle=Lifecycle.ACTIVE))
    assert [one.metadata.node.namespace for one in whole.nodes] == expected


HOSTILE = [
    "\0", "a\0b", "\ud800", "\U0010ffff", "\u202e\u0000", "'; DROP TABLE nodes; --", "%s ? :1 $1",
    "\\", "\\x", "a\nb\tc", "\x1b[31m", "é" * 200, "e\u0301", "İ", "\x7f\x80", " ", "\ufeffx", "[z-a]",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_is_stored_found_and_given_back(backend: SqlBackend, text: str) -> None:
    insert(backend, node("calm"))
    # Halves of pairs of surrogates come from arguments; no reader of manifests lets them through.
    held = text.encode("utf-8", "replace").decode()
    odd = node(
        "odd", tags=(held,), capabilities=(held,), author=held, description=held,
        license=held, extra={"key": [held, {held: held}]},
    )  # fmt: skip
    record = NodeRecord.of(odd, "sha256:odd", readme=held * 3)
    with backend.writing() as writer:
        writer.insert(record, Origin("test", "/odd"))
        writer.set_yanked(odd.node_version, yanked=True, reason=text)
    found = backend.node(odd.node_version)
    assert found is not None
    assert found.metadata == odd
    kept = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    assert backend.query(MetadataQuery(tags=(kept,), author=kept)).total == 1
    for pattern in (text, f"*{text}", f"{text}*", f"[{text}]"):
        backend.query(MetadataQuery(pattern=pattern))
    for asked in (text, f"a{text}b"):
        backend.search(asked, MetadataQuery())
    backend.check()
    with backend.writing() as writer:
        writer.remove_origin(Origin("test", "/odd"))
    backend.check()


def test_a_namespace_is_itself_and_what_is_below(backend: SqlBackend) -> None:
    with backend.writing() as writer:
        for number, namespace in enumerate(["a", "a.b", "a.b.c", "a-b", "a_b", "ab", "a.bc"]):
            metadata = replace(node("x"), node=NodeId("tool", namespace))
            writer.insert(NodeRecord.of(metadata, "d"), Origin("test", f"/{number}"))

    def below(namespace: str) -> list[str]:
        page = backend.query(MetadataQuery(namespace=namespace))
        return [one.metadata.node.namespace for one in page.nodes]

    assert below("a") == ["a", "a.b", "a.b.c", "a.bc"]
    assert below("a.b") == ["a.b", "a.b.c"]
    assert below("b") == []


def test_renamed_and_removed_nodes_are_found_by_parts_no_more(backend: SqlBackend) -> None:
    insert(backend, node("a"))
    renamed = replace(node("a"), name="brand_new")
    with backend.writing() as writer:
        writer.update(NodeRecord.of(renamed, "other"))
    assert names(backend, pattern="rand_n") == ["brand_new@1.0.0"]
    clear(backend)
    assert names(backend, pattern="rand_n") == []


@pytest.mark.parametrize("typed", ["rsize", "resizee", "rezise", "reszie", "resiez"])
def test_a_slip_is_corrected_whatever_the_vocabulary(backend: SqlBackend, typed: str) -> None:
    insert(backend, *(node(f"n{number}") for number in range(300)), node("resize"))
    result = backend.search(typed, MetadataQuery())
    assert result.did_you_mean == "resize"
    assert [hit.node.metadata.name for hit in result.hits] == ["resize"]


def test_facets_count_the_best_version_of_each_node(backend: SqlBackend) -> None:
    insert(
        backend,
        node("a", "1.0.0", tags=("old",)),
        node("a", "2.0.0", tags=("new",)),
        node("b", tags=("new",)),
    )
    assert backend.facets(["type", "lifecycle", "tag"]) == {
        "type": {"tool": 2}, "lifecycle": {"active": 2}, "tag": {"new": 2},
    }  # fmt: skip


def search(backend: SqlBackend, text: str, **filters: object) -> tuple[list[str], str | None]:
    result = backend.search(text, MetadataQuery(**filters))
    assert [hit.score for hit in result.hits] == sorted(
        (h.score for h in result.hits), reverse=True
    )
    return [hit.node.metadata.name for hit in result.hits], result.did_you_mean


def test_full_text_ranks_names_before_tags_before_descriptions_before_readmes(
    backend: SqlBackend,
) -> None:
    found = [
        node("readme_only"),
        node("described", description="Writes a crawler report"),
        node("tagged", tags=("crawler",)),
        node("crawler"),
        node("other", description="nothing of that"),
    ]
    with backend.writing() as writer:
        for metadata in found:
            text = "How to use the crawler" if metadata.name == "readme_only" else ""
            writer.insert(NodeRecord.of(metadata, "d", text), Origin("s", f"/{metadata.name}"))
    assert search(backend, "crawler") == (["crawler", "tagged", "described", "readme_only"], None)
    assert search(backend, "CRAWL") == (["crawler", "tagged", "described", "readme_only"], None)
    assert search(backend, "crawler report") == (["described"], None)
    assert search(backend, "crawler", type="agent") == ([], None)
    assert search(backend, "crawler", limit=1) == (["crawler"], None)


def test_a_mistyped_word_finds_what_was_meant(backend: SqlBackend) -> None:
    insert(backend, node("thumbnailer", tags=("images",)), node("loader"))
    assert search(backend, "thumnailer") == (["thumbnailer"], "thumbnailer")
    assert search(backend, "thumbnailer imagse") == (["thumbnailer"], "thumbnailer images")
    assert search(backend, "zzzzqqqq") == ([], None)
    assert backend.close_names("tool://ns.thumbnaile", 3) == [NodeId("tool", "ns.thumbnailer")]
    assert backend.close_names("laoder", 3) == [NodeId("tool", "ns.loader")]


@pytest.mark.parametrize(
    "text", ["", "'\"", "a AND b OR NOT", "x* & | !", "\0", "NEAR(", "日本語", "%_", "a" * 5000]
)
def test_no_text_breaks_a_search(backend: SqlBackend, text: str) -> None:
    insert(backend, node("a"))
    backend.search(text, MetadataQuery())
    backend.query(MetadataQuery(pattern=text.replace("\0", "")))


def version(name: str, number: str = "1.0.0") -> NodeVersion:
    return NodeVersion(NodeId("tool", f"ns.{name}"), Version.parse(number))


def decide(
    backend: SqlBackend, target: NodeVersion, state: Lifecycle, **details: str | None
) -> None:
    with backend.writing() as writer:
        writer.set_lifecycle(
            target, state, deprecated_by=details.get("by"), reason=details.get("reason")
        )


def test_lifecycle_decisions_hold_until_the_author_decides_otherwise(backend: SqlBackend) -> None:
    insert(backend, node("a", "1.0.0"), node("a", "1.1.0"), node("b"))
    for state, details, code in (
        (Lifecycle.ACTIVE, {}, "LC001"),
        (Lifecycle.DRAFT, {}, "LC003"),
        (Lifecycle.DEPRECATED, {}, "LC004"),
        (Lifecycle.ARCHIVED, {}, "LC005"),
    ):
        with pytest.raises(LifecycleError) as caught:
            decide(backend, version("a", "1.1.0"), state, **details)
        assert caught.value.code == code
    assert names(backend) == ["a@1.1.0", "b@1.0.0"]
    decide(backend, version("a", "1.1.0"), Lifecycle.DEPRECATED, by="tool://ns.b")
    assert names(backend) == ["a@1.0.0", "b@1.0.0"]
    found = backend.node(version("a", "1.1.0"))
    assert found is not None
    assert (found.metadata.lifecycle, found.metadata.deprecated_by) == (
        Lifecycle.DEPRECATED,
        "tool://ns.b",
    )
    with backend.writing() as writer:
        writer.update(NodeRecord.of(node("a", "1.1.0", description="new text"), "other"))
    again = backend.node(version("a", "1.1.0"))
    assert again is not None
    assert (again.metadata.lifecycle, again.metadata.description) == (
        Lifecycle.DEPRECATED,
        "new text",
    )
    decide(backend, version("a", "1.1.0"), Lifecycle.ARCHIVED)
    with pytest.raises(LifecycleError):
        decide(backend, version("a", "1.1.0"), Lifecycle.ACTIVE)
    with backend.writing() as writer:
        writer.update(NodeRecord.of(node("a", "1.1.0", lifecycle=Lifecycle.DRAFT), "other"))
    last = backend.node(version("a", "1.1.0"))
    assert last is not None
    assert last.metadata.lifecycle is Lifecycle.DRAFT
    backend.check()


def everything(backend: SqlBackend) -> list:
    return list(backend.query(MetadataQuery(all_versions=True)).nodes)


def fill(backend: SqlBackend) -> None:
    insert(
        backend,
        *(
            node(f"n{i}", v, tags=("t", f"t{i}"), uuid=f"u{i}")
            for i in range(6)
            for v in ("1.0.0", "2.0.0-rc.1")
        ),
    )
    with backend.writing() as writer:
        writer.add_origin(version("n0"), Origin("elsewhere", "/x"))
        writer.set_yanked(version("n1"), yanked=True, reason="bad")
        writer.set_lifecycle(version("n2"), Lifecycle.ARCHIVED, deprecated_by=None, reason="old")
        writer.remove_origin(Origin("test", "/ns.n3/1.0.0"))
        writer.remove_origin(Origin("elsewhere", "/x"))
        writer.update(NodeRecord.of(node("n4", tags=("changed",)), "sha256:new"))


def test_rebuilding_from_the_log_changes_nothing(backend: SqlBackend) -> None:
    fill(backend)
    backend.check()
    before, listed = everything(backend), names(backend)
    found = search(backend, "n4")
    assert backend.rebuild() == len(before)
    assert everything(backend) == before
    assert names(backend) == listed
    assert search(backend, "n4") == found
    backend.check()
    insert(backend, node("later"))
    backend.check()


@pytest.mark.parametrize("target_kind", ["sqlite", "postgresql"])
def test_a_copy_says_the_same(
    backend: SqlBackend,
    target_kind: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    fill(backend)
    other = (
        f"sqlite:///{tmp_path / 'copy.db'}"
        if target_kind == "sqlite"
        else request.getfixturevalue("new_postgres")()
    )
    target = open_storage(other, tmp_path)
    report = copy_registry(backend, target)
    assert report.events == backend.serial()
    assert everything(target) == everything(backend)
    assert list(target.events()) == list(backend.events())
    assert names(target) == names(backend)
    assert search(target, "n4") == search(backend, "n4")
    target.check()
    insert(target, node("more"))
    with pytest.raises(StorageCopyError):
        copy_registry(backend, target)
    target.close()


steps = st.lists(
    st.tuples(
        st.sampled_from(["insert", "update", "yank", "unyank", "archive", "remove", "origin"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["1.0.0", "1.1.0", "2.0.0-rc.1"]),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps)
def test_tables_always_say_what_the_log_says(
    tmp_path_factory: pytest.TempPathFactory, steps: list
) -> None:
    storage = open_storage(None, tmp_path_factory.mktemp("log"))
    with storage.writing() as writer:
        for action, name, number in steps:
            target = version(name, number)
            there = writer.find(target)
            origin = Origin("test", f"/{name}/{number}")
            record = NodeRecord.of(node(name, number, description=action), f"d{len(action)}")
            if there is None:
                if action == "insert":
                    writer.insert(record, origin)
            elif action == "update":
                writer.update(record)
            elif action in ("yank", "unyank"):
                writer.set_yanked(target, yanked=action == "yank", reason=None)
            elif action == "archive":
                try:
                    writer.set_lifecycle(target, Lifecycle.ARCHIVED, deprecated_by=None, reason="r")
                except LifecycleError as error:
                    assert error.code == "LC001"
            elif action == "remove":
                writer.remove_origin(there.origins[-1])
            elif action == "origin":
                writer.add_origin(target, Origin("more", f"/{name}/{number}"))
    storage.check()
    best = {}
    for found in everything(storage):
        key = found.metadata.node
        from onex.domain.lifecycle import preference

        rank = (
            preference(found.metadata.version, found.metadata.lifecycle, yanked=found.yanked),
            found.metadata.version,
        )
        best[key] = max(
            best.get(key, (rank, found.metadata.version)), (rank, found.metadata.version)
        )
    listed = {n.metadata.node: n.metadata.version for n in storage.query(MetadataQuery()).nodes}
    for key, chosen in listed.items():
        assert best[key][1] == chosen
    storage.close()


class Writes:
    """Registers and withdraws nodes in the background, as a busy team does."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder = url, folder
        self._is_over = threading.Event()
        self.count = 0
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Writes:
        self._thread.start()
        while self.count < 3:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _write(self) -> None:
        storage = open_storage(self._url, self._folder)
        while not self._is_over.is_set():
            insert(storage, *(node(f"w{self.count}x{i}", tags=("busy",)) for i in range(5)))
            if self.count > 3:
                with storage.writing() as writer:
                    for i in range(5):
                        place = f"/ns.w{self.count - 3}x{i}/1.0.0"
                        writer.remove_origin(Origin("test", place))
            self.count += 1
        storage.close()


@pytest.mark.slow
def test_everything_is_consistent_while_others_write(
    backend: SqlBackend, url: str, tmp_path: Path
) -> None:
    insert(backend, *(node(f"n{number}") for number in range(200)))
    with Writes(url, tmp_path) as writes:
        for round_ in range(6):
            backend.check()
            target = open_storage(f"sqlite:///{tmp_path / f'copy{round_}.db'}", tmp_path)
            report = copy_registry(backend, target)
            assert report.nodes == target.count()
            target.close()
        for _ in range(100):
            page = backend.query(MetadataQuery(tags=("busy",)))
            assert page.total == len(page.nodes)
            assert all(found.origins for found in page.nodes)
            # Nodes come and go five at a time.
            assert page.total % 5 == 0
            with backend.snapshot():
                counted = backend.facets(["tag"])["tag"].get("busy", 0)
                assert backend.query(MetadataQuery(tags=("busy",))).total == counted
        assert writes.count > 10


def test_a_failed_copy_leaves_a_target_that_can_be_used(
    backend: SqlBackend, tmp_path: Path, monkeypatch
) -> None:
    insert(backend, node("a"))
    target = open_storage(f"sqlite:///{tmp_path / 'copy.db'}", tmp_path)
    monkeypatch.setattr("onex.storage.copying._compare", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        copy_registry(backend, target)
    monkeypatch.undo()
    assert copy_registry(backend, target).nodes == 1
    target.close()


def test_a_registry_that_is_made_during_a_snapshot_is_seen_after_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    reader = open_storage(url, tmp_path)
    with reader.snapshot():
        assert reader.query(MetadataQuery()).total == 0
        writer = open_storage(url, tmp_path)
        insert(writer, node("a"))
        writer.close()
        assert reader.query(MetadataQuery()).total == 0
    assert names(reader) == ["a@1.0.0"]
    reader.close()


@pytest.mark.slow
def test_many_large_manifests_are_stored_at_once(backend: SqlBackend) -> None:
    large = [replace(node(f"n{number}"), description="x" * 1_000_000) for number in range(40)]
    with backend.writing() as writer:
        for metadata in large:
            writer.insert(NodeRecord.of(metadata, "d"), Origin("test", f"/{metadata.name}"))
    with backend.writing() as writer:
        for metadata in large:
            writer.update(NodeRecord.of(metadata, "changed"))
    found = backend.query(MetadataQuery()).nodes
    assert [len(one.metadata.description) for one in found] == [1_000_000] * 40
    assert {one.digest for one in found} == {"changed"}
