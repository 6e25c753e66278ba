"""Guards in front of every request: its host and origin, its size, its pace, and how many."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException

from onex.remote.archive import MAXIMUM_ARCHIVE_BYTES
from onex.remote.tree import CHANGES_PATH
from onex.server.asgi import REFUSED, Application, Headers, Message, Receive, Scope, Send
from onex.server.index_routes import STREAM_TYPE, is_of_tree
from onex.server.problem import PROBLEM_TYPE, problem

MAXIMUM_BODY_BYTES = 1024 * 1024
REQUEST_SECONDS = 60.0
UPLOAD_SECONDS = 600.0
DRAIN_SECONDS = 2.0
MAXIMUM_CALLERS = 10_000


@dataclass(frozen=True, slots=True)
class Rate:
    """How many requests may come at once, and how many a second after that."""

    burst: float
    per_second: float


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The rates of one token, or of one address without one; refusals are those of an address.

    Files of the tree are cheap: they are kept as bytes.
    """

    tree: Rate = Rate(20_000, 10_000)
    interface: Rate = Rate(2_000, 300)
    refusals: Rate = Rate(60, 1)


@dataclass(slots=True)
class _Bucket:
    """Tokens of a bucket that fills by itself (the token bucket of RFC 2697 with one rate)."""

    level: float
    at: float

    def wait(self, rate: Rate) -> float:
        """In how many seconds one can be taken; 0 for at once."""
        now = time.monotonic()
        self.level = min(rate.burst, self.level + (now - self.at) * rate.per_second)
        self.at = now
        return 0.0 if self.level >= 1 else (1 - self.level) / rate.per_second

    def take(self, rate: Rate) -> float:
        """Take one; returns 0, or in how many seconds one can be taken."""
        wait = self.wait(rate)
        if wait == 0:
            self.level -= 1
        return wait


class Guards:
    """An ASGI application around another, which sees only what passes."""

    def __init__(self, inner: Application, hosts: Iterable[str], limits: RateLimits) -> None:
        """``hosts`` are the names that the server answers for, without ports; ``*`` is any."""
        self._inner = inner
        self._hosts = frozenset(hosts)
        self._limits = limits
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._good: OrderedDict[str, None] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        headers: dict[bytes, str] = {n: value.decode("latin-1") for n, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        is_upload = scope["method"] == "PUT"
        limit = MAXIMUM_ARCHIVE_BYTES if is_upload else MAXIMUM_BODY_BYTES
        announced = headers.get(b"content-length", "0")
        if announced.isdigit() and int(announced) > limit:
            await _refuse(send, 413, "USE001", f"the body has more than {limit} bytes")
            return
        is_stream = scope["path"] == f"/{CHANGES_PATH}" and STREAM_TYPE in headers.get(
            b"accept", ""
        )
        seconds = None if is_stream else UPLOAD_SECONDS if is_upload else REQUEST_SECONDS
        exchange = _Exchange(receive, send, limit)
        try:
            async with asyncio.timeout(seconds):
                await self._inner(scope, exchange.receive, exchange.send)
        except TimeoutError:
            await exchange.end(503, f"the request took more than {seconds:g} seconds")
        if scope.get(REFUSED):
            refusals = self._limits.refusals
            self._bucket(f"refusals {self._blamed(scope, headers)}", refusals).take(refusals)
        self._learn(headers, exchange.status)

    def _refusal(
        self, scope: Scope, headers: dict[bytes, str]
    ) -> tuple[int, str, str, Headers] | None:
        host = headers.get(b"host", "")
        if "*" not in self._hosts and _hostname(host) not in self._hosts:
            return 421, "ACC002", f"this server does not answer for the host {host[:100]!r}", []
        origin = headers.get(b"origin")
        # A page of another site must not use a browser that happens to be able to come here.
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "ACC002", "requests of pages of other sites are refused", []
        address = _address(scope)
        is_tree = is_of_tree(scope["path"])
        rate = self._limits.tree if is_tree else self._limits.interface
        who = f"{'tree' if is_tree else 'interface'} {headers.get(b'authorization', address)}"
        wait = self._bucket(who, rate).take(rate)
        refused = self._buckets.get(f"refusals {self._blamed(scope, headers)}")
        if refused is not None:
            wait = max(wait, refused.wait(self._limits.refusals))
        if wait > 0:
            later = str(int(wait) + 1).encode()
            return 429, "ACC002", "there were too many requests", [(b"retry-after", later)]
        return None

    def _learn(self, headers: dict[bytes, str], status: int | None) -> None:
        """Remember which tokens are good, so that none pays for others at its address."""
        authorization = headers.get(b"authorization")
        if authorization is None or status is None:
            return
        self._good.pop(authorization, None)
        if status not in (401, 429):
            self._good[authorization] = None
            if len(self._good) > MAXIMUM_CALLERS:
                self._good.popitem(last=False)

    def _blamed(self, scope: Scope, headers: dict[bytes, str]) -> str:
        """Whom a refusal is counted for: a good token, or else the address."""
        authorization = headers.get(b"authorization", "")
        return authorization if authorization in self._good else _address(scope)

    def _bucket(self, who: str, rate: Rate) -> _Bucket:
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = _Bucket(rate.burst, time.monotonic())
            if len(self._buckets) > MAXIMUM_CALLERS:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(who)
        return bucket


def _address(scope: Scope) -> str:
    return str(scope["client"][0]) if scope.get("client") else "local"


class _Exchange:
    """One request and its answer: counts what comes in, and knows what went out."""

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self._receive = receive
        self._send = send
        self._limit = limit
        self._size = 0
        self.status: int | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > self._limit:
            await self._drain()
            # The one exception that the routes let pass.
            raise HTTPException(413, f"the body has more than {self._limit} bytes")
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(str(message["status"]))
        await self._send(message)

    async def _drain(self) -> None:
        """Take a little more of the body, since an answer is lost if the peer still sends."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while (await self._receive()).get("more_body"):
                    pass

    async def end(self, status: int, detail: str) -> None:
        """Answer with a problem, if nothing was answered yet."""
        if self.status is None:
            self.status = status
            await _refuse(self._send, status, "ACC002", detail, [(b"connection", b"close")])


def _hostname(host: str) -> str:
    """The name in a header Host, without the port and the brackets of an address."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


async def _refuse(
    send: Send, status: int, code: str, detail: str, headers: Headers | None = None
) -> None:
    body = problem(status, code, detail)
    found = [
        (b"content-type", PROBLEM_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *(headers or []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": found})
    await send({"type": "http.response.body", "body": body})
