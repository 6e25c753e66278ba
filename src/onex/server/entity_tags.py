"""EntityTags: answers of the interface that a reader has already are not sent again."""

from __future__ import annotations

import hashlib

from onex.server.asgi import Application, Message, Receive, Scope, Send

MAXIMUM_TAGGED_BYTES = 4 * 1024 * 1024


class EntityTags:
    """An ASGI application around another, which gives its answers to GET weak entity tags.

    A request with a tag of the answer in ``If-None-Match`` is answered with 304 (RFC 9110,
    section 13). The tags are weak since the answer may be compressed afterwards.
    """

    def __init__(self, app: Application) -> None:
        self._inner = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._inner(scope, receive, send)
            return
        wanted = dict(scope["headers"]).get(b"if-none-match", b"")
        await self._inner(scope, receive, _TaggedAnswer(send, wanted).send)


class _TaggedAnswer:
    """Holds an answer back until its bytes are known."""

    def __init__(self, send: Send, wanted: bytes) -> None:
        self._send = send
        self._wanted = wanted
        self._start: Message | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None:
            content = message.get("body", b"")
            if not message.get("more_body") and len(content) <= MAXIMUM_TAGGED_BYTES:
                message = self._tag(start, content, message)
            await self._send(start)
        await self._send(message)

    def _tag(self, start: Message, content: bytes, message: Message) -> Message:
        """Add the tag to the start of an answer; returns what follows it."""
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'.encode()
        added = [(b"etag", b"W/" + etag), (b"cache-control", b"private, no-cache")]
        headers = [*start["headers"], *added]
        if not matches_tag(self._wanted, etag):
            start["headers"] = headers
            return message
        start["status"] = 304
        # Those of the content that is not sent would be wrong.
        dropped = (b"content-length", b"content-type")
        start["headers"] = [(name, value) for name, value in headers if name not in dropped]
        return {"type": "http.response.body", "body": b""}


def matches_tag(wanted: bytes, etag: bytes) -> bool:
    """Whether a header If-None-Match has an entity tag (RFC 9110, section 13.1.2)."""
    tags = {tag.strip().removeprefix(b"W/") for tag in wanted.split(b",")}
    return etag in tags or b"*" in tags
