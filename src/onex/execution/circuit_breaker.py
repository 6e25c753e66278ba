"""CircuitBreaker: gives a node a rest when its calls fail one after another.

A pure state machine told of the time, after Nygard's pattern: closed while calls
pass, open for a while after too many failures in a row, then half-open, when one
call probes whether the node works again.
"""

from __future__ import annotations

from dataclasses import dataclass

from onex.domain.retry import COUNTED, BreakerPolicy


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
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

    def note(self, node: str, error_code: str | None, now_seconds: float) -> None:
        """Report how a call ended; ``error_code`` is None for a success."""
        if error_code not in COUNTED:
            self._circuits.pop(node, None)
            return
        if not self._policy.failures:
            return
        circuit = self._circuits.setdefault(node, _Circuit())
        circuit.failures += 1
        if circuit.is_probed or circuit.failures >= self._policy.failures:
            circuit.open_until_seconds = now_seconds + self._policy.cooldown_seconds
            circuit.is_probed = False
