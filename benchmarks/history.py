"""What a long history costs, in SQLite and in PostgreSQL: 10 million steps, tenfold by tenfold.

Usage: history.py [--steps 10000000] [--database sqlite|postgresql]. Runs of 1,000 steps are
recorded through the journal, as a run records them. At each tenfold it is measured what recording
the last part took, and what a user then waits for.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from measure import median_seconds
from postgres_server import postgres

from onex.domain.result import (
    IsolationLevel,
    NodeExecutionResult,
    RunResult,
    RunStatus,
    StepStatus,
    Timing,
)
from onex.history.journal import ArtifactUse, JournalEntries, NewRun
from onex.history.opening import open_journal
from onex.history.sql_journal import SqlRunJournal

STEPS_PER_RUN = 1_000
STEPS_PER_WRITE = 250
NODES = 200
ARTIFACT_EVERY = 10
FIRST = 10_000
PRUNED_RUNS = 20


def run_id_of(number: int) -> str:
    return f"20260101-{number:012d}"


def key_of(step: int) -> str:
    return f"{step:064x}"


def digest_of(node: int) -> str:
    return f"sha256:{node:064x}"


def steps_of(number: int) -> Iterator[NodeExecutionResult]:
    for place in range(STEPS_PER_RUN):
        step = number * STEPS_PER_RUN + place
        output = {"rows": step, "name": f"part-{place}", "mean": step / 7}
        yield NodeExecutionResult(
            step_id=f"work[{place}]",
            node=f"tool://bench.node{step % NODES}@1.0.0",
            status=StepStatus.SUCCEEDED,
            output=output,
            started_seconds=place / 100,
            seconds=0.01,
            attempts=1,
            isolation=IsolationLevel.PROCESS,
            log="read\nwritten\n",
            input_digest=digest_of(step),
            cache_key=key_of(step),
        )


def write_run(journal: SqlRunJournal, number: int) -> None:
    run_id = run_id_of(number)
    minutes, seconds = divmod(number, 60)
    hours, minutes = divmod(minutes, 60)
    started = f"2026-01-{1 + hours // 24:02}T{hours % 24:02}:{minutes:02}:{seconds:02}+00:00"
    plan = {"steps": {"work": {"node": "tool://bench.node@1.0.0"}}}
    journal.begin(NewRun(run_id, "bench", started, {}, plan, {}))
    steps = list(steps_of(number))
    with journal.held(run_id, lambda: None):
        for start in range(0, len(steps), STEPS_PER_WRITE):
            some = steps[start : start + STEPS_PER_WRITE]
            uses = [
                ArtifactUse(f"sha256:{number:032x}{start + i:032x}", run_id, s.step_id, "a")
                for i, s in enumerate(some)
                if i % ARTIFACT_EVERY == 0
            ]
            journal.record(run_id, JournalEntries(some, some, uses))
        result = RunResult(run_id, "bench", RunStatus.SUCCEEDED, {"done": number})
        times = [Timing("work", digest_of(number % NODES), STEPS_PER_RUN, 10.0)]
        journal.finish(result, times)


def report(journal: SqlRunJournal, steps: int, seconds: float, added: int, size: int) -> None:
    runs = steps // STEPS_PER_RUN
    middle = run_id_of(runs // 2)
    asked = {
        "list 50": lambda: journal.runs(50),
        "list all": lambda: journal.runs(None),
        "show 1,000 steps": lambda: journal.run(middle),
        "hit": lambda: journal.cached_output(key_of(steps // 3)),
        "miss": lambda: journal.cached_output("f" * 64),
        "timings": lambda: journal.timings([digest_of(3)]),
        "all artifacts": journal.artifact_digests,
    }
    told = [f"{steps:>10,} steps: {seconds / added * 1e6:5.0f} us a step recorded"]
    told += [f"{name} {median_seconds(ask, 5) * 1e3:.2f} ms" for name, ask in asked.items()]
    told.append(f"{size / steps:.0f} bytes a step")
    print("; ".join(told), flush=True)


def size_of(journal: SqlRunJournal, folder: Path | None) -> int:
    if folder is not None:
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    ((size,),) = journal.connection.rows("SELECT pg_database_size(current_database())")
    assert isinstance(size, int)
    return size


def measure(name: str, storage: str | None, folder: Path, steps: int) -> None:
    print(name, flush=True)
    journal = open_journal(storage, folder)
    recorded, tenfold = 0, FIRST
    while tenfold <= steps:
        added = tenfold - recorded
        started = time.perf_counter()
        for number in range(recorded // STEPS_PER_RUN, tenfold // STEPS_PER_RUN):
            write_run(journal, number)
        seconds = time.perf_counter() - started
        size = size_of(journal, None if storage else folder)
        report(journal, tenfold, seconds, added, size)
        recorded, tenfold = tenfold, tenfold * 10
    started = time.perf_counter()
    pruned = journal.prune([run_id_of(number) for number in range(PRUNED_RUNS)])
    took = (time.perf_counter() - started) / len(pruned.runs)
    print(f"prune: {took * 1e3:.0f} ms a run of {STEPS_PER_RUN:,} steps", flush=True)
    journal.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000_000)
    parser.add_argument("--database", choices=("sqlite", "postgresql"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="onex-bench-") as folder:
        if arguments.database != "postgresql":
            measure("SQLite", None, Path(folder, "sqlite"), arguments.steps)
        if arguments.database != "sqlite":
            with postgres() as url:
                if url is None:
                    print("no PostgreSQL here")
                    return
                measure("PostgreSQL", url, Path(folder, "postgresql"), arguments.steps)


if __name__ == "__main__":
    main()
