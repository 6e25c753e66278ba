"""Forms that ask the resolver: which versions go together, and what a new one would change."""

from __future__ import annotations

from collections import Counter

from starlette.requests import Request
from starlette.responses import Response

from onex.domain.errors import OnexError, ResolutionError
from onex.domain.reference import NodeRef
from onex.resolver.impact import Impact
from onex.server.pages.graph import resolve_for
from onex.server.pages.site import Site

MAXIMUM_REFERENCES = 20
SHOWN_IMPACTS = 60


def resolve_page(site: Site, request: Request) -> Response:
    """Choose versions, or explain why none go together."""
    caller = site.caller(request)
    asked = request.query_params.get("refs", "")
    references = asked.replace(",", "\n").split("\n")
    references = [text.strip() for text in references if text.strip()][:MAXIMUM_REFERENCES]
    resolution, explanation = None, ""
    error: OnexError | None = None
    if references:
        try:
            resolution = resolve_for(site, caller, references)
        except ResolutionError as failure:
            error, explanation = failure, failure.explanation
        except OnexError as failure:
            error = failure
    return site.page(
        request, "resolve.html", caller, asked=asked, resolution=resolution, error=error,
        explanation=explanation,
    )  # fmt: skip


def impact_page(site: Site, request: Request) -> Response:
    """What a version would do to those who need its node."""
    caller = site.caller(request)
    asked = request.query_params.get("ref", "").strip()
    found: list[Impact] = []
    version = ""
    error: OnexError | None = None
    if asked:
        try:
            reference = NodeRef.parse(asked)
            site.api.require_visible(caller, reference)
            metadata, impacts = site.registry(caller).impact(reference, {})
            version = str(metadata.node_version)
            found = site.api.visible(caller).impacts(impacts)
        except OnexError as failure:
            error = failure
    return site.page(
        request, "impact.html", caller, asked=asked, error=error, version=version,
        impacts=found[:SHOWN_IMPACTS], more=len(found) - SHOWN_IMPACTS,
        counts=Counter(entry.effect for entry in found),
    )  # fmt: skip
