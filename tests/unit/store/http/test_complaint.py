"""What a refusal says, and what is added to it.

OCI distribution spec 1.1: "Error Codes".
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiarch.store.http.complaint import complaint, hint_for

ABSENT = "make the repository (or its project) there first: this registry does not do it at a push"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ({"code": "X", "message": "y", "detail": "z"}, "400 X: y (z)"),
        ({"code": "X", "message": "y", "detail": {"reason": "z"}}, "400 X: y (z)"),
        ({"code": "X", "message": "no tag v1", "detail": "no tag"}, "400 X: no tag v1"),
        ({"code": "X", "message": "y", "detail": {"Name": "a"}}, "400 X: y"),
        ({"code": "X", "message": "y", "detail": [1]}, "400 X: y"),
        ({"code": 4, "message": ["y"]}, "400"),
        ({}, "400"),
        (None, "400"),
        (7, "400"),
        ("y", "400 y"),
    ],
)
def test_an_error_is_said_in_one_line(error: object, said: str) -> None:
    assert complaint(400, json.dumps({"errors": [error]}).encode()) == said


@given(st.one_of(st.binary(max_size=300), st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9),
       lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["errors", "code", "message", "detail", "error"]), inner)).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_whatever_is_answered_is_no_failure(content: bytes) -> None:
    assert complaint(500, content).startswith("500")


def test_markup_and_bytes_that_are_no_text_are_left_out() -> None:
    assert complaint(502, b"  <!DOCTYPE html><html>") == "502"
    assert complaint(502, bytes(range(128, 200))) == "502"
    assert complaint(502, b"bad gateway\nmore") == "502 bad gateway"
    assert complaint(502, b"502 Bad Gateway\r\n") == "502 Bad Gateway"
    assert complaint(502, b"a" * 9000) == "502 " + "a" * 200


@pytest.mark.parametrize(
    ("status", "said", "action", "hint"),
    [
        (404, "404", "push", ABSENT),
        (400, "400 NAME_UNKNOWN: no", "push", ABSENT),
        (404, "404 NAME_UNKNOWN: no", "pull", None),
        (404, "404 MANIFEST_BLOB_UNKNOWN: no", "push", None),
        (400, "400 DIGEST_INVALID: no", "push", None),
    ],
)
def test_a_hint_is_for_whoever_can_do_something(status: int, said: str, action: str, hint: str | None) -> None:
    assert hint_for(status, said, action) == hint
