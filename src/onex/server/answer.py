"""Answer: what went out for one request."""

from __future__ import annotations

from collections.abc import Awaitable

from onex.server.asgi import Message, Send
from onex.server.index_routes import STREAM_TYPE

ANSWER = "onex.answer"
"""Where the scope of a request has its Answer."""

REQUEST_ID_HEADER = b"x-request-id"

_STREAM = (b"content-type", f"{STREAM_TYPE}; charset=utf-8".encode())


class Answer:
    """Sends the answer to one request, with its identifier; ``status`` is 0 before the start."""

    __slots__ = ("_send", "_shows", "is_stream", "request_id", "status")

    def __init__(self, send: Send, request_id: str, *, shows: bool) -> None:
        """``shows`` says that the identifier is shown though all is well."""
        self._send = send
        self._shows = shows
        self.request_id = request_id
        self.status = 0
        self.is_stream = False

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.status = status = message["status"]
            headers = message.get("headers", ())
            self.is_stream = _STREAM in headers
            if self._shows or status >= 400:
                message["headers"] = [*headers, (REQUEST_ID_HEADER, self.request_id.encode())]
        return self._send(message)
