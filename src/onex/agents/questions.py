"""What is asked of a client's user: folders, and grants, in plain words."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

import mcp_types as types

from onex.agents.publisher_text import clean_text
from onex.agents.tool import Tool
from onex.domain.json_value import canonical_json
from onex.trust.grants import PendingGrant, told_of_request

ROOTS, GRANT = "roots", "grant"
_MAXIMUM_MESSAGE = 3_000
_GRANT_SCHEMA: types.ElicitRequestedSchema = {
    "type": "object",
    "properties": {
        GRANT: {
            "type": "boolean",
            "title": "Grant it that",
            "description": "It is kept for this node until onex grant revoke takes it back.",
            "default": False,
        }
    },
    "required": [GRANT],
}


def digest_of_request(pending: Sequence[PendingGrant]) -> str:
    """What a question about grants is about: the versions, their files, and what they ask for."""
    asked = [request.to_json() for request in pending]
    return hashlib.sha256(canonical_json(asked).encode()).hexdigest()


def grant_question(tool: Tool, pending: Sequence[PendingGrant]) -> types.ElicitRequestFormParams:
    """The question whether the nodes of a tool may have what they ask for."""
    lines = [f"The tool {tool.name} asks for permissions."]
    for request in pending:
        lines += told_of_request(request).splitlines()
        lines.append(f"  (its files: {request.node.digest})")
    message = clean_text("\n".join(lines), _MAXIMUM_MESSAGE, keeps_lines=True)
    return types.ElicitRequestFormParams(message=message, requested_schema=_GRANT_SCHEMA)


def is_granted(answer: object) -> bool:
    """Whether the user granted it; whoever closes the question does not."""
    return (
        isinstance(answer, types.ElicitResult)
        and answer.action == "accept"
        and (answer.content or {}).get(GRANT) is True
    )


def can_ask_in_form(capabilities: types.ClientCapabilities | None) -> bool:
    """Whether a client can show its user a form."""
    found = None if capabilities is None else capabilities.elicitation
    # Before there were two modes, the form was the only one, and had no name.
    return found is not None and (found.form is not None or found.url is None)


def offers_roots(capabilities: types.ClientCapabilities | None) -> bool:
    """Whether a client can say which folders its user offers."""
    return capabilities is not None and capabilities.roots is not None


def folders_of(answer: object) -> tuple[str, ...]:
    """The folders on this machine that a client's answer offers."""
    roots = answer.roots if isinstance(answer, types.ListRootsResult) else []
    found = []
    for root in roots:
        parts = urlsplit(str(root.uri))
        path = unquote(parts.path)
        is_here = parts.scheme == "file" and parts.netloc in ("", "localhost")
        # The whole machine is no folder, and what an address without a path is read as.
        is_folder = path.startswith("/") and path.strip("/") != ""
        is_plain = is_folder and not (parts.query or parts.fragment or "\0" in path)
        if is_here and is_plain:
            found.append(path)
    return tuple(found)


def asking_for_roots(state: str) -> types.InputRequiredResult:
    """The answer that asks for the folders, since the revision of 2026."""
    requests: dict[str, types.InputRequest] = {ROOTS: types.ListRootsRequest()}
    return types.InputRequiredResult(input_requests=requests, request_state=state)


def asking_for_grant(
    tool: Tool, pending: Sequence[PendingGrant], state: str
) -> types.InputRequiredResult:
    """The answer that asks for grants, since the revision of 2026."""
    question = types.ElicitRequest(params=grant_question(tool, pending))
    return types.InputRequiredResult(input_requests={GRANT: question}, request_state=state)
