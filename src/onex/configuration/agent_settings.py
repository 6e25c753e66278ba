"""AgentSettings: what ``[mcp]`` in ``onex.toml`` says about tools for agents."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from onex.domain.expose_pattern import ExposePattern, parse_expose_pattern
from onex.domain.json_value import JsonObject, JsonValue

MAXIMUM_LIST_LIMIT = 1_000
_KEYS = frozenset({"expose", "list_limit", "roots", "budget"})
_BUDGET_KEYS = frozenset({"calls", "seconds", "bytes", "network_calls"})


@dataclass(frozen=True, slots=True)
class SessionBudget:
    """What one session may use: calls, their seconds, bytes of arguments and results together.

    ``network_calls`` are calls of tools that may use the network.
    """

    calls: int = 1_000
    seconds: float = 3_600.0
    size_bytes: int = 64 * 1024 * 1024
    network_calls: int = 1_000


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What is offered to agents as tools.

    At most ``list_limit`` tools are listed; if there are more they are found by a search.
    ``roots`` are absolute folders whose files agents may hand to tools.
    """

    expose: tuple[ExposePattern, ...] = ()
    list_limit: int = 20
    roots: tuple[Path, ...] = ()
    budget: SessionBudget = field(default_factory=SessionBudget)


_DEFAULT = AgentSettings()


def read_agent_settings(table: JsonObject, folder: Path) -> AgentSettings:
    """Read the table ``[mcp]`` of a file in a folder.

    Raises:
        ValueError: a key or a value is wrong; the message is the rest of a sentence.
    """
    _refuse_unknown(table, _KEYS, "")
    return AgentSettings(
        expose=tuple(map(parse_expose_pattern, _texts(table, "expose"))),
        list_limit=_count(table, "list_limit", _DEFAULT.list_limit, MAXIMUM_LIST_LIMIT),
        roots=tuple(folder / root for root in _texts(table, "roots")),
        budget=_budget(table.get("budget", {})),
    )


def _budget(value: JsonValue) -> SessionBudget:
    if not isinstance(value, dict):
        raise ValueError("budget must be a table")  # noqa: TRY004 - a wrong value of a file
    _refuse_unknown(value, _BUDGET_KEYS, " of budget")
    seconds = value.get("seconds", _DEFAULT.budget.seconds)
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not (is_number and math.isfinite(seconds) and seconds >= 0):
        raise ValueError("seconds of budget must be a number of seconds")
    return SessionBudget(
        calls=_count(value, "calls", _DEFAULT.budget.calls),
        seconds=float(seconds),
        size_bytes=_count(value, "bytes", _DEFAULT.budget.size_bytes),
        network_calls=_count(value, "network_calls", _DEFAULT.budget.network_calls),
    )


def _refuse_unknown(table: JsonObject, known: frozenset[str], where: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise ValueError(f"{unknown[0]!r}{where} is no key; there are {', '.join(sorted(known))}")


def _texts(table: JsonObject, name: str) -> list[str]:
    value = table.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise ValueError(f"{name} must be a list of texts")
    return [str(one) for one in value]


def _count(table: JsonObject, name: str, default: int, maximum: int = 2**63 - 1) -> int:
    value = table.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= maximum:
        raise ValueError(f"{name} must be a whole number from 0 to {maximum}")
    return value
