"""OtelTracer: spans by OpenTelemetry, sent to a receiver in its own protocol (extra ``otel``)."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import metadata
from threading import Thread

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from onex.telemetry.tracing import Attributes, EndedSpan, SpanInProgress

CLOSING_SECONDS = 3.0
"""How long the end of a command waits for a receiver."""

_PROPAGATOR = TraceContextTextMapPropagator()
_SCOPE = "onex"
_LOGGER = logging.getLogger("onex.telemetry")


class OtelTracer:
    """Makes spans by OpenTelemetry, without its global provider."""

    is_on = True

    def __init__(self, processor: SpanProcessor, root: str | None = None, parent: str = "") -> None:
        """Hand each span to ``processor`` at its end.

        Spans outside of any other belong to a span called ``root``, which lasts until this is
        closed, and which belongs to ``parent``, a context; without one, each begins a trace of
        its own.
        """
        self._processor = processor
        self._closing = ExitStack()
        self._root: Context | None = None
        version = metadata.version("onex-registry")
        self._resource = Resource.create({"service.name": "onex", "service.version": version})
        provider = TracerProvider(resource=self._resource, shutdown_on_exit=False)
        provider.add_span_processor(processor)
        self._tracer = provider.get_tracer(_SCOPE, version)
        self._scope = InstrumentationScope(_SCOPE, version)
        if root is not None:
            span = self._tracer.start_span(root, _PROPAGATOR.extract({"traceparent": parent}))
            self._closing.callback(span.end)
            self._root = trace.set_span_in_context(span)

    @classmethod
    def of(cls, environment: Mapping[str, str], root: str | None) -> OtelTracer:
        """A tracer that sends to the receiver that the environment names."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        whole = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        start = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").rstrip("/")
        # Each failed attempt would be a traceback; TellingExporter says once what matters.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        exporter = TellingExporter(OTLPSpanExporter(endpoint=whole or f"{start}/v1/traces"))
        # Who started this process may say what it is part of.
        return cls(BatchSpanProcessor(exporter), root, environment.get("TRACEPARENT", ""))

    @contextmanager
    def span(
        self,
        name: str,
        attributes: Attributes | None = None,
        *,
        parent: str | None = None,
        is_server: bool = False,
    ) -> Iterator[SpanInProgress]:
        context = None
        if parent is not None:
            context = _PROPAGATOR.extract({"traceparent": parent})
        elif current_context() is None:
            context = self._root
        with self._tracer.start_as_current_span(
            name,
            context,
            kind=SpanKind.SERVER if is_server else SpanKind.INTERNAL,
            attributes=attributes,
            # Events of exceptions hold tracebacks, which may hold anything.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise

    def current(self) -> str | None:
        return current_context()

    def child(self, parent: str | None) -> str | None:
        if parent is None:
            return None
        # Not the generator of random, which a node may have seeded.
        return f"{parent[:36]}{secrets.token_hex(8)}{parent[52:]}"

    def ended(self, span: EndedSpan) -> None:
        context, parent = _read(span.context), _read(span.parent)
        if not context.trace_flags.sampled:
            return
        self._processor.on_end(
            ReadableSpan(
                span.name,
                context,
                parent,
                self._resource,
                span.attributes,
                status=Status(StatusCode.UNSET)
                if span.error is None
                else Status(StatusCode.ERROR, span.error),
                start_time=span.started_ns,
                end_time=span.ended_ns,
                instrumentation_scope=self._scope,
            )
        )

    def close(self) -> None:
        self._closing.close()
        # A receiver that is away must not hold up the end of a command.
        closing = Thread(target=self._processor.shutdown, name="onex-traces", daemon=True)
        closing.start()
        closing.join(CLOSING_SECONDS)
        if closing.is_alive():
            _LOGGER.warning("the receiver of traces does not answer: the last ones are lost")


class TellingExporter(SpanExporter):
    """Warns if the receiver ceases to take spans, once until it takes them again."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._is_failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        was_failing, self._is_failing = self._is_failing, result is not SpanExportResult.SUCCESS
        if self._is_failing and not was_failing:
            _LOGGER.warning("the receiver of traces does not take them: %d are lost", len(spans))
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


def current_context() -> str | None:
    """The context of the current span; None without one."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return _text(context.trace_id, context.span_id, context.trace_flags)


def _read(text: str) -> SpanContext:
    _, trace_id, span_id, flags = text.split("-")
    return SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=False,
        trace_flags=TraceFlags(int(flags, 16)),
    )


def _text(trace_id: int, span_id: int, flags: int) -> str:
    return f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}"
