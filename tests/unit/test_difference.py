"""The first difference of two images, in words."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

import pytest

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.difference import Side, first_difference, in_documents
from multiarch_oci.mediatype import CONFIG, LAYER_TAR, MANIFEST
from multiarch_oci.store.memory import Memory

FILES: dict[str, bytes] = {"etc/a": b"one", "etc/b": b"two"}


def layer(files: Mapping[str, bytes], mode: int = 0o644) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            archive.addfile(info, io.BytesIO(content))
    return sink.getvalue()


def side(layers: list[bytes], config: Mapping[str, Any], **more: Any) -> Side:
    store = Memory("memory")

    def put(media_type: str, content: bytes) -> Descriptor:
        descriptor = Descriptor.of(media_type, content)
        store.put(descriptor, lambda: io.BytesIO(content))
        return descriptor

    blobs = [put(LAYER_TAR, content).to_json() for content in layers]
    described = put(CONFIG, json.dumps(config).encode())
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described.to_json(), "layers": blobs, **more}
    return Side(store, put(MANIFEST, json.dumps(manifest).encode()), "an image")


CONFIGURED = {"config": {"Env": ["A=1"], "User": "1"}, "os": "linux"}
SAME = side([layer(FILES)], CONFIGURED)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (side([layer(FILES)], CONFIGURED), None),
        (side([layer(FILES | {"etc/b": b"twx"})], CONFIGURED), "layer 1, 'etc/b': byte 2"),
        (side([layer(FILES | {"etc/b": b"twofold"})], CONFIGURED), "layer 1, 'etc/b': byte 3, 3 and 7 bytes long"),
        (side([layer(FILES, 0o755)], CONFIGURED), "layer 1, 'etc/a': mode 0644, in the other 0755"),
        (side([layer(FILES | {"x": b""})], CONFIGURED), "layer 1, 'x' is in one of the two alone"),
        (side([layer({"etc/z": b"", **FILES})], CONFIGURED), "layer 1, 'etc/a' stands where the other has 'etc/z'"),
        (side([layer(FILES) + bytes(512)], CONFIGURED), "layer 1: packed in another way, with the same contents"),
        (side([layer(FILES), layer({})], CONFIGURED), "1 layers in an image, 2 in an image"),
        (
            side([layer(FILES)], {**CONFIGURED, "config": {"Env": ["A=1", "B=\x1b"], "User": "1"}}),
            "config.config.Env[1]: nothing, in the other 'B=\\x1b'",
        ),
        (
            side([layer(FILES)], {**CONFIGURED, "config": {"Env": ["A=1"], "User": 1}}),
            "config.config.User: '1', in the other '1'",
        ),
        (
            side([layer(FILES)], CONFIGURED, annotations={"a": "b"}),
            "manifest.annotations: nothing, in the other \"{'a': 'b'}\"",
        ),
    ],
)
def test_the_first_difference_is_named(other: Side, words: str | None):
    assert first_difference(SAME, other) == words


def test_documents_that_say_the_same_have_no_difference():
    assert in_documents("index", b'{"a":1,"b":2}', b'{"b": 2, "a": 1}') is None
