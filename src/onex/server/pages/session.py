"""Logging in with a token, which a cookie carries from then on."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from onex.domain.remote_errors import NotAuthenticatedError
from onex.server.browsers import cookie_name
from onex.server.pages.site import Site

MAXIMUM_FORM_BYTES = 16_384
LOGIN_SECONDS = 86_400


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, each once."""
    body = await request.body()
    return dict(parse_qsl(body[:MAXIMUM_FORM_BYTES].decode("utf-8", "replace")))


def login_form(site: Site, request: Request) -> Response:
    """The form that asks for a token; from ``onex ui`` the key is in the address."""
    key = request.query_params.get("key")
    if key is not None and site.api.is_owner_key(key):
        caller = site.api.caller(request, f"Bearer {key}")
        # A page of ours leads on: a redirect would count as coming from where the key was kept.
        response = site.page(request, "entered.html", caller)
        _keep(request, response, key)
        return response
    caller = site.caller(request)
    return site.page(request, "login.html", caller, next="/", failed=False)


def log_in(site: Site, request: Request, token: str, target: str) -> Response:
    """Keep a token in a cookie, if it is good."""
    try:
        site.api.caller(request, f"Bearer {token}")
    except NotAuthenticatedError:
        caller = site.api.anonymous(request)
        return site.page(request, "login.html", caller, 403, next=target, failed=True)
    # Never to another site, whatever the form says.
    is_here = target.startswith("/") and not target.startswith(("//", "/\\"))
    response = RedirectResponse(target if is_here else "/", 303)
    _keep(request, response, token)
    return response


def _keep(request: Request, response: Response, token: str) -> None:
    response.set_cookie(
        cookie_name(request),
        token,
        max_age=LOGIN_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def log_out(request: Request) -> Response:
    """Forget the token of a browser."""
    response = RedirectResponse("/", 303)
    response.delete_cookie(cookie_name(request))
    return response
