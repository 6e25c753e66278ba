"""Calls: makes the calls of a server's clients, asks their users what is needed, tells of progress.

With a handshake a server asks while the call waits; since the revision of 2026 the answer says what
is needed, and the client makes the call again with it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from onex.agents.call_events import CallEvents
from onex.agents.client import Client, Context
from onex.agents.questions import (
    GRANT,
    ROOTS,
    asking_for_grant,
    asking_for_roots,
    can_ask_in_form,
    digest_of_request,
    folders_of,
    grant_question,
    is_answer_about,
    is_granted,
    offers_roots,
)
from onex.agents.registry_threads import RegistryThreads
from onex.agents.session import Session
from onex.agents.tool import Tool
from onex.agents.tool_call import Called, NeedsGrants, NeedsRoots, Outcome, ToolCall
from onex.agents.tool_result import result_of
from onex.domain.agent_errors import GrantDeclinedError
from onex.domain.errors import OnexError
from onex.domain.json_value import JsonObject
from onex.execution.cancellation import Cancellation
from onex.execution.events import RunEvent
from onex.registry import Registry
from onex.trust.grants import PendingGrant, missing_grants

_EVENTS_WAITING = 1_000


class Calls:
    """The calls of one server, which ``threads`` make."""

    def __init__(self, threads: RegistryThreads) -> None:
        self._threads = threads
        self._asking = asyncio.Lock()
        self._running: set[Cancellation] = set()

    def cancel(self) -> None:
        """Ask for the end of all that runs."""
        for cancellation in list(self._running):
            cancellation.request()

    async def call(
        self,
        ctx: Context,
        client: Client,
        params: types.CallToolRequestParams,
        name: str,
        arguments: JsonObject,
    ) -> types.CallToolResult | types.InputRequiredResult:
        """Make a call, asking the user for what it needs."""
        session, answers = client.session, params.input_responses or {}
        if ROOTS in answers and client.offers_folders:
            session.roots = folders_of(answers[ROOTS])
        size_bytes = len(json.dumps(arguments))
        call = ToolCall(
            name,
            arguments,
            size_bytes,
            session,
            client.roots,
            client.may_run,
            client.actor,
            is_again=params.request_state is not None,
        )
        while True:
            outcome = await self._make(ctx, session, call)
            call = replace(call, is_again=True)
            match outcome:
                case Called():
                    result = result_of(outcome, session)
                    return types.CallToolResult.model_validate(dict(result))
                case NeedsRoots():
                    if _is_modern(ctx) and self._may_ask_for_roots(ctx, client):
                        return asking_for_roots()
                    session.roots = await self._roots(ctx, client)
                case NeedsGrants(tool, pending):
                    if self._can_ask(ctx, client, pending) and _is_modern(ctx):
                        if not is_answer_about(params.request_state, pending):
                            self._refuse_if_declined(session, pending)
                            return asking_for_grant(tool, pending)
                        await self._settle(client, pending, answers.get(GRANT))
                    else:
                        await self._ask_for_grant(ctx, client, tool, pending)

    async def _make(self, ctx: Context, session: Session, call: ToolCall) -> Outcome:
        cancellation = Cancellation()
        self._running.add(cancellation)
        loop = asyncio.get_running_loop()
        send, receive = anyio.create_memory_object_stream[RunEvent](_EVENTS_WAITING)

        def observer(event: RunEvent) -> None:
            loop.call_soon_threadsafe(_offer, send, event)

        def make(registry: Registry) -> Outcome | OnexError:
            try:
                return call.make(registry, observer, cancellation)
            except OnexError as error:
                return error

        events = CallEvents(ctx, session)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_tell_all, events, receive)
                with send:
                    outcome = await self._threads.ask(make, cancellation.request)
        finally:
            self._running.discard(cancellation)
        # A task group would raise it within a group of errors.
        if isinstance(outcome, OnexError):
            raise outcome
        return outcome

    def _may_ask_for_roots(self, ctx: Context, client: Client) -> bool:
        return client.offers_folders and offers_roots(ctx.session.client_capabilities)

    async def _roots(self, ctx: Context, client: Client) -> tuple[str, ...]:
        """The folders that the client offers, which are none if it cannot be asked."""
        if not (self._may_ask_for_roots(ctx, client) and ctx.session.can_send_request):
            return ()
        answer = await ctx.session.send_request(
            types.ListRootsRequest(),
            types.ListRootsResult,
            metadata=ServerMessageMetadata(related_request_id=ctx.request_id),
        )
        return folders_of(answer)

    def _can_ask(self, ctx: Context, client: Client, pending: Sequence[PendingGrant]) -> bool:
        return can_ask_in_form(ctx.session.client_capabilities) and all(
            client.may_grant(request.node.metadata.node.namespace) for request in pending
        )

    def _refuse_if_declined(self, session: Session, pending: Sequence[PendingGrant]) -> None:
        if digest_of_request(pending) in session.declined:
            raise _declined(pending)

    async def _ask_for_grant(
        self, ctx: Context, client: Client, tool: Tool, pending: Sequence[PendingGrant]
    ) -> None:
        """Ask the user, and store what they grant.

        Raises:
            GrantMissingError: they cannot be asked; the hint says which command grants it.
            GrantDeclinedError: they do not grant it.
        """
        if not (self._can_ask(ctx, client, pending) and ctx.session.can_send_request):
            raise missing_grants(pending)
        asked = digest_of_request(pending)
        # One question at a time: what was granted meanwhile is not asked again.
        async with self._asking:
            self._refuse_if_declined(client.session, pending)
            if asked in client.session.granted:
                return
            question = grant_question(tool, pending)
            answer = await ctx.session.elicit_form(
                question.message, question.requested_schema, ctx.request_id
            )
            await self._settle(client, pending, answer)

    async def _settle(
        self, client: Client, pending: Sequence[PendingGrant], answer: object
    ) -> None:
        """Do what the user answered; raises GrantDeclinedError if they do not grant it."""
        session, asked = client.session, digest_of_request(pending)
        if not is_granted(answer):
            session.declined.add(asked)
            raise _declined(pending)

        def approve(registry: Registry) -> None:
            grants = registry.acting_as(client.actor).grants
            for request in pending:
                grants.approve(request.node, request.missing)

        await self._threads.ask(approve)
        session.granted.add(asked)


def _declined(pending: Sequence[PendingGrant]) -> GrantDeclinedError:
    names = ", ".join(str(request.node.metadata.node_version) for request in pending)
    return GrantDeclinedError(
        f"the user does not grant what {names} asks for", hint="do without this tool"
    )


def _is_modern(ctx: Context) -> bool:
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


def _offer(send: MemoryObjectSendStream[RunEvent], event: RunEvent) -> None:
    """Hand on an event, unless the client reads more slowly than they come, or is done."""
    try:
        send.send_nowait(event)
    except (anyio.WouldBlock, anyio.ClosedResourceError, anyio.BrokenResourceError):
        return


async def _tell_all(events: CallEvents, receive: MemoryObjectReceiveStream[RunEvent]) -> None:
    async with receive:
        async for event in receive:
            await events.tell(event)
