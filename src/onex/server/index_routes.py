"""The routes of the index protocol, as a plain ASGI application: bytes that are kept, and blobs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from onex.domain.access_control import AccessDecision, Action
from onex.domain.errors import OnexError
from onex.domain.remote_errors import TooManyRequestsError
from onex.remote.archive_store import ArchiveStore
from onex.remote.tree import (
    CHANGES_PATH,
    CONFIG_PATH,
    SERIAL_HEADER,
    blob_path,
    node_of_path,
    owned_of_path,
    write_changes,
)
from onex.server.asgi import Headers, Receive, Scope, Send, client_address, send_answer
from onex.server.entity_tags import matches_tag
from onex.server.gate import Caller, Gate
from onex.server.problem import PROBLEM_TYPE, problem, problem_of
from onex.server.published_index import PublishedIndex, TreeFile

STREAM_TYPE = "text/event-stream"
MAXIMUM_CHANGES = 10_000
HEARTBEAT_SECONDS = 15.0
POLL_SECONDS = 0.2
MAXIMUM_STREAMS = 200
STREAMS_OF_AN_ADDRESS = 20
LOGGER = logging.getLogger("onex.server")

_PREFIXES = ("/index/", "/names/", "/owners/", "/blobs/", "/metadata/", "/log/")
_LINES = b"application/jsonl; charset=utf-8"
_SAFE: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"vary", b"accept-encoding, authorization"),
    (b"cache-control", b"private, no-cache"),
]


def is_of_tree(path: str) -> bool:
    """Whether a path of a request is one of the tree."""
    return path.startswith(_PREFIXES) or path in (f"/{CONFIG_PATH}", f"/{CHANGES_PATH}")


class IndexRoutes:
    """Answers GET and HEAD for the files of the tree."""

    def __init__(
        self,
        index: PublishedIndex,
        store: ArchiveStore,
        gate: Gate,
        is_ending: Callable[[], bool],
    ) -> None:
        """``is_ending`` says that the server is about to end, and streams with it."""
        self._index = index
        self._store = store
        self._gate = gate
        self._rules = gate.rules
        self._is_ending = is_ending
        self._streams: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._answer(scope, receive, send)
        except OnexError as error:
            status, headers, body = problem_of(error)
            more = [(name.encode(), value.encode()) for name, value in headers.items()]
            await _send_problem(send, status, body, more)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            body = problem(405, "USE001", "the files of the tree are only read")
            await _send_problem(send, 405, body, [(b"allow", b"GET, HEAD")])
            return
        headers = _Headers(scope["headers"])
        caller = await self._index.caller(headers.text(b"authorization"), client_address(scope))
        path = str(scope["path"])[1:]
        if path.startswith("blobs/"):
            await self._send_blob(scope, receive, send, path, caller)
        elif path == CHANGES_PATH:
            await self._send_changes(scope, receive, headers, send, caller)
        else:
            node = node_of_path(path)
            namespace = owned_of_path(path) if node is None else node.namespace
            if namespace is not None:
                decision = self._rules.decide(caller.token, Action.READ, namespace)
                if not decision.allowed:
                    # Whether there is such a node is not even looked up.
                    await self._refuse(send, path, caller, decision)
                    return
            file = await self._index.file(path, headers.number(SERIAL_HEADER.encode()))
            await self._send_file(scope, headers, send, path, file, caller)

    async def _send_file(
        self,
        scope: Scope,
        headers: _Headers,
        send: Send,
        path: str,
        file: TreeFile | None,
        caller: Caller,
    ) -> None:
        if path.startswith("names/") and file is not None:
            file = self._visible(file, caller)
        if file is None:
            await _send_missing(send, path)
            return
        is_smaller = file.compressed is not None and b"gzip" in headers.value(b"accept-encoding")
        etag = f'"{file.etag}{"-gzip" if is_smaller else ""}"'.encode()
        kind = b"application/json" if path.endswith(".json") else _LINES
        found: Headers = [*_SAFE, (b"etag", etag), (b"content-type", kind)]
        if matches_tag(headers.value(b"if-none-match"), etag):
            await send_answer(send, 304, found, b"", is_head=True)
            return
        content = file.content
        if is_smaller and file.compressed is not None:
            found.append((b"content-encoding", b"gzip"))
            content = file.compressed
        await send_answer(send, 200, found, content, is_head=scope["method"] == "HEAD")

    def _visible(self, file: TreeFile, caller: Caller) -> TreeFile | None:
        """The lines of a file of names that a caller may see; None for none."""
        lines = file.content.splitlines(keepends=True)
        shown = [
            line
            for line, namespace in zip(lines, file.namespaces, strict=True)
            if self._rules.decide(caller.token, Action.READ, namespace).allowed
        ]
        if len(shown) == len(lines):
            return file
        return TreeFile.of(b"".join(shown)) if shown else None

    async def _refuse(
        self, send: Send, path: str, caller: Caller, decision: AccessDecision
    ) -> None:
        """Answer as for what is not there, and only then record that it was refused."""
        await _send_missing(send, path)
        try:
            self._gate.count_refusal(caller)
        except TooManyRequestsError:
            return
        try:
            await self._index.refused(caller, path, decision.reason)
        except OnexError:
            # The answer is given; that it could not be recorded is told to those who run this.
            LOGGER.exception("a refusal of %s was not recorded", path)

    async def _send_blob(
        self, scope: Scope, receive: Receive, send: Send, path: str, caller: Caller
    ) -> None:
        from starlette.responses import FileResponse

        sha256 = path.rpartition("/")[2]
        is_blob = path == blob_path(sha256)
        namespaces = await self._index.namespaces_of_blob(sha256) if is_blob else []
        decisions = [self._rules.decide(caller.token, Action.READ, n) for n in namespaces]
        if decisions and not any(decision.allowed for decision in decisions):
            await self._refuse(send, path, caller, decisions[0])
            return
        file = self._store.path_of(sha256) if decisions else None
        if file is None or not file.is_file():
            await _send_missing(send, path)
            return
        etag = f'"{sha256}"'
        kept = "private, max-age=31536000, immutable"
        if matches_tag(_Headers(scope["headers"]).value(b"if-none-match"), etag.encode()):
            headers = [*_SAFE[:2], (b"cache-control", kept.encode()), (b"etag", etag.encode())]
            await send_answer(send, 304, headers, b"", is_head=True)
            return
        response = FileResponse(
            file,
            media_type="application/x-tar",
            headers={
                "etag": etag,
                "cache-control": kept,
                "x-content-type-options": "nosniff",
            },
        )
        await response(scope, receive, send)

    async def _send_changes(
        self, scope: Scope, receive: Receive, headers: _Headers, send: Send, caller: Caller
    ) -> None:
        query = _query(scope)
        since, limit = _whole(query.get("since", "0")), _whole(query.get("limit", "10000"))
        if since is None or limit is None or not limit >= 1:
            body = problem(400, "USE001", "since and limit must be whole numbers")
            await _send_problem(send, 400, body)
            return
        is_head = scope["method"] == "HEAD"
        if STREAM_TYPE.encode() in headers.value(b"accept") and not is_head:
            last = _whole(headers.text(b"last-event-id") or "")
            authorization = headers.text(b"authorization")
            await self._stream(
                receive, send, since if last is None else last, caller, authorization
            )
            return
        await self._index.serial(headers.number(SERIAL_HEADER.encode()))
        hidden = self._rules.hidden_from(caller.token)
        changes = await self._index.changes(since, min(limit, MAXIMUM_CHANGES), hidden)
        found: Headers = [*_SAFE, (b"content-type", _LINES)]
        await send_answer(send, 200, found, write_changes(changes), is_head=is_head)

    async def _stream(
        self,
        receive: Receive,
        send: Send,
        since: int,
        caller: Caller,
        authorization: str | None,
    ) -> None:
        """Server-sent events until the reader leaves, each with the serial of an entry."""
        open_ = self._streams.get(caller.address, 0)
        if open_ >= STREAMS_OF_AN_ADDRESS or sum(self._streams.values()) >= MAXIMUM_STREAMS:
            await _send_problem(send, 429, problem(429, "ACC003", "too many streams are open"))
            return
        self._streams[caller.address] = open_ + 1
        leaving = asyncio.create_task(_until_gone(receive))
        try:
            await self._send_events(send, since, caller, authorization, leaving)
        finally:
            leaving.cancel()
            self._streams[caller.address] -= 1
            if not self._streams[caller.address]:
                del self._streams[caller.address]

    async def _send_events(
        self,
        send: Send,
        since: int,
        caller: Caller,
        authorization: str | None,
        leaving: asyncio.Task[None],
    ) -> None:
        kind = f"{STREAM_TYPE}; charset=utf-8".encode()
        start = {"type": "http.response.start", "status": 200}
        await send(start | {"headers": [*_SAFE, (b"content-type", kind)]})
        quiet = 0.0
        while not self._is_ending() and not leaving.done():
            text = b""
            if await self._index.serial() > since:
                try:
                    caller = await self._index.caller(authorization, caller.address)
                except OnexError:
                    # The token is good for nothing any more.
                    break
                hidden = self._rules.hidden_from(caller.token)
                for change in await self._index.changes(since, 500, hidden):
                    data = write_changes([change]).decode().strip()
                    text += f"id: {change.serial}\nevent: change\ndata: {data}\n\n".encode()
                    since = change.serial
            elif quiet >= HEARTBEAT_SECONDS:
                # Keeps what lies between from closing a connection that seems idle.
                text = b": still here\n\n"
            if text:
                quiet = 0.0
                await send({"type": "http.response.body", "body": text, "more_body": True})
            else:
                quiet += POLL_SECONDS
                await asyncio.wait([leaving], timeout=POLL_SECONDS)
        await send({"type": "http.response.body", "body": b""})


async def _until_gone(receive: Receive) -> None:
    """Wait until the peer has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


class _Headers:
    """The headers of a request by their names in lower case."""

    def __init__(self, raw: Headers) -> None:
        self._found = dict(raw)

    def value(self, name: bytes) -> bytes:
        return self._found.get(name, b"")

    def text(self, name: bytes) -> str | None:
        found = self._found.get(name)
        return None if found is None else found.decode("latin-1")

    def number(self, name: bytes) -> int:
        return _whole(self.value(name).decode("latin-1")) or 0


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else None


def _query(scope: Scope) -> dict[str, str]:
    from urllib.parse import parse_qsl

    return dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))


async def _send_problem(
    send: Send, status: int, body: bytes, headers: Headers | None = None
) -> None:
    more = [*(headers or []), (b"content-type", PROBLEM_TYPE.encode())]
    await send_answer(send, status, [*_SAFE, *more], body)


async def _send_missing(send: Send, path: str) -> None:
    await _send_problem(send, 404, problem(404, "RES003", f"there is no {path}"))
