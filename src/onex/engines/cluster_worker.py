"""What runs on a worker of a Dask cluster: calls that arrive as tasks, each in its own sandbox.

Nothing that a task says is code. The node and the artifacts that it names are fetched by their
digests, checked, and run in processes that this worker confines itself.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from distributed import WorkerPlugin, get_worker
from distributed.utils import sync

from onex.configuration.loading import load_configuration
from onex.domain.errors import (
    InternalError,
    InvalidResultError,
    OnexError,
    RunCancelledError,
    SecretMissingError,
    StepTimeoutError,
    WorkerDiedError,
    WorkerUnfitError,
)
from onex.domain.json_value import JsonObject, find_unwritable, sha256_of
from onex.domain.permission import Permission
from onex.domain.result import CallEnd, CallFailure, CallOutcome
from onex.engines.cluster_call import ONEX, PYTHON, ClusterCall, ClusterEnd, StorePlace
from onex.engines.cluster_files import ClusterFiles
from onex.engines.cluster_trust import WorkerPolicy
from onex.engines.engine import LoadedNode, NodeCall, cancelled_call
from onex.engines.environment import installed_version
from onex.engines.reactor import Reactor
from onex.engines.redaction import NOTHING_HIDDEN, LogTail, Redaction
from onex.engines.secret_store import (
    SECRETS_FOLDER,
    SecretStore,
    missing_secret,
    secrets_among,
)
from onex.engines.selection import EngineHost, Engines
from onex.engines.supervisor import Supervisor
from onex.engines.work_folders import WorkFolders
from onex.local_machine import remove_tree
from onex.worker.context import SECRET_PREFIX, ContextSpec

if TYPE_CHECKING:
    from distributed import Worker

LOG_SECONDS = 0.25
PROGRESS_SECONDS = 0.05
IDLE_SECONDS = 300.0
"""How long processes are kept for a run of which no call came."""

MAXIMUM_STOPPED = 100_000
"""How many attempts and topics are remembered that must not begin any more."""

SERVICE = "onex"
"""The name of the service among the plugins of a worker, and of what it keeps at the scheduler."""

STOPPED = "stopped"
"""The name of the note at the scheduler that no call of a run may begin any more."""

LOGGER = logging.getLogger("onex.run")


def describe() -> str:
    """What a worker is, as JSON: the versions of onex and Python."""
    return json.dumps({"onex": ONEX, "python": PYTHON})


def run_calls(texts: Sequence[str]) -> list[str]:
    """Run calls one after the other: the task that hosts submit.

    Args:
        texts: calls, as ``ClusterCall.to_text`` gives them.

    Returns:
        Their ends, as ``ClusterEnd.to_text`` gives them.
    """
    worker = get_worker()
    service, task = service_of(worker), str(worker.get_current_task())
    return [service.run(text, task) for text in texts]


def stop_calls(names: Sequence[str], dask_worker: Worker) -> None:
    """Stop attempts, or all attempts of topics: those that run, and those that come later.

    Dask hands over the worker on which it calls this.
    """
    service_of(dask_worker).stop(names)


def end_run(topic: str, dask_worker: Worker) -> None:
    """Release what is kept for the calls of a run, which has ended."""
    service_of(dask_worker).end_run(topic)


def service_of(worker: Worker) -> CallService:
    """The service of a worker, which begins with its first call."""
    with _BEGINNING:
        found = worker.plugins.get(SERVICE)
        if isinstance(found, CallService):
            return found
        made = CallService(worker)
        worker.plugins[SERVICE] = made
        return made


# Tasks of one worker come by several threads.
_BEGINNING = threading.Lock()


@dataclass(slots=True, eq=False)
class _Attempt:
    """An attempt that is under way, and what has become of it."""

    call: ClusterCall
    task: str
    ended: threading.Event = field(default_factory=threading.Event)
    end: CallEnd = field(default_factory=cancelled_call)
    seconds: float = 0.0
    is_made: bool = False
    is_overdue: bool = False
    log: LogTail | None = None
    redaction: Redaction = NOTHING_HIDDEN
    told_log: str = ""
    told_progress: float = 0.0


@dataclass(slots=True, eq=False)
class _Run:
    """What the calls of one run share on this worker, and no others: processes and folders."""

    engines: Engines
    folders: WorkFolders
    folder: Path
    used: float


class CallService(WorkerPlugin):
    """The calls of one worker, as long as it lives.

    Tasks come in threads of Dask, which fetch what a call needs and wait for its end. One thread
    with a reactor drives the processes of all calls.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._name = f"{worker.name} at {worker.address}"
        self._folder = Path(worker.local_directory) / SERVICE
        self._settings = load_configuration(Path("/"), os.environ, self._folder).settings_folder
        self._files: dict[StorePlace, ClusterFiles] = {}
        self._lock = threading.RLock()
        self._stopped: OrderedDict[str, None] = OrderedDict()
        self._running: dict[str, _Attempt] = {}
        self._runs: dict[str, _Run] = {}
        self._reactor, self._supervisor = Reactor(), Supervisor()
        self._is_closed = False
        self._thread = threading.Thread(target=self._serve, name="onex-calls", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        self._look_for_idle()
        while not self._is_closed:
            self._reactor.wait()
        for topic in list(self._runs):
            self._close_run(topic)
        self._supervisor.close()

    def _look_for_idle(self) -> None:
        """Release what is kept for runs whose hosts are gone, so that nobody will say so."""
        now = time.perf_counter()
        with self._lock:
            busy = {attempt.call.topic for attempt in self._running.values()}
            idle = [t for t, run in self._runs.items() if now - run.used > IDLE_SECONDS]
        for topic in idle:
            if topic not in busy:
                self._close_run(topic)
        self._reactor.set_timer("idle", now + IDLE_SECONDS / 4, self._look_for_idle)

    def end_run(self, topic: str) -> None:
        """Release what is kept for a run, none of whose calls begins any more."""
        self.stop([topic])
        self._reactor.post(functools.partial(self._close_run, topic))

    def _close_run(self, topic: str) -> None:
        with self._lock:
            run = self._runs.pop(topic, None)
        if run is not None:
            run.engines.close()
            remove_tree(run.folder)

    def _run_of(self, topic: str) -> _Run:
        with self._lock:
            run = self._runs.get(topic)
            if run is None:
                host = EngineHost(self._worker.state.nthreads, self._reactor, self._supervisor)
                folder = self._folder / "runs" / topic
                run = _Run(Engines(host), WorkFolders(str(folder)), folder, 0.0)
                self._runs[topic] = run
            run.used = time.perf_counter()
            return run

    def teardown(self, worker: Worker) -> None:
        """End everything that runs; Dask calls this at the end of the worker."""
        self._is_closed = True
        self._reactor.post(lambda: None)
        self._thread.join()
        for files in self._files.values():
            files.close()

    def transition(self, key: object, start: str, finish: str, **_: object) -> None:
        """Stop the calls of a task that nobody waits for any more; Dask calls this."""
        if start == "executing" and finish in {"released", "cancelled"}:
            with self._lock:
                names = [n for n, a in self._running.items() if a.task == str(key)]
            if names:
                self.stop(names)

    def stop(self, names: Sequence[str]) -> None:
        """Stop attempts, or all attempts of topics, and let none of them begin later."""
        with self._lock:
            self._stopped.update(dict.fromkeys(names))
            while len(self._stopped) > MAXIMUM_STOPPED:
                self._stopped.popitem(last=False)
            running = [a for a in self._running.values() if self._is_stopped(a.call)]
        for attempt in running:
            self._reactor.post(functools.partial(self._stop_running, attempt))

    def _is_stopped(self, call: ClusterCall) -> bool:
        return call.attempt in self._stopped or call.topic in self._stopped

    def run(self, text: str, task: str) -> str:
        """Run a call to its end, whatever that is; ``task`` is the key of its task."""
        attempt = _Attempt(ClusterCall.parse(text), task)
        call = attempt.call
        with self._lock:
            self._running[call.attempt] = attempt
        try:
            self._run(attempt)
        except OnexError as error:
            attempt.end = CallFailure(error, log=attempt.end.log)
        except Exception as error:
            LOGGER.exception("a call failed")
            failure = InternalError(f"{type(error).__name__}: {error}", hint="please report this")
            attempt.end = CallFailure(failure, log=attempt.end.log)
        finally:
            with self._lock:
                del self._running[call.attempt]
        end = attempt.end
        # Only what was cancelled before it began is no attempt; all else must not go on for ever.
        is_cancelled = isinstance(end, CallFailure) and isinstance(end.error, RunCancelledError)
        is_made = attempt.is_made or not is_cancelled
        return ClusterEnd(end, attempt.seconds, self._name, is_made).to_text()

    def _run(self, attempt: _Attempt) -> None:
        call = attempt.call
        self._require_fit(call)
        secrets = self._secrets_of(call)
        files = self._files_of(call.store)
        files.require_free(call.readable, call.writable)
        node = files.load(call.node)
        inputs, artifacts = files.bring(call.inputs)
        is_shared = node.may_share_process((*call.readable, *artifacts), call.writable)
        run = self._run_of(call.topic)
        # What shares a process can write to the folder of all calls that do.
        owner = f"{sha256_of(str((node.digest, node.rules)))[:16]}{'' if is_shared else '-alone'}"
        with self._lock:
            workdir = run.folders.take(owner)
        self._claim(call)
        readable = (*call.readable, *artifacts)
        made = self._node_call(attempt, node, inputs, readable, secrets, workdir)
        try:
            self._reactor.post(functools.partial(self._start, attempt, run, made))
            attempt.ended.wait()
            attempt.end = self._checked(attempt, node, files, workdir)
        finally:
            with self._lock:
                run.folders.give_back(workdir)
                run.used = time.perf_counter()

    def _require_fit(self, call: ClusterCall) -> None:
        """Refuse a call that would find something else here than where it was planned."""
        here = {"onex": ONEX, "Python": PYTHON}
        asked = {"onex": call.onex, "Python": call.python, **call.node.libraries}
        for library in call.node.libraries:
            here[library] = installed_version(library) or "none"
        wrong = [name for name, version in asked.items() if here[name] != version]
        if wrong:
            told = ", ".join(f"{name} is {here[name]}, not {asked[name]}" for name in wrong)
            raise WorkerUnfitError(
                f"on the worker {self._name}, {told}",
                hint="install the same on all workers and where runs are started",
            )
        missing = [p for p in (*call.readable, *call.writable) if not os.path.lexists(p)]
        if missing:
            raise WorkerUnfitError(
                f"{missing[0]} is not on the worker {self._name}",
                hint="hand files over as artifacts, or keep them where all workers find them",
            )

    def _secrets_of(self, call: ClusterCall) -> Mapping[str, str]:
        if call.secrets is not None:
            return call.secrets
        wanted = secrets_among([Permission.parse(text) for text in call.node.permissions])
        found = SecretStore(os.environ).find(wanted) if wanted else {}
        missing = missing_secret(wanted, found)
        if missing is not None:
            raise SecretMissingError(
                f"the worker {self._name} has no secret {missing}",
                hint=f"set {SECRET_PREFIX}{missing} in the environment of all workers, or put it"
                f" into {SECRETS_FOLDER}",
            )
        return found

    def _files_of(self, place: StorePlace) -> ClusterFiles:
        with self._lock:
            if place not in self._files:
                folder = self._folder / place.group
                # Other workers of this machine have theirs beside it.
                places = (Path(self._worker.local_directory).parent, self._settings)
                hidden = tuple(map(os.path.realpath, places))
                policy = WorkerPolicy.of(os.environ)
                self._files[place] = ClusterFiles(
                    place, folder, hidden, os.environ, self._settings, policy
                )
            return self._files[place]

    def _claim(self, call: ClusterCall) -> None:
        """Note at the scheduler that a call begins that must not be made twice.

        Dask gives the tasks of a worker that died to others.

        Raises:
            WorkerDiedError: it began on another worker.
        """
        if call.node.is_idempotent:
            return
        scheduler, loop = self._worker.scheduler, self._worker.loop
        keys = [SERVICE, call.topic, call.attempt]
        stopped = [SERVICE, call.topic, STOPPED]
        if sync(loop, scheduler.get_metadata, keys=stopped, default=None):
            raise RunCancelledError("cancelled before it started")
        holder = sync(loop, scheduler.get_metadata, keys=keys, default=None)
        if holder is not None:
            raise WorkerDiedError(
                f"the worker {holder} was lost after the call began there",
                hint="look at what the call did; its node is not idempotent",
            )
        sync(loop, scheduler.set_metadata, keys=keys, value=self._name)

    def _node_call(
        self,
        attempt: _Attempt,
        node: LoadedNode,
        inputs: JsonObject,
        readable: tuple[str, ...],
        secrets: Mapping[str, str],
        workdir: str,
    ) -> NodeCall:
        call = attempt.call
        # Nothing that goes to the scheduler shows them.
        attempt.redaction = Redaction(secrets)

        def on_start(_: str) -> None:
            attempt.is_made = True

        def on_progress(fraction: float, message: str) -> None:
            now = time.perf_counter()
            if now - attempt.told_progress >= PROGRESS_SECONDS or fraction >= 1.0:
                attempt.told_progress = now
                told = attempt.redaction.text(message)
                self._tell(call, {"progress": {"fraction": fraction, "message": told}})

        def on_log(log: LogTail) -> None:
            attempt.log = log

        def on_end(end: CallEnd, started: float, ended: float, /, *, is_made: bool = True) -> None:
            self._reactor.clear_timer(("overdue", call.attempt))
            self._reactor.clear_timer(("log", call.attempt))
            attempt.end, attempt.seconds, attempt.is_made = end, ended - started, is_made
            attempt.ended.set()

        context = ContextSpec(
            correlation_id=call.correlation_id,
            workdir=workdir,
            permissions=call.node.permissions,
            config=call.config,
            secrets=secrets,
            traceparent=call.traceparent,
        )
        return NodeCall(
            id=call.attempt,
            node=node,
            inputs=inputs,
            context=context,
            on_end=on_end,
            on_start=on_start,
            on_progress=on_progress,
            on_log=on_log,
            redaction=attempt.redaction,
            readable=readable,
            writable=call.writable,
        )

    def _start(self, attempt: _Attempt, run: _Run, made: NodeCall) -> None:
        call, now = attempt.call, time.perf_counter()
        if self._is_stopped(call):
            made.fail(cancelled_call().error, is_made=False)
            return

        def end_overdue() -> None:
            attempt.is_overdue = True
            self._stop_running(attempt)

        self._reactor.set_timer(("overdue", call.attempt), now + call.timeout_seconds, end_overdue)
        self._set_log_timer(attempt, now)
        try:
            run.engines.engine_for(call.node.kind, call.node.isolation).start(made)
        except OnexError as error:
            made.fail(error)
        except Exception as error:  # noqa: BLE001 - without an end the task would wait for ever
            made.fail(InternalError(f"{type(error).__name__}: {error}", hint="please report this"))

    def _stop_running(self, attempt: _Attempt) -> None:
        run, node = self._runs.get(attempt.call.topic), attempt.call.node
        if run is not None:
            run.engines.engine_for(node.kind, node.isolation).stop(attempt.call.attempt)

    def _set_log_timer(self, attempt: _Attempt, now: float) -> None:
        key = ("log", attempt.call.attempt)
        self._reactor.set_timer(key, now + LOG_SECONDS, functools.partial(self._tell_log, attempt))

    def _tell_log(self, attempt: _Attempt) -> None:
        text = "" if attempt.log is None else attempt.log.settled_text()
        if text != attempt.told_log:
            attempt.told_log = text
            self._tell(attempt.call, {"log": text})
        self._set_log_timer(attempt, time.perf_counter())

    def _tell(self, call: ClusterCall, news: JsonObject) -> None:
        """Tell the host something of a call while it lasts."""
        self._worker.log_event(call.topic, json.dumps({"attempt": call.attempt, **news}))

    def _checked(
        self, attempt: _Attempt, node: LoadedNode, files: ClusterFiles, workdir: str
    ) -> CallEnd:
        """The end as the host is told it, with artifacts in the store."""
        end, limit = attempt.end, attempt.call.timeout_seconds
        log = node.at_origin(end.log)
        if isinstance(end, CallFailure):
            if attempt.is_overdue and isinstance(end.error, RunCancelledError):
                return CallFailure(StepTimeoutError.after(limit), log=log)
            hide = attempt.redaction.text
            end.error.message = hide(node.at_origin(end.error.message))
            detail = None if end.detail is None else hide(node.at_origin(end.detail))
            return CallFailure(end.error, detail, log)
        unwritable = find_unwritable(end.output)
        if unwritable is not None:
            raise InvalidResultError(
                f"in the result, {unwritable}", hint="return what JSON in UTF-8 can hold"
            )
        return CallOutcome(files.take(end.output, workdir), log)
