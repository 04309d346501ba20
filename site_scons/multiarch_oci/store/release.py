"""The self-contained archive that other tools load: one tar file that is an OCI layout and what `docker save` writes.

`docker load` of every age, `podman load` and `skopeo` (`oci-archive:`, `docker-archive:`) take it. The two formats have
their blobs in common: Docker's `manifest.json` names them by their paths in the layout, as `docker save` now does.
"""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from multiarch_oci.config import ImageConfig
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.document import canonical
from multiarch_oci.image import check_layers
from multiarch_oci.manifest import Manifest
from multiarch_oci.reference import Reference
from multiarch_oci.store import Source, read
from multiarch_oci.store.archive import ArchiveWriter, blob_name

_CONTAINERD_NAME = "io.containerd.image.name"


def write_release(path: Path, source: Source, root: Descriptor, reference: Reference) -> None:
    """Write an image with all its layers under the name `reference` (with a tag); equal images give equal bytes.

    `root` is the manifest of one platform. `path` is replaced at once or not at all. Raises what the source raises:
    BlobMissing when it lacks a layer, DigestMismatch for wrong bytes, InvalidDocument for a config that does not fit.
    """
    reference = replace(reference.with_default_tag(), digest=None)
    content = read(source, root)
    manifest = Manifest.from_json(content, where=str(root.digest), media_type=root.media_type)
    config = ImageConfig.from_json(read(source, manifest.config), where=str(root.digest))
    check_layers(manifest, config, where=str(root.digest))
    named = replace(root, annotations=(*root.annotations, (_CONTAINERD_NAME, str(reference))))
    with ArchiveWriter(path) as archive:
        for blob in (*manifest.blobs(), root):
            archive.put(blob, lambda blob=blob: source.open(blob))  # type: ignore[misc]  # the loop's own value
        archive.tag(reference.tag or "latest", named)
        archive.member("manifest.json", _docker(manifest, reference))


def _docker(manifest: Manifest, reference: Reference) -> bytes:
    """Docker's description of the same image (moby, image/tarexport, `manifestItem`)."""
    item = {
        "Config": blob_name(manifest.config.digest),
        "RepoTags": [reference.familiar],
        "Layers": [blob_name(layer.digest) for layer in manifest.layers],
    }
    return canonical([item])
