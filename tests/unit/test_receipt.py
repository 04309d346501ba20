"""Receipts."""

from __future__ import annotations

import pytest

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest, InvalidDigest
from multiarch_oci.document import InvalidDocument
from multiarch_oci.mediatype import MANIFEST
from multiarch_oci.platform import Platform
from multiarch_oci.receipt import Intent, Receipt
from multiarch_oci.reference import InvalidReference, Reference

DESCRIPTOR = Descriptor.of(MANIFEST, b"abc")
RECEIPT = Receipt(Reference.parse("registry.example:5000/team/demo:1.0-arm64"), DESCRIPTOR)
TEXT = """{
  "reference": "registry.example:5000/team/demo:1.0-arm64",
  "descriptor": {
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "digest": "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "size": 3
  }
}
"""


def test_a_receipt_is_a_readable_file_without_time_and_host():
    assert RECEIPT.to_json().decode() == TEXT


def test_what_was_written_is_read():
    assert Receipt.from_json(RECEIPT.to_json(), where="x") == RECEIPT
    windows = Descriptor(
        MANIFEST, DESCRIPTOR.digest, 3, Platform("windows", "amd64", os_version="10.0.1.1"), (("a", "b"),)
    )
    full = Receipt(RECEIPT.reference.with_digest(DESCRIPTOR.digest), windows)
    assert Receipt.from_json(full.to_json(), where="x") == full


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"{}", "receipt.json: has no 'reference'"),
        (b'{"reference":"a/b:1"}', "receipt.json: has no 'descriptor'"),
        (b"", "receipt.json: is not JSON: Expecting value: line 1 column 1 (char 0)"),
    ],
)
def test_half_a_receipt_is_refused(content: bytes, text: str):
    with pytest.raises(InvalidDocument) as caught:
        Receipt.from_json(content, where="receipt.json")
    assert str(caught.value) == text


def test_a_reference_that_is_none_is_refused():
    with pytest.raises(InvalidReference):
        Receipt.from_json(TEXT.replace("team/demo", "Team/Demo").encode(), where="x")


def test_an_intent_names_all_that_a_tag_may_hold():
    intent = Intent(RECEIPT.reference, (Digest.of(b"one"), Digest.of(b"two")))
    assert Intent.from_json(intent.to_json(), where="x") == intent
    assert intent.to_json().decode() == (
        '{\n  "reference": "registry.example:5000/team/demo:1.0-arm64",\n  "digests": [\n'
        f'    "{Digest.of(b"one")}",\n    "{Digest.of(b"two")}"\n  ]\n}}\n'
    )


def test_an_intent_of_no_digest_is_refused():
    with pytest.raises(InvalidDigest):
        Intent.from_json(b'{"reference":"a.b/c:1","digests":["abc"]}', where="x")
