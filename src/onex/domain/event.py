"""The one log: entries that are chained by hash, so that none can change unseen."""

from __future__ import annotations

import json
from typing import NamedTuple

from onex.domain.json_value import JsonObject, as_object, canonical_json, sha256_of

GENESIS_HASH = "0" * 64
ALLOWED, REFUSED = "allowed", "refused"
"""The outcomes of an action."""


class LogHead(NamedTuple):
    """The last entry of a log at some moment: its serial and its hash."""

    serial: int
    hash: str


class Event(NamedTuple):
    """Who did what to which object, and whether it was allowed.

    ``serial`` counts from 1 without gaps; ``time`` is an RFC 3339 timestamp in
    UTC; ``outcome`` is ``ALLOWED`` or ``REFUSED``; ``body`` is the canonical JSON of an object
    that holds what was there before and after, or why the action was refused.
    """

    serial: int
    time: str
    actor: str
    action: str
    object: str
    outcome: str
    body: str
    previous_hash: str
    hash: str = ""

    @property
    def facts(self) -> JsonObject:
        """The body, read."""
        return as_object(json.loads(self.body))

    def to_json(self) -> JsonObject:
        """The entry in the shape that ``audit log`` prints."""
        return {
            "serial": self.serial,
            "time": self.time,
            "actor": self.actor,
            "action": self.action,
            "object": self.object,
            "outcome": self.outcome,
            "body": self.facts,
            "previous_hash": self.previous_hash,
            "hash": self.hash,
        }

    def sealed(self) -> Event:
        """The same event with the hash of its content and of the event before it."""
        content = canonical_json(
            [
                self.serial,
                self.time,
                self.actor,
                self.action,
                self.object,
                self.outcome,
                self.body,
                self.previous_hash,
            ]
        )
        return self._replace(hash=sha256_of(content))
