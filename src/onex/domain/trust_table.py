"""Reads TrustRules from the ``[policy]`` table of ``onex.toml``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from onex.domain.access_control import EVERYTHING
from onex.domain.advisory import Rating
from onex.domain.evidence import TrustLevel
from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.permission import PERMISSION_KINDS
from onex.domain.reference import NAMESPACE
from onex.domain.result import IsolationLevel
from onex.domain.trust_rules import TrustRule, TrustRules, Use

TRUST_KEYS = frozenset(
    {
        "trust",
        "minimum_age",
        "minimum_age_except",
        "forbidden_licenses",
        "forbidden_permissions",
        "forbidden_advisories",
    }
)
"""The keys of ``[policy]`` that are read here."""

_LEVELS = (TrustLevel.UNVERIFIED, TrustLevel.SIGNED, TrustLevel.VERIFIED)
_SPAN = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def read_trust_rules(policy: JsonObject) -> TrustRules:
    """The rules that ``[policy]`` sets; raises ValueError with what is wrong."""
    trust = policy.get("trust", {})
    if not isinstance(trust, Mapping):
        raise ValueError('trust must be a table: write [policy.trust."acme.*"]')
    return TrustRules(
        tuple(_rule(pattern, table) for pattern, table in trust.items()),
        read_span(policy["minimum_age"]) if "minimum_age" in policy else 0.0,
        tuple(map(_pattern, _texts(policy, "minimum_age_except"))),
        _texts(policy, "forbidden_licenses"),
        tuple(map(_permission, _texts(policy, "forbidden_permissions"))),
        _rating(policy.get("forbidden_advisories")),
    )


def read_span(value: JsonValue) -> float:
    """Seconds from a text such as ``3d`` or ``12h``; raises ValueError."""
    match = _SPAN.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('a time must be a number with s, m, h, d or w, such as "3d"')
    return float(int(match[1]) * _UNIT_SECONDS[match[2]])


def _permission(pattern: str) -> str:
    kind = pattern.partition(":")[0]
    # A slip of the pen would forbid nothing, in silence.
    if not any(fnmatchcase(known, kind) for known in PERMISSION_KINDS):
        raise ValueError(
            f"{pattern!r} forbids no kind of permission: they are {', '.join(PERMISSION_KINDS)}"
        )
    return pattern


def _rating(value: JsonValue) -> Rating | None:
    known = [rating.value for rating in Rating]
    if value is not None and value not in known:
        raise ValueError(f"forbidden_advisories must be one of {', '.join(known)}")
    return None if value is None else Rating(str(value))


def _rule(pattern: str, table: JsonValue) -> TrustRule:
    if not isinstance(table, Mapping):
        raise ValueError(f'trust for {pattern} must be a table: resolve = "signed"')
    uses = {use.value for use in Use}
    unknown = sorted(set(table) - uses - {"isolation"})
    if unknown:
        raise ValueError(f"trust for {pattern} has no key {unknown[0]!r}; it has {sorted(uses)}")
    isolation = table.get("isolation", {})
    if not isinstance(isolation, Mapping):
        raise ValueError(f'isolation for {pattern} must be a table: {{signed = "strict"}}')
    return TrustRule(
        _pattern(pattern),
        {Use(use): _level(pattern, level) for use, level in table.items() if use in uses},
        {_level(pattern, level): _isolation(pattern, value) for level, value in isolation.items()},
    )


def _pattern(text: str) -> str:
    if text != EVERYTHING and not NAMESPACE.fullmatch(text.removesuffix(".*")):
        raise ValueError(f"{text!r} is no pattern of namespaces: write acme, acme.* or *")
    return text


def _level(pattern: str, value: JsonValue) -> TrustLevel:
    if value not in [level.value for level in _LEVELS]:
        named = ", ".join(level.value for level in _LEVELS)
        raise ValueError(f"trust for {pattern} has {value!r}, which is none of {named}")
    return TrustLevel(str(value))


def _isolation(pattern: str, value: JsonValue) -> IsolationLevel:
    known = [level.value for level in IsolationLevel]
    if value not in known:
        raise ValueError(f"isolation for {pattern} has {value!r}, none of {', '.join(known)}")
    return IsolationLevel(str(value))


def _texts(policy: JsonObject, name: str) -> tuple[str, ...]:
    value = policy.get(name, [])
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"{name} must be a list of texts")
    return tuple(map(str, value))
