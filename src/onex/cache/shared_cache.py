"""SharedCache: the level that several machines share, in Redis or Valkey.

Every process that drops entries says so on a channel; each reads the channel as it goes
and drops its own copies. What was dropped while nobody listened shows in the generation, a
text that changes with each drop. Each value carries its end. A server that does not answer costs
one short time-out, is passed over for some seconds, and then tried again.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from onex.cache.entry import Entry
from onex.domain.errors import ConfigurationError
from onex.domain.url import without_secrets

if TYPE_CHECKING:
    import redis

TIMEOUT_SECONDS = 0.25
BYPASS_SECONDS = 5.0
POLL_SECONDS = 0.01
MAXIMUM_LIFE_SECONDS = 7 * 24 * 3600

T = TypeVar("T")


class SharedCache:
    """Entries by key below a prefix of their own. One object serves one thread."""

    def __init__(
        self,
        url: str,
        prefix: str,
        on_invalidated: Callable[[str, str], None],
        on_generation: Callable[[str], None],
    ) -> None:
        """Prepare a client; it connects when it is first asked.

        Args:
            url: that of the server.
            prefix: what all keys begin with.
            on_invalidated: told the glob of keys that a process drops, and the generation
                that begins with it.
            on_generation: told the generation that holds when listening begins.

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
            # An option that the client does not know shows here, not when it connects.
            self._client.connection_pool.make_connection()
        except (ValueError, TypeError, AttributeError, redis.RedisError):
            raise ConfigurationError(
                f"the URL of the shared cache is not valid: {without_secrets(url)}",
                hint="write redis://HOST:PORT/0; check the options after the question mark",
            ) from None
        self._prefix = f"{prefix}:"
        self._channel = f"{prefix}:invalidated"
        self._generation_key = f"{prefix}:generation"
        self._on_invalidated = on_invalidated
        self._on_generation = on_generation
        self._listener: redis.client.PubSub | None = None
        self._next_poll = 0.0
        self._bypassed_until = 0.0
        self.failure: str | None = None

    def get(self, key: str) -> Entry | None:
        """The entry under a key, or None; also None if something else stands there."""
        found = self._try(lambda: self._client.get(self._prefix + key))
        if not isinstance(found, bytes):
            return None
        end, separator, value = found.partition(b"\n")
        if not separator:
            return None
        with contextlib.suppress(ValueError):
            entry = Entry(value, float(end) if end else None)
            return entry if entry.is_alive else None
        return None

    def set(self, key: str, entry: Entry) -> None:
        """Store an entry; even one without an end is dropped after a week."""
        life, end = float(MAXIMUM_LIFE_SECONDS), b""
        if entry.expires_at is not None:
            life, end = entry.expires_at - time.time(), f"{entry.expires_at:.3f}".encode()
        milliseconds = int(min(life, MAXIMUM_LIFE_SECONDS) * 1000)
        if milliseconds > 0:
            value = end + b"\n" + entry.value
            self._try(lambda: self._client.set(self._prefix + key, value, px=milliseconds))

    def invalidate(self, glob: str) -> bool:
        """Drop the entries whose keys match, here and in every process that listens.

        Returns:
            whether the server did that; ``failure`` says why not. It is asked even if it did not
            answer a moment ago.
        """
        generation = uuid.uuid4().hex

        def drop() -> bool:
            # Before and after, so that neither who listens from now on nor who read meanwhile
            # takes what it keeps for current.
            self._client.set(self._generation_key, uuid.uuid4().hex)
            keys = list(self._client.scan_iter(match=_escaped(self._prefix) + glob, count=1000))
            for start in range(0, len(keys), 1000):
                self._client.unlink(*keys[start : start + 1000])
            self._client.set(self._generation_key, generation)
            self._client.publish(self._channel, f"{generation} {glob}")
            return True

        self._bypassed_until = 0.0
        return bool(self._try(drop))

    def check(self) -> None:
        """Try to write, read and listen, whatever failed before; ``failure`` says what fails."""
        self._bypassed_until = self._next_poll = 0.0
        key = f"probe:{uuid.uuid4().hex}"
        self.set(key, Entry(b"probe", time.time() + 10))
        if self.get(key) is None and self.failure is None:
            self.failure = "the shared cache does not keep what is stored in it"
        self.poll()

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
            # What was dropped before anyone listened was not heard of, but changed this.
            self._client.set(self._generation_key, uuid.uuid4().hex, nx=True)
            self._on_generation(_text(self._client.get(self._generation_key)))
            self._listener = listener
        quiet = 0
        while quiet < 2:
            # What confirms the subscription gives no message either.
            message = self._listener.get_message(timeout=0)
            quiet = quiet + 1 if message is None else 0
            if message is not None:
                generation, separator, glob = _text(message["data"]).partition(" ")
                # What is not a message of ours may mean anything.
                self._on_invalidated(glob if separator else "*", generation)

    def close(self) -> None:
        """Release the connections."""
        if self._listener is not None:
            self._listener.close()
        self._client.close()

    def _try(self, question: Callable[[], T]) -> T | None:
        """The answer of the server; None, and a pause, if it does not answer."""
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
    """Escape a text, so that a glob matches it literally."""
    return "".join(f"\\{c}" if c in "*?[]\\" else c for c in text)


def _text(data: object) -> str:
    return data.decode("utf-8", "replace") if isinstance(data, bytes) else str(data)
