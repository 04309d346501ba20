"""The SBOM that somebody published beside an image, looked for and not read: as a referrer, or in BuildKit's way.

A referrer whose artifact type is that of a plain SBOM (OCI distribution spec 1.1), of the image or of the index that
names it; else an attestation manifest in that index (BuildKit, docs/attestations/attestation-storage.md).
"""

from __future__ import annotations

from collections.abc import Iterator

from multiarch_oci.attest.statement import CYCLONEDX, SPDX, UNSIGNED_TYPE
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.document import InvalidDocument
from multiarch_oci.index import Index
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import CYCLONEDX_JSON, EMPTY, SPDX_JSON, is_index, is_manifest
from multiarch_oci.store import read
from multiarch_oci.store.layout import Layout
from multiarch_oci.store.referrers import artifact, listing
from multiarch_oci.store.registry import Registry
from multiarch_oci.store.selecting import ATTESTATION

TYPES = (SPDX_JSON, "text/spdx+json", CYCLONEDX_JSON)
"""The artifact types that say a plain SBOM; the first that is there is taken."""
_PREDICATES = (SPDX, CYCLONEDX)
_OF = "vnd.docker.reference.digest"
_MOST = 100
"""Referrers, or entries of an index, that are looked at."""


def published_sbom(store: Registry | Layout, image: Digest, index: Digest | None) -> Digest | None:
    """The digest of the SBOM that was published with an image; None where there is none.

    `index` is the index that names the image, where one does. Of several the answer is always the same one. Raises what
    the place raises; what is no manifest counts for nothing.
    """
    for subject in (image, index):
        known = [] if subject is None else sorted(_referring(store, subject))
        if known:
            return known[0][1]
    known = [] if index is None else sorted(_attested(store, image, index))
    return known[0][1] if known else None


def _referring(store: Registry | Layout, subject: Digest) -> Iterator[tuple[int, Digest]]:
    """Plain SBOMs of a subject: how soon each is taken, and its digest."""
    for referrer in listing(store, subject).referrers[:_MOST]:
        # Some lists say the type of the config in its place.
        if referrer.artifact_type not in (*TYPES, EMPTY, None) or not is_manifest(referrer.media_type):
            continue
        try:
            made = artifact(store, referrer, subject)
        except InvalidDocument:
            continue
        if made.artifact_type in TYPES and len(made.layers) == 1:
            yield TYPES.index(made.artifact_type), made.layers[0].digest


def _attested(store: Registry | Layout, image: Digest, index: Digest) -> Iterator[tuple[int, Digest]]:
    """Statements that BuildKit put into the index itself."""
    descriptor = store.resolve(str(index))
    if descriptor is None or not is_index(descriptor.media_type):
        return
    entries = Index.from_json(read(store, descriptor), where=str(index)).manifests
    for entry in [entry for entry in entries if _is_of(entry, image)][:_MOST]:
        try:
            manifest = Manifest.from_json(read(store, entry.bare()), where=str(entry.digest))
        except InvalidDocument:
            continue
        for layer in manifest.layers:
            predicate = layer.annotation(UNSIGNED_TYPE)
            if predicate in _PREDICATES:
                yield _PREDICATES.index(predicate), layer.digest


def _is_of(entry: Descriptor, image: Digest) -> bool:
    return entry.annotation(ATTESTATION) == "attestation-manifest" and entry.annotation(_OF) == str(image)
