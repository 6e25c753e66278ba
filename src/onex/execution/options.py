"""RunOptions: how a user wants a run, said once and passed on as it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

from onex.domain.errors import UsageError
from onex.domain.workflow import Workflow


class RunKeywords(TypedDict, total=False):
    """The keywords of ``Registry.run``, ``forecast``, ``resume`` and ``replay``.

    ``jobs``: how many calls run at once; by default one for each processor, and on a cluster as
    many as it serves. ``engine``: ``local`` or ``dask``; by default as the configuration says.
    ``scheduler``: the address of a cluster for the engine; by default that of the cluster's own
    configuration, or else a cluster is started on this machine. ``fail_fast``: whether
    the first failure ends the run; by default as the workflow says. ``use_cache``: whether results
    of earlier runs may be used. ``refresh``: steps that are run whatever the cache has.
    ``rerun_in_flight``: whether a resumed run makes calls again that had started and not returned,
    though their nodes are not idempotent. ``accept_changed``: steps of a resumed run that go on
    with the code that is registered now; they and all that depends on them are run again.
    """

    jobs: int | None
    engine: str | None
    scheduler: str | None
    fail_fast: bool | None
    use_cache: bool
    refresh: Iterable[str]
    rerun_in_flight: bool
    accept_changed: Iterable[str]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of a run; None means the value of the plan, the workflow or the configuration.

    ``has_jobs`` says that the user chose how many calls run at once.
    """

    jobs: int
    has_jobs: bool = True
    engine: str | None = None
    scheduler: str | None = None
    fail_fast: bool | None = None
    use_cache: bool = True
    refreshed: frozenset[str] = frozenset()
    rerun_in_flight: bool = False
    accepted: frozenset[str] = frozenset()

    @classmethod
    def of(cls, keywords: RunKeywords, processors: int) -> RunOptions:
        """The options that keywords mean on a machine with so many processors."""
        unknown = keywords.keys() - RunKeywords.__annotations__.keys()
        if unknown:
            raise TypeError(f"unknown keyword of a run: {min(unknown)}")
        wanted = keywords.get("jobs")
        jobs = processors if wanted is None else wanted
        if jobs < 1:
            raise UsageError(f"{jobs} jobs cannot run at once", hint="give a number from 1")
        if keywords.get("scheduler") == "":
            raise UsageError("the address of the scheduler is empty", hint="see --scheduler")
        return cls(
            jobs=jobs,
            has_jobs=keywords.get("jobs") is not None,
            engine=keywords.get("engine"),
            scheduler=keywords.get("scheduler"),
            fail_fast=keywords.get("fail_fast"),
            use_cache=keywords.get("use_cache", True),
            refreshed=frozenset(keywords.get("refresh", ())),
            rerun_in_flight=keywords.get("rerun_in_flight", False),
            accepted=frozenset(keywords.get("accept_changed", ())),
        )

    def check(self, workflow: Workflow) -> None:
        """Raise UsageError for a step that the workflow does not have."""
        unknown = sorted((self.refreshed | self.accepted) - workflow.steps.keys())
        if unknown:
            raise UsageError(
                f"the workflow has no step {unknown[0]!r}",
                hint="its steps are: " + ", ".join(workflow.steps),
            )
