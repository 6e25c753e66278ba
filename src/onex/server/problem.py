"""Errors as problem details (RFC 9457), with the codes and hints of onex."""

from __future__ import annotations

import json
import logging

from onex.domain.errors import (
    AmbiguousNodeError,
    ArtifactNotFoundError,
    ArtifactsUnavailableError,
    FileNotWrittenError,
    InternalError,
    LifecycleError,
    NodeNotFoundError,
    OnexError,
    ResolutionError,
    RunNotFoundError,
    RunNotResumableError,
    StorageError,
    SystemRefusedError,
    UsageError,
)
from onex.domain.remote_errors import (
    ArchiveRefusedError,
    NotAuthenticatedError,
    NotPermittedError,
    NotPublishableError,
    TooManyRequestsError,
    VersionTakenError,
)
from onex.domain.trust_errors import OwnersRefusedError, StatementRefusedError

LOGGER = logging.getLogger("onex.server")


class UnsupportedContentError(UsageError):
    """The body of a request has a type that is not taken."""


PROBLEM_TYPE = "application/problem+json"
_STATUS: tuple[tuple[type[OnexError], int], ...] = (
    (NotAuthenticatedError, 401),
    (NotPermittedError, 403),
    (TooManyRequestsError, 429),
    (NodeNotFoundError, 404),
    (RunNotFoundError, 404),
    (ArtifactNotFoundError, 404),
    (RunNotResumableError, 409),
    (VersionTakenError, 409),
    (LifecycleError, 409),
    (AmbiguousNodeError, 409),
    (NotPublishableError, 422),
    (ArchiveRefusedError, 422),
    (StatementRefusedError, 422),
    (OwnersRefusedError, 422),
    (ResolutionError, 422),
    (StorageError, 503),
    (ArtifactsUnavailableError, 503),
    (FileNotWrittenError, 507),
    (SystemRefusedError, 507),
    (InternalError, 500),
    (UnsupportedContentError, 415),
    (UsageError, 400),
)


def status_of(error: OnexError) -> int:
    """The status that an error is answered with."""
    if isinstance(error, ValueError):
        # What is not a version, a constraint, a reference or a permission.
        return 400
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem(
    status: int, code: str, detail: str, hint: str | None = None, **members: object
) -> bytes:
    """Problem details as JSON; ``members`` are further ones, as RFC 9457 allows."""
    body = {
        "type": f"urn:onex:{code}",
        "title": _TITLES.get(status, "The request failed"),
        "status": status,
        "detail": detail,
        "code": code,
        "hint": hint,
    }
    extra = {k: v for k, v in members.items() if k not in body}
    return json.dumps(body | extra, ensure_ascii=False, default=str).encode("utf-8", "replace")


def problem_of(error: OnexError) -> tuple[int, dict[str, str], bytes]:
    """The status, the headers and the problem details of an error."""
    status = status_of(error)
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    if isinstance(error, TooManyRequestsError):
        headers["retry-after"] = str(int(float(str(error.details.get("wait", 0)))) + 1)
    if status in _OWN_FAILURES:
        # Where the database and the folders are is nobody's business but that of the log.
        LOGGER.error("%s: %s", error.code, error.message)
        return (
            status,
            headers,
            problem(status, error.code, _OWN_FAILURES[status], "try again later"),
        )
    body = problem(status, error.code, error.message, error.hint, **error.details)
    return status, headers, body


_OWN_FAILURES = {
    500: "the server failed",
    503: "the registry cannot be read or written at the moment",
    507: "the registry cannot be written at the moment",
}


_TITLES = {
    400: "The request cannot be understood",
    401: "A token is needed",
    403: "The token does not allow this",
    404: "There is no such thing",
    405: "The method is not allowed here",
    409: "It contradicts what is there",
    413: "The request is too large",
    415: "The content has another type than it must",
    421: "This server does not answer for that host",
    422: "It cannot be accepted as it is",
    429: "Too many requests",
    500: "The server failed",
    503: "The server cannot answer now",
    507: "The server has no room",
}
