"""Answers: their length, their addresses, and bodies that come compressed.

RFC 9110 §8.4 (Content-Encoding), §8.6 (Content-Length), §10.2.2 (Location).
"""

from __future__ import annotations

import gzip

import pytest

from multiarch_oci.store.http.exchange import Answer, Headers, decoded


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ({"Content-Length": "12"}, 12),
        ({"Content-Length": "0"}, 0),
        ({"Content-Length": "-1"}, None),
        ({}, None),
        ({"Content-Length": "12", "Content-Encoding": "gzip"}, None),
    ],
)
def test_the_length_is_that_of_the_content(headers: dict[str, str], length: int | None) -> None:
    assert Answer(200, headers, b"", "https://r.example/").length == length


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", " GZIP "])
def test_a_compressed_body_is_taken_apart(coding: str) -> None:
    assert decoded({"Content-Encoding": coding}, gzip.compress(b"{}"), 100) == b"{}"


def test_a_compressed_body_is_bounded() -> None:
    bomb = gzip.compress(bytes(10_000_000))
    assert len(decoded({"Content-Encoding": "gzip"}, bomb, 1000)) == 1001


def test_what_only_says_that_it_is_compressed_is_left_as_it_is() -> None:
    assert decoded({"Content-Encoding": "gzip"}, b"{}", 100) == b"{}"
    packed = gzip.compress(b"{}")
    assert decoded({"Content-Encoding": "br"}, packed, 100) == packed
    assert decoded({}, packed, 100) == packed


def test_headers_are_found_in_any_case_and_several_of_one_name_are_a_list() -> None:
    headers = Headers([("Link", "<a>"), ("Content-Type", "text/plain"), ("LINK", "<b>")])
    assert (headers["link"], headers.get("CONTENT-TYPE"), headers.get("Location")) == ("<a>, <b>", "text/plain", None)
    assert (list(headers), len(headers), "Content-type" in headers) == (["link", "content-type"], 2, True)
