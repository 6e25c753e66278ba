"""The words by which nodes are found, as both the index and the query see them."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAXIMUM_WORD_LENGTH = 64
MAXIMUM_WORDS = 2_000

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case; ``parseFile_v2`` gives parse, file and v2."""
    found = _WORD.findall(_CAMEL.sub(" ", text))
    return [word.lower()[:MAXIMUM_WORD_LENGTH] for word in found[:MAXIMUM_WORDS]]


def joined(texts: Iterable[str]) -> str:
    """The words of several texts in one."""
    return " ".join(word for text in texts for word in words_of(text))
