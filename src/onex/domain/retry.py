"""Policies for failed calls: retries, and the circuit breaker."""

from __future__ import annotations

from dataclasses import dataclass

from onex.domain.errors import (
    NodeLoadError,
    NodeRaisedError,
    StepTimeoutError,
    WorkerDiedError,
)
from onex.domain.json_value import JsonObject, as_number, as_texts

MAXIMUM_ATTEMPTS = 100
MAXIMUM_DELAY_SECONDS = 3600.0

REASONS = {
    "error": NodeRaisedError.code,
    "timeout": StepTimeoutError.code,
    "crash": WorkerDiedError.code,
}
"""The words that a workflow may use for the codes of failures that may pass."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a call is made at most, and how long to wait between two attempts.

    The wait grows by ``backoff`` from attempt to attempt; ``jitter`` spreads it by
    that part of itself to either side, so that many calls do not come back at once.
    ``on`` are the codes of the failures after which a call is made again.
    """

    attempts: int = 1
    delay_seconds: float = 1.0
    backoff: float = 2.0
    jitter: float = 0.1
    on: frozenset[str] = frozenset(REASONS.values())

    def delay_after(self, attempt: int, code: str, chance: float) -> float | None:
        """How long to wait after a failed attempt, in seconds; None to give up.

        Args:
            attempt: the number of the attempt that failed, from 1.
            code: the code of its failure.
            chance: a random number from 0 to 1.
        """
        if attempt >= self.attempts or code not in self.on:
            return None
        try:
            delay = self.delay_seconds * self.backoff ** (attempt - 1)
        except OverflowError:
            delay = MAXIMUM_DELAY_SECONDS
        return min(delay, MAXIMUM_DELAY_SECONDS) * (1 + self.jitter * (2 * chance - 1))

    def to_json(self) -> JsonObject:
        """The policy as JSON; ``from_json`` reads it back unchanged."""
        return {
            "attempts": self.attempts,
            "delay": self.delay_seconds,
            "backoff": self.backoff,
            "jitter": self.jitter,
            "on": sorted(self.on),
        }

    @classmethod
    def from_json(cls, body: JsonObject) -> RetryPolicy:
        """Read back what ``to_json`` wrote."""
        return cls(
            int(as_number(body["attempts"])),
            as_number(body["delay"]),
            as_number(body["backoff"]),
            as_number(body["jitter"]),
            frozenset(as_texts(body["on"])),
        )


NO_RETRY = RetryPolicy()


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When the calls of a node are refused, and for how long.

    That is after ``failures`` different calls in a row that failed; with None when more than
    half of the last calls did, so that a few bad items of a long list do not stop the
    others. Only failures count that speak of the node rather than of its inputs (``COUNTED``).
    Zero failures turn the breaker off.
    """

    failures: int | None = None
    cooldown_seconds: float = 30.0

    def to_json(self) -> JsonObject:
        """The policy as JSON; ``from_json`` reads it back unchanged."""
        return {"failures": self.failures, "cooldown": self.cooldown_seconds}

    @classmethod
    def from_json(cls, body: JsonObject) -> BreakerPolicy:
        """Read back what ``to_json`` wrote."""
        failures = body["failures"]
        return cls(
            None if failures is None else int(as_number(failures)), as_number(body["cooldown"])
        )


COUNTED = frozenset({StepTimeoutError.code, WorkerDiedError.code, NodeLoadError.code})
DEFAULT_BREAKER = BreakerPolicy()
