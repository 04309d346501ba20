"""What a refusal says, and what is added to it.

OCI distribution spec 1.1: "Error Codes".
"""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiarch_oci.store.http.errors import complaint
from multiarch_oci.store.http.refusals import hint_for

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


PAGES = [
    ("<html><head><title>403 Forbidden</title></head><body>nginx</body></html>", "403 Forbidden"),
    (
        "<!DOCTYPE html>\n<HTML><TITLE lang=en>\n  Access\n denied &mdash; by &lt;policy&gt; </TITLE>",
        "403 Access denied — by <policy>",
    ),
    (
        "<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>No &amp; never</Message></Error>",
        "403 AccessDenied: No & never",
    ),
    (
        "<title>403 Forbidden</title><h1>403 Forbidden</h1><p>No access from your country</p><hr>nginx",
        "403 No access from your country",
    ),
    ("<title>403 forbidden</title><h1>403 Forbidden</h1><hr>nginx", "403 forbidden"),
    ("<title>404 Not Found</title><p>behind 403", "403 behind 403"),
    ("<title>403 Forbidden by policy 7</title><p>more", "403 Forbidden by policy 7"),
    ("<html><body><h1>Blocked</h1><p>by the firewall</p></body></html>", "403 Blocked"),
    (
        "<html><head><title></title></head><body><p>The <b>proxy</b> wants a <a href='x'>login</a>.</p>",
        "403 The proxy wants a login.",
    ),
    ("<html><head><title>Error</title></head><body>Too many connections<br>Ask again", "403 Too many connections"),
    ("<html><head><style>a {b: c}</style><script>var x = '<p>no</p>'</script></head><p>yes", "403 yes"),
    ("<!-- <title>hidden</title> --><title>shown</title>", "403 shown"),
    ("<html><title>500</title><center>nginx/1.18.0</center></html>", "403"),
    ("<html>", "403"),
    ("<title>never closed", "403 never closed"),
    ("<" * 5000, "403"),
    ("<title>" + "a" * 5000, "403 " + "a" * 200),
    ("\ufeff<html><title>marked</title>", "403 marked"),
    ("Sorry: <html><title>first</title></html>", "403 first"),
    ("<title>\x1b[31mred\x07 \u202eturned&#27;[0m&#8238;</title>", "403 [31mred turned[0m"),
    ("\r\n\r\n upstream connect error\r\nreset", "403 upstream connect error"),
    ("\x1b]0;a title\x07plain", "403 ]0;a title plain"),
]


@pytest.mark.parametrize(("page", "said"), PAGES)
def test_a_page_is_said_by_its_first_readable_line(page: str, said: str) -> None:
    assert complaint(403, page.encode()) == said


def test_a_page_in_another_encoding_is_read_as_far_as_it_can_be() -> None:
    assert (
        complaint(403, "<title>Zugriff verweigert für dich</title>".encode("latin-1"))
        == "403 Zugriff verweigert f?r dich"
    )
    assert complaint(403, "<title>Доступ</title>".encode("utf-16")) == "403 Доступ"


@pytest.mark.parametrize(
    "start", ["<title>", "<!--", "<script", "<script>", "<p ", "<title", "<Code>", "&", "<svg><svg"]
)
def test_a_page_that_repeats_itself_is_read_in_no_time(start: str) -> None:
    begin = time.process_time()
    complaint(403, start.encode() * 100_000)
    assert time.process_time() - begin < 2.0


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
