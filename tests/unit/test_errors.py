"""The base of all errors that people read."""

from __future__ import annotations

import pytest

from multiarch_oci.errors import MultiarchError, holds_login, public, quoted


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://u:PW@host/x", "http://***@host/x"),
        ("http://u:a/PW@host", "http://***@host"),
        ("https://PW@host", "https://***@host"),
        ("u:PW@host:5000/team", "***@host:5000/team"),
        ("PW@host", "***@host"),
        ("u:a@PW@host", "***@host"),
        ("u%3APW%40host", "***%40host"),
        ("https://u%3apw%40host/x", "https://***%40host/x"),
        (f"u:PW@host/x@sha256:{'0' * 64}", f"***@host/x@sha256:{'0' * 64}"),
        (f"host/x:1@sha256:{'0' * 64}", f"host/x:1@sha256:{'0' * 64}"),
        ("host/x@sha512:short", "host/x@sha512:short"),
        ("host:5000/x", "host:5000/x"),
        ("x" * 400, "x" * 299 + "…"),
        ("a\0b", "a\\x00b"),
    ],
)
def test_what_a_user_wrote_is_quoted_without_its_login(text: str, shown: str):
    assert quoted(text) == f"'{shown}'"
    assert holds_login(text) == ("***" in shown)


def test_the_passwords_of_urls_are_in_no_error():
    error = MultiarchError("no https://u:PW@host/x", where="http://PW@host", hint="see tcp://u:PW@h and ssh://me@host")
    assert str(error) == "http://***@host: no https://***@host/x\n  hint: see tcp://***@h and ssh://me@host"
    assert public("user@host") == "user@host"
    assert public("/tree/http:/u:PW@host/x") == "/tree/http:/***@host/x"


def test_what_is_said_anew_of_an_error_holds_no_password_either():
    error = MultiarchError("is not there", where="base")
    error.what = f"http://u:correct-horse@host/a cannot be read: {error.what}"
    error.where = "http://u:correct-horse@host"
    error.hint = "see http://u:correct-horse@host"
    assert "correct-horse" not in str(error)
    assert str(error).startswith("http://***@host: http://***@host/a cannot be read: is not there")
