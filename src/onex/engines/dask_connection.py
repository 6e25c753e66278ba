"""DaskConnection: the connection of one run to a Dask cluster, which is started if none is named.

How connections are secured, Dask's own configuration says (``distributed.comm.tls``).
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import dask
from distributed import Client, Future
from distributed.comm.addressing import parse_address
from distributed.comm.registry import get_backend

from onex.domain.errors import ClusterUnavailableError
from onex.domain.json_value import JsonObject, as_object, parse_json
from onex.engines.cluster_call import ONEX, PYTHON
from onex.engines.cluster_worker import SERVICE, STOPPED, describe, end_run, run_calls, stop_calls
from onex.engines.own_cluster import OwnCluster
from onex.remote.deadline_calls import call_all

CONNECT_SECONDS = 10.0
WORKERS_SECONDS = 20.0
ANSWER_SECONDS = 10.0
LOOK_SECONDS = 2.0
"""How often it is looked whether the workers are others than before."""

Result = TypeVar("Result")

LOGGER = logging.getLogger("onex.run")


class DaskConnection:
    """Submits tasks to the workers of a cluster that have the same onex and Python as this."""

    def __init__(self, scheduler: str | None, jobs: int) -> None:
        """Connect to the scheduler at an address, or start a cluster for ``jobs`` calls at once.

        Without an address it is that of Dask's configuration (``scheduler-address``), if any.

        Raises:
            ClusterUnavailableError: it does not answer, or has no worker that can be used.
        """
        self.topic = f"{SERVICE}-{uuid.uuid4().hex}"
        address = scheduler or dask.config.get("scheduler-address", None)
        self.is_own = address is None
        self._cluster: OwnCluster | None = None
        self._lock = threading.Lock()
        self._known: frozenset[str] = frozenset()
        self._fit: list[str] | None = None
        self._has_unfit = False
        self._looked = 0.0
        try:
            if address is None:
                self._cluster = OwnCluster(jobs)
                address = self._cluster.address
            # A client would look for a scheme that there is not until its time is over.
            get_backend(parse_address(address, strict=False)[0])
            security = None if self._cluster is None else self._cluster.security
            self._client = _within(
                lambda: Client(
                    address,
                    timeout=CONNECT_SECONDS,
                    set_as_default=False,
                    name=SERVICE,
                    security=security,
                )
            )
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            self._close_cluster()
            raise ClusterUnavailableError(
                f"the Dask cluster {address or 'on this machine'} cannot be used: {error}",
                hint="see that a scheduler runs there: dask scheduler",
            ) from error
        try:
            self.slots = self._look()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Forget what the run left at the scheduler, and end a cluster of its own."""
        client = self._client
        try:
            if not self.is_own and client.status == "running":
                _within(lambda: client.run(end_run, self.topic, on_error="ignore"))
                _within(lambda: client.set_metadata([SERVICE, self.topic], None))
        except (OSError, RuntimeError, TimeoutError) as error:
            LOGGER.warning("the cluster did not answer at the end of the run: %s", error)
        client.close(timeout=ANSWER_SECONDS)
        self._close_cluster()

    def _close_cluster(self) -> None:
        if self._cluster is not None:
            self._cluster.close()

    def listen(self, handler: Callable[[JsonObject], None]) -> None:
        """Call back, in another thread, with what workers tell of calls of this run."""

        def take(event: tuple[float, object]) -> None:
            try:
                handler(as_object(parse_json(str(event[1]))))
            except (TypeError, ValueError, KeyError) as error:
                LOGGER.warning("a worker told something that cannot be read: %s", error)

        self._client.subscribe_topic(self.topic, take)

    def submit(
        self,
        texts: Sequence[str],
        name: str,
        *,
        resources: Mapping[str, float],
        priority: int,
    ) -> Future[list[str]]:
        """Submit calls as one task, whose name the dashboard shows.

        Raises:
            ClusterUnavailableError: no worker can be used.
        """
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._look()
        return self._client.submit(
            run_calls,
            list(texts),
            key=f"{name}-{uuid.uuid4().hex}",
            # Workers that come later may serve it, too, as long as all have been fit.
            workers=self._fit if self._has_unfit else None,
            resources=dict(resources) or None,
            priority=priority,
            retries=0,
            pure=False,
        )

    def results(self, futures: Sequence[Future[list[str]]]) -> dict[object, list[str]]:
        """The results of tasks that have ended, by their keys; those that are lost are left out."""
        found = _within(lambda: self._client.gather(list(futures), errors="skip"))
        if len(found) == len(futures):
            return {future.key: texts for future, texts in zip(futures, found, strict=True)}
        return {
            f.key: _within(functools.partial(self._client.gather, [f], errors="skip"))
            for f in futures
        }

    @property
    def is_deserted(self) -> bool:
        """Whether the scheduler does not answer now, or has no worker that tasks may go to."""
        if self._client.status != "running":
            return True
        try:
            workers = set(_within(lambda: self._client.scheduler_info(n_workers=-1)["workers"]))
        except TimeoutError:
            return True
        return not (workers & set(self._fit or ()) if self._has_unfit else workers)

    def offers(self, resources: Mapping[str, float]) -> bool:
        """Whether some worker offers so much of each resource, busy or not."""
        try:
            workers = _within(lambda: self._client.scheduler_info(n_workers=-1)["workers"])
        except TimeoutError:
            return True
        return any(
            all(facts["resources"].get(name, 0.0) >= much for name, much in resources.items())
            for facts in workers.values()
        )

    def stop(self, names: Sequence[str]) -> None:
        """Have all workers stop attempts or topics, and let none of them begin later.

        Raises:
            TimeoutError: not all of them answered in time.
        """
        if self.topic in names:
            # For workers that come later.
            _within(lambda: self._client.set_metadata([SERVICE, self.topic, STOPPED], "yes"))
        _within(lambda: self._client.run(stop_calls, list(names), on_error="ignore"))

    def cancel(self, futures: Sequence[Future[list[str]]]) -> None:
        """Take tasks back that have not ended; raises TimeoutError."""
        _within(lambda: self._client.cancel(list(futures)))

    def _described(self, addresses: Sequence[str]) -> Mapping[str, object]:
        """What workers say of themselves, each asked on its own; those that do not are left out."""

        def ask(address: str) -> object:
            answers = self._client.run(describe, workers=[address], on_error="return")
            return answers.get(address)

        calls = [functools.partial(ask, address) for address in addresses]
        try:
            return dict(zip(addresses, call_all(calls, 16, ANSWER_SECONDS), strict=True))
        except TimeoutError:
            found: dict[str, object] = {}
            for address, call in zip(addresses, calls, strict=True):
                with contextlib.suppress(TimeoutError):
                    (found[address],) = call_all([call], 1, 1.0)
            return found

    def _look(self) -> int:
        """Ask new workers what they are; returns how many calls all that are fit serve at once.

        Raises:
            ClusterUnavailableError: none of them can be used; it says why for each.
        """
        with self._lock:
            self._looked = time.monotonic()
            workers = self._client.scheduler_info(n_workers=-1)["workers"]
            if not workers and self._fit is not None:
                # They may come back; who waits for them sees to it that it is not for ever.
                return self.slots
            if not workers:
                self._wait_for_workers()
                workers = self._client.scheduler_info(n_workers=-1)["workers"]
            addresses = frozenset(workers)
            if addresses == self._known and self._fit is not None:
                return self.slots
            described = self._described(sorted(addresses))
            refused = {
                address: why
                for address in sorted(addresses)
                if (why := _why_unfit(described.get(address))) is not None
            }
            for address, why in refused.items():
                if address not in self._known:
                    LOGGER.warning("the worker %s is passed over: %s", address, why)
            if len(refused) == len(addresses):
                told = "; ".join(f"{address}: {why}" for address, why in refused.items())
                raise ClusterUnavailableError(
                    f"no worker of the Dask cluster can be used: {told}",
                    hint=f"install onex-registry {ONEX} with {PYTHON} on all of them",
                )
            self._known = addresses
            self._fit = sorted(addresses - refused.keys())
            self._has_unfit = bool(refused)
            self.slots = sum(int(workers[address]["nthreads"]) for address in self._fit)
            return self.slots

    def _wait_for_workers(self) -> None:
        # A cluster that scales with what there is to do starts none before it has something.
        something = self._client.submit(describe, pure=False)
        try:
            self._client.wait_for_workers(1, timeout=WORKERS_SECONDS)
        except TimeoutError as error:
            raise ClusterUnavailableError(
                "the Dask cluster has no worker", hint="start some: dask worker ADDRESS"
            ) from error
        finally:
            something.release()


def _within(ask: Callable[[], Result]) -> Result:
    """What the cluster answers; raises TimeoutError if it does not within some seconds.

    One worker that stands still would hold up all that is asked of all of them.
    """
    (answer,) = call_all([ask], 1, ANSWER_SECONDS)
    return answer


def _why_unfit(described: object) -> str | None:
    """Why a worker cannot be used, by what it says of itself or the exception in place of that."""
    if described is None:
        return "it does not answer"
    if not isinstance(described, str):
        return f"onex is not installed there ({described})"
    facts = json.loads(described)
    here = {"onex": ONEX, "python": PYTHON}
    wrong = [name for name, version in here.items() if facts.get(name) != version]
    return ", ".join(f"{name} is {facts.get(name)}, not {here[name]}" for name in wrong) or None
