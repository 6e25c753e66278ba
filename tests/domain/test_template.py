"""References in texts of workflows."""

from __future__ import annotations

import pytest

from onex.domain.template import TemplateSyntaxError, references_in, render


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("$${{item}}{{", "$7{{"),
        ("{${{ item }}}", "{7}"),
        ("$${{item}}$", "$7$"),
        ("${{item}}{{${{item}}", "7{{7"),
        ("$ {{ item }}", "$ {{ item }}"),
    ],
)
def test_text_around_references_stays_as_it_is(text: str, rendered: str) -> None:
    list(references_in(text))
    assert render(text, lambda _: 7) == rendered


@pytest.mark.parametrize("text", ["${{ item", "${{ item }} ${{", "a ${{ {} }}", "${{${{item}}"])
def test_a_reference_that_is_not_closed_is_refused(text: str) -> None:
    with pytest.raises(TemplateSyntaxError):
        list(references_in(text))
