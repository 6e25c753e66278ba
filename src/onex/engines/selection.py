"""Which engine executes a node, by the type of its entry point and its isolation level.

A third party adds one under the entry-point group ``onex.engines``, named ``TYPE.LEVEL``, such
as ``python.strict``; its value is a callable that takes an ``EngineHost``. One that executes nodes
of all types elsewhere is named by one word, such as ``dask``; its value is a callable that takes
an ``EngineHost`` and returns a ``ClusterEngines``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from onex.artifacts.shared_artifacts import SharedArtifacts
from onex.domain.errors import ConfigurationError, IsolationUnavailableError
from onex.domain.result import IsolationLevel
from onex.engines.engine import PROGRAM, Engine
from onex.engines.reactor import Reactor
from onex.engines.supervisor import Supervisor

if TYPE_CHECKING:
    from onex.engines.confinement import ConfinedProcesses

ENGINES_GROUP = "onex.engines"
LOCAL = "local"


@dataclass(frozen=True)
class ClusterSettings:
    """Where nodes run if not here, and where that is they share artifacts with this machine.

    ``engine`` is the name of the entry point, ``scheduler`` the address of the cluster, None for
    that of its own configuration, or else one that is started here; ``artifacts`` the store, with
    the ``group`` of this history in it. ``environment`` and ``settings_folder`` have keys and
    tokens; in ``seen`` it is noted which folders were stores.
    """

    engine: str
    scheduler: str | None
    artifacts: str | None
    group: str
    environment: Mapping[str, str]
    settings_folder: Path
    seen: Path


class ClusterEngines(Protocol):
    """What executes nodes elsewhere, in one run."""

    def slots(self, *, repeatable: bool) -> int:
        """How many calls should be started at once, unless the user says so.

        ``repeatable`` says that all of them may be repeated if they do not return.
        """
        ...

    @property
    def store(self) -> SharedArtifacts:
        """The store that this machine and the others use."""
        ...

    def engine_for(self, kind: str, level: IsolationLevel) -> Engine:
        """The engine for an entry point of some type; raises IsolationUnavailableError."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...


@dataclass(frozen=True)
class EngineHost:
    """What engines share: ``jobs`` calls run at once, ``reactor`` waits for their ends, and
    ``supervisor`` ends what is left if this process ends first. With a ``cluster`` nodes run
    elsewhere."""

    jobs: int
    reactor: Reactor
    supervisor: Supervisor
    cluster: ClusterSettings | None = None

    @cached_property
    def confined(self) -> ConfinedProcesses:
        """Starts processes that the kernel confines."""
        from onex.engines.confinement import ConfinedProcesses

        return ConfinedProcesses(self.reactor, self.supervisor)

    def close(self) -> None:
        """Release what the engines share."""
        if "confined" in self.__dict__:
            self.confined.close()


class Engines:
    """The engines of one run, made when they are first needed."""

    def __init__(self, host: EngineHost) -> None:
        self.host = host
        self._engines: dict[str, Engine] = {}
        self._elsewhere: ClusterEngines | None = None
        if host.cluster is not None:
            self._elsewhere = _elsewhere(host, host.cluster.engine)

    def slots(self, *, repeatable: bool) -> int:
        """How many calls should be started at once, unless the user says so."""
        if self._elsewhere is None:
            return self.host.jobs
        return self._elsewhere.slots(repeatable=repeatable)

    @property
    def store(self) -> SharedArtifacts | None:
        """The store of artifacts by which nodes run elsewhere; None if they run here."""
        return None if self._elsewhere is None else self._elsewhere.store

    def engine_for(self, kind: str, level: IsolationLevel) -> Engine:
        """The engine for an entry point of some type at an isolation level.

        Raises:
            IsolationUnavailableError: there is none, here or on this system.
        """
        if kind == PROGRAM and level is IsolationLevel.INLINE:
            # A program always has a process of its own.
            level = IsolationLevel.PROCESS
        name = f"{kind}.{level}"
        if name not in self._engines and self._elsewhere is not None:
            self._engines[name] = self._elsewhere.engine_for(kind, level)
        if name not in self._engines:
            make = _BUILT_IN.get(name) or _installed(name)
            if make is None:
                raise IsolationUnavailableError(
                    f"{level} isolation of entry points of type {kind} cannot be had here",
                    hint="use --isolation process for nodes that you trust",
                )
            self._engines[name] = make(self.host)
        return self._engines[name]

    def cancel(self) -> None:
        """End every call."""
        for engine in self._engines.values():
            engine.cancel()

    def close(self) -> None:
        """Release all engines."""
        for engine in self._engines.values():
            engine.close()
        if self._elsewhere is not None:
            self._elsewhere.close()
        self.host.close()


def _strict(host: EngineHost) -> Engine:
    from onex.engines.process import ProcessEngine
    from onex.engines.strict import StrictWorkers

    return ProcessEngine(host.jobs, host.reactor, StrictWorkers(host.reactor, host.confined))


def _strict_program(host: EngineHost) -> Engine:
    from onex.engines.program import ProgramEngine

    return ProgramEngine(host.reactor, host.supervisor, host.confined)


def _process(host: EngineHost) -> Engine:
    from onex.engines.process import PlainWorkers, ProcessEngine

    workers = PlainWorkers(host.reactor, host.supervisor)
    return ProcessEngine(host.jobs, host.reactor, workers)


def _inline(host: EngineHost) -> Engine:
    from onex.engines.inline import InlineEngine

    return InlineEngine(host.jobs, host.reactor)


def _program(host: EngineHost) -> Engine:
    from onex.engines.program import ProgramEngine

    return ProgramEngine(host.reactor, host.supervisor)


_BUILT_IN: dict[str, Callable[[EngineHost], Engine]] = {
    f"python.{IsolationLevel.STRICT}": _strict,
    f"{PROGRAM}.{IsolationLevel.STRICT}": _strict_program,
    f"python.{IsolationLevel.PROCESS}": _process,
    f"python.{IsolationLevel.INLINE}": _inline,
    f"{PROGRAM}.{IsolationLevel.PROCESS}": _program,
}


def _elsewhere(host: EngineHost, name: str) -> ClusterEngines:
    """The engines that an installed distribution offers for clusters; raises ConfigurationError."""
    from importlib.metadata import entry_points

    entry = next(iter(entry_points(group=ENGINES_GROUP, name=name)), None)
    if entry is None or "." in name:
        raise ConfigurationError(
            f"there is no engine {name!r}", hint=f"engines are {LOCAL}, dask and those installed"
        )
    try:
        make: Callable[[EngineHost], ClusterEngines] = entry.load()
    except ImportError as error:
        raise ConfigurationError(
            f"the engine {name} needs what is not installed: {error.name}",
            hint=f"pip install 'onex-registry[{name}]'",
        ) from error
    return make(host)


def _installed(name: str) -> Callable[[EngineHost], Engine] | None:
    """The maker of an engine that an installed distribution offers."""
    from importlib.metadata import entry_points

    found = entry_points(group=ENGINES_GROUP, name=name)
    return next((entry.load() for entry in found), None)
