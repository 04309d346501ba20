"""Manifests."""

from __future__ import annotations

import json

import pytest

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.document import InvalidDocument
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import CONFIG, DOCKER_MANIFEST, INDEX, LAYER_GZIP, MANIFEST

CONF = Descriptor.of(CONFIG, b"{}")
LAYERS = (Descriptor.of(LAYER_GZIP, b"1"), Descriptor.of(LAYER_GZIP, b"2"), Descriptor.of(LAYER_GZIP, b"1"))
MADE = Manifest(CONF, LAYERS, (("b", "1"), ("a", "2")))


def test_a_manifest_made_here_has_exact_bytes():
    config, first, second = CONF.digest, LAYERS[0].digest, LAYERS[1].digest
    layer = '{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{}","size":1}}'.format
    assert MADE.to_json().decode() == (
        '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
        f'"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},'
        f'"layers":[{layer(first)},{layer(second)},{layer(first)}],"annotations":{{"b":"1","a":"2"}}}}'
    )
    assert MADE.descriptor() == Descriptor(MANIFEST, Digest.of(MADE.to_json()), len(MADE.to_json()))


def test_the_bytes_that_were_read_are_kept():
    content = json.dumps(json.loads(MADE.to_json()), indent=3).encode()
    found = Manifest.from_json(content, where="x")
    assert found.to_json() == content
    assert (found.config, found.layers, found.annotations) == (CONF, LAYERS, MADE.annotations)
    assert found.descriptor() == Descriptor.of(MANIFEST, content)


def test_every_blob_is_named_once_the_config_last():
    assert MADE.blobs() == (LAYERS[0], LAYERS[1], CONF)


def changed(**changes: object) -> bytes:
    members = {**json.loads(MADE.to_json()), **changes}
    return json.dumps({key: value for key, value in members.items() if value is not None}).encode()


def test_a_manifest_without_media_type_is_what_it_was_served_as():
    content = changed(mediaType=None)
    assert Manifest.from_json(content, where="x").media_type == MANIFEST
    assert Manifest.from_json(content, where="x", media_type=DOCKER_MANIFEST).media_type == DOCKER_MANIFEST


@pytest.mark.parametrize(
    ("content", "served", "text"),
    [
        (changed(), DOCKER_MANIFEST, f"x: says it is {MANIFEST}, but was served as {DOCKER_MANIFEST}"),
        (changed(mediaType=INDEX), None, f"x: is {INDEX}, not the manifest of an image"),
        (changed(mediaType=None), INDEX, f"x: is {INDEX}, not the manifest of an image"),
        (changed(config=None), None, f"x: is {MANIFEST}, not the manifest of an image"),
        (changed(manifests=[]), None, f"x: is {MANIFEST}, not the manifest of an image"),
        (changed(layers=[{}]), None, "x: layers[0]: has no 'size' of at least 0"),
    ],
)
def test_what_is_no_manifest_is_refused(content: bytes, served: str | None, text: str):
    with pytest.raises(InvalidDocument) as caught:
        Manifest.from_json(content, where="x", media_type=served)
    assert str(caught.value) == text
