"""Site: what every page needs: who asks, the registry in their name, and the templates."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from onex import __version__
from onex.domain.access_control import Action
from onex.domain.errors import NodeNotFoundError, OnexError
from onex.domain.remote_errors import NotAuthenticatedError
from onex.registry import Registry
from onex.server.gate import Caller
from onex.server.pages import shown
from onex.server.problem import status_of
from onex.server.requests import Requests
from onex.storage.backend import StorageBackend

COOKIE = "onex_token"
FACETS = ("type", "lifecycle", "trust", "capability", "permission", "tag")
PARTS = frozenset({"catalogue.html", "runs.html", "run.html", "audit.html"})
"""The pages that have a changing part."""

POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "private, no-cache",
}
_ASSETS = resources.files("onex.server.pages") / "assets"
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

Facets = Mapping[str, Mapping[str, int]]


@cache
def asset(name: str) -> tuple[bytes, str] | None:
    """The content of a file of the pages, and its version; None if there is none."""
    if name not in ("style.css", "script.js", "icon.svg"):
        return None
    content = (_ASSETS / name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:12]


def asset_path(name: str) -> str:
    """Where a file of the pages is; its content never changes there."""
    found = asset(name)
    if found is None:
        raise KeyError(name)
    return f"/static/{found[1]}/{name}"


class Site:
    """One object serves all threads."""

    def __init__(self, api: Requests, *, is_owner_here: bool) -> None:
        """``is_owner_here`` says that runs can be started from the pages by their owner."""
        self.api = api
        self.is_owner_here = is_owner_here
        self._facets: dict[object, Facets] = {}
        self._lock = threading.Lock()
        self._templates = Environment(
            loader=PackageLoader("onex.server.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=shown.finalized,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "seconds": shown.seconds,
            "size": shown.size,
            "moment": shown.moment,
            "json_text": shown.json_text,
            "shown": shown.shown,
        }
        self._templates.globals |= {
            "asset": asset_path,
            "count": shown.count,
            "product_version": __version__,
        }

    def caller(self, request: Request) -> Caller:
        """Who asks for a page: by the header of programs, or the cookie of a browser.

        A cookie that is good for nothing any more is that of anybody.
        """
        cookie = request.cookies.get(COOKIE)
        if cookie is None or "authorization" in request.headers:
            return self.api.caller(request)
        try:
            return self.api.caller(request, f"Bearer {cookie}")
        except NotAuthenticatedError:
            request.state.is_stale = True
            return self.api.anonymous(request)

    def registry(self, caller: Caller) -> Registry:
        return self.api.registry(caller)

    def may(self, caller: Caller, action: Action) -> bool:
        """Whether somebody may do something with the whole registry."""
        return self.api.allows(caller, action) and (
            caller.token is not None or action is Action.READ
        )

    def facets(self, caller: Caller, storage: StorageBackend) -> Facets:
        """How many nodes have each value of each label, counted once for each state of the log."""
        hidden = self.api.hidden(caller)
        key = (storage.serial(), hidden)
        found = self._facets.get(key)
        if found is None:
            found = storage.facets(FACETS, hidden)
            with self._lock:
                if len(self._facets) > 16:
                    self._facets.clear()
                self._facets[key] = found
        return found

    def page(
        self, request: Request, template: str, caller: Caller, status: int = 200, **values: object
    ) -> Response:
        """A page; ``part`` in the query asks for its changing part alone."""
        name = template
        if is_part(request) and template in PARTS:
            name = template.replace(".html", ".part.html")
        text = self._templates.get_template(name).render(
            caller=caller,
            path=request.url.path,
            may_see_runs=self.may(caller, Action.DECIDE),
            may_see_log=self.may(caller, Action.ADMINISTER),
            is_owner_here=self.is_owner_here and caller.is_owner,
            **values,
        )
        response = HTMLResponse(text, status, headers=HEADERS)
        if getattr(request.state, "is_stale", False):
            response.delete_cookie(COOKIE)
        return response

    def refused(self, request: Request, error: OnexError) -> Response:
        """The page that says what is wrong, and what to do."""
        status = status_of(error)
        try:
            caller = self.caller(request)
        except OnexError:
            caller = self.api.anonymous(request)
        hint = error.hint
        if isinstance(error, NodeNotFoundError):
            hint = "the catalogue has what there is"
        if status >= 500:
            # The details are for those who look after the server.
            return self.page(request, "error.html", caller, status, code=error.code,
                             message="the registry cannot answer at the moment",
                             hint="see the log of onex serve", explanation="")  # fmt: skip
        explanation = str(error.details.get("explanation", ""))
        return self.page(
            request, "error.html", caller, status, code=error.code, message=error.message,
            hint=hint, explanation=explanation,
        )  # fmt: skip

    def needs_token(self, request: Request, caller: Caller) -> Response:
        """The page for those who may not see another one."""
        return self.page(request, "login.html", caller, 403, next=request.url.path, failed=False)


def is_part(request: Request) -> bool:
    """Whether only the changing part of a page is asked for."""
    return request.query_params.get("part") == "1"


def whole_number(text: str, default: int) -> int:
    """The number in a part of an address, or the default for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else default
