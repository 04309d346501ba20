"""Media types."""

from __future__ import annotations

import pytest

from multiarch_oci import mediatype


@pytest.mark.parametrize(
    ("media_type", "index", "manifest", "foreign"),
    [
        (mediatype.INDEX, True, False, False),
        (mediatype.DOCKER_INDEX, True, False, False),
        (mediatype.MANIFEST, False, True, False),
        (mediatype.DOCKER_MANIFEST, False, True, False),
        (mediatype.LAYER_GZIP, False, False, False),
        (mediatype.LAYER_FOREIGN, False, False, True),
        (mediatype.LAYER_FOREIGN_GZIP, False, False, True),
        (mediatype.DOCKER_LAYER_FOREIGN, False, False, True),
        ("", False, False, False),
        ("text/plain", False, False, False),
    ],
)
def test_what_a_media_type_is(media_type: str, index: bool, manifest: bool, foreign: bool):
    said = (mediatype.is_index(media_type), mediatype.is_manifest(media_type), mediatype.is_foreign(media_type))
    assert said == (index, manifest, foreign)


@pytest.mark.parametrize(
    ("docker", "oci"),
    [
        (mediatype.DOCKER_INDEX, "application/vnd.oci.image.index.v1+json"),
        (mediatype.DOCKER_MANIFEST, "application/vnd.oci.image.manifest.v1+json"),
        (mediatype.DOCKER_CONFIG, "application/vnd.oci.image.config.v1+json"),
        (mediatype.DOCKER_LAYER_GZIP, "application/vnd.oci.image.layer.v1.tar+gzip"),
        (mediatype.DOCKER_LAYER_TAR, "application/vnd.oci.image.layer.v1.tar"),
        (mediatype.DOCKER_LAYER_FOREIGN, "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
        ("application/vnd.oci.image.layer.v1.tar+zstd", "application/vnd.oci.image.layer.v1.tar+zstd"),
        ("text/plain", "text/plain"),
    ],
)
def test_the_oci_name_of_docker_types(docker: str, oci: str):
    assert mediatype.to_oci(docker) == oci
