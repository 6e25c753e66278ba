"""Guards in front of every request: its host and origin, its size, its pace, and how many."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException

from onex.artifacts.registry_contents import PART_BYTES
from onex.remote.archive import MAXIMUM_ARCHIVE_BYTES
from onex.remote.tree import CHANGES_PATH
from onex.server.agent_routes import AGENTS
from onex.server.answer import ANSWER, Answer
from onex.server.artifact_routes import ARTIFACTS
from onex.server.asgi import (
    Application,
    Headers,
    Message,
    Receive,
    Scope,
    Send,
    client_address,
    send_answer,
)
from onex.server.index_routes import STREAM_TYPE, is_of_tree
from onex.server.problem import PROBLEM_TYPE, problem
from onex.server.rate_limiter import RateLimiter, RateLimits

MAXIMUM_BODY_BYTES = 1024 * 1024
REQUEST_SECONDS = 60.0
_STREAMS = frozenset({f"/{CHANGES_PATH}", "/live"})
UPLOADS = "/api/v1/nodes/"
UPLOAD_SECONDS = 600.0
DRAIN_SECONDS = 2.0


class Guards:
    """An ASGI application around another, which sees only what passes."""

    def __init__(
        self,
        inner: Application,
        hosts: Iterable[str],
        limits: RateLimits,
        for_any_host: tuple[str, ...] = (),
    ) -> None:
        """``hosts`` are the names that the server answers for, without ports; ``*`` is any.

        Paths that begin with one of ``for_any_host`` are answered whatever the host is called.
        """
        self._for_any_host = for_any_host
        self._inner = inner
        self._hosts = frozenset(host.lower() for host in hosts)
        self._tree, self._interface = RateLimiter(limits.tree), RateLimiter(limits.interface)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        headers: dict[bytes, str] = {n: value.decode("latin-1") for n, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        is_upload = scope["method"] == "PUT" and scope["path"].startswith(UPLOADS)
        is_part = scope["method"] == "PATCH" and scope["path"].startswith(ARTIFACTS)
        limit = MAXIMUM_BODY_BYTES
        if is_upload or is_part:
            limit = MAXIMUM_ARCHIVE_BYTES if is_upload else PART_BYTES
        announced = headers.get(b"content-length", "0")
        if announced.isdigit() and int(announced) > limit:
            await _refuse(send, 413, "USE001", f"the body has more than {limit} bytes")
            return
        is_stream = scope["path"] in _STREAMS and STREAM_TYPE in headers.get(b"accept", "")
        # A call of a tool lasts as long as its limits let it.
        is_stream = is_stream or scope["path"] == AGENTS
        is_long = is_upload or scope["path"].startswith(("/blobs/", "/artifacts/", ARTIFACTS))
        seconds = None if is_stream else UPLOAD_SECONDS if is_long else REQUEST_SECONDS
        body = _Body(receive, limit)
        try:
            async with asyncio.timeout(seconds):
                await self._inner(scope, body.receive, send)
        except TimeoutError:
            answer: Answer = scope[ANSWER]
            if not answer.status:
                told = f"the request took more than {seconds:g} seconds"
                await _refuse(send, 503, "ACC005", told, [(b"connection", b"close")])

    def _refusal(
        self, scope: Scope, headers: dict[bytes, str]
    ) -> tuple[int, str, str, Headers] | None:
        host = headers.get(b"host", "")
        is_known = "*" in self._hosts or _hostname(host) in self._hosts
        if not is_known and not scope["path"].startswith(self._for_any_host):
            return 421, "ACC004", f"this server does not answer for the host {host[:100]!r}", []
        origin = headers.get(b"origin")
        # A page of another site must not use a browser that happens to be able to come here.
        if origin is not None and not _is_of_host(origin, host):
            return 403, "ACC004", "requests of pages of other sites are refused", []
        limiter = self._tree if is_of_tree(scope["path"]) else self._interface
        # By address: who it is that asks is known only after their token was looked up.
        wait = limiter.acquire(client_address(scope))
        if wait > 0:
            later = str(int(wait) + 1).encode()
            return 429, "ACC003", "there were too many requests", [(b"retry-after", later)]
        return None


def _is_of_host(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc == host
    except ValueError:
        return False


class _Body:
    """The body of one request, of which no more than a limit is taken."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._size = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > self._limit:
            await self._drain()
            # The one exception that the routes let pass.
            raise HTTPException(413, f"the body has more than {self._limit} bytes")
        return message

    async def _drain(self) -> None:
        """Take a little more of the body, since an answer is lost if the peer still sends."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while (await self._receive()).get("more_body"):
                    pass


def _hostname(host: str) -> str:
    """The name in a header Host, without the port and the brackets of an address."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower().removesuffix(".")


async def _refuse(
    send: Send, status: int, code: str, detail: str, headers: Headers | None = None
) -> None:
    found = [(b"content-type", PROBLEM_TYPE.encode()), *(headers or [])]
    await send_answer(send, status, found, problem(status, code, detail))
