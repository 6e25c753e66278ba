"""Repeating transactions that a database aborted because of a conflict."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from onex.domain.errors import StorageConflictError
from onex.domain.retry import RetryPolicy

Result = TypeVar("Result")

_POLICY = RetryPolicy(
    attempts=5, delay_seconds=0.05, jitter=0.5, on=frozenset({StorageConflictError.code})
)


def retried(transaction: Callable[[], Result]) -> Result:
    """Run a whole transaction, and again if the database ended it in favour of another.

    Raises:
        StorageConflictError: it was ended each time.
        OnexError: what the transaction raises otherwise.
    """
    attempt = 1
    while True:
        try:
            return transaction()
        except StorageConflictError as error:
            # Jitter spreads attempts over time and keeps no secret.
            delay = _POLICY.delay_after(attempt, error.code, random.random())  # noqa: S311
            if delay is None:
                raise
        time.sleep(delay)
        attempt += 1
