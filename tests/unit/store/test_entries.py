"""`index.json` as a list of entries; what a layout does with it is in test_layout.

OCI image spec 1.1, image-layout.md, "index.json file".
"""

from __future__ import annotations

import pytest

from multiarch_oci.document import LIMIT
from multiarch_oci.mediatype import DOCKER_MANIFEST, INDEX, MANIFEST
from multiarch_oci.store.entries import Entries, InvalidLayout, check_marker, manifest_type, marker
from samples import sample


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (sample().manifest.to_json(), MANIFEST),
        (b'{"mediaType":"%s","config":{},"layers":[]}' % DOCKER_MANIFEST.encode(), DOCKER_MANIFEST),
        (b'{"config":{},"layers":[]}', MANIFEST),
        (b'{"manifests":[]}', INDEX),
        (b'{"mediaType":"text/plain","manifests":[]}', None),
        (b'{"mediaType":7,"manifests":[]}', None),
        (sample().config.to_json(), None),
        (b'{"layers":[]}', None),
        (b"[]", None),
        (b"\x1f\x8b\x08", None),
        (b"", None),
        (b'{"manifests":[]}' + b" " * LIMIT, None),
    ],
)
def test_a_manifest_is_known_by_what_it_says_or_how_it_looks(content: bytes, media_type: str | None):
    assert manifest_type(content) == media_type


def test_a_layout_of_a_later_minor_version_is_read():
    assert b"1.1.0" not in marker()
    for content in (b'{"imageLayoutVersion":"1.1.0"}', marker()):
        check_marker(content, where="x")
    with pytest.raises(InvalidLayout):
        check_marker(b'{"imageLayoutVersion":"2.0.0"}', where="x")


def test_bytes_without_change_are_the_same_json():
    content = b'{"schemaVersion":2,"manifests":[{"mediaType":"x","odd":[1,null]}],"more":{"a":1.5}}'
    assert Entries.parse(content, where="x").to_json() == content


def test_changing_makes_another_and_leaves_the_first():
    first = Entries.empty(where="x")
    second = first.tagged("1.0", sample().root)
    assert first.named("1.0") is None
    assert second.named("1.0") is not None
    assert second.tagged("1.0", sample().root) == second
