"""Layers that a shared cache has: read there, and mounted from there, as those of a base are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from multiarch_oci.store.sources import Attributed, Lender
from scons_multiarch.shared.origins import open_origin, repository_of
from scons_multiarch.tracking.state import state_of

if TYPE_CHECKING:
    from multiarch_oci.digest import Digest
    from multiarch_oci.image import Image
    from multiarch_oci.reference import Reference
    from multiarch_oci.store import Source
    from scons_multiarch.session import Run


def lent(run: Run, node: Any, image: Image, sources: list[Source]) -> dict[Digest, Reference]:
    """From where blobs of an image can be mounted: those that its tarball lacks, and those that this run kept.

    The place of what lacks joins the `sources`: whatever it cannot give is BlobMissing, as it is to be made again.
    """
    state = state_of(node)
    origin = image.shared_at or ("" if state is None else state.kept_at)
    if image.shared:
        sources.append(Attributed(open_origin(run, origin), Lender(f"cache {origin}", None, "")))
    repository = repository_of(origin)
    if repository is None:
        return {}
    own = {layer.digest for layer in image.layers if layer.digest in image.own} | {image.manifest.config.digest}
    return dict.fromkeys(image.shared | own, repository)
