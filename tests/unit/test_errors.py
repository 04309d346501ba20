"""The base of all errors that people read."""

from __future__ import annotations

import pytest

from multiarch.errors import MultiarchError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (MultiarchError("it broke"), "it broke"),
        (MultiarchError("it broke", where="file:7"), "file:7: it broke"),
        (MultiarchError("it broke", hint="mend it"), "it broke\n  hint: mend it"),
        (MultiarchError("it broke", where="file:7", hint="mend it"), "file:7: it broke\n  hint: mend it"),
    ],
)
def test_the_text_says_where_what_and_what_to_do(error: MultiarchError, text: str):
    assert str(error) == text


def test_the_three_parts_can_be_asked_for():
    error = MultiarchError("it broke", where="file:7", hint="mend it")
    assert (error.what, error.where, error.hint) == ("it broke", "file:7", "mend it")
