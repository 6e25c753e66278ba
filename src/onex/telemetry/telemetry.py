"""Telemetry: what a registry and its parts measure with, handed on as one."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from onex.telemetry.registry_metrics import RegistryMetrics
from onex.telemetry.tracing import NO_TRACER, Tracer


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Where measurements and spans go."""

    metrics: RegistryMetrics = field(default_factory=RegistryMetrics)
    tracer: Tracer = NO_TRACER
    keeping: threading.Lock = field(default_factory=threading.Lock)
    """Held while measurements are on their way: nobody may count without them."""
