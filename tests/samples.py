"""Small true images and blobs, for tests of places."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from typing import BinaryIO

import msgspec
from msgspec.structs import replace

from multiarch_oci.config import ImageConfig
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import LAYER_GZIP, LAYER_TAR
from multiarch_oci.platform import Platform
from multiarch_oci.store import Store


def factory(content: bytes) -> Callable[[], BinaryIO]:
    """Return what `put` wants."""
    return lambda: io.BytesIO(content)


def blob(content: bytes = b"some bytes of a layer") -> Descriptor:
    """Return the descriptor of a blob."""
    return Descriptor.of(LAYER_TAR, content)


def layer(files: dict[str, bytes]) -> tuple[Descriptor, Digest, bytes]:
    """Return descriptor, diff_id and bytes of a gzip-compressed layer of executable files."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    packed = gzip.compress(raw.getvalue(), mtime=0)
    return Descriptor.of(LAYER_GZIP, packed), Digest.of(raw.getvalue()), packed


class Sample(msgspec.Struct, frozen=True):
    """An image with two layers: that of a base, and its own."""

    root: Descriptor
    manifest: Manifest
    config: ImageConfig
    blobs: dict[Descriptor, bytes]

    @property
    def base(self) -> Descriptor:
        return self.manifest.layers[0]

    @property
    def own(self) -> Descriptor:
        return self.manifest.layers[1]

    def fill(self, store: Store, *, without: tuple[Descriptor, ...] = ()) -> Descriptor:
        """Put everything into a store and return the manifest's descriptor."""
        for descriptor, content in self.blobs.items():
            if descriptor not in without:
                store.put(descriptor, factory(content))
        return self.root


def sample(platform: str = "linux/amd64", text: bytes = b"hello", program: bytes | None = None) -> Sample:
    """Return an image for this platform; other texts make other images over the same base."""
    base, base_id, base_bytes = layer({"etc/base": b"the base"})
    own, own_id, own_bytes = layer({"hello": program or text + platform.encode()})
    config = ImageConfig(Platform.parse(platform), diff_ids=(base_id, own_id), entrypoint=("/hello",))
    manifest = Manifest(config.descriptor(), (base, own))
    root = replace(manifest.descriptor(), platform=config.platform)
    blobs = {base: base_bytes, own: own_bytes, manifest.config: config.to_json(), root: manifest.to_json()}
    return Sample(root, manifest, config, blobs)
