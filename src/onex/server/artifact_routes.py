"""The routes of a shared store of artifacts, which machines use that run workflows.

Copies are sent in parts and checked against their digest before they are there for others.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi import Path as PathParameter
from starlette.responses import FileResponse

from onex.artifacts.artifact_store import MAXIMUM_ARTIFACT_BYTES
from onex.artifacts.contents import StoredCopy
from onex.artifacts.file_content import content_digest
from onex.artifacts.folder_contents import FolderContents
from onex.artifacts.opening import SEEN_FOLDER
from onex.artifacts.registry_contents import OFFSET_HEADER, PART_BYTES
from onex.domain.access_control import Action
from onex.domain.errors import ArtifactNotFoundError, FileNotWrittenError, UsageError
from onex.local_machine import locked, make_folder
from onex.server.gate import Caller
from onex.server.models import Json
from onex.server.problem import PROBLEM_TYPE, problem
from onex.server.requests import INTERFACE, Requests, problems

ARTIFACTS = f"{INTERFACE}/artifacts/"
UPLOADS_AT_ONCE = 8
LISTED_AT_ONCE = 2_000
_PART_BODY = {
    "requestBody": {
        "required": True,
        "description": f"A part of the copy, of at most {PART_BYTES} bytes.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}

Group = Annotated[str, PathParameter(pattern="^[0-9a-f]{32}$", examples=["0" * 32])]
Hexadecimal = Annotated[str, PathParameter(pattern="^[0-9a-f]{64}$", examples=["0" * 64])]
Written = Annotated[
    str,
    PathParameter(pattern="^[0-9]{1,15}-[0-9]{1,15}-[0-9a-f]{32}$", examples=[f"0-0-{'0' * 32}"]),
]


def artifact_routes(api: Requests, home: Path) -> APIRouter:
    """The routes; ``home`` is the folder of the registry's state, where the copies lie."""
    router = APIRouter(prefix=INTERFACE, tags=["artifacts"])
    root = home / "shared-artifacts"
    uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)

    def contents(group: str) -> FolderContents:
        return FolderContents(root, group, home / SEEN_FOLDER)

    def publisher(request: Request) -> Caller:
        """Who runs workflows, decided before any of the body is taken."""
        caller = api.caller(request)
        api.require(caller, Action.PUBLISH, None)
        return caller

    def maintainer(request: Request) -> Caller:
        caller = api.caller(request)
        api.require(caller, Action.DECIDE, None)
        return caller

    async def part_of(request: Request, _: Caller = Depends(publisher)) -> AsyncIterator[bytes]:
        """The body of a request, of which only some are there at once."""
        async with uploads:
            yield await request.body()

    @router.get("/artifacts/{group}", responses=problems(403, 422))
    def copies(
        group: Group,
        digest: Annotated[str | None, Query(pattern="^sha256:[0-9a-f]{64}$")] = None,
        after: Annotated[str, Query(max_length=200)] = "",
        _: Caller = Depends(publisher),
    ) -> Json:
        """The copies of a history's artifacts, or of one of them, in the order of their names."""
        names = sorted(copy.name for copy in contents(group).copies(digest) if copy.name > after)
        return {"copies": names[:LISTED_AT_ONCE], "more": len(names) > LISTED_AT_ONCE}

    @router.patch("/artifacts/{group}/{hexadecimal}/{written}",
                  responses=problems(403, 409, 413, 422), openapi_extra=_PART_BODY,
                  response_model=Json)  # fmt: skip
    def receive(
        response: Response,
        group: Group,
        hexadecimal: Hexadecimal,
        written: Written,
        upload_offset: Annotated[int, Header(ge=0, le=MAXIMUM_ARTIFACT_BYTES)],
        part: bytes = Depends(part_of),
    ) -> Json | Response:
        """Take a part of a copy, which is there for others when the last one has arrived.

        A part that is here already is a success, so that a request can be repeated whose answer
        was lost; one that belongs elsewhere is refused with 409. The header says how much is here.
        """
        copy = _copy(hexadecimal, written)
        if copy.size_bytes > MAXIMUM_ARTIFACT_BYTES:
            raise UsageError("an artifact may not be as large", hint="split it")
        arrived = _arrived(contents(group), copy, upload_offset, part)
        headers = {OFFSET_HEADER: str(arrived)}
        if arrived != upload_offset + len(part):
            told = problem(409, UsageError.code, f"{arrived} bytes of this copy are here")
            return Response(told, 409, headers, PROBLEM_TYPE)
        response.headers.update(headers)
        return {"offset": arrived}

    @router.get("/artifacts/{group}/{hexadecimal}/{written}", responses=problems(403, 404, 422),
                response_class=FileResponse)  # fmt: skip
    def content(
        group: Group,
        hexadecimal: Hexadecimal,
        written: Written,
        _: Caller = Depends(publisher),
    ) -> FileResponse:
        """The content of a copy, whole or a range of it."""
        copy, store = _copy(hexadecimal, written), contents(group)
        if not store.has(copy):
            raise ArtifactNotFoundError("the copy is not there", hint="list the copies")
        return FileResponse(store.path_of(copy), media_type="application/octet-stream")

    @router.delete("/artifacts/{group}/{hexadecimal}/{written}",
                   responses=problems(403, 422))  # fmt: skip
    def remove(
        group: Group,
        hexadecimal: Hexadecimal,
        written: Written,
        _: Caller = Depends(maintainer),
    ) -> Json:
        """Remove a copy, or what has arrived of it."""
        copy = _copy(hexadecimal, written)
        contents(group).remove(copy)
        return {"removed": copy.name}

    return router


def _copy(hexadecimal: str, written: str) -> StoredCopy:
    copy = StoredCopy.parse(f"{hexadecimal}/{written}")
    if copy is None:
        raise UsageError("this is not the name of a copy", hint="see /api/v1/openapi.json")
    return copy


def _arrived(store: FolderContents, copy: StoredCopy, offset: int, part: bytes) -> int:
    """Add a part, if it belongs at the end of what has arrived; returns how much that is then.

    The last part makes the copy visible, if it is what its digest says.

    Raises:
        UsageError: it is something else; nothing of it is kept.
        FileNotWrittenError: the part could not be stored; what had arrived is unchanged.
    """
    draft = store.draft_of(copy)
    try:
        make_folder(draft.parent)
        draft.touch(0o600)
        # The peer may have given a request up that is still at work here.
        with locked(draft):
            if store.has(copy):
                draft.unlink(missing_ok=True)
                return copy.size_bytes
            size = draft.stat().st_size
            if offset != size or size + len(part) > copy.size_bytes:
                return size
            _append(draft, part, size)
            if size + len(part) == copy.size_bytes:
                if content_digest(draft) != copy.digest:
                    draft.unlink()
                    raise UsageError(
                        "what was sent is not what its digest says", hint="send it again"
                    )
                store.publish(copy, draft)
            return size + len(part)
    except OSError as error:
        raise FileNotWrittenError(
            f"a part of an artifact could not be stored: {error.strerror or error}",
            hint="check the space of the server",
        ) from error


def _append(draft: Path, part: bytes, size: int) -> None:
    with draft.open("ab") as file:
        try:
            file.write(part)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.truncate(draft, size)
            raise
