"""Descriptors."""

from __future__ import annotations

import pytest

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest, InvalidDigest
from multiarch_oci.document import Document, InvalidDocument
from multiarch_oci.platform import InvalidPlatform, Platform

HEX = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
FULL: dict[str, object] = {
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "digest": f"sha256:{HEX}",
    "size": 3,
    "urls": ["https://example.com/x"],
    "annotations": {"z": "1", "a": "2"},
    "platform": {"architecture": "amd64", "os": "windows", "os.version": "10.0.20348.1"},
    "artifactType": "application/x",
}


def read(**changes: object) -> Descriptor:
    return Descriptor.from_json(Document.of({**FULL, **changes}, where="file"))


def test_every_member_is_read_and_written_back_in_order():
    found = read()
    assert found == Descriptor(
        "application/vnd.oci.image.manifest.v1+json",
        Digest.of(b"abc"),
        3,
        Platform("windows", "amd64", os_version="10.0.20348.1"),
        (("z", "1"), ("a", "2")),
        ("https://example.com/x",),
        "application/x",
    )
    assert found.to_json() == FULL
    assert list(found.to_json()) == list(FULL)


def test_what_is_empty_is_not_written():
    assert Descriptor.of("a/b", b"abc").to_json() == {"mediaType": "a/b", "digest": f"sha256:{HEX}", "size": 3}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"size": None}, "file: has no 'size' of at least 0"),
        ({"size": -1}, "file: has no 'size' of at least 0"),
        ({"size": "3"}, "file: 'size' is a string, not a whole number"),
        ({"mediaType": ""}, "file: has no 'mediaType'"),
        ({"digest": None}, "file: has no 'digest'"),
        ({"digest": "sha256:x"}, "'sha256:x' is not a sha256 or sha512 digest"),
        ({"platform": {"os": "linux"}}, "a platform object has no 'architecture'"),
        ({"annotations": {"a": 1}}, "file: 'annotations.a' is a number, not a string"),
    ],
)
def test_what_is_no_descriptor_is_refused(changes: dict[str, object], text: str):
    with pytest.raises((InvalidDocument, InvalidDigest, InvalidPlatform)) as caught:
        read(**changes)
    assert str(caught.value) == text


def test_embedded_data_is_not_believed():
    assert read(data="eHl6") == read()


def test_bare_descriptors_of_equal_bytes_are_equal():
    assert read().bare() == read(platform=None, annotations={"other": "1"}, artifactType=None).bare()
    assert read().bare().urls == ("https://example.com/x",)


def test_an_annotation_can_be_asked_for():
    assert read().annotation("a") == "2"
    assert read().annotation("b") is None
