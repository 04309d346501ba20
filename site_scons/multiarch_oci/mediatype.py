"""Media types of the OCI image spec 1.1 (media-types.md), Docker's schema 2 and attestations; spelled only here."""

from __future__ import annotations

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar"
LAYER_FOREIGN_GZIP = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"

DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER_TAR = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

IN_TOTO = "application/vnd.in-toto+json"
"""The payload of a DSSE envelope that holds a statement (in-toto attestation spec, v1/envelope.md)."""
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
"""A signature with what verifies it (sigstore/cosign, specs/BUNDLE_SPEC.md)."""
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
"""What cosign before 3 signs (sigstore/cosign, specs/SIGNATURE_SPEC.md)."""
EMPTY = "application/vnd.oci.empty.v1+json"
"""The config of an artifact (OCI image spec 1.1, manifest.md: "Guidance for an Empty Descriptor")."""
SPDX_JSON = "application/spdx+json"
CYCLONEDX_JSON = "application/vnd.cyclonedx+json"
"""The artifact types under which scanners look for plain SBOMs."""

OCTETS = "application/octet-stream"
JSON = "application/json"
ACTION = "application/vnd.multiarch.action.v1+json"
"""The artifactType of an entry of a shared cache."""
ACTION_PREDICATE = "https://pypi.org/project/scons-multiarch/#action-v1"
"""The predicate type of the statement by which such an entry is signed."""
ACTION_LIST = "application/vnd.multiarch.action.list.v1+json"
"""The artifactType of a list of the keys that a run wrote to a shared cache, or used."""

MANIFESTS = (INDEX, MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST)
"""What is asked for with Accept, and stored below /manifests/ of a registry."""

_OCI_OF_DOCKER = {
    DOCKER_INDEX: INDEX,
    DOCKER_MANIFEST: MANIFEST,
    DOCKER_CONFIG: CONFIG,
    DOCKER_LAYER_GZIP: LAYER_GZIP,
    DOCKER_LAYER_TAR: LAYER_TAR,
    DOCKER_LAYER_FOREIGN: LAYER_FOREIGN_GZIP,
}


def is_index(media_type: str) -> bool:
    """Whether this names an index (the docker CLI's "manifest list")."""
    return media_type in (INDEX, DOCKER_INDEX)


def is_manifest(media_type: str) -> bool:
    """Whether this names a manifest of one platform."""
    return media_type in (MANIFEST, DOCKER_MANIFEST)


def is_foreign(media_type: str) -> bool:
    """Whether this layer may not be distributed by a registry (Microsoft's older bases): it is never uploaded."""
    return media_type in (LAYER_FOREIGN, LAYER_FOREIGN_GZIP, DOCKER_LAYER_FOREIGN)


def to_oci(media_type: str) -> str:
    """The OCI media type of the same format; what is not Docker's is returned as it is (media-types.md, matrix)."""
    return _OCI_OF_DOCKER.get(media_type, media_type)
