"""Any sequence of changes leaves tables, log, rebuild and a simple model in agreement."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from onex.domain.errors import LifecycleError
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import Origin
from onex.storage.node_record import NodeRecord
from onex.storage.opening import open_storage
from onex.storage.query import MetadataQuery
from tests.fuzz.conftest import fuzzing
from tests.storage.conftest import node

NAMES = st.sampled_from(["a", "b"])
VERSIONS = st.sampled_from(["1.0.0", "1.1.0", "2.0.0-rc.1", "2.0.0+x"])
PLACES = st.builds(Origin, st.sampled_from(["s", "t"]), st.sampled_from(["/1", "/2", "/3"]))


@dataclass
class Model:
    """What should be registered, as simply as it can be said."""

    origins: dict[str, list[Origin]] = field(default_factory=dict)
    yanked: dict[str, bool] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)


def label(name: str, version: str) -> str:
    return f"tool://ns.{name}@{version.partition('+')[0]}"


class StorageMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._storage = open_storage(None, Path(self._folder.name))
        self._model = Model()

    @rule(name=NAMES, version=VERSIONS, place=PLACES, digest=st.sampled_from("xy"))
    def offer(self, name: str, version: str, place: Origin, digest: str) -> None:
        identity = label(name, version)
        record = NodeRecord.of(node(name, version), digest)
        with self._storage.writing() as writer:
            if writer.node_at(place) not in (None, record.node_version):
                writer.remove_origin(place)
            existing = writer.find(record.node_version)
            if existing is None:
                writer.insert(record, place)
            else:
                if existing.digest != digest:
                    writer.update(record)
                writer.add_origin(record.node_version, place)
        self._take(place, identity)
        offered = self._model.origins.setdefault(identity, [])
        if place not in offered:
            offered.append(place)
        self._model.digests[identity] = digest

    @rule(place=PLACES)
    def withdraw(self, place: Origin) -> None:
        with self._storage.writing() as writer:
            writer.remove_origin(place)
        self._take(place, None)

    def _take(self, place: Origin, kept: str | None) -> None:
        for identity in list(self._model.origins):
            if identity != kept and place in self._model.origins[identity]:
                self._model.origins[identity].remove(place)
                if not self._model.origins[identity]:
                    del self._model.origins[identity]

    @precondition(lambda self: self._model.origins)
    @rule(data=st.data(), yanked=st.booleans())
    def yank(self, data: st.DataObject, yanked: bool) -> None:
        identity = data.draw(st.sampled_from(sorted(self._model.origins)))
        (found,) = [
            n for n in self._nodes() if str(n.metadata.node_version).partition("+")[0] == identity
        ]
        with self._storage.writing() as writer:
            writer.set_yanked(found.metadata.node_version, yanked=yanked, reason="r")
        self._model.yanked[identity] = yanked

    @precondition(lambda self: self._model.origins)
    @rule(data=st.data(), state=st.sampled_from(list(Lifecycle)))
    def decide(self, data: st.DataObject, state: Lifecycle) -> None:
        found = data.draw(
            st.sampled_from(sorted(self._nodes(), key=lambda n: str(n.metadata.node_version)))
        )
        try:
            with self._storage.writing() as writer:
                writer.set_lifecycle(
                    found.metadata.node_version, state, deprecated_by="tool://x", reason="r"
                )
        except LifecycleError:
            pass

    @rule()
    def rebuild(self) -> None:
        before = {str(n.metadata.node_version): n for n in self._nodes()}
        self._storage.rebuild()
        assert {str(n.metadata.node_version): n for n in self._nodes()} == before

    @invariant()
    def agrees(self) -> None:
        nodes = {str(n.metadata.node_version).partition("+")[0]: n for n in self._nodes()}
        assert nodes.keys() == self._model.origins.keys()
        for identity, found in nodes.items():
            assert list(found.origins) == self._model.origins[identity]
            assert found.digest == self._model.digests[identity]
            assert found.yanked == self._model.yanked.get(identity, False)
        self._storage.check()
        best = self._storage.query(MetadataQuery()).nodes
        assert len(best) == len({n.metadata.node for n in best})

    def _nodes(self):
        return self._storage.query(MetadataQuery(all_versions=True)).nodes

    def teardown(self) -> None:
        self._storage.close()
        self._folder.cleanup()


TestStorage = StorageMachine.TestCase
TestStorage.settings = fuzzing
TestStorage.pytestmark = [pytest.mark.slow]
