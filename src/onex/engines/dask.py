"""DaskEngine: calls on the workers of a Dask cluster.

The run decides what starts; Dask places calls on workers and moves them there. One thread submits
calls, since storing what they need may take time, and another gathers their ends; the thread of
the run never waits for the cluster.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from distributed import Future

from onex.artifacts.shared_artifacts import SharedArtifacts
from onex.domain.errors import (
    ClusterUnavailableError,
    ConfigurationError,
    InternalError,
    IsolationUnavailableError,
    OnexError,
    WorkerDiedError,
)
from onex.domain.json_value import JsonObject, as_object, as_text
from onex.domain.result import CallFailure, IsolationLevel
from onex.domain.workflow import step_of
from onex.engines.cluster_call import ClusterCall, ClusterEnd
from onex.engines.cluster_store import ClusterStore
from onex.engines.dask_connection import DaskConnection
from onex.engines.engine import LoadedNode, NodeCall, cancelled_call
from onex.engines.redaction import LogTail
from onex.engines.selection import EngineHost

SLOTS_PER_THREAD = 2
SLOTS_OF_REPEATABLE = 128
"""How many calls are handed out for each thread of the workers, so that none waits for the next.
Those that may be repeated can be many: what was handed out counts as begun if the host dies."""

BATCH_SECONDS = 0.05
MAXIMUM_BATCH = 128
"""Short calls of a step go to a worker together, so many or for so long at most: handing a task
over takes longer than they do."""

SMOOTHING = 0.2

SUBMISSIONS = 3
"""How often a call is submitted that may be repeated, if the cluster loses it."""

LOOK_SECONDS = 2.0
DESERTED_SECONDS = 60.0
"""How long a cluster may be without workers before its calls are given up."""

CLOSE_SECONDS = 30.0
REFUSAL_SECONDS = 5.0
"""How long calls that are stopped may take to tell their ends, before they are taken back."""

Item = TypeVar("Item")

LOGGER = logging.getLogger("onex.run")


@dataclass(slots=True, eq=False)
class _Submission:
    """A call that was handed to the cluster."""

    call: NodeCall
    attempt: str
    text: str = ""
    count: int = 0
    future: Future[list[str]] | None = None
    is_stopped: bool = False
    is_ended: bool = False


_Batch = tuple[Future[list[str]], list[_Submission]]


def _with_waiting(first: Item, waiting: queue.SimpleQueue[Item | None]) -> list[Item]:
    """What was taken from a queue, and all that waits in it; the mark of its end stays there."""
    found = [first]
    with contextlib.suppress(queue.Empty):
        while (more := waiting.get_nowait()) is not None:
            found.append(more)
        waiting.put(None)
    return found


def _resources_of(submission: _Submission) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(submission.call.resources.items()))


def _not_submitted(error: Exception) -> OnexError:
    if isinstance(error, OnexError):
        return error
    return ClusterUnavailableError(
        f"calls could not be handed to the Dask cluster: {type(error).__name__}: {error}",
        hint="see that its scheduler runs",
    )


class DaskEngines:
    """The engines of one run on a cluster: what the entry point ``dask`` gives."""

    def __init__(self, host: EngineHost) -> None:
        """Connect to the cluster that the host names, or start one.

        Raises:
            ClusterUnavailableError: there is no cluster, or no worker of it can be used.
            ConfigurationError: its workers could not reach the artifacts.
        """
        settings = host.cluster
        if settings is None:
            raise ConfigurationError("no cluster is asked for", hint="see --engine")
        self._connection = DaskConnection(settings.scheduler, host.jobs)
        try:
            self._store = ClusterStore(settings, is_own=self._connection.is_own)
        except BaseException:
            self._connection.close()
            raise
        self._calls = DaskCalls(host, self._connection, self._store)
        self._engines: dict[IsolationLevel, DaskEngine] = {}

    def slots(self, *, repeatable: bool) -> int:
        """How many calls should be started at once, if all are ``repeatable`` or if not."""
        each = SLOTS_OF_REPEATABLE if repeatable else SLOTS_PER_THREAD
        return self._connection.slots * each

    @property
    def store(self) -> SharedArtifacts:
        """The store that this machine and the workers use."""
        return self._store.shared

    def engine_for(self, kind: str, level: IsolationLevel) -> DaskEngine:
        """The engine for an isolation level; raises IsolationUnavailableError."""
        if level is IsolationLevel.INLINE:
            raise IsolationUnavailableError(
                "nodes cannot run inline on a Dask cluster", hint="use --isolation strict"
            )
        return self._engines.setdefault(level, DaskEngine(level, self._calls))

    def close(self) -> None:
        """End everything; nothing of the run is left on the cluster."""
        self._calls.close()
        self._store.close()
        self._connection.close()


class DaskEngine:
    """Executes calls at one isolation level, which workers apply."""

    times_calls = True

    def __init__(self, isolation: IsolationLevel, calls: DaskCalls) -> None:
        self.isolation = isolation
        self._calls = calls

    def preload(self, node: LoadedNode) -> None:
        """Do nothing: where a call will run is not known before."""

    def start(self, call: NodeCall) -> None:
        self._calls.start(call)

    def stop(self, call_id: str) -> None:
        self._calls.stop(call_id)

    def cancel(self) -> None:
        self._calls.cancel()

    def close(self) -> None:
        """Do nothing: what engines share is closed once."""


class DaskCalls:
    """The calls of one run that are on a cluster."""

    def __init__(self, host: EngineHost, connection: DaskConnection, store: ClusterStore) -> None:
        self._reactor = host.reactor
        self._connection = connection
        self._store = store
        self._under_way: dict[str, _Submission] = {}
        self._by_attempt: dict[str, _Submission] = {}
        self._is_cancelled = False
        self._deserted_since: float | None = None
        self._unserved_since: dict[tuple[tuple[str, float], ...], float] = {}
        self._unsent: queue.SimpleQueue[_Submission | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._seconds: dict[str, float] = {}
        self._stops: queue.SimpleQueue[tuple[list[_Submission], list[str]] | None] = (
            queue.SimpleQueue()
        )
        connection.listen(self._take_news)
        self._threads = [
            threading.Thread(target=work, name=f"onex-{name}", daemon=True)
            for name, work in (
                ("submitting", self._submit_all),
                ("gathering", self._gather_all),
                ("stopping", self._stop_all),
            )
        ]
        for thread in self._threads:
            thread.start()

    # In the thread of the run

    def start(self, call: NodeCall) -> None:
        """Hand a call over; its start counts from now, since nobody knows when it will begin."""
        if self._is_cancelled:
            call.fail(cancelled_call().error, is_made=False)
            return
        try:
            call.on_start(call.id)
        except OnexError as error:
            call.fail(error)
            return
        submission = _Submission(call, uuid.uuid4().hex)
        self._under_way[call.id] = submission
        self._by_attempt[submission.attempt] = submission
        self._unsent.put(submission)

    def stop(self, call_id: str) -> None:
        """Stop a call; its end follows."""
        submission = self._under_way.get(call_id)
        if submission is not None:
            self._stop([submission], [submission.attempt])

    def cancel(self) -> None:
        """Stop all calls, and let no other begin."""
        self._is_cancelled = True
        self._stop(list(self._under_way.values()), [self._connection.topic])

    def _stop(self, submissions: list[_Submission], names: list[str]) -> None:
        left = [submission for submission in submissions if not submission.is_stopped]
        for submission in left:
            submission.is_stopped = True
        if left:
            self._stops.put((left, names))

    def close(self) -> None:
        """End the threads; calls that are left are stopped first."""
        self.cancel()
        self._stops.put(None)
        self._unsent.put(None)
        self._ended.put(None)
        for thread in self._threads:
            # A cluster that stands still holds up no end; the threads end with the process.
            thread.join(CLOSE_SECONDS)

    def _end(self, submission: _Submission, end: ClusterEnd) -> None:
        if submission.is_ended:
            return
        submission.is_ended = True
        self._under_way.pop(submission.call.id, None)
        self._by_attempt.pop(submission.attempt, None)
        now = time.perf_counter()
        submission.call.on_end(end.end, now - end.seconds, now, is_made=end.is_made)

    def _fail(self, submission: _Submission, error: OnexError, *, is_made: bool = True) -> None:
        """Tell the end of a call that the cluster did not bring to one; from any thread."""
        end = ClusterEnd(CallFailure(error), 0.0, "", is_made)
        self._reactor.post(functools.partial(self._end, submission, end))

    # In the thread that submits

    def _submit_all(self) -> None:
        while (first := self._unsent.get()) is not None:
            for batch in self._batches(_with_waiting(first, self._unsent)):
                try:
                    self._submit(batch)
                except Exception as error:  # noqa: BLE001 - without ends the run would wait for ever
                    for submission in batch:
                        self._fail(submission, _not_submitted(error), is_made=False)

    def _batches(self, waiting: Sequence[_Submission]) -> Iterator[list[_Submission]]:
        """Calls that go as one task: as many short ones as take a worker some time together."""
        share = -(-len(waiting) // max(1, self._connection.slots))
        groups: dict[object, list[_Submission]] = {}
        for submission in waiting:
            if submission.is_stopped or submission.is_ended:
                self._fail(submission, cancelled_call().error, is_made=False)
                continue
            call = submission.call
            key = (step_of(call.id), call.node.digest, _resources_of(submission), call.priority)
            groups.setdefault(key, []).append(submission)
        for group in groups.values():
            seconds = self._seconds.get(group[0].call.node.digest, BATCH_SECONDS)
            size = max(1, min(share, MAXIMUM_BATCH, int(BATCH_SECONDS / max(seconds, 1e-6))))
            for start in range(0, len(group), size):
                yield group[start : start + size]

    def _submit(self, batch: list[_Submission]) -> None:
        ready: list[_Submission] = []
        for submission in batch:
            try:
                submission.text = submission.text or self._text_of(submission)
            except OnexError as error:
                self._fail(submission, error)
                continue
            submission.count += 1
            ready.append(submission)
        if not ready:
            return
        call = ready[0].call
        future = self._connection.submit(
            [submission.text for submission in ready],
            step_of(call.id),
            resources=call.resources,
            priority=call.priority,
        )
        for submission in ready:
            submission.future = future
        future.add_done_callback(lambda _: self._ended.put((future, ready)))

    def _text_of(self, submission: _Submission) -> str:
        call, context = submission.call, submission.call.context
        self._store.keep_inputs(call.given)
        return ClusterCall(
            id=call.id,
            attempt=submission.attempt,
            node=self._store.node_of(call),
            store=self._store.place,
            topic=self._connection.topic,
            correlation_id=context.correlation_id,
            inputs=call.given,
            timeout_seconds=call.timeout_seconds,
            config=context.config,
            # They leave this machine for no scheduler.
            secrets=context.secrets if self._connection.is_own else None,
            traceparent=context.traceparent,
            readable=call.designated,
            writable=call.writable,
        ).to_text()

    # In the thread that gathers

    def _gather_all(self) -> None:
        while True:
            try:
                first = self._ended.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                self._look_for_workers()
                self._look_for_resources()
                continue
            if first is None:
                return
            ended = _with_waiting(first, self._ended)
            try:
                self._gather(ended)
            except Exception as error:
                LOGGER.exception("ends of calls could not be gathered")
                told = f"{type(error).__name__}: {error}"
                failure = InternalError(told, hint="please report this")
                for submission in (submission for _, batch in ended for submission in batch):
                    self._fail(submission, failure)

    def _look_for_workers(self) -> None:
        """Give calls up if there has been no worker for so long that none may come back."""
        now, submissions = time.monotonic(), list(self._under_way.values())
        if not submissions or not self._connection.is_deserted:
            self._deserted_since = None
            return
        self._deserted_since = self._deserted_since or now
        if now - self._deserted_since > DESERTED_SECONDS:
            error = WorkerDiedError(
                "the Dask cluster has had no worker, or no scheduler that answers, for"
                f" {DESERTED_SECONDS:g} s",
                hint="start workers, then go on: onex run --resume",
            )
            for submission in submissions:
                self._fail(submission, error)

    def _look_for_resources(self) -> None:
        """Give calls up whose resources no worker has offered for so long that none may."""
        now, submissions = time.monotonic(), list(self._under_way.values())
        asked = {_resources_of(one) for one in submissions} - {()}
        unserved = {some for some in asked if not self._connection.offers(dict(some))}
        self._unserved_since = {some: self._unserved_since.get(some, now) for some in unserved}
        for submission in submissions:
            resources = _resources_of(submission)
            since = self._unserved_since.get(resources)
            if since is None or now - since <= DESERTED_SECONDS:
                continue
            told = ", ".join(f"{name}={much:g}" for name, much in resources)
            error = ClusterUnavailableError(
                f"no worker of the Dask cluster has offered {told} for {DESERTED_SECONDS:g} s",
                hint=f'start workers that do: dask worker --resources "{told}"',
            )
            self._fail(submission, error, is_made=False)

    def _gather(self, ended: Sequence[_Batch]) -> None:
        finished = [future for future, _ in ended if future.status == "finished"]
        results = self._connection.results(finished) if finished else {}
        for future, batch in ended:
            texts = results.get(future.key, [])
            for position, submission in enumerate(batch):
                if position >= len(texts):
                    self._lost(submission, future)
                    continue
                end = self._end_of(texts[position])
                self._note_seconds(submission.call.node.digest, end.seconds)
                self._reactor.post(functools.partial(self._end, submission, end))
            # What is held here Dask would compute once more if its worker died.
            future.release()

    def _end_of(self, text: str) -> ClusterEnd:
        try:
            return ClusterEnd.parse(text)
        except (TypeError, ValueError, KeyError) as error:
            told = f"a worker told an end that cannot be read: {error}"
            return ClusterEnd(CallFailure(InternalError(told, hint="please report this")), 0.0, "")

    def _note_seconds(self, digest: str, seconds: float) -> None:
        """Remember how long calls of a node take, the last ones the most."""
        before = self._seconds.get(digest, seconds)
        self._seconds[digest] = before + (seconds - before) * SMOOTHING

    def _lost(self, submission: _Submission, future: Future[list[str]]) -> None:
        """Go on with a call whose task has no result: it was taken back, or the cluster lost it."""
        if submission.is_ended:
            return
        if submission.is_stopped:
            self._fail(submission, cancelled_call().error)
            return
        reason = str(future.exception()) if future.status == "error" else f"it is {future.status}"
        if submission.call.node.is_idempotent and submission.count < SUBMISSIONS:
            LOGGER.warning("the cluster lost %s, which is submitted again: %s",
                           submission.call.id, reason)  # fmt: skip
            self._unsent.put(submission)
            return
        error = WorkerDiedError(
            f"the cluster lost the call: {reason}",
            hint="see the logs of its workers; one may have run out of memory",
        )
        self._fail(submission, error)

    # In the thread that stops

    def _stop_all(self) -> None:
        while (asked := self._stops.get()) is not None:
            stopped, names = asked
            try:
                self._connection.stop(names)
                # What has not begun is refused by its worker, which tells that it did not.
                until = time.monotonic() + REFUSAL_SECONDS
                while time.monotonic() < until and not all(s.is_ended for s in stopped):
                    time.sleep(0.01)
                # Others that were handed over with one may go on.
                needed = {id(s.future) for s in self._under_way.values() if not s.is_stopped}
                left = [s.future for s in stopped if s.future is not None and not s.is_ended]
                self._connection.cancel([f for f in left if id(f) not in needed])
            except Exception as error:  # noqa: BLE001 - a cluster that is away has nothing to stop
                LOGGER.warning("calls could not be stopped on the cluster: %s", error)
                for submission in stopped:
                    self._fail(submission, cancelled_call().error)

    # In the thread of Dask's client

    def _take_news(self, news: JsonObject) -> None:
        submission = self._by_attempt.get(as_text(news["attempt"]))
        if submission is None:
            return
        call = submission.call
        if "progress" in news:
            progress = as_object(news["progress"])
            fraction = progress["fraction"]
            if isinstance(fraction, int | float):
                call.on_progress(float(fraction), as_text(progress["message"]))
        elif "log" in news:
            log = LogTail(call.redaction)
            log.write(str(news["log"]).encode("utf-8", "backslashreplace"))
            self._reactor.post(functools.partial(call.on_log, log))
