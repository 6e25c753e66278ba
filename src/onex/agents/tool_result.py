"""What a call gives to its client: content, structured content, links to files, or an error.

The shapes are those of the protocol (CallToolResult), as JSON.
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from onex.agents.publisher_text import clean_text
from onex.agents.session import Session
from onex.agents.tool import META_PREFIX
from onex.domain.artifact_records import Artifact, with_records
from onex.domain.errors import OnexError, RunFailedError
from onex.domain.json_value import ARTIFACT_KEY, JsonObject, JsonValue

if TYPE_CHECKING:
    from onex.agents.tool_call import Called

_MAXIMUM_ERROR = 4_000


def result_of(called: Called, session: Session) -> JsonObject:
    """The result of a call that was run; its artifacts are the session's from now on.

    Raises:
        BudgetExhaustedError: it is more than the session may still be given.
    """
    try:
        called.result.raise_for_status()
    except RunFailedError as error:
        return error_result(error, called.result.run_id)
    structured = with_records(called.output, partial(_shown, called, session))
    value = structured if isinstance(structured, Mapping) else {"result": structured}
    text = json.dumps(value, ensure_ascii=False)
    session.take_bytes(len(text.encode("utf-8", "replace")))
    links = [
        {"type": "resource_link", **resource_of(artifact, session.keep(artifact))}
        for artifact in called.artifacts.values()
    ]
    return {
        "content": [{"type": "text", "text": text}, *links],
        "structuredContent": value,
        "isError": False,
        "_meta": {f"{META_PREFIX}run": called.result.run_id},
    }


def error_result(error: OnexError, run_id: str | None = None) -> JsonObject:
    """An error as the result of a call, which an agent can read and act on."""
    lines = [f"{error.code}: {clean_text(error.message, _MAXIMUM_ERROR, keeps_lines=True)}"]
    if error.hint:
        lines.append(clean_text(error.hint, _MAXIMUM_ERROR, keeps_lines=True))
    told: dict[str, JsonValue] = {f"{META_PREFIX}code": error.code}
    if error.hint:
        told[f"{META_PREFIX}hint"] = error.hint
    if run_id is not None:
        told[f"{META_PREFIX}run"] = run_id
    return {
        "content": [{"type": "text", "text": "\n".join(lines)}],
        "isError": True,
        "_meta": told,
    }


def resource_of(artifact: Artifact, uri: str) -> dict[str, JsonValue]:
    """An artifact as a resource of the protocol."""
    found: dict[str, JsonValue] = {"uri": uri, "name": artifact.name, "size": artifact.size_bytes}
    media_type = mimetypes.guess_type(artifact.name)[0]
    return found | ({"mimeType": media_type} if media_type else {})


def _shown(called: Called, session: Session, record: JsonObject) -> JsonValue:
    """What stands for an artifact: where it lies on this machine is nobody's business."""
    artifact = Artifact.of(record)
    shown: dict[str, JsonValue] = {
        ARTIFACT_KEY: artifact.digest,
        "name": artifact.name,
        "size_bytes": artifact.size_bytes,
    }
    kept = called.artifacts.get(artifact.digest)
    return shown if kept is None else shown | {"uri": session.keep(kept)}
