"""SharedCache: the level that several machines share, in Redis or Valkey.

Every process that drops entries says so on a channel; each reads the channel as it goes
and drops its own copies. A server that does not answer costs one short time-out, is passed
over for some seconds, and then tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from onex.cache.entry import Entry
from onex.domain.errors import ConfigurationError

if TYPE_CHECKING:
    import redis

TIMEOUT_SECONDS = 0.25
BYPASS_SECONDS = 5.0
POLL_SECONDS = 0.01
MAXIMUM_LIFE_SECONDS = 7 * 24 * 3600

T = TypeVar("T")


class SharedCache:
    """Entries by key below a prefix of their own. One object serves one thread."""

    def __init__(self, url: str, prefix: str, on_invalidated: Callable[[str], None]) -> None:
        """``on_invalidated`` is told the globs of keys that other processes drop.

        Raises:
            ConfigurationError: the URL is not valid, or the client is not installed.
        """
        try:
            import redis
        except ImportError as error:
            raise ConfigurationError(
                "a shared cache needs the client redis", hint="pip install 'onex-registry[redis]'"
            ) from error
        self._errors = (redis.RedisError, OSError)
        try:
            self._client = redis.Redis.from_url(
                url,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                retry=None,
            )
        except ValueError as error:
            raise ConfigurationError(
                "the URL of the shared cache is not valid", hint="write redis://HOST:PORT/0"
            ) from error
        self._prefix = f"{prefix}:"
        self._channel = f"{prefix}:invalidated"
        self._on_invalidated = on_invalidated
        self._listener: redis.client.PubSub | None = None
        self._next_poll = 0.0
        self._bypassed_until = 0.0
        self.failure: str | None = None

    def get(self, key: str) -> Entry | None:
        """The entry under a key, or None."""
        value = self._try(lambda: self._client.get(self._prefix + key))
        return Entry(value) if isinstance(value, bytes) else None

    def set(self, key: str, entry: Entry) -> None:
        """Store an entry; even one without an end is dropped after a week."""
        life = float(MAXIMUM_LIFE_SECONDS)
        if entry.expires_at is not None:
            life = entry.expires_at - time.time()
        milliseconds = int(min(life, MAXIMUM_LIFE_SECONDS) * 1000)
        if milliseconds > 0:
            self._try(lambda: self._client.set(self._prefix + key, entry.value, px=milliseconds))

    def invalidate(self, glob: str) -> None:
        """Drop the entries whose keys match, here and in every process that listens."""

        def drop() -> None:
            keys = list(self._client.scan_iter(match=_escaped(self._prefix) + glob, count=1000))
            for start in range(0, len(keys), 1000):
                self._client.unlink(*keys[start : start + 1000])
            self._client.publish(self._channel, glob)

        self._try(drop)

    def poll(self) -> None:
        """Hear what other processes dropped, at most every hundredth of a second."""
        now = time.monotonic()
        if now < self._next_poll or now < self._bypassed_until:
            return
        self._next_poll = now + POLL_SECONDS
        self._try(self._hear)

    def _hear(self) -> None:
        if self._listener is None:
            # The library declares no types for this call.
            listener = self._client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
            listener.subscribe(self._channel)
            self._listener = listener
            # What was dropped before anyone listened was not heard of.
            self._on_invalidated("*")
        quiet = 0
        while quiet < 2:
            # What confirms the subscription gives no message either.
            message = self._listener.get_message(timeout=0)
            quiet = quiet + 1 if message is None else 0
            if message is not None:
                self._on_invalidated(message["data"].decode())

    def close(self) -> None:
        """Release the connections."""
        if self._listener is not None:
            self._listener.close()
        self._client.close()

    def _try(self, question: Callable[[], T]) -> T | None:
        """The answer of the server; None, and a pause, where it does not answer."""
        if time.monotonic() < self._bypassed_until:
            return None
        try:
            answer = question()
        except self._errors as error:
            self.failure = f"the shared cache does not answer: {error}"
            self._bypassed_until = time.monotonic() + BYPASS_SECONDS
            self._listener = None
            return None
        self.failure = None
        return answer


def _escaped(text: str) -> str:
    """A text that stands for itself in a glob."""
    return "".join(f"\\{c}" if c in "*?[]\\" else c for c in text)
