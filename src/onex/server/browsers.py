"""Who asks by a browser: a cookie carries the token that a person logged in with."""

from __future__ import annotations

from starlette.requests import Request

from onex.domain.remote_errors import NotAuthenticatedError
from onex.server.gate import Caller
from onex.server.requests import Requests


def cookie_name(request: Request) -> str:
    """The cookie of this server: browsers have the same cookies for all ports of a machine."""
    return f"onex_token_{request.url.port or request.url.scheme}"


def caller_of(api: Requests, request: Request) -> Caller:
    """Who asks: by the header of programs, or by the cookie of a browser.

    A cookie that is not valid any more is passed over, and nothing is recorded of it: browsers send
    it with every page. Raises NotAuthenticatedError for a header, and TooManyRequestsError.
    """
    cookie = request.cookies.get(cookie_name(request))
    if cookie is None or "authorization" in request.headers:
        return api.caller(request)
    try:
        return api.authenticated(request, f"Bearer {cookie}")
    except NotAuthenticatedError:
        return api.anonymous(request)
