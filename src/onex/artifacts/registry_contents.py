"""RegistryContents: a shared store of artifacts that a registry server keeps, over HTTP.

Copies go up in parts, each with the offset at which it belongs, and go on where they broke off
(the idea of the IETF draft on resumable uploads); the server checks what it was sent against the
digest before anybody sees it. Downloads go on by ranges (RFC 9110, section 14).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from onex.artifacts.contents import CopyGoneError, StoredCopy
from onex.domain.errors import ArtifactsUnavailableError
from onex.domain.json_value import JsonObject, as_object, parse_json
from onex.domain.url import without_secrets
from onex.telemetry.tracing import NO_TRACER, Tracer

if TYPE_CHECKING:
    import httpx2

PART_BYTES = 8 * 1024 * 1024
OFFSET_HEADER = "upload-offset"
ROUTES = "api/v1/artifacts"
CONNECTIONS = 8
CONNECT_SECONDS, READ_SECONDS = 3.0, 60.0
ATTEMPTS = 5
LONGEST_PAUSE_SECONDS = 30.0
MAXIMUM_LIST_BYTES = 1024 * 1024
_CHUNK_BYTES = 256 * 1024

Result = TypeVar("Result")


class RegistryContents:
    """Copies on a registry server."""

    def __init__(self, url: str, token: str | None, group: str, tracer: Tracer = NO_TRACER) -> None:
        """Prepare; nothing is asked yet.

        Args:
            url: that of the registry.
            token: one of a publisher, for the whole registry; of a maintainer to remove copies.
            group: keeps histories apart that share the server.
            tracer: is told of each request.

        Raises:
            ConfigurationError: the token would be sent over a connection that others can read.
        """
        import httpx2

        from onex.remote.index_transport import plain_transport, require_encryption

        require_encryption(url, token)
        self.place = without_secrets(url.rstrip("/"))
        self._url = f"{url.rstrip('/')}/{ROUTES}/{group}"
        self._client = httpx2.Client(
            headers={"user-agent": "onex", "accept-encoding": "identity"},
            timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, pool=None),
            transport=plain_transport(url, token, CONNECTIONS, tracer),
        )

    def close(self) -> None:
        self._client.close()

    def copies(self, digest: str | None = None) -> Iterator[StoredCopy]:
        after = ""
        while True:
            parameters = {"after": after} | ({} if digest is None else {"digest": digest})
            body = self._repeated(lambda p=parameters: self._listed(p))  # type: ignore[misc]
            names = body.get("copies")
            if not isinstance(names, list):
                raise self._strange("no list of copies")
            for name in map(str, names):
                copy = StoredCopy.parse(name)
                if copy is None or name <= after:
                    raise self._strange("a list with something else than copies in their order")
                yield copy
                after = name
            if not body.get("more"):
                return
            if not names:
                raise self._strange("an empty part of a list")

    def _listed(self, parameters: dict[str, str]) -> JsonObject:
        with self._client.stream("GET", self._url, params=parameters) as response:
            self._require_success(response)
            content = bytearray()
            for piece in response.iter_raw():
                content += piece
                if len(content) > MAXIMUM_LIST_BYTES:
                    raise self._strange("a list without end")
        try:
            return as_object(parse_json(bytes(content)))
        except (TypeError, ValueError) as error:
            raise self._strange("something else than JSON") from error

    def write(self, copy: StoredCopy, content: Path) -> None:
        url, offset, moves = f"{self._url}/{copy.name}", 0, 0
        with content.open("rb") as file:
            while True:
                file.seek(offset)
                part = file.read(min(PART_BYTES, copy.size_bytes - offset))
                arrived = self._repeated(lambda at=offset, p=part: self._send(url, at, p))  # type: ignore[misc]
                if arrived != offset + len(part):
                    # It was killed within a part, or what had arrived was removed.
                    moves += 1
                    if moves > ATTEMPTS or arrived > copy.size_bytes:
                        raise self._strange("another part of a copy than was sent")
                elif arrived == copy.size_bytes:
                    return
                elif not part:
                    raise self._unavailable(f"was sent {offset} of {copy.size_bytes} bytes")
                offset = arrived

    def _send(self, url: str, offset: int, part: bytes) -> int:
        """Send a part; returns how much of the copy has arrived by then."""
        headers = {OFFSET_HEADER: str(offset), "content-type": "application/octet-stream"}
        response = self._client.patch(url, headers=headers, content=part)
        arrived = response.headers.get(OFFSET_HEADER, "")
        if response.status_code != 409 or not arrived:
            self._require_success(response)
        if not (arrived.isascii() and arrived.isdigit()):
            raise self._strange("something else than how much has arrived")
        return int(arrived)

    def read(self, copy: StoredCopy) -> Iterator[bytes]:
        import httpx2

        at, attempt = 0, 1
        while True:
            try:
                for piece in self._rest(copy, at):
                    at += len(piece)
                    attempt = 1
                    yield piece
            except (httpx2.TransportError, _NotNowError) as error:
                self._pause(error, attempt)
                attempt += 1
            else:
                return

    def _rest(self, copy: StoredCopy, at: int) -> Iterator[bytes]:
        headers = {"range": f"bytes={at}-"} if at else {}
        url = f"{self._url}/{copy.name}"
        with self._client.stream("GET", url, headers=headers) as response:
            if response.status_code == 404:
                raise CopyGoneError
            self._require_success(response)
            is_rest = response.status_code == 206
            if at and not (
                is_rest and response.headers.get("content-range", "").startswith(f"bytes {at}-")
            ):
                raise self._strange("another part of a copy than was asked for")
            yield from response.iter_raw(_CHUNK_BYTES)

    def remove(self, copy: StoredCopy) -> None:
        def ask() -> None:
            response = self._client.delete(f"{self._url}/{copy.name}")
            if response.status_code != 404:
                self._require_success(response)

        self._repeated(ask)

    def _repeated(self, ask: Callable[[], Result]) -> Result:
        """What a request gives, which is repeated if the server cannot answer now."""
        import httpx2

        for attempt in range(1, ATTEMPTS + 1):
            try:
                return ask()
            except (httpx2.TransportError, _NotNowError) as error:
                self._pause(error, attempt)
        raise AssertionError  # pragma: no cover - the last pause raises

    def _pause(self, error: Exception, attempt: int) -> None:
        """Wait before the next attempt; raises ArtifactsUnavailableError if there is none."""
        if attempt >= ATTEMPTS:
            raise self._unavailable(f"does not answer: {error or type(error).__name__}") from error
        wanted = error.wait_seconds if isinstance(error, _NotNowError) else 0.0
        time.sleep(min(max(wanted, 0.2 * 2**attempt), LONGEST_PAUSE_SECONDS))

    def _require_success(self, response: httpx2.Response) -> None:
        status = response.status_code
        if status < 300:
            return
        if status in {429, 500, 502, 503, 504}:
            wait = response.headers.get("retry-after", "")
            raise _NotNowError(
                f"the status {status}", float(wait) if wait.isascii() and wait.isdigit() else 0.0
            )
        content = response.read()[:10_000]
        try:
            detail = str(as_object(parse_json(content)).get("detail") or "")
        except (TypeError, ValueError):
            detail = ""
        raise self._unavailable(f"refused: {detail or f'status {status}'}")

    def _strange(self, what: str) -> ArtifactsUnavailableError:
        return self._unavailable(f"answered with {what}")

    def _unavailable(self, what: str) -> ArtifactsUnavailableError:
        return ArtifactsUnavailableError(
            f"the store of artifacts {self.place} {what}",
            hint="check the URL, that onex serve runs there, and the token: onex login URL",
        )


class _NotNowError(Exception):
    """The server cannot answer at the moment."""

    def __init__(self, message: str, wait_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds
