"""Deadline: the time at which a source must have answered."""

from __future__ import annotations

import time
from dataclasses import dataclass

from onex.domain.errors import SourceTimeoutError


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of the monotonic clock; ``limit_seconds`` is how long it lay ahead at first."""

    at: float
    limit_seconds: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline that many seconds from now."""
        return cls(time.monotonic() + seconds, seconds)

    @property
    def remaining_seconds(self) -> float:
        """How long there is left; negative when it has passed."""
        return self.at - time.monotonic()

    def check(self) -> None:
        """Raise SourceTimeoutError when the deadline has passed."""
        if self.remaining_seconds < 0:
            raise SourceTimeoutError(
                f"the source did not answer within {self.limit_seconds:g} seconds",
                hint="narrow the source, leave folders out with .onexignore, or raise timeout",
            )
