"""Repeating transactions that a database aborted because of a conflict."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from onex.domain.errors import StorageConflictError, StorageUnavailableError
from onex.domain.retry import RetryPolicy

Result = TypeVar("Result")

_PAUSE_SECONDS = 0.25
_POLICY = RetryPolicy(
    attempts=5, delay_seconds=0.05, jitter=0.5, on=frozenset({StorageConflictError.code})
)


def retried(transaction: Callable[[], Result], patience_seconds: float = 0.0) -> Result:
    """Run a whole transaction, and again if the database ended it in favour of another.

    Args:
        transaction: what is run; it must do no harm to run it twice.
        patience_seconds: how long to try again if the database does not answer. Then it may have
            stored the transaction before.

    Raises:
        StorageConflictError: it was ended each time.
        OnexError: what the transaction raises otherwise.
    """
    attempt, until = 1, time.monotonic() + patience_seconds
    while True:
        try:
            return transaction()
        except StorageUnavailableError:
            if time.monotonic() + _PAUSE_SECONDS > until:
                raise
            time.sleep(_PAUSE_SECONDS)
            continue
        except StorageConflictError as error:
            # Jitter spreads attempts over time and keeps no secret.
            delay = _POLICY.delay_after(attempt, error.code, random.random())  # noqa: S311
            if delay is None:
                raise
        time.sleep(delay)
        attempt += 1
