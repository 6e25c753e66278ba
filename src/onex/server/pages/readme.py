"""The README of a node as HTML that can do nothing."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

from onex.domain.archive_place import ArchivePlace
from onex.domain.errors import OnexError
from onex.domain.metadata import RegisteredNode
from onex.manifests.local_node import README_FILES
from onex.manifests.yaml_document import read_limited
from onex.registry import Registry
from onex.remote.archive import unpack

MAXIMUM_README_CHARACTERS = 40_000
MAXIMUM_ARCHIVE_BYTES = 4 * 1024 * 1024

_TAGS = {
    *("p", "br", "hr", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre"),
    *("code", "em", "strong", "del", "a", "table", "thead", "tbody", "tr", "th", "td"),
}
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def readme_of(registry: Registry, node: RegisteredNode) -> tuple[str, str] | None:
    """The name and the text of a node's README, if its files are on this machine."""
    workspace = registry.sources.workspace.name
    for origin in node.origins_from(workspace):
        place = ArchivePlace.parse(origin.path)
        try:
            if place is None:
                found = _beside(Path(origin.path)) if origin.workspace == workspace else None
            else:
                found = _archived(registry, place)
        except (OnexError, OSError):
            # The page of a node is there without its README.
            continue
        if found is not None:
            return found[0], found[1].decode("utf-8", "replace")[:MAXIMUM_README_CHARACTERS]
    return None


def _beside(manifest: Path) -> tuple[str, bytes] | None:
    for name in README_FILES:
        file = manifest.with_name(name)
        if file.is_file():
            return name, read_limited(file, follow_link=False)
    return None


def _archived(registry: Registry, place: ArchivePlace) -> tuple[str, bytes] | None:
    if place.size_bytes > MAXIMUM_ARCHIVE_BYTES:
        return None
    stores = (registry.remotes.published, registry.remotes.store)
    archive = next((a for a in (store.read(place.sha256) for store in stores) if a), None)
    contents = {} if archive is None else unpack(archive)
    return next(((name, contents[name]) for name in README_FILES if name in contents), None)


def _kept(_tag: str, attribute: str, value: str) -> str | None:
    """An attribute of a README; links to files beside it would lead to pages that are not there."""
    is_elsewhere = value.startswith(("https://", "http://", "mailto:"))
    return None if attribute == "href" and not is_elsewhere else value


@lru_cache(maxsize=64)
def rendered(name: str, text: str) -> Markup:
    """A README as HTML: Markdown if its name says so, else as it stands.

    Pictures of other places are not shown, and links tell those places nothing.
    """
    if not name.endswith(".md"):
        return Markup("<pre>{}</pre>").format(text)
    # A page has one heading of the first order, which is its own.
    html = _MARKDOWN.render(text).replace("<h1>", "<h2>").replace("</h1>", "</h2>")
    safe = nh3.clean(
        html,
        tags=_TAGS,
        attributes={"a": {"href", "title"}, "th": {"align"}, "td": {"align"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="nofollow noopener noreferrer",
        attribute_filter=_kept,
    )
    # Cleaned by a library made for it.
    return Markup(safe)  # noqa: S704
