"""The contract of a RunJournal, for the history in a file and the one in PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from onex.domain.errors import RunLostError, StorageCopyError
from onex.domain.result import (
    IsolationLevel,
    NodeExecutionResult,
    RunResult,
    RunStatus,
    StepError,
    StepStatus,
    Timing,
)
from onex.history.copying import copy_history
from onex.history.journal import ArtifactUse, JournalEntries, NewRun
from onex.history.kept_measurements import KeptMeasurements
from onex.history.opening import open_journal
from onex.history.sql_journal import SqlRunJournal
from onex.telemetry import metric_catalog as catalog
from onex.telemetry.measurements import Measurements
from tests.conftest import Project

DIGEST = "sha256:" + "a" * 64


class Histories:
    """Opens one history, or others, as often as a test wants: each a process of its own."""

    def __init__(self, storage: str | None, folder: Path) -> None:
        self.storage = storage
        self.folder = folder
        self._opened = ExitStack()

    def open(self) -> SqlRunJournal:
        journal = open_journal(self.storage, self.folder)
        self._opened.callback(journal.close)
        return journal

    def close(self) -> None:
        self._opened.close()

    def lose(self, run_id: str) -> None:
        """Have the holder of a run gone, as it is after a crash and the time of a lease."""
        journal = self.open()
        nobody = ", ".join(f"{one.column} = {one.expression}" for one in journal.holder.nobody)
        with journal.connection.shared_transaction():
            journal.connection.rows(
                f"UPDATE runs SET {nobody} WHERE run_id = ?",
                (*(one.parameter for one in journal.holder.nobody), run_id),
            )


@pytest.fixture(params=["file", "postgresql"])
def histories(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Histories]:
    storage = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    made = Histories(storage, tmp_path)
    yield made
    made.close()


@pytest.fixture
def journal(histories: Histories) -> SqlRunJournal:
    return histories.open()


def new_run(run_id: str, started_at: str = "2026-01-01T00:00:00+00:00") -> NewRun:
    steps = [{"id": name, "node": "tool://a"} for name in ("a", "b", "c")]
    plan = {"steps": {name: {"node": "tool://a@1.0.0", "digest": DIGEST} for name in "abc"}}
    return NewRun(run_id, "work", started_at, {"name": "work", "steps": steps}, plan, {"x": [1]})


def ended(step_id: str, output: object = None, **fields: object) -> NodeExecutionResult:
    given = {"status": StepStatus.SUCCEEDED, "seconds": 0.25, "attempts": 1} | fields
    return NodeExecutionResult(step_id, "tool://a@1.0.0", output=output, **given)


def finished(run_id: str, status: RunStatus = RunStatus.SUCCEEDED) -> RunResult:
    return RunResult(run_id, "work", status, outputs={"y": 2}, seconds=1.5, overhead_seconds=0.5)


def record(
    journal: SqlRunJournal, run_id: str, *results: NodeExecutionResult, kept: bool = False
) -> None:
    journal.record(run_id, JournalEntries(list(results), list(results) if kept else []))


def test_a_run_is_read_as_it_was_written(journal: SqlRunJournal) -> None:
    journal.begin(new_run("r1"))
    bad = StepError("EXE001", "it\0broke \u2028 \U0001f600", "hint", "detail")
    record(
        journal, "r1",
        ended("a", {"deep": [1, 1.5, None, "\0é"]}, started_seconds=0.125, log="one\0two\n",
              input_digest=DIGEST, cache_key="k", isolation=IsolationLevel.STRICT),
        ended("b", None, status=StepStatus.FAILED, error=bad, attempts=3, in_flight=True),
        ended("c", 10**17, cached_runs=("r0", "r00"), cache_note="why"),
    )  # fmt: skip
    running = journal.run("r1")
    assert running is not None
    assert running.status is RunStatus.RUNNING
    assert running.seconds is None
    assert list(running.steps) == ["a", "b", "c"]
    a, b, c = running.steps.values()
    assert a.output == {"deep": [1, 1.5, None, "\0é"]}
    assert (a.started_seconds, a.seconds, a.isolation) == (0.125, 0.25, IsolationLevel.STRICT)
    assert (a.log, a.input_digest, a.cache_key) == ("one\u2400two\n", DIGEST, "k")
    assert (b.error, b.attempts, b.in_flight) == (bad, 3, True)
    assert (c.output, c.cached_runs, c.cache_note) == (10**17, ("r0", "r00"), "why")
    journal.finish(finished("r1"), [Timing("a", DIGEST, 2, 0.5)])
    done = journal.run("r")
    assert done is not None
    assert (done.status, done.seconds, done.outputs) == (RunStatus.SUCCEEDED, 1.5, {"y": 2})
    assert (done.inputs, done.definition["name"]) == ({"x": [1]}, "work")
    assert journal.timings([DIGEST, "other"]) == {
        DIGEST: [Timing("a", DIGEST, 2, 0.5)], "other": []
    }  # fmt: skip


def test_what_is_recorded_again_takes_the_place_of_what_was(journal: SqlRunJournal) -> None:
    journal.begin(new_run("r"))
    record(journal, "r", ended("a", 1), ended("b", 2))
    record(journal, "r", ended("a", 3, attempts=2), ended("a", 4, attempts=3))
    found = journal.run("r")
    assert found is not None
    assert {name: (s.output, s.attempts) for name, s in found.steps.items()} == {
        "a": (4, 3), "b": (2, 1)
    }  # fmt: skip


def test_runs_come_newest_first_and_by_the_start_of_their_names(journal: SqlRunJournal) -> None:
    for number in (2, 1, 3):
        journal.begin(new_run(f"r{number}x", f"2026-01-0{number}T00:00:00+00:00"))
    journal.begin(new_run("r1"))
    assert [run.run_id for run in journal.runs(None)] == ["r3x", "r2x", "r1", "r1x"]
    assert [run.run_id for run in journal.runs(2)] == ["r3x", "r2x"]
    exact, one = journal.run("r1"), journal.run("r2")
    assert (exact and exact.run_id, one and one.run_id) == ("r1", "r2x")
    assert journal.run("r") is journal.run("s") is journal.run("R1") is None


def test_a_call_that_started_and_did_not_end_is_shown_as_running(histories: Histories) -> None:
    journal, other = histories.open(), histories.open()
    journal.begin(new_run("r"))
    log = journal.start_log("r")
    log.note("a")
    log.note("b")
    record(journal, "r", ended("a"))
    found = other.run("r")
    assert found is not None
    assert {n: s.status.value for n, s in found.steps.items()} == {"a": "succeeded", "b": "running"}
    (progress,) = other.in_progress()
    assert (progress.run.run_id, progress.calls, progress.waiting, progress.total) == (
        "r",
        ["b"],
        1,
        3,
    )
    record(journal, "r", ended("b"))
    log.close()
    journal.finish(finished("r"))
    log.remove()
    assert other.in_progress() == []


def test_marks_change_with_what_they_mark(histories: Histories) -> None:
    journal, other = histories.open(), histories.open()
    marks = [other.mark()]

    def changed() -> None:
        marks.append(other.mark())
        assert marks[-1] not in marks[:-1]

    journal.begin(new_run("r"))
    changed()
    log = journal.start_log("r")
    log.note("a")
    changed()
    record(journal, "r", ended("a"))
    changed()
    assert other.mark() == other.mark() == marks[-1]
    log.close()
    journal.finish(finished("r", RunStatus.FAILED))
    changed()
    assert other.mark_of("nobody") == ""


def test_a_run_whose_process_is_gone_was_interrupted_and_one_of_many_resumes_it(
    histories: Histories,
) -> None:
    first = histories.open()
    first.begin(new_run("r"))
    log = first.start_log("r")
    log.note("a")
    log.note("b")
    record(first, "r", ended("a", 1), ended("c", None, status=StepStatus.FAILED))
    assert histories.open().resume("r", {"steps": {}}, ()) is None
    histories.lose("r")
    (seen,) = histories.open().runs(None)
    assert seen.status is RunStatus.INTERRUPTED
    journals = [histories.open() for _ in range(8)]
    together = threading.Barrier(len(journals))
    plan = new_run("r").plan | {"again": True}

    def resume(journal: SqlRunJournal):
        together.wait()
        return journal.resume("r", plan, ())

    if histories.storage is None:
        # A file's connection serves the thread that opened it.
        taken = [journal.resume("r", plan, ()) for journal in journals]
    else:
        with ThreadPoolExecutor(len(journals)) as pool:
            taken = list(pool.map(resume, journals))
    (winner,) = [record for record in taken if record is not None]
    assert {n: s.status.value for n, s in winner.steps.items()} == {
        "a": "succeeded", "b": "running", "c": "failed"
    }  # fmt: skip
    now = histories.open().run("r")
    assert now is not None
    assert now.status is RunStatus.RUNNING
    assert now.plan["again"] is True
    # What had succeeded stays, what was in flight is known, and the failure is forgotten.
    assert {n: s.status.value for n, s in now.steps.items()} == {"a": "succeeded", "b": "running"}


def test_steps_that_are_run_again_are_forgotten(histories: Histories) -> None:
    journal = histories.open()
    journal.begin(new_run("r"))
    record(journal, "r", ended("a", 1), ended("b", 2))
    journal.finish(finished("r", RunStatus.CANCELLED))
    resumed = journal.resume("r", new_run("r").plan, {"b"})
    assert resumed is not None
    assert list(resumed.steps) == ["a"]
    journal.finish(finished("r"))
    assert journal.resume("r", {}, ()) is None
    assert journal.resume("nobody", {}, ()) is None


def test_results_are_shared_by_all_who_have_the_history(histories: Histories) -> None:
    journal, other = histories.open(), histories.open()
    for run_id in ("r1", "r2"):
        journal.begin(new_run(run_id))
    record(
        journal,
        "r1",
        ended("a", {"v": 1}, cache_key="k1"),
        ended("b", None, cache_key="k2"),
        kept=True,
    )
    found = other.cached_output("k1")
    assert found is not None
    assert (found.output, found.run_id, found.node) == ({"v": 1}, "r1", "tool://a@1.0.0")
    nothing = other.cached_output("k2")
    assert nothing is not None
    assert nothing.output is None
    assert other.cached_output("k3") is None
    record(journal, "r2", ended("a", {"v": 2}, cache_key="k1"), kept=True)
    newer = other.cached_output("k1")
    assert newer is not None
    assert (newer.output, newer.run_id) == ({"v": 2}, "r2")


def test_pruning_leaves_what_runs_and_what_others_used(histories: Histories) -> None:
    journal = histories.open()
    for run_id in ("made", "used", "runs"):
        journal.begin(new_run(run_id))
    record(journal, "made", ended("a", 1, cache_key="k1"), ended("b", 2, cache_key="k2"), kept=True)
    record(journal, "used", ended("a", 1, cache_key="k1", cached_runs=("made",)))
    uses = [ArtifactUse(DIGEST, "made", "a", "out"), ArtifactUse(DIGEST, "used", "a", "out")]
    for use in uses:
        journal.record(use.run_id, JournalEntries(artifacts=[use, use]))
    assert sorted(u.run_id for u in journal.artifact_uses(DIGEST)) == ["made", "used"]
    for run_id in ("made", "used"):
        journal.finish(finished(run_id))
    pruned = journal.prune(["made", "runs", "nobody"])
    assert (list(pruned.runs), pruned.cached_results) == (["made"], 1)
    assert journal.cached_output("k1") is not None
    assert journal.cached_output("k2") is None
    assert journal.artifact_digests() == {DIGEST}
    pruned = journal.prune(["used"])
    assert (list(pruned.runs), pruned.cached_results) == (["used"], 1)
    assert journal.cached_output("k1") is None
    assert journal.artifact_digests() == frozenset()
    assert [run.run_id for run in journal.runs(None)] == ["runs"]


def test_pruning_and_resuming_at_once_never_lose_a_run_that_was_resumed(
    histories: Histories,
) -> None:
    setup = histories.open()
    names = [f"r{n}" for n in range(20)]
    for name in names:
        setup.begin(new_run(name))
        record(setup, name, ended("a", 1))
        setup.finish(finished(name, RunStatus.FAILED))
    resumed: list[str] = []

    def resume() -> None:
        with ExitStack() as stack:
            journal = open_journal(histories.storage, histories.folder)
            stack.callback(journal.close)
            for name in names:
                if journal.resume(name, new_run(name).plan, ()) is not None:
                    record(journal, name, ended("b", 2))
                    resumed.append(name)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(resume)
        pruned = setup.prune(reversed(names)).runs
        done.result()
    assert sorted([*resumed, *pruned]) == sorted(names)
    assert {run.run_id for run in setup.runs(None)} == set(resumed)


def test_writers_beside_each_other_wait_and_lose_nothing(histories: Histories) -> None:
    keys = [f"k{n}" for n in range(10)]

    def work(number: int) -> None:
        with ExitStack() as stack:
            journal = open_journal(histories.storage, histories.folder)
            stack.callback(journal.close)
            run_id = f"r{number}"
            journal.begin(new_run(run_id))
            for turn in range(10):
                order = keys if number % 2 else keys[::-1]
                results = [ended(f"a[{turn}{n}]", n, cache_key=key) for n, key in enumerate(order)]
                record(journal, run_id, *results, kept=True)
            journal.finish(finished(run_id))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    journal = histories.open()
    assert len(journal.runs(None)) == 6
    for run in journal.runs(None):
        whole = journal.run(run.run_id)
        assert whole is not None
        assert len(whole.steps) == 100


@pytest.mark.parametrize("direction", ["to a server", "from a server"])
def test_a_history_is_copied_whole(
    new_postgres: Callable[[], str], tmp_path: Path, direction: str
) -> None:
    here, there = Histories(None, tmp_path / "a"), Histories(new_postgres(), tmp_path / "b")
    one, other = (here, there) if direction == "to a server" else (there, here)
    source, target = one.open(), other.open()
    for number in range(3):
        run_id = f"r{number}"
        source.begin(new_run(run_id))
        results = [ended(f"a[{n}]", n / 7, cache_key=f"{number}.{n}") for n in range(1200)]
        record(source, run_id, *results, kept=True)
        source.record(run_id, JournalEntries(artifacts=[ArtifactUse(DIGEST, run_id, "a[0]", "f")]))
    source.finish(finished("r0"), [Timing("a", DIGEST, 1, 1.0)])
    log = source.start_log("r1")
    log.note("b")
    log.close()
    if one is here:
        # Earlier versions stored logs as they were.
        source.connection.rows("UPDATE steps SET log = 'a' || char(0) WHERE step_id = 'a[0]'")
    assert copy_history(source, target) == 3
    for number in range(3):
        before, after = source.run(f"r{number}"), target.run(f"r{number}")
        assert before is not None
        assert after is not None
        assert {n: s.output for n, s in after.steps.items()} == {
            n: s.output for n, s in before.steps.items()
        }
        assert after.status is (RunStatus.SUCCEEDED if number == 0 else RunStatus.INTERRUPTED)
    resumed = target.resume("r1", new_run("r1").plan, ())
    assert resumed is not None
    assert resumed.steps["b"].status is StepStatus.RUNNING
    with pytest.raises(StorageCopyError, match="is not empty"):
        copy_history(source, target)
    here.close()
    there.close()


# What a lease adds


@pytest.fixture
def shared(postgres: str, tmp_path: Path) -> Iterator[Histories]:
    made = Histories(postgres, tmp_path)
    yield made
    made.close()


def test_an_end_whose_answer_was_lost_is_recorded_once_more(shared: Histories) -> None:
    journal = shared.open()
    journal.begin(new_run("r"))
    record(journal, "r", ended("a", 1))
    journal.finish(finished("r"))
    journal.finish(finished("r"))
    found = journal.run("r")
    assert found is not None
    assert found.status is RunStatus.SUCCEEDED


def test_what_was_measured_counts_once_if_a_transaction_is_repeated(shared: Histories) -> None:
    journal = shared.open()
    journal.begin(new_run("r"))
    measured = Measurements()
    measured.count(catalog.RUNS, ("work", "succeeded"))
    require, asked = journal.holder.require, []

    def fail_once(run_id: str) -> None:
        require(run_id)
        asked.append(run_id)
        if len(asked) == 1:
            # As if the server went away before it stored the rest.
            journal.connection._opened.close()

    journal.holder.require = fail_once
    journal.record("r", JournalEntries([ended("a", 1)], measured=measured))
    assert len(asked) == 2
    kept = KeptMeasurements(shared.folder).read()
    assert list(kept.numbers[catalog.RUNS.name].values()) == [1]


@pytest.mark.parametrize("end", ["taken over", "removed"])
def test_who_lost_a_run_can_record_nothing_and_start_nothing(shared: Histories, end: str) -> None:
    late, other = shared.open(), shared.open()
    late.begin(new_run("r"))
    log = late.start_log("r")
    record(late, "r", ended("a", 1))
    shared.lose("r")
    if end == "removed":
        assert list(other.prune(["r"]).runs) == ["r"]
    else:
        assert other.resume("r", new_run("r").plan, ()) is not None
    with pytest.raises(RunLostError):
        record(late, "r", ended("b", 2))
    with pytest.raises(RunLostError):
        log.note("c")
    with pytest.raises(RunLostError):
        late.finish(finished("r", RunStatus.FAILED))
    found = other.run("r")
    assert end == "removed" or (found is not None and list(found.steps) == ["a"])


def test_a_lease_that_ran_out_unnoticed_is_renewed(shared: Histories) -> None:
    journal = shared.open()
    journal.begin(new_run("r"))
    journal.connection.rows("UPDATE runs SET held_until = '-infinity'")
    assert journal.runs(None)[0].status is RunStatus.INTERRUPTED
    lost: list[str] = []
    with journal.held("r", lambda: lost.append("r")):
        until = threading.Event()
        while journal.runs(None)[0].status is not RunStatus.RUNNING:
            until.wait(0.05)
    assert not lost
    record(journal, "r", ended("a", 1))


def test_somebody_elsewhere_may_ask_for_the_end(shared: Histories) -> None:
    journal, other = shared.open(), shared.open()
    journal.begin(new_run("r"))
    asked = threading.Event()
    assert not other.interrupt("nobody")
    assert other.interrupt("r")
    with journal.held("r", asked.set):
        assert asked.wait(60)
    journal.finish(finished("r", RunStatus.CANCELLED))
    assert not other.interrupt("r")
    # Who resumes it does not inherit the question.
    assert journal.resume("r", new_run("r").plan, ()) is not None
    assert journal.connection.rows("SELECT cancel_asked FROM runs") == [(False,)]


def test_starts_of_what_may_be_repeated_are_stored_while_they_last(shared: Histories) -> None:
    journal, other = shared.open(), shared.open()
    journal.begin(new_run("r"))
    log = journal.start_log("r", {"a", "b"})
    for call in ("a", "b", "c"):
        log.note(call)
    assert set(other.holder.starts("r")) == {"c"}
    record(journal, "r", ended("a", 1))
    with journal.held("r", lambda: None):
        wait = threading.Event()
        while len(other.holder.starts("r")) < 2:
            wait.wait(0.05)
    assert set(other.holder.starts("r")) == {"b", "c"}


def test_a_database_that_has_runs_is_refused_before_anything_is_copied(
    make_project: Callable[[str], Project], postgres: str
) -> None:
    one, other = make_project("one"), make_project("other")
    for project in (one, other):
        project.add("node")
        project.scan()
    with closing(open_journal(postgres, other.home)) as journal:
        journal.begin(new_run("r"))
        refused = one.onex_here("storage", "migrate", "--to", postgres, "--json")
        assert refused.json["error"]["code"] == StorageCopyError.code
        journal.connection.rows("DELETE FROM runs RETURNING run_id")
    assert one.onex_here("storage", "migrate", "--to", postgres, "--json").code == 0
