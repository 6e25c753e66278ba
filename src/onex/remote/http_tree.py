"""HttpTree: the tree of a registry behind a URL, and the requests of its interface.

What it says is kept with HTTP caching (RFC 9111) and asked for again by its entity tag. Nothing
is taken on faith: sizes are limited while bytes arrive, lengths must be those that were announced,
and an answer that leads elsewhere, to another host or a private address, is not followed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from onex.domain.errors import SourceError
from onex.domain.json_value import JsonObject, JsonValue, as_object, parse_json
from onex.domain.remote_errors import (
    RemoteProtocolError,
    RemoteRefusedError,
    RemoteUnavailableError,
)
from onex.domain.url import without_secrets
from onex.remote.deadline_calls import call_all
from onex.remote.tree import (
    CHANGES_PATH,
    MAXIMUM_CHANGES_BYTES,
    SERIAL_HEADER,
    Change,
    FileAnswer,
    Progress,
    blob_path,
    read_changes,
)
from onex.telemetry.tracing import NO_TRACER, Tracer

if TYPE_CHECKING:
    import httpx2

CONNECT_SECONDS = 3.0
READ_SECONDS = 15.0
REQUEST_SECONDS = 60.0
BLOB_SECONDS = 600.0
CONNECTIONS = 16
BLOB_ATTEMPTS = 4
CHANGES_PER_REQUEST = 10_000
MAXIMUM_CHANGES = 2_000_000
MAXIMUM_ANSWER_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024

Result = TypeVar("Result")


class HttpTree:
    """Reads the tree behind a URL, over one pool of connections."""

    def __init__(
        self, url: str, token: str | None, cache_folder: Path, tracer: Tracer = NO_TRACER
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            url: where ``config.json`` is, without its name.
            token: proves who asks; None to ask as anybody.
            cache_folder: keeps answers, for all registries of this user.
            tracer: is told of each request.

        Raises:
            ConfigurationError: the token would be sent over a connection that others can read.
        """
        import httpx2

        from onex.remote.index_transport import (
            cached_transport,
            plain_transport,
            require_encryption,
        )

        require_encryption(url, token)
        self._url = url.rstrip("/") + "/"
        self._at_least = 0
        self._seconds = REQUEST_SECONDS
        headers = {"user-agent": "onex", "accept-encoding": "gzip"}
        timeout = httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, pool=None)
        plain = plain_transport(url, token, CONNECTIONS, tracer)
        cached = cached_transport(plain, token, cache_folder)
        self._plain = httpx2.Client(headers=headers, timeout=timeout, transport=plain)
        self._cached = httpx2.Client(headers=headers, timeout=timeout, transport=cached)

    @property
    def place(self) -> str:
        return without_secrets(self._url)

    def close(self) -> None:
        self._cached.close()

    def allow(self, seconds: float) -> None:
        self._seconds = max(0.1, min(REQUEST_SECONDS, seconds))

    def at_least(self, serial: int) -> None:
        self._at_least = max(self._at_least, serial)

    def read(self, paths: Sequence[str], maximum_bytes: int) -> list[FileAnswer]:
        calls = [partial(self._read, self._cached, path, maximum_bytes) for path in paths]
        return self._call_all(calls, self._seconds)

    def changes(self, since: int) -> list[Change]:
        found: list[Change] = []
        while True:
            path = f"{CHANGES_PATH}?since={since}&limit={CHANGES_PER_REQUEST}"
            call = partial(self._read, self._plain, path, MAXIMUM_CHANGES_BYTES)
            (answer,) = self._call_all([call], self._seconds)
            if isinstance(answer, SourceError):
                raise answer
            some = read_changes(answer or b"", since)
            found += some
            if len(found) > MAXIMUM_CHANGES:
                raise self._strange(f"more than {MAXIMUM_CHANGES} changes")
            if len(some) < CHANGES_PER_REQUEST:
                return found
            since = some[-1].serial

    def blob(self, sha256: str, size_bytes: int, told: Progress) -> bytes:
        (content,) = self._call_all(
            [partial(self._download, sha256, size_bytes, told)], BLOB_SECONDS
        )
        return content

    def ask(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        body: JsonObject | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> JsonObject:
        """Ask the interface of the registry for something; returns the answer.

        Raises:
            RemoteRefusedError: it refused, and said why.
            RemoteUnavailableError: it did not answer.
            RemoteProtocolError: the answer is not one of a registry.
        """
        call = partial(self._ask, method, path, content, body, headers or {})
        (answer,) = self._call_all([call], BLOB_SECONDS if content else REQUEST_SECONDS)
        return answer

    def _call_all(self, calls: Sequence[Callable[[], Result]], seconds: float) -> list[Result]:
        import httpx2

        try:
            return call_all(calls, CONNECTIONS, seconds)
        except TimeoutError as error:
            raise self._unavailable(f"did not answer within {seconds:g} seconds") from error
        except httpx2.ConnectTimeout as error:
            raise self._unavailable(f"was not reached in {CONNECT_SECONDS:g} seconds") from error
        except httpx2.TimeoutException as error:
            raise self._unavailable("stopped answering") from error
        except httpx2.TransportError as error:
            raise self._unavailable(f"does not answer: {error or type(error).__name__}") from error
        except httpx2.InvalidURL as error:
            raise self._strange(f"an address that is none: {error}") from error
        except httpx2.DecodingError as error:
            raise self._strange("an answer that cannot be decoded") from error

    def _read(self, client: httpx2.Client, path: str, maximum_bytes: int) -> FileAnswer:
        headers = {SERIAL_HEADER: str(self._at_least)}
        try:
            with client.stream("GET", self._url + path, headers=headers) as response:
                if response.status_code == 404:
                    return None
                self._require_success(response, path)
                if response.status_code != 200:
                    raise self._strange(f"the status {response.status_code} for {path}")
                content = self._limited(response, maximum_bytes)
            if response.headers.get("content-type", "").startswith("text/html"):
                raise self._strange(f"a page in place of {path}")
        except RemoteProtocolError as error:
            return error
        return content

    def _limited(self, response: httpx2.Response, maximum_bytes: int) -> bytes:
        """The body of an answer, read no further than a limit."""
        parts, size = [], 0
        for part in response.iter_bytes(_CHUNK_BYTES):
            size += len(part)
            if size > maximum_bytes:
                raise self._strange(f"more than {maximum_bytes} bytes")
            parts.append(part)
        return b"".join(parts)

    def _download(self, sha256: str, size_bytes: int, told: Progress) -> bytes:
        """A blob; what breaks off is continued where it ended (RFC 9110, section 14)."""
        import httpx2

        content = bytearray()
        for attempt in range(BLOB_ATTEMPTS):
            try:
                self._continue(sha256, size_bytes, content, told)
                break
            except httpx2.TransportError:
                if len(content) == size_bytes:
                    break
                if attempt == BLOB_ATTEMPTS - 1:
                    raise
        if len(content) != size_bytes or hashlib.sha256(content).hexdigest() != sha256:
            raise self._strange(f"other bytes than those of the archive {sha256[:16]}...")
        return bytes(content)

    def _continue(self, sha256: str, size_bytes: int, content: bytearray, told: Progress) -> None:
        headers = {"accept-encoding": "identity"}
        if content:
            headers["range"] = f"bytes={len(content)}-"
        url = self._url + blob_path(sha256)
        with self._plain.stream("GET", url, headers=headers) as response:
            if response.status_code == 404:
                raise self._strange(f"that it lacks the archive {sha256[:16]}... of its own index")
            self._require_success(response, f"the archive {sha256[:16]}...")
            is_rest = response.status_code == 206
            if is_rest and not response.headers.get("content-range", "").startswith(
                f"bytes {len(content)}-"
            ):
                raise self._strange("another part of an archive than was asked for")
            if not is_rest:
                del content[:]
            if "content-encoding" in response.headers:
                raise self._strange("an archive in another encoding than was asked for")
            # As it arrives: what is gathered first would be lost with the connection.
            for part in response.iter_raw():
                content += part
                told(len(part))
                if len(content) > size_bytes:
                    raise self._strange(f"more than the {size_bytes} bytes of an archive")

    def _ask(
        self,
        method: str,
        path: str,
        content: bytes | None,
        body: JsonObject | None,
        headers: Mapping[str, str],
    ) -> JsonObject:
        request = self._plain.build_request(
            method, self._url + path, content=content, json=body, headers=dict(headers)
        )
        response = self._plain.send(request, stream=True)
        try:
            answer = self._limited(response, MAXIMUM_ANSWER_BYTES)
        finally:
            response.close()
        try:
            found = as_object(parse_json(answer)) if answer else {}
        except (TypeError, ValueError) as error:
            self._require_success(response, path)
            raise self._strange("an answer that is not JSON") from error
        if response.is_success:
            return found
        if "code" not in found:
            self._require_success(response, path)
        raise RemoteRefusedError(
            str(found.get("code", "REM001")),
            str(found.get("detail") or found.get("title") or "the registry refused"),
            hint=_text_or_none(found.get("hint")),
            status=response.status_code,
        )

    def _require_success(self, response: httpx2.Response, path: str) -> None:
        status = response.status_code
        if response.is_success:
            return
        if response.is_redirect and "location" in response.headers:
            target = without_secrets(response.headers.get("location", "nowhere"))
            raise RemoteProtocolError(
                f"{self.place} leads to {target[:200]}, which is not followed",
                hint="if that is the registry, name its URL itself in onex.toml",
            )
        if status in (401, 403):
            raise RemoteProtocolError(
                f"{self.place} refuses to give {path}: status {status}", hint="see onex login"
            )
        if status == 429 or status >= 500:
            raise self._unavailable(f"cannot answer now: status {status}")
        raise self._strange(f"the status {status} for {path}")

    def _unavailable(self, what: str) -> RemoteUnavailableError:
        return RemoteUnavailableError(
            f"the registry {self.place} {what}", hint="try again later: onex remote check"
        )

    def _strange(self, what: str) -> RemoteProtocolError:
        return RemoteProtocolError(
            f"{self.place} answered with {what}",
            hint="check the URL; a proxy or a network that asks for a login may have answered",
        )


def _text_or_none(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None
