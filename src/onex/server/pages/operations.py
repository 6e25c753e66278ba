"""The pages of those who operate a registry: health with targets, and the log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from onex.domain.access_control import Action
from onex.domain.audit import AuditReport, audit
from onex.domain.event import Event, LogHead
from onex.monitoring.state_metrics import measure
from onex.registry import Registry
from onex.server.pages.site import Site, whole_number
from onex.storage.backend import StorageBackend
from onex.telemetry import metric_catalog as catalog
from onex.telemetry.health_check import HealthReport
from onex.telemetry.measurements import Distribution, Measurements
from onex.telemetry.metric_catalog import Metric

SHOWN_EVENTS = 50
CHECKED_AT_ONCE = 2_000
"""How many entries are checked while somebody waits for the page."""

WHOLE_CHECK_SECONDS = 600.0
"""How long a check of the whole log counts, before old entries are checked again."""

LOOKED_AT = 1_000
"""How many entries of the log a filter looks at for one page."""


@dataclass(frozen=True, slots=True)
class Target:
    """A target of the specification, and the present figure; None if nothing was measured."""

    what: str
    target: str
    figure: float | None
    is_met: bool
    samples: int
    is_share: bool = False


def health_page(
    site: Site, request: Request, report: HealthReport, open_registry: Callable[[], Registry]
) -> Response:
    """The checks, and the specification's targets beside the present figures."""
    caller = site.caller(request)
    may_see = site.may(caller, Action.DECIDE)
    with open_registry() as registry:
        found = measure(registry)
    return site.page(
        request, "health.html", caller,
        report=report if may_see else report.without_names(), with_messages=may_see,
        targets=_targets(found), live="",
    )  # fmt: skip


def _targets(found: Measurements) -> list[Target]:
    hits, asked = _cache_counts(found)
    share = hits / asked if asked else None
    return [
        _timed(found, catalog.DISCOVERY_SECONDS, "a scan", "5 s for 1,000 nodes", 5.0),
        _timed(found, catalog.RESOLUTION_SECONDS, "choosing versions", "100 ms", 0.1),
        Target(
            "answers from the cache", "90 %", share, share is None or share > 0.9, asked,
            is_share=True,
        ),
        _timed(found, catalog.LOAD_SECONDS, "loading a node", "50 ms", 0.05),
    ]  # fmt: skip


def _timed(found: Measurements, metric: Metric, what: str, said: str, target: float) -> Target:
    """The 95th percentile of all that was measured of a metric."""
    whole = Distribution([0] * (len(metric.buckets) + 1))
    for one in found.distributions.get(metric.name, {}).values():
        whole.counts = [a + b for a, b in zip(whole.counts, one.counts, strict=True)]
    figure = whole.quantile(0.95, metric.buckets)
    return Target(what, said, figure, figure is None or figure <= target, whole.total)


def _cache_counts(found: Measurements) -> tuple[int, int]:
    """How often any level of the cache had an answer, and how often it was asked."""
    counts = found.numbers.get(catalog.CACHE_REQUESTS.name, {})
    hits = sum(n for (_, outcome), n in counts.items() if outcome == "hit")
    # A question goes on to the next level if one has no answer.
    asked = sum(n for (level, _), n in counts.items() if level == "l1")
    return int(hits), int(asked)


class AuditPages:
    """The log, filtered; how it was checked is kept for the entries that were checked."""

    def __init__(self, open_registry: Callable[[], Registry]) -> None:
        """``open_registry`` opens the registry for the thread that checks."""
        self._open = open_registry
        self._lock = threading.Lock()
        self._checked: AuditReport | None = None
        self._whole_since = 0.0
        self._is_checking = False

    def page(self, site: Site, request: Request) -> Response:
        """The entries of the log, the latest first."""
        caller = site.caller(request)
        if not site.may(caller, Action.ADMINISTER):
            return site.needs_token(request, caller)
        storage = site.registry(caller).storage
        asked = request.query_params
        filters = {name: asked.get(name, "") for name in ("action", "actor", "object", "outcome")}
        last = storage.serial()
        before = min(whole_number(asked.get("before", ""), last + 1), last + 1)
        events, following = _latest(storage, before, filters)
        return site.page(
            request, "audit.html", caller, events=events, following=following, filters=filters,
            report=self._report(storage), live="log",
        )  # fmt: skip

    def _report(self, storage: StorageBackend) -> AuditReport | None:
        """Whether the log is genuine; None while that is found out.

        Only what came since the last time is read, and all of it from time to time.
        """
        with self._lock:
            known = self._checked
            start = None if known is None or known.reason is not None else known.head
            if start is not None and not storage.holds(start):
                start = None
            now = time.monotonic()
            if now - self._whole_since > WHOLE_CHECK_SECONDS:
                start = None
            if start is None and not self._is_checking:
                self._whole_since = now
            left = storage.serial() - (0 if start is None else start.serial)
            if left <= CHECKED_AT_ONCE:
                self._checked = audit(storage.events(start.serial if start else 0), start=start)
                return self._checked
            if not self._is_checking:
                self._is_checking = True
                checking = threading.Thread(
                    target=self._check, args=(start,), name="onex-audit", daemon=True
                )
                checking.start()
            return None

    def state(self) -> str:
        """What tells one state of the check from another."""
        with self._lock:
            return f"{self._is_checking}"

    def _check(self, start: LogHead | None) -> None:
        try:
            with self._open() as registry:
                events = registry.storage.events(start.serial if start else 0)
                report = audit(events, start=start)
            with self._lock:
                self._checked = report
        finally:
            with self._lock:
                self._is_checking = False


def _latest(
    storage: StorageBackend, before: int, filters: dict[str, str]
) -> tuple[Sequence[Event], int | None]:
    """The last entries before a serial that match, and where to go on."""
    found: list[Event] = []
    start, oldest = before, max(0, before - 1 - LOOKED_AT)
    while start > 1 and len(found) < SHOWN_EVENTS and start - 1 > oldest:
        begin = max(0, start - 501)
        batch = []
        for event in storage.events(begin):
            if event.serial >= start:
                break
            batch.append(event)
        found += [event for event in reversed(batch) if _matches(event, filters)]
        start = begin + 1
    if len(found) > SHOWN_EVENTS:
        return found[:SHOWN_EVENTS], found[SHOWN_EVENTS - 1].serial
    return found, start if start > 1 else None


def _matches(event: Event, filters: dict[str, str]) -> bool:
    values = {"action": event.action, "actor": event.actor, "object": event.object}
    return all(filters[name] in value for name, value in values.items()) and (
        filters["outcome"] in ("", event.outcome)
    )
