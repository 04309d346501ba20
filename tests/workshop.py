"""A context folder to build images in with the embedded engine, and bases for them."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import unpacked
from multiarch_oci.config import ImageConfig
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.engine import Base, BuildPlan
from multiarch_oci.engine.embedded.engine import EmbeddedEngine
from multiarch_oci.engine.frontend.fingerprint import describe
from multiarch_oci.image import Image
from multiarch_oci.layer import Entry, write
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import DOCKER_LAYER_GZIP
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference
from multiarch_oci.store.archive import Archive
from multiarch_oci.store.memory import Memory

AMD64 = Platform.parse("linux/amd64")
ELF = {"amd64": 62, "arm64": 183}


def elf(architecture: str) -> bytes:
    """Return the head of a Linux program, and nothing more."""
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little") + ELF[architecture].to_bytes(2, "little")
    return head + (1).to_bytes(4, "little") + bytes(40)


def tar(*members: tuple[str, dict[str, Any], bytes]) -> bytes:
    """Return a tar of members: name, attributes of TarInfo, content."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for name, attributes, content in members:
            member = tarfile.TarInfo(name)
            for key, value in attributes.items():
                setattr(member, key, value)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return sink.getvalue()


@dataclass
class Counting(Memory):
    """A Memory that remembers what was opened."""

    opened: list[Descriptor] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def open(self, descriptor: Descriptor) -> Any:
        self.opened.append(descriptor)
        return super().open(descriptor)


@dataclass
class Workshop:
    """A context folder, the store that its bases lie in, what was warned of."""

    folder: Path
    platform: Platform = AMD64
    store: Counting = field(default_factory=Counting)
    bases: tuple[Base, ...] = ()
    warnings: list[str] = field(default_factory=list)
    asked: list[Reference] = field(default_factory=list)

    def write(self, path: str, content: bytes | str = b"", *, mode: int = 0o644) -> Path:
        """Write a file of the context."""
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        place.chmod(mode)
        return place

    def engine(self) -> EmbeddedEngine:
        """Return a new engine."""
        return EmbeddedEngine(self._source, self.warnings.append)

    def _source(self, reference: Reference) -> Memory:
        self.asked.append(reference)
        return self.store

    def plan(self, dockerfile: str | bytes, **more: Any) -> BuildPlan:
        """Write the Dockerfile and return a plan for it."""
        path = self.write("Dockerfile.test", dockerfile)
        settings = {"platform": self.platform, "bases": self.bases} | more
        return BuildPlan(dockerfile=path, context=self.folder, file_digest=sha256, **settings)

    def inputs(self, dockerfile: str | bytes, **more: Any) -> tuple[dict[str, str], dict[str, str]]:
        """Return what the image's bytes depend on: values by name, and files by path."""
        plan = self.plan(dockerfile, **more)
        return describe(plan, self.engine().inputs(plan))

    @property
    def output(self) -> Path:
        """The tarball of `build`."""
        return self.folder.parent / "image.tar"

    def build(self, dockerfile: str | bytes, **more: Any) -> Image:
        """Build and return the image as it is read back."""
        self.engine().build(self.plan(dockerfile, **more), self.output)
        return Archive(self.output).image()

    def files(self, dockerfile: str | bytes, **more: Any) -> dict[str, unpacked.Found]:
        """Build and return what the image's own layers hold, one over the other."""
        self.build(dockerfile, **more)
        return unpacked.of_archive(self.output)

    def base(self, name: str, *layers: tuple[Entry, ...] | bytes, config: ImageConfig | None = None) -> Base:
        """Put a base image into the store, of entries or of whole tars, as Docker schema 2 names its layers."""
        packed, ids = [], []
        for layer in layers:
            raw = io.BytesIO()
            if isinstance(layer, bytes):
                ids.append(Digest.of(layer))
                raw.write(gzip.compress(layer, mtime=0))
            else:
                ids.append(write(layer, raw).diff_id)
            packed.append(raw.getvalue())
        return self.packed_base(name, *zip(packed, ids, strict=True), config=config)

    def packed_base(self, name: str, *layers: tuple[bytes, Digest], config: ImageConfig | None = None) -> Base:
        """Put a base image into the store, of packed layers and the digests of their archives."""
        config = config or ImageConfig(self.platform)
        descriptors = [Descriptor.of(DOCKER_LAYER_GZIP, packed) for packed, _ in layers]
        for descriptor, (packed, _) in zip(descriptors, layers, strict=True):
            self._put(descriptor, packed)
        ids = tuple(diff_id for _, diff_id in layers)
        config = ImageConfig(**{name: getattr(config, name) for name in config.__struct_fields__} | {"diff_ids": ids})
        manifest = Manifest(config.descriptor(), tuple(descriptors))
        self._put(manifest.config, config.to_json())
        self._put(manifest.descriptor(), manifest.to_json())
        base = Base(name, self.platform, manifest.descriptor().digest)
        self.bases = (*self.bases, base)
        return base

    def _put(self, descriptor: Descriptor, content: bytes) -> None:
        self.store.put(descriptor, lambda: io.BytesIO(content))


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the digest of a file, in hexadecimal."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
