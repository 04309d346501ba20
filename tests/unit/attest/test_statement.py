"""in-toto statements: equal contents are equal bytes, and what others hand in is checked."""

from __future__ import annotations

import json

import pytest

from multiarch_oci.attest.statement import COSIGN_SIGNATURE, PROVENANCE, Statement, Subject, statement
from multiarch_oci.digest import Digest
from multiarch_oci.document import InvalidDocument

DIGEST = Digest.of(b"a manifest")


def test_a_statement_is_written_as_the_specification_says():
    assert json.loads(statement(DIGEST, "demo", COSIGN_SIGNATURE, {})) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "demo", "digest": {"sha256": DIGEST.hex}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    }


def test_equal_predicates_are_equal_bytes_in_whatever_order_they_were_made():
    one = statement(DIGEST, "demo", PROVENANCE, {"a": {"x": 1, "y": [2]}, "b": "é"})
    assert one == statement(DIGEST, "demo", PROVENANCE, {"b": "é", "a": {"y": [2], "x": 1}})
    assert b" " not in one
    assert "é".encode() in one


def test_what_was_written_is_read():
    read = Statement.parse(statement(DIGEST, "demo", PROVENANCE, {"a": 1}), where="x")
    assert read == Statement((Subject("demo", (("sha256", DIGEST.hex),)),), PROVENANCE, {"a": 1})
    assert read.names(DIGEST)
    assert not read.names(Digest.of(b"another"))
    assert not read.names(Digest.of(b"a manifest", "sha512"))


def test_the_older_statements_of_cosign_are_read():
    text = statement(DIGEST, "demo", PROVENANCE, {}).replace(b"Statement/v1", b"Statement/v0.1")
    assert Statement.parse(text, where="x").names(DIGEST)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[]", "x: is a list, not a JSON object"),
        (b"{}", "x: has no '_type'"),
        (b'{"_type": "https://example.com/v9"}', "x: has the type 'https://example.com/v9', not"),
        (b'{"_type": "https://in-toto.io/Statement/v1", "predicateType": "a"}', "x: names no subject by digest"),
        (b'{"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": "a"}]}', "x: names no subject by digest"),
        (b'{"_type": "https://in-toto.io/Statement/v1", "subject": [{"digest": {"sha256": 1}}]}', "not a string"),
        (b'{"_type": "https://in-toto.io/Statement/v1", "subject": 1}', "not a list"),
        (b"[" * 100_000, "x: is not JSON"),
    ],
)
def test_what_is_no_statement_is_an_error(content: bytes, words: str):
    with pytest.raises(InvalidDocument) as error:
        Statement.parse(content, where="x")
    assert words in str(error.value)


def test_a_name_that_is_no_utf_8_is_an_error():
    with pytest.raises(InvalidDocument, match="no UTF-8"):
        statement(DIGEST, "demo", PROVENANCE, {"file": "\udcff"})
