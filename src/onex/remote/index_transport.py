"""What carries requests to a registry: one pool of connections, and HTTP caching before it.

The token is added behind the cache, which would write it to its file with the rest of a request.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import ssl
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import hishel
import httpx2
from hishel.httpx2 import CacheTransport

from onex.domain.errors import ConfigurationError
from onex.domain.url import without_secrets
from onex.local_machine import make_folder
from onex.telemetry.logs import CORRELATION, log_fields
from onex.telemetry.tracing import NO_TRACER, Tracer

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

LOGGER = logging.getLogger("onex.remote")

_PRIVATE_FILE, _PRIVATE_FOLDER = 0o600, 0o700


class _RegistryTransport(httpx2.BaseTransport):
    """Sends requests with the token, and has every answer asked for again before it is reused.

    How long an answer stays true, its own headers may say wrongly: those of a static server, of a
    proxy, or of somebody who wants to hide what was published since.
    """

    def __init__(
        self, inner: httpx2.BaseTransport, token: str | None, tracer: Tracer = NO_TRACER
    ) -> None:
        self._inner = inner
        self._token = token
        self._tracer = tracer

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        # Caches on the way must ask again as well.
        headers = [*request.headers.raw, (b"cache-control", b"no-cache")]
        if self._token:
            headers.append((b"authorization", f"Bearer {self._token}".encode()))
        correlation = CORRELATION.get()
        if correlation:
            headers.append((b"x-request-id", correlation.encode("ascii", "replace")))
        place = {"server.address": request.url.host, "url.path": request.url.path}
        with self._tracer.span(f"onex.remote {request.method}", place) as span:
            context = self._tracer.current()
            if context is not None:
                headers.append((b"traceparent", context.encode()))
            response = self._send(request, headers)
            span.set_attribute("http.response.status_code", response.status_code)
        LOGGER.debug(
            "%s %s: %d", request.method, request.url.path, response.status_code,
            extra=log_fields(host=request.url.host),
        )  # fmt: skip
        return response

    def _send(self, request: httpx2.Request, headers: list[tuple[bytes, bytes]]) -> httpx2.Response:
        request = httpx2.Request(
            request.method,
            request.url,
            headers=headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        response = self._inner.handle_request(request)
        response.headers.pop("expires", None)
        response.headers["cache-control"] = "private, no-cache"
        return response

    def close(self) -> None:
        self._inner.close()


def require_encryption(url: str, token: str | None) -> None:
    """Refuse to send a token over a connection that others can read.

    Raises:
        ConfigurationError: it would leave this machine unencrypted.
    """
    parts = urlsplit(url)
    if token and parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise ConfigurationError(
            f"the token for {without_secrets(url)} would be sent unencrypted",
            hint="use https, or onex logout to go without a token",
        )


def plain_transport(
    url: str, token: str | None, connections: int, tracer: Tracer = NO_TRACER
) -> httpx2.BaseTransport:
    """A pool of connections to a registry, through the proxy that the environment names."""
    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    host = parts.hostname or ""
    # What is for this machine must not leave it, least of all with a token.
    if proxy is not None and (host in LOOPBACK or proxy_bypass(host)):
        proxy = None
    # Loading the certificates of all authorities takes 18 ms, which only TLS needs.
    is_encrypted = parts.scheme == "https" or (proxy or "").startswith("https")
    inner = httpx2.HTTPTransport(
        verify=True if is_encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        proxy=proxy,
    )
    return _RegistryTransport(inner, token, tracer)


def cached_transport(
    plain: httpx2.BaseTransport, token: str | None, folder: Path
) -> httpx2.BaseTransport:
    """The same with HTTP caching in a file of the folder; without it if there can be no file."""
    # hishel logs a traceback for each failed write.
    logging.getLogger("hishel").addHandler(logging.NullHandler())
    logging.getLogger("hishel").propagate = False
    # Answers to one token are not those to another.
    who = hashlib.sha256((token or "").encode()).hexdigest()[:16]
    file = folder / f"http-{who}.db"
    try:
        make_folder(folder)
        with contextlib.suppress(PermissionError):
            folder.chmod(_PRIVATE_FOLDER)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, _PRIVATE_FILE))
    except OSError:
        return plain
    storage = hishel.SqliteStorage(database_path=file)
    return CacheTransport(plain, storage, hishel.CacheOptions(shared=False))
