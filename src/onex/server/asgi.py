"""The types of ASGI applications, and how they are answered (ASGI specification 3.0)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

# The specification has values of many types under these keys.
Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]


async def send_answer(
    send: Send, status: int, headers: Headers, body: bytes, *, is_head: bool = False
) -> None:
    """Send an answer whole, with its length; without its body if HEAD asked for it."""
    if status != 304:
        headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if is_head else body})


def client_address(scope: Scope) -> str:
    """The address of the peer that sent a request; ``local`` if it has none."""
    return str(scope["client"][0]) if scope.get("client") else "local"
