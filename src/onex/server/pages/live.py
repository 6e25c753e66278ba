"""Live: tells browsers that something changed, by server-sent events.

Browsers then ask for the changing part of their page, so that pages with and without scripts come
from the same templates. One look serves all who watch the same thing.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Callable

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from onex.domain.access_control import Action
from onex.domain.errors import OnexError
from onex.registry import Registry
from onex.server.index_routes import STREAM_TYPE
from onex.server.pages.site import HEADERS, Site

LOOK_SECONDS = 0.5
HEARTBEAT_LOOKS = 30
MAXIMUM_STREAMS = 400

_TOPIC = re.compile(r"runs|log|run:[0-9A-Za-z-]{4,64}")


class Live:
    """The event streams of one process, in one event loop."""

    def __init__(
        self,
        here: Callable[[], Registry],
        is_ending: Callable[[], bool],
        also: Callable[[str], str],
    ) -> None:
        """Prepare; nothing is watched yet.

        Args:
            here: gives the registry of the asking thread.
            is_ending: says that the server is about to end.
            also: what changes of a topic beside the database.
        """
        self._here = here
        self._also = also
        self._is_ending = is_ending
        self._watched: dict[str, _Watched] = {}
        self._open = 0

    async def events(self, site: Site, request: Request) -> Response:
        """A stream of marks, each time what is watched has changed."""
        topic = request.query_params.get("of", "")
        if not _TOPIC.fullmatch(topic):
            return Response("there is nothing like it to follow", 404, HEADERS)
        needed = Action.ADMINISTER if topic == "log" else Action.DECIDE

        def may_follow() -> bool:
            try:
                return site.may(site.caller(request), needed)
            except OnexError:
                # A token that is not valid any more.
                return False

        if not await anyio.to_thread.run_sync(may_follow):
            return Response("this needs a token", 403, HEADERS)
        if self._open >= MAXIMUM_STREAMS:
            return Response("too many pages are open", 429, HEADERS | {"retry-after": "10"})
        kind = f"{STREAM_TYPE}; charset=utf-8"
        return StreamingResponse(
            self._stream(topic, may_follow), headers=HEADERS | {"content-type": kind}
        )

    async def _stream(self, topic: str, may_follow: Callable[[], bool]) -> AsyncIterator[str]:
        self._open += 1
        watched = self._watched.get(topic)
        if watched is None:
            watched = self._watched[topic] = _Watched(topic, self._here, self._also)
        watched.watchers += 1
        try:
            yield "retry: 1000\n\n"
            seen, quiet = "", 0
            while not self._is_ending():
                mark = await watched.mark()
                if mark != seen:
                    if not await anyio.to_thread.run_sync(may_follow):
                        # The token was revoked meanwhile.
                        break
                    seen, quiet = mark, 0
                    yield f"event: change\ndata: {mark}\n\n"
                else:
                    quiet += 1
                    if quiet % HEARTBEAT_LOOKS == 0:
                        yield ": still here\n\n"
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._open -= 1
            watched.watchers -= 1
            if not watched.watchers:
                self._watched.pop(topic, None)


class _Watched:
    """One thing that is watched; however many watch, it is looked at once in a while."""

    def __init__(
        self, topic: str, here: Callable[[], Registry], also: Callable[[str], str]
    ) -> None:
        self._topic = topic
        self._here = here
        self._also = also
        self._mark = ""
        self._looked = float("-inf")
        self._looking = asyncio.Lock()
        self.watchers = 0

    async def mark(self) -> str:
        """What tells one state from another."""
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if now - self._looked >= LOOK_SECONDS * 0.9:
                self._mark = await anyio.to_thread.run_sync(self._look)
                self._looked = now
        return self._mark

    def _look(self) -> str:
        registry = self._here()
        kind, _, name = self._topic.partition(":")
        match kind:
            case "run":
                mark = registry.history.mark_of(name)
            case "runs":
                mark = registry.history.mark()
            case _:
                mark = str(registry.storage.serial())
        return f"{mark}-{zlib.crc32(self._also(self._topic).encode())}"
