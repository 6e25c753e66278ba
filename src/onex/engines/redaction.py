"""Redaction: keeping secrets out of what is recorded, printed and sent to those who watch."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from urllib.parse import quote, quote_plus

from onex.domain.json_value import JsonValue, parse_json
from onex.domain.result import MAXIMUM_LOG_BYTES

# Shorter ones stand in any text by chance.
MINIMUM_HIDDEN_LENGTH = 4
# Shorter ones stand within other words by chance: a result with such a word is not refused.
MINIMUM_FOUND_WITHIN = 8
MINIMUM_LINE_LENGTH = 8
MINIMUM_MEMBER_LENGTH = 16


class Redaction:
    """Replaces the values of secrets, in all known encodings, by their names.

    A secret is found as it is, as Python and JSON escape it, percent-encoded, in base64 (also
    within a longer text that was encoded), and line by line.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = {n: v for n, v in secrets.items() if len(v) >= MINIMUM_HIDDEN_LENGTH}
        found: dict[str, str] = {}
        for name, secret in self._secrets.items():
            for form in _forms(secret):
                found.setdefault(form, name)
        # What stands in a secret that is a document may stand elsewhere too: it is hidden in
        # words, and is no reason to refuse a result.
        members = {
            form: name
            for name, secret in self._secrets.items()
            for member in _members(secret)
            for form in _forms(member)
        }
        self._members = frozenset(members.keys() - found.keys())
        found = {**members, **found}
        self._names = found
        # The longest first, so that one within another does not leave a part of it.
        self._forms = sorted(found, key=len, reverse=True)
        self.longest = len(self._forms[0]) if self._forms else 0

    def __bool__(self) -> bool:
        return bool(self._names)

    def text(self, text: str) -> str:
        """The text without secrets."""
        if not self._forms:
            return text
        pattern = self._pattern_for(text)
        if pattern is None:
            return text
        return pattern.sub(lambda match: f"[secret {self._names[match[0]]}]", text)

    def end_of_match_at(self, text: str, position: int) -> int:
        """The end of the secret that spans a position; the position if none does."""
        pattern = self._pattern_for(text)
        for match in pattern.finditer(text) if pattern is not None else ():
            if match.start() < position < match.end():
                return match.end()
        return position

    def named_in(self, text: str, own: Collection[str]) -> str | None:
        """The name of a secret that a text holds.

        A short one counts only if it is among ``own`` and stands alone: others write such words
        by chance.
        """
        for form in self._forms:
            if form not in text or form in self._members:
                continue
            name = self._names[form]
            is_long = len(form) >= MINIMUM_FOUND_WITHIN
            if is_long or (name in own and _stands_alone(form, text)):
                return name
        return None

    def _pattern_for(self, text: str) -> re.Pattern[str] | None:
        """What matches the forms that stand in a text; None if there are none.

        An alternation of all of them would be tried at every character.
        """
        present = [form for form in self._forms if form in text]
        return re.compile("|".join(map(re.escape, present))) if present else None


NOTHING_HIDDEN = Redaction({})


class LogTail:
    """The last part of what a call prints and logs, without secrets.

    More is kept than is shown, so that a secret which the cut goes through is still known whole.
    """

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._margin = 4 * redaction.longest
        self._bytes = bytearray()
        self._is_cut = False

    def write(self, data: bytes) -> None:
        """Take what was printed."""
        self._bytes += data
        surplus = len(self._bytes) - MAXIMUM_LOG_BYTES - self._margin
        if surplus > MAXIMUM_LOG_BYTES:
            del self._bytes[:surplus]
            self._is_cut = True

    def record(self, level: str, message: str) -> None:
        """Take a record of the call's logger."""
        self.write(f"{level}: {message}\n".encode("utf-8", "backslashreplace"))

    def hide(self, redaction: Redaction) -> None:
        """Hide other secrets from now on, also in what was printed before."""
        self._redaction = redaction
        self._margin = 4 * redaction.longest

    def settled_text(self) -> str:
        """The tail without its last characters, if a secret may just be printed there."""
        text = self.text()
        return text[: -self._redaction.longest] if self._redaction else text

    def text(self) -> str:
        """The tail of what was printed."""
        if not self._bytes:
            return ""
        text = self._bytes.decode("utf-8", "backslashreplace")
        if self._is_cut:
            begun = len(self._bytes[: self._margin].decode("utf-8", "backslashreplace"))
            text = text[self._redaction.end_of_match_at(text, begun) :]
        return self._redaction.text(text)[-MAXIMUM_LOG_BYTES:]


def _members(secret: str) -> Iterator[str]:
    """The longer texts in a secret that is a JSON document, which may be printed anew."""
    try:
        pending: list[JsonValue] = [parse_json(secret)]
    except ValueError:
        return
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            if len(value) >= MINIMUM_MEMBER_LENGTH and value != secret:
                yield value
        elif isinstance(value, Mapping):
            pending += value.values()
        elif isinstance(value, Sequence):
            pending += value


def _forms(secret: str) -> Iterator[str]:
    """How a secret may be written."""
    lines = [line.strip() for line in secret.splitlines()]
    parts = [line for line in lines if len(line) >= MINIMUM_LINE_LENGTH and not _is_frame(line)]
    for text in dict.fromkeys((secret, secret.strip(), *parts)):
        if len(text) < MINIMUM_HIDDEN_LENGTH:
            continue
        encoded = text.encode("utf-8", "surrogateescape")
        percent = {quote(encoded, safe=""), quote(encoded), quote_plus(encoded)}
        yield text
        yield repr(text)[1:-1]
        yield repr(encoded)[2:-1]
        yield json.dumps(text)[1:-1]
        yield json.dumps(text, ensure_ascii=False)[1:-1]
        yield from percent
        yield from (re.sub("%[0-9A-F]{2}", lambda m: m[0].lower(), form) for form in percent)
        yield from _in_base64(encoded)


def _in_base64(secret: bytes) -> Iterator[str]:
    """What of a secret's base64 does not depend on what stands before and behind it."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            whole = encode(b"\0" * before + secret).decode()
            start = -(-before * 8 // 6)
            end = (before + len(secret)) * 8 // 6
            form = whole[start:end]
            if len(form) >= MINIMUM_LINE_LENGTH or before == 0:
                yield form
        yield encode(secret).decode().rstrip("=")


def _is_frame(line: str) -> bool:
    """Whether a line only says what begins or ends, as in a PEM file (RFC 7468)."""
    return line.startswith("-----") and line.endswith("-----")


def _stands_alone(form: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(form)}(?!\w)", text) is not None
