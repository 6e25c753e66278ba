"""Calls: makes the calls of a server's clients, asks their users what is needed, tells of progress.

With a handshake a server asks while the call waits; since the revision of 2026 the answer says what
is needed, and the client makes the call again with it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from onex.agents.budget_use import require_left
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
    is_granted,
    offers_roots,
)
from onex.agents.registry_threads import RegistryThreads
from onex.agents.tool import Tool
from onex.agents.tool_call import Called, NeedsGrants, NeedsRoots, Outcome, ToolCall
from onex.agents.tool_result import result_of
from onex.domain.agent_errors import GrantDeclinedError, ServerBusyError
from onex.domain.errors import OnexError
from onex.domain.json_value import JsonObject
from onex.execution.cancellation import Cancellation
from onex.execution.events import RunEvent
from onex.registry import Registry
from onex.trust.grants import PendingGrant, missing_grants

ANSWER_SECONDS = 600
_EVENTS_WAITING = 1_000
_MAXIMUM_ROUNDS = 5


@dataclass(slots=True)
class _Turns:
    """Whose turn it is among the calls of one principal; ``open`` counts those that wait or run."""

    free: asyncio.Semaphore
    open: int = 0


class Calls:
    """The calls of one server, which ``threads`` make."""

    def __init__(self, threads: RegistryThreads, at_once: int, waiting: int) -> None:
        """``at_once`` calls of a principal run, and ``waiting`` of them wait; more are refused."""
        self._threads = threads
        self._at_once = at_once
        self._waiting = waiting
        self._turns: dict[str, _Turns] = {}
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
        session = client.session
        about = session.take_answer(params.request_state)
        answers = params.input_responses or {} if about is not None else {}
        if about == ROOTS and client.offers_folders:
            session.roots = folders_of(answers.get(ROOTS))
        call = ToolCall(
            name,
            arguments,
            len(json.dumps(arguments)),
            session,
            client.roots,
            client.may_run,
            client.actor,
            is_again=about is not None,
        )
        pending: Sequence[PendingGrant] = ()
        for _ in range(_MAXIMUM_ROUNDS):
            outcome = await self._make(ctx, client, call)
            call = replace(call, is_again=True)
            match outcome:
                case Called():
                    result = result_of(outcome, session)
                    return types.CallToolResult.model_validate(dict(result))
                case NeedsRoots():
                    if _is_modern(ctx) and self._may_ask_for_roots(ctx, client):
                        return asking_for_roots(session.open_question(ROOTS))
                    session.roots = await self._roots(ctx, client)
                case NeedsGrants(tool, pending):
                    if not self._can_ask(ctx, client, pending):
                        raise missing_grants(pending)
                    asked = digest_of_request(pending)
                    if asked in session.declined:
                        raise _declined(pending)
                    if not _is_modern(ctx):
                        await self._ask_for_grant(ctx, client, tool, pending)
                    elif about == asked:
                        # An answer counts once.
                        about = None
                        await self._settle(client, pending, answers.get(GRANT))
                    else:
                        return asking_for_grant(tool, pending, session.open_question(asked))
        raise missing_grants(pending)

    async def _make(self, ctx: Context, client: Client, call: ToolCall) -> Outcome:
        cancellation, session = Cancellation(), client.session
        loop = asyncio.get_running_loop()
        send, receive = anyio.create_memory_object_stream[RunEvent](_EVENTS_WAITING)

        def observer(event: RunEvent) -> None:
            loop.call_soon_threadsafe(_offer, send, event)

        async def ask() -> Outcome | OnexError:
            try:
                return await self._threads.ask(
                    lambda registry: call.make(registry, observer, cancellation),
                    cancellation.request,
                )
            except OnexError as error:
                # A task group would raise it within a group of errors.
                return error

        events = CallEvents(ctx, session)
        async with self._turn(client.principal):
            self._running.add(cancellation)
            out_of_time = asyncio.Event()

            def end() -> None:
                out_of_time.set()
                cancellation.request()

            timer = loop.call_later(max(0.0, session.seconds_left), end)
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(_tell_all, events, receive)
                    with send:
                        outcome = await ask()
            finally:
                timer.cancel()
                self._running.discard(cancellation)
        if isinstance(outcome, OnexError):
            raise outcome
        is_cut_off = isinstance(outcome, Called) and not outcome.result.success
        if is_cut_off and out_of_time.is_set():
            require_left(False, f"{session.budget.seconds:g} s", "seconds")  # noqa: FBT003 - a fact
        return outcome

    @asynccontextmanager
    async def _turn(self, principal: str) -> AsyncIterator[None]:
        """Wait for a turn among the calls of a principal; raises ServerBusyError."""
        turns = self._turns.setdefault(principal, _Turns(asyncio.Semaphore(self._at_once)))
        if turns.open >= self._at_once + self._waiting:
            raise ServerBusyError(f"{turns.open} calls wait already", hint="wait for their end")
        turns.open += 1
        try:
            async with turns.free:
                yield
        finally:
            turns.open -= 1
            if not turns.open:
                del self._turns[principal]

    def _may_ask_for_roots(self, ctx: Context, client: Client) -> bool:
        return client.offers_folders and offers_roots(ctx.session.client_capabilities)

    async def _roots(self, ctx: Context, client: Client) -> tuple[str, ...]:
        """The folders that the client offers, which are none if it cannot be asked."""
        if not (self._may_ask_for_roots(ctx, client) and ctx.session.can_send_request):
            return ()
        try:
            answer = await ctx.session.send_request(
                types.ListRootsRequest(),
                types.ListRootsResult,
                metadata=ServerMessageMetadata(related_request_id=ctx.request_id),
            )
        except MCPError:
            return ()
        return folders_of(answer)

    def _can_ask(self, ctx: Context, client: Client, pending: Sequence[PendingGrant]) -> bool:
        return can_ask_in_form(ctx.session.client_capabilities) and all(
            client.may_grant(request.node.metadata.node.namespace) for request in pending
        )

    async def _ask_for_grant(
        self, ctx: Context, client: Client, tool: Tool, pending: Sequence[PendingGrant]
    ) -> None:
        """Ask the user, and store what they grant.

        Raises:
            GrantMissingError: they cannot be asked; the hint says which command grants it.
            GrantDeclinedError: they do not grant it.
        """
        if not ctx.session.can_send_request:
            raise missing_grants(pending)
        session = client.session
        # One question at a time: what was answered meanwhile is not asked again.
        async with session.asking:
            if digest_of_request(pending) in session.declined:
                raise _declined(pending)
            if not await self._threads.ask(partial(_are_pending, client.actor, pending)):
                return
            question = grant_question(tool, pending)
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    answer = await ctx.session.elicit_form(
                        question.message, question.requested_schema, ctx.request_id
                    )
            except (MCPError, TimeoutError):
                raise missing_grants(pending) from None
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


def _are_pending(actor: str, pending: Sequence[PendingGrant], registry: Registry) -> bool:
    """Whether nodes still ask for more than they are granted."""
    grants = registry.acting_as(actor).grants
    return any(grants.decide(request.node).missing for request in pending)


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
