"""Client: who sends a request, and what they may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from mcp.server.context import ServerRequestContext

from onex.agents.session import Session

Context: TypeAlias = "ServerRequestContext[Any, Any]"
"""What the SDK tells of one request; what a server keeps in it is its own affair."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who sends a request, and what they may.

    ``principal`` is whom the session belongs to, empty if that is the user of this machine, and
    ``asked_by`` the same for the log.
    ``offers_folders`` says that the client's folders are on this machine. ``may_run`` and
    ``may_grant`` say of a namespace whether its nodes may be run, or be granted what they ask for.
    """

    session: Session
    roots: tuple[Path, ...]
    offers_folders: bool
    principal: str = ""
    asked_by: str = ""
    may_run: Callable[[str], bool] = field(default=lambda _: True)
    may_grant: Callable[[str], bool] = field(default=lambda _: True)

    @property
    def actor(self) -> str:
        """In whose name calls are made, for the log and the history."""
        return " ".join(filter(None, (self.asked_by, self.session.actor)))
