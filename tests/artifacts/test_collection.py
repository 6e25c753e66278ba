"""Garbage collection never takes an artifact that is recorded, whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from onex.artifacts.contents import (
    CLOCK_SECONDS,
    FRESH_SECONDS,
    GRACE_SECONDS,
    RECORDED_WITHIN_SECONDS,
    CopyGoneError,
    StoredCopy,
)
from onex.artifacts.shared_artifacts import SharedArtifacts

CONTENTS = {f"sha256:{hashlib.sha256(content).hexdigest()}": content for content in (b"a", b"b")}
DIGESTS = list(CONTENTS)
HOUR = 3600.0


class World:
    """A store and a history in simulated time, with machines whose clocks are wrong.

    Between any two steps of what one machine does, others may do whatever they do.
    """

    place = "the world"

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.now = 1e9
        self.stored: dict[str, StoredCopy] = {}
        self.recorded: dict[str, int] = dict.fromkeys(DIGESTS, 0)
        self.depth = 0

    # ArtifactContents

    def copies(self, digest: str | None = None) -> Iterator[StoredCopy]:
        self.meanwhile()
        listed = list(self.stored.values())
        self.meanwhile()
        return (copy for copy in listed if digest in {None, copy.digest})

    def write(self, copy: StoredCopy, content: Path) -> None:
        self.meanwhile()
        self.stored[copy.name] = copy
        self.meanwhile()

    def read(self, copy: StoredCopy) -> Iterator[bytes]:
        self.meanwhile()
        if copy.name not in self.stored:
            raise CopyGoneError
        yield CONTENTS[copy.digest]
        self.meanwhile()

    def remove(self, copy: StoredCopy) -> None:
        self.meanwhile()
        self.stored.pop(copy.name, None)

    def close(self) -> None:
        pass

    # What machines do

    def meanwhile(self) -> None:
        self.check()
        if self.depth < 3 and self.data.draw(st.integers(0, 3)) == 0:
            self.depth += 1
            self.act()
            self.depth -= 1

    def act(self) -> None:
        match self.data.draw(
            st.sampled_from(["wait", "run", "run", "prune", "collect", "collect"])
        ):
            case "wait":
                span = st.sampled_from(
                    [HOUR, RECORDED_WITHIN_SECONDS, FRESH_SECONDS, GRACE_SECONDS]
                )
                self.now += self.data.draw(span) * self.data.draw(
                    st.sampled_from([0.4, 0.99, 1.01])
                )
            case "run":
                self.run(self.data.draw(st.sampled_from(DIGESTS)))
            case "prune":
                self.recorded[self.data.draw(st.sampled_from(DIGESTS))] = 0
            case _:
                self.machine().remove_others(self.recorded_digests)
        self.check()

    def machine(self) -> SharedArtifacts:
        error = self.data.draw(st.sampled_from([-CLOCK_SECONDS, 0.0, CLOCK_SECONDS]))
        return SharedArtifacts(self, lambda: self.now + error)

    def run(self, digest: str) -> None:
        """Keep an artifact, and record it; one that takes too long has lost its run."""
        began = self.now
        self.machine().keep(digest, 1, Path(os.devnull))
        self.meanwhile()
        if self.now - began <= RECORDED_WITHIN_SECONDS:
            self.recorded[digest] += 1

    def recorded_digests(self) -> set[str]:
        self.meanwhile()
        found = {digest for digest, uses in self.recorded.items() if uses}
        self.meanwhile()
        return found

    def check(self) -> None:
        there = {copy.digest for copy in self.stored.values()}
        lost = {digest for digest, uses in self.recorded.items() if uses} - there
        assert not lost, "a recorded artifact has no copy"


@given(st.data())
@settings(max_examples=int(os.environ.get("ONEX_TEST_EXAMPLES", "300")), deadline=None)
def test_what_is_recorded_stays(data: st.DataObject) -> None:
    world = World(data)
    for _ in range(data.draw(st.integers(1, 12))):
        world.act()


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_what_nobody_records_goes_in_time(data: st.DataObject) -> None:
    world = World(data)
    for _ in range(data.draw(st.integers(1, 6))):
        world.act()
    world.depth = 3
    world.recorded = dict.fromkeys(DIGESTS, 0)
    world.now += GRACE_SECONDS + 2 * CLOCK_SECONDS + 1
    world.machine().remove_others(world.recorded_digests)
    assert not world.stored
