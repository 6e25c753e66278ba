"""CircuitBreaker: gives a node a rest when its calls fail one after another.

A pure state machine told of the time, after Nygard's pattern: closed while calls
pass, open for a while after too many failures, then half-open, when one call probes
whether the node works again. The attempts of one call count once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from onex.domain.retry import COUNTED, BreakerPolicy

WINDOW = 20
"""Of so many last calls of a node the share that failed is looked at."""

MINIMUM_CALLS = 10
MAXIMUM_SHARE = 0.5
PROBE_SECONDS = 0.05
"""How soon to ask again while another call probes."""


@dataclass(slots=True)
class _Circuit:
    """What is known of a node since its first failure."""

    ended: dict[str, bool] = field(default_factory=dict)
    in_a_row: set[str] = field(default_factory=set)
    calls: int = 0
    open_until_seconds: float | None = None
    is_probed: bool = False


class CircuitBreaker:
    """The circuits of one run, one for each node digest. Times are seconds of any one clock."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._circuits: dict[str, _Circuit] = {}

    def admits(self, node: str, now_seconds: float) -> bool:
        """Whether a call of the node may start; each one admitted must be reported to ``note``."""
        circuit = self._circuits.get(node)
        if circuit is None or circuit.open_until_seconds is None:
            return True
        if circuit.is_probed or now_seconds < circuit.open_until_seconds:
            return False
        circuit.is_probed = True
        return True

    def rests_until(self, node: str, now_seconds: float) -> float:
        """When to ask again for a call that was not admitted."""
        circuit = self._circuits.get(node)
        until = None if circuit is None else circuit.open_until_seconds
        return max(until or now_seconds, now_seconds + PROBE_SECONDS)

    def note(
        self, node: str, error_code: str | None, now_seconds: float, call: str | None = None
    ) -> None:
        """Report how a call ended.

        Args:
            node: the digest of its node.
            error_code: of its failure, None for a success.
            now_seconds: the time.
            call: its name, the same for all of its attempts; a call of its own by default.
        """
        if self._policy.failures == 0:
            return
        has_failed = error_code in COUNTED
        circuit = self._circuits.get(node)
        if circuit is None:
            if not has_failed:
                return
            circuit = self._circuits[node] = _Circuit()
        circuit.calls += 1
        name = f"{circuit.calls}" if call is None else call
        circuit.ended.pop(name, None)
        circuit.ended[name] = has_failed
        if len(circuit.ended) > WINDOW:
            del circuit.ended[next(iter(circuit.ended))]
        if not has_failed:
            circuit.in_a_row.clear()
            circuit.open_until_seconds, circuit.is_probed = None, False
            return
        circuit.in_a_row.add(name)
        if circuit.is_probed or self._has_failed_enough(circuit):
            circuit.open_until_seconds = now_seconds + self._policy.cooldown_seconds
            circuit.is_probed = False

    def _has_failed_enough(self, circuit: _Circuit) -> bool:
        if self._policy.failures is not None:
            return len(circuit.in_a_row) >= self._policy.failures
        failed = sum(circuit.ended.values())
        total = len(circuit.ended)
        return total >= MINIMUM_CALLS and failed > total * MAXIMUM_SHARE
