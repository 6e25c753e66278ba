"""Site: what every page needs: who asks, the registry in their name, and the templates."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from onex import __version__
from onex.domain.access_control import Action
from onex.domain.errors import NodeNotFoundError, OnexError
from onex.registry import Registry
from onex.server.browsers import caller_of
from onex.server.gate import Caller
from onex.server.pages import text
from onex.server.pages.charts import MARKS
from onex.server.problem import status_of
from onex.server.requests import Requests

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
        self._templates = Environment(
            loader=PackageLoader("onex.server.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=text.finalized,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "seconds": text.seconds,
            "size": text.size,
            "moment": text.moment,
            "json_text": text.json_text,
            "visible": text.visible,
        }
        self._templates.globals |= {
            "asset": asset_path,
            "count": text.count,
            "marks": MARKS,
            "product_version": __version__,
        }

    def caller(self, request: Request) -> Caller:
        """Who asks for a page; raises as ``caller_of``."""
        return caller_of(self.api, request)

    def registry(self, caller: Caller) -> Registry:
        return self.api.registry(caller)

    def may(self, caller: Caller, action: Action) -> bool:
        """Whether somebody may do something with the whole registry."""
        return self.api.allows(caller, action) and (
            caller.token is not None or action is Action.READ
        )

    def page(
        self, request: Request, template: str, caller: Caller, status: int = 200, **values: object
    ) -> Response:
        """A page; ``part`` in the query asks for its changing part alone."""
        name = template
        if is_part(request) and template in PARTS:
            name = template.replace(".html", ".part.html")
        html = self._templates.get_template(name).render(
            caller=caller,
            path=request.url.path,
            is_owner_here=self.is_owner_here and caller.is_owner,
            **values,
        )
        return HTMLResponse(html, status, headers=HEADERS)

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
