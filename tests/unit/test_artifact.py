"""The manifests of artifacts (OCI image spec 1.1, manifest.md: "Guidelines for Artifact Usage")."""

from __future__ import annotations

import json

import pytest

from multiarch_oci.artifact import EMPTY_CONFIG, Artifact
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.document import InvalidDocument
from multiarch_oci.mediatype import BUNDLE, MANIFEST

SUBJECT = Descriptor.of(MANIFEST, b"subject")
LAYER = Descriptor.of(BUNDLE, b"layer")


def test_equal_artifacts_are_equal_bytes_whatever_the_order_of_their_annotations():
    one = Artifact.of(BUNDLE, SUBJECT, LAYER, {"b": "2", "a": "1"})
    other = Artifact.of(BUNDLE, SUBJECT, LAYER, {"a": "1", "b": "2"})
    assert one.to_json() == other.to_json()


def test_what_is_written_is_these_bytes_in_every_version():
    # Other bytes are another digest: what is attached everywhere would be attached once more.
    assert Artifact.of("a/b", Descriptor.of("c/d", b"s"), Descriptor.of("e/f", b"l"), {"n": "x"}).to_json() == (
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"a/b",'
        b'"config":{"mediaType":"application/vnd.oci.empty.v1+json",'
        b'"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,'
        b'"artifactType":"a/b"},"layers":[{"mediaType":"e/f",'
        b'"digest":"sha256:acac86c0e609ca906f632b0e2dacccb2b77d22b0621f20ebece1a4835b93f6f0","size":1}],'
        b'"subject":{"mediaType":"c/d",'
        b'"digest":"sha256:043a718774c572bd8a25adbeb1bfcd5c0256ae11cecf9f9c3f925d0e52beaf89","size":1},'
        b'"annotations":{"n":"x"}}'
    )


def test_the_empty_config_is_that_of_the_specification():
    assert str(EMPTY_CONFIG.digest) == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_the_descriptor_of_an_artifact_says_what_it_is():
    made = Artifact.of(BUNDLE, SUBJECT, LAYER, {"note": "x"})
    descriptor = made.descriptor()
    assert (descriptor.artifact_type, descriptor.annotations) == (BUNDLE, (("note", "x"),))
    assert descriptor.bare() == Descriptor.of(MANIFEST, made.to_json())


def test_an_artifact_reads_back_as_its_exact_bytes():
    content = json.dumps(json.loads(Artifact.of(BUNDLE, SUBJECT, LAYER).to_json()), indent=3).encode()
    read = Artifact.from_json(content, where="x")
    assert (read.artifact_type, read.subject, read.layers) == (BUNDLE, SUBJECT, (LAYER,))
    assert read.to_json() == content


def test_the_type_of_an_older_artifact_is_that_of_its_config():
    members = json.loads(Artifact.of(BUNDLE, SUBJECT, LAYER).to_json())
    del members["artifactType"]
    members["config"]["mediaType"] = "application/x-older"
    assert Artifact.from_json(json.dumps(members).encode(), where="x").artifact_type == "application/x-older"


@pytest.mark.parametrize("change", [{"subject": None}, {"config": None}, {"manifests": []}, {"mediaType": "text/x"}])
def test_what_refers_to_nothing_is_no_artifact(change: dict[str, object]):
    members = json.loads(Artifact.of(BUNDLE, SUBJECT, LAYER).to_json()) | change
    with pytest.raises(InvalidDocument, match="refers to no subject"):
        Artifact.from_json(json.dumps(members).encode(), where="x")
