"""The other spellings of a word."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from onex.storage.node_record import neighbours_of

words = st.text(string.ascii_lowercase + string.digits + "äß", min_size=1, max_size=8)
letters = st.sampled_from(string.ascii_lowercase + string.digits)


@given(words, st.data())
def test_every_slip_of_the_fingers_is_a_neighbour(word: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(word) - 1))
    letter = data.draw(letters)
    slips = {
        word[:place] + letter + word[place:],
        word[:place] + letter + word[place + 1 :],
        word[:place] + word[place + 1 :],
        word[:place] + word[place : place + 2][::-1] + word[place + 2 :],
        word,
    }
    assert slips - {""} <= neighbours_of(word)


@given(words)
def test_a_word_is_its_own_neighbour_and_no_neighbour_is_empty_or_far(word: str) -> None:
    found = neighbours_of(word)
    assert word in found
    assert all(abs(len(other) - len(word)) <= 1 and other for other in found)
