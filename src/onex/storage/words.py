"""The words by which nodes are found, as both the index and the query see them."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable

MAXIMUM_WORD_LENGTH = 64
MAXIMUM_WORDS = 2_000

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case; ``parseFile_v2`` gives parse, file and v2."""
    found = _WORD.findall(_CAMEL.sub(" ", text).lower())
    return [word[:MAXIMUM_WORD_LENGTH] for word in found[:MAXIMUM_WORDS]]


def joined(texts: Iterable[str]) -> str:
    """The words of several texts in one."""
    return " ".join(word for text in texts for word in words_of(text))


def neighbours_of(word: str) -> set[str]:
    """The words that are one slip of the fingers away, and the word itself.

    A slip leaves a character out, adds one, takes another one, or swaps two
    (F. J. Damerau, "A technique for computer detection and correction of spelling errors",
    1964). Characters are those of the word, the letters of English and the digits.
    """
    characters = sorted({*string.ascii_lowercase, *string.digits, *word})
    splits = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    found = {word}
    found.update(start + end[1:] for start, end in splits if end)
    found.update(start + end[1] + end[0] + end[2:] for start, end in splits if len(end) > 1)
    found.update(start + c + end[1:] for start, end in splits if end for c in characters)
    found.update(start + c + end for start, end in splits for c in characters)
    return found - {""}
