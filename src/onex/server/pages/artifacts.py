"""Artifacts by digest: a preview that can do nothing, and the file to keep."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from onex.domain.access_control import Action
from onex.domain.digest import is_digest
from onex.domain.errors import ArtifactNotFoundError
from onex.registry import Registry
from onex.server.pages.site import Site

PREVIEW_BYTES = 40_000
TABLE_ROWS, TABLE_COLUMNS = 30, 20
# Only what cannot run anything is shown as a picture.
_PICTURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}
_ALONE = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


@dataclass(frozen=True, slots=True)
class Preview:
    """What is shown of a file: a picture, a table or a text; nothing of other bytes."""

    kind: str
    text: str = ""
    table: tuple[tuple[str, ...], ...] = ()
    is_cut: bool = False


def artifact_page(site: Site, request: Request) -> Response:
    """What an artifact is, where it comes from, and the beginning of it."""
    caller = site.caller(request)
    if not site.may(caller, Action.DECIDE):
        return site.needs_token(request, caller)
    registry, digest = site.registry(caller), request.path_params["digest"]
    path, name = _find(registry, digest)
    uses = registry.history.journal.artifact_uses(digest)
    return site.page(
        request, "artifact.html", caller, digest=digest, name=name, size_bytes=path.stat().st_size,
        preview=_preview(path, name), uses=uses[:20], raw=f"/artifacts/{quote(digest)}/raw",
    )  # fmt: skip


def artifact_file(site: Site, request: Request) -> Response:
    """The file itself; a picture as such, everything else to be saved."""
    caller = site.caller(request)
    if not site.may(caller, Action.DECIDE):
        return site.needs_token(request, caller)
    path, name = _find(site.registry(caller), request.path_params["digest"])
    picture = _picture_type(path, name)
    headers = {"content-security-policy": _ALONE, "x-content-type-options": "nosniff"}
    return FileResponse(
        path,
        media_type=picture or "application/octet-stream",
        filename=name,
        content_disposition_type="inline" if picture else "attachment",
        headers=headers,
    )


def _find(registry: Registry, digest: str) -> tuple[Path, str]:
    """The file of an artifact and its name; raises ArtifactNotFoundError."""
    uses = registry.history.journal.artifact_uses(digest) if is_digest(digest) else ()
    for use in uses:
        path = registry.history.artifacts.path_of(digest, use.name)
        if path.is_file():
            return path, use.name
    for use in uses:
        # Another machine made it.
        fetched = registry.history.artifacts.fetch(digest, use.name)
        if fetched is not None:
            return fetched, use.name
    raise ArtifactNotFoundError(
        f"no run left an artifact {digest}", hint="onex runs prune may have removed it"
    )


def _picture_type(path: Path, name: str) -> str | None:
    with path.open("rb") as stream:
        start = stream.read(16)
    if name.endswith(".svg"):
        return "image/svg+xml"
    return next((kind for mark, kind in _PICTURES.items() if start.startswith(mark)), None)


def _preview(path: Path, name: str) -> Preview:
    if _picture_type(path, name) is not None:
        return Preview("picture")
    with path.open("rb") as stream:
        start = stream.read(PREVIEW_BYTES)
    is_cut = path.stat().st_size > len(start)
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:
            return Preview("bytes")
        # The cut went through a character.
        text = start[: error.start].decode("utf-8")
    if "\0" in text:
        return Preview("bytes")
    if name.endswith((".csv", ".tsv")):
        delimiter = "\t" if name.endswith(".tsv") else ","
        try:
            lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
        except csv.Error:
            return Preview("text", text, is_cut=is_cut)
        rows = tuple(tuple(row[:TABLE_COLUMNS]) for row in lines[: TABLE_ROWS + 1])
        return Preview("table", table=rows, is_cut=is_cut or len(lines) > TABLE_ROWS + 1)
    if name.endswith(".json") and not is_cut:
        try:
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            return Preview("text", text)
    return Preview("text", text[:PREVIEW_BYTES], is_cut=is_cut or len(text) > PREVIEW_BYTES)
