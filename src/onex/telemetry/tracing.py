"""Tracer: spans of what the registry does; without a receiver there are none.

Names of attributes follow OpenTelemetry's semantic conventions if these have one. Contexts are
texts as W3C Trace Context has them in the header ``traceparent``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

AttributeValue = str | int | float | bool
Attributes = Mapping[str, AttributeValue]

ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


@dataclass(frozen=True, slots=True)
class EndedSpan:
    """A span that is told of after its end; times are in nanoseconds since 1970.

    ``context`` is its own, as ``Tracer.child`` gave it for ``parent``; ``error`` says why it
    failed.
    """

    name: str
    context: str
    parent: str
    started_ns: int
    ended_ns: int
    attributes: Attributes = field(default_factory=dict)
    error: str | None = None


class Tracer(Protocol):
    """Makes spans. All threads may use one object."""

    @property
    def is_on(self) -> bool:
        """Whether spans go anywhere."""
        ...

    def span(
        self,
        name: str,
        attributes: Attributes | None = None,
        *,
        parent: str | None = None,
        is_server: bool = False,
    ) -> AbstractContextManager[SpanInProgress]:
        """A span around a block, which is the current one within it.

        ``parent`` is the context it came with from elsewhere; by default the current span. An
        exception that leaves the block is the reason of its failure.
        """
        ...

    def current(self) -> str | None:
        """The context of the current span; None without one."""
        ...

    def child(self, parent: str | None) -> str | None:
        """A new context below another, for work that is told of by ``ended``; None without it."""
        ...

    def ended(self, span: EndedSpan) -> None:
        """Tell of a span that is over."""
        ...

    def close(self) -> None:
        """Hand over what is left, in a few seconds at most; a failure is logged."""
        ...


class SpanInProgress(Protocol):
    """What the block of a span can add to it."""

    def set_attribute(self, key: str, value: AttributeValue) -> object:
        """Add an attribute."""
        ...


class _NoSpan:
    def set_attribute(self, key: str, value: AttributeValue) -> object:
        return None


class NoTracer:
    """Makes nothing."""

    is_on = False
    _span = _NoSpan()

    def span(
        self,
        name: str,
        attributes: Attributes | None = None,
        *,
        parent: str | None = None,
        is_server: bool = False,
    ) -> AbstractContextManager[SpanInProgress]:
        return nullcontext(self._span)

    def current(self) -> str | None:
        return None

    def child(self, parent: str | None) -> str | None:
        return None

    def ended(self, span: EndedSpan) -> None:
        pass

    def close(self) -> None:
        pass


NO_TRACER = NoTracer()


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment names a receiver of traces, as OpenTelemetry's variables do."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return False
    return any(environment.get(name) for name in ENDPOINT_VARIABLES)


def make_tracer(environment: Mapping[str, str], root: str | None = None) -> Tracer:
    """The tracer that an environment asks for; nothing of OpenTelemetry is imported without one.

    All spans belong to one called ``root`` then; without a name each begins a trace of its own.
    """
    if not is_wanted(environment):
        return NO_TRACER
    import importlib.util

    if importlib.util.find_spec("opentelemetry.sdk") is None:
        import logging

        logging.getLogger("onex.telemetry").warning(
            "a receiver of traces is named, but OpenTelemetry is not installed:"
            " pip install 'onex-registry[otel]'"
        )
        return NO_TRACER
    from onex.telemetry.otel import OtelTracer

    return OtelTracer.of(environment, root)
