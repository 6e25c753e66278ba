"""The health checks of a registry; ``onex health`` and the server run the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

from onex.configuration.settings import REMOTE_KIND, SourceConfiguration
from onex.domain.errors import OnexError
from onex.monitoring.state_metrics import existing, signed_until
from onex.registry import Registry
from onex.sandbox.availability import offered, why_not_strict
from onex.telemetry.health_check import Check, Health, HealthStatus, RegistryHealthCheck
from onex.trust.index_layout import LIFETIMES

OLD_REMOTE = timedelta(days=7)
EXPIRES_SOON = timedelta(days=7)
MINIMUM_FREE_BYTES = 1024**3
MINIMUM_FREE_SHARE = 0.05

Open = Callable[[], Registry]


def health_checks(open_registry: Open) -> RegistryHealthCheck:
    """The checks of a registry.

    Args:
        open_registry: opens it anew; each check has one of its own, which it closes.

    Raises:
        ConfigurationError: ``onex.toml`` is not valid.
    """
    with open_registry() as registry:
        declared = registry.configuration.sources

    def of(look: Callable[[Registry], HealthStatus]) -> Callable[[], HealthStatus]:
        def with_registry() -> HealthStatus:
            with open_registry() as registry:
                return look(registry)

        return with_registry

    def checks() -> Iterator[Check]:
        yield Check("storage", of(_storage), Health.UNHEALTHY)
        yield Check("migrations", of(_migrations), Health.UNHEALTHY)
        for level in ("l1", "l2", "l3"):
            yield Check(f"cache:{level}", of(partial(_cache, level=level)))
        yield Check("journal", of(_journal))
        yield Check("disk", of(_disk))
        yield Check("sandbox", _sandbox)
        yield Check("index", of(_index))
        for source in declared:
            kind = "remote" if source.kind == REMOTE_KIND else "source"
            look = _remote if source.kind == REMOTE_KIND else _source
            yield Check(f"{kind}:{source.name}", of(partial(look, source=source)))

    return RegistryHealthCheck(checks())


def _storage(registry: Registry) -> HealthStatus:
    serial, count = registry.storage.serial(), registry.storage.count()
    return HealthStatus(message=f"{count} node versions as of entry {serial} of the log")


def _migrations(registry: Registry) -> HealthStatus:
    there, newest = registry.storage.schema_numbers()
    if there != newest:
        return HealthStatus(
            Health.UNHEALTHY, f"the database has schema {there}, and this onex needs {newest}"
        )
    return HealthStatus(message=f"the database has schema {there}, the newest")


def _cache(registry: Registry, level: str) -> HealthStatus:
    if level == "l2" and registry.configuration.cache is None:
        return HealthStatus(message="no shared cache is configured")
    failures = registry.caches.failures()
    failure = failures.get(level)
    if failure is not None:
        return HealthStatus(Health.DEGRADED, failure)
    return HealthStatus(message="answers are kept")


def _journal(registry: Registry) -> HealthStatus:
    running = len(registry.history.journal.in_progress())
    return HealthStatus(message=f"{running} {'run' if running == 1 else 'runs'} in progress")


def _disk(registry: Registry) -> HealthStatus:
    usage = shutil.disk_usage(existing(registry.configuration.home))
    free = f"{usage.free / 1024**3:.1f} of {usage.total / 1024**3:.1f} GiB are free"
    if usage.free < min(MINIMUM_FREE_BYTES, usage.total * MINIMUM_FREE_SHARE):
        return HealthStatus(Health.DEGRADED, free)
    return HealthStatus(message=free)


def _sandbox() -> HealthStatus:
    reason = why_not_strict()
    if reason is not None:
        return HealthStatus(Health.DEGRADED, f"nodes cannot be confined here: {reason}")
    return HealthStatus(message=f"nodes are confined by {offered()}")


def _index(registry: Registry) -> HealthStatus:
    """The keys of the signed index, and until when what they signed is good."""
    signer = registry.index_signer
    roles = signer.roles()
    if roles is None:
        return HealthStatus(message="the index is not signed")
    signer.require_key(roles)
    now = datetime.now(UTC)
    ends = [("root", roles.root.signed.expires), ("targets", roles.targets.signed.expires)]
    for role, end in (*ends, *signed_until(registry)):
        # What is signed daily is good for a few days, and is signed again at half of them.
        soon = min(EXPIRES_SOON, LIFETIMES[role] / 4)
        if end - now < soon:
            said = "expired" if end < now else "expires"
            return HealthStatus(Health.DEGRADED, f"the signed {role} {said} on {end:%Y-%m-%d}")
    return HealthStatus(message="the index is signed, and its key is at hand")


def _source(registry: Registry, source: SourceConfiguration) -> HealthStatus:
    error = registry.sources.try_source(source)
    if error is not None:
        return HealthStatus(Health.DEGRADED, _told(error))
    return HealthStatus(message=str(source.path or source.kind))


def _remote(registry: Registry, source: SourceConfiguration) -> HealthStatus:
    """What is known of a remote; nothing is asked of it."""
    error = registry.remotes.failure(source)
    if error is not None:
        return HealthStatus(Health.DEGRADED, _told(error))
    known = registry.sources.remote_nodes.known(source)
    if known.age_seconds is None:
        return HealthStatus(message="nothing was asked of it yet")
    told = f"known up to entry {known.serial}, {timedelta(seconds=round(known.age_seconds))} ago"
    is_old = known.age_seconds > OLD_REMOTE.total_seconds()
    return HealthStatus(Health.DEGRADED if is_old else Health.HEALTHY, told)


def _told(error: OnexError) -> str:
    return f"{error.code}: {error.message}"
