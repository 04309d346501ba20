"""An OCI image layout in one tar file: how images lie on disk between build and push (image spec 1.1, image-layout.md).

The file is not compressed, so that every blob can be read where it lies. Nothing in it depends on host, time or umask.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from msgspec.structs import replace

from multiarch_oci.config import ImageConfig
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import BLOCK, Digest, DigestMismatch, verifying
from multiarch_oci.document import LIMIT, canonical
from multiarch_oci.image import Image, check_layers
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import is_manifest
from multiarch_oci.reference import Reference, check_tag
from multiarch_oci.store import BlobMissing, Source, read
from multiarch_oci.store.atomic import replacing
from multiarch_oci.store.entries import INDEX_FILE, MARKER, Entries, InvalidLayout, check_marker, marker, parse_digest
from multiarch_oci.store.tarmembers import Member, members, window
from multiarch_oci.tarfields import InvalidArchive
from multiarch_oci.tarheader import END, FILE, RECORD, Header, padding

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_BLOBS = "blobs/"
_CONTAINERD_NAME = "io.containerd.image.name"
_LARGEST = 8**11 - 1
"""Bytes of a blob whose size is not known beforehand: what the header's field holds (POSIX.1-2017, "ustar")."""


def blob_name(digest: Digest) -> str:
    """The name of a blob in a layout, and so of its member in an archive."""
    return f"{_BLOBS}{digest.algorithm}/{digest.hex}"


class Archive:
    """A Source over an archive that was written before; the file is indexed once and opened anew for each blob.

    Any number of threads may use it. Raises InvalidArchive, InvalidLayout or InvalidDocument at the first use of a file
    that is no archive of a layout, or that is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _members(self) -> dict[str, Member]:
        present = members(self.path)
        for name in (MARKER, INDEX_FILE):
            if name not in present:
                raise InvalidLayout(f"is no OCI image layout: it has no '{name}'", where=str(self.path))
        return present

    @cached_property
    def _entries(self) -> Entries:
        check_marker(self._content(MARKER), where=str(self.path))
        return Entries.parse(self._content(INDEX_FILE), where=f"{self.path}: {INDEX_FILE}")

    @property
    def held(self) -> frozenset[Digest]:
        """The digests of all blobs in the archive, manifests and configs among them."""
        names = (name.removeprefix(_BLOBS).replace("/", ":", 1) for name in self._members if name.startswith(_BLOBS))
        return frozenset(digest for digest in map(parse_digest, names) if digest is not None)

    @property
    def roots(self) -> tuple[Descriptor, ...]:
        """The entries of its `index.json`, with platform and annotations."""
        return self._entries.descriptors()

    def resolve(self, name: str) -> Descriptor | None:
        """The descriptor of a tag or digest, as `index.json` has it without the tag; None = absent."""
        descriptor = self._entries.find(name, self._manifest)
        return descriptor if descriptor is not None and self.has(descriptor) else None

    def has(self, descriptor: Descriptor) -> bool:
        """Whether a blob or manifest of this digest and size is in the archive."""
        member = self._members.get(blob_name(descriptor.digest))
        return member is not None and member.size == descriptor.size

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """The content, verified while it is read; BlobMissing when the archive does not hold it."""
        member = self._members.get(blob_name(descriptor.digest))
        if member is None:
            raise BlobMissing(f"has no {descriptor.digest}", where=str(self.path))
        return verifying(self._window(member), descriptor.digest, descriptor.size, where=str(self.path))

    def image(self) -> Image:
        """The one image of this archive, manifest and config read and checked; InvalidArchive when it is not one.

        `Image.own` are all digests in the archive: the layers that it lacks are those of the base.
        """
        roots = [root for root in self.roots if is_manifest(root.media_type)]
        if len(roots) != 1 or len(self.roots) != 1:
            raise InvalidArchive(f"holds {len(self.roots)} entries, not one image", where=str(self.path))
        content = read(self, roots[0])
        manifest = Manifest.from_json(content, where=str(self.path), media_type=roots[0].media_type)
        return Image.of(roots[0], content, read(self, manifest.config), self.held, where=str(self.path))

    def _manifest(self, digest: Digest) -> bytes | None:
        member = self._members.get(blob_name(digest))
        return None if member is None else self._content(member.name)

    def _content(self, name: str) -> bytes:
        with self._window(self._members[name]) as stream:
            return stream.read(LIMIT + 1)

    def _window(self, member: Member) -> BinaryIO:
        return window(self.path, member)


def read_image(path: Path) -> Image:
    """The image in a tarball; raises as `Archive.image`."""
    return Archive(path).image()


class NewBlob:
    """A blob being written: its content goes to `stream`; `digest` and `size` are right once its block has ended."""

    def __init__(self, sink: BinaryIO) -> None:
        self._hashing = _Hashing(sink)
        self.stream: BinaryIO = io.BufferedWriter(self._hashing, BLOCK)

    @property
    def digest(self) -> Digest:
        """The sha256 digest of what was written."""
        return Digest("sha256", self._hashing.running.hexdigest())

    @property
    def size(self) -> int:
        """Bytes written."""
        return self._hashing.size

    def drop(self) -> None:
        """Let what its buffer still holds go nowhere."""
        self._hashing.dropped = True
        self.stream.close()

    def descriptor(self, media_type: str) -> Descriptor:
        """The descriptor of the blob as this media type."""
        return Descriptor(media_type, self.digest, self.size)


class ArchiveWriter(Archive):
    """A Store that becomes the archive `path` at once when its block ends without an exception, else leaves nothing.

    Blobs lie in the order in which they are written, each once, and can be read from then on; equal calls give equal
    bytes. One thread writes at a time, the others wait: copy with `workers=1` where the bytes shall be equal.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lock = RLock()
        self._members = {}
        self._entries = Entries.empty(where=str(path))
        self._replacing: AbstractContextManager[BinaryIO]
        self._sink: BinaryIO

    def __enter__(self) -> ArchiveWriter:  # noqa: PYI034  # Self is newer than Python 3.10; there are no subclasses
        self._replacing = replacing(self.path)
        self._sink = self._replacing.__enter__()
        self.member(MARKER, marker())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if error is None:
            try:
                self.member(INDEX_FILE, self._entries.to_json())
                self._sink.write(END)
            except BaseException as late:
                self._replacing.__exit__(type(late), late, late.__traceback__)
                raise
        return self._replacing.__exit__(kind, error, trace)

    @contextmanager
    def blob(self) -> Iterator[NewBlob]:
        """A blob whose digest and size nobody knows yet; kept when the block ends without an exception.

        Content that is in the archive already is not written twice. InvalidArchive above 8 GiB.
        """
        with self._appending() as start:
            self._sink.seek(RECORD, io.SEEK_CUR)
            new = NewBlob(self._sink)
            try:
                yield new
            except BaseException:
                new.drop()
                raise
            new.stream.close()
            name = blob_name(new.digest)
            if name in self._members:
                self._cut(start)
                return
            if new.size > _LARGEST:
                raise InvalidArchive(f"{new.digest} is {new.size} bytes, the limit is {_LARGEST}", where=str(self.path))
            self._sink.write(padding(new.size))
            end = self._sink.tell()
            self._sink.seek(start)
            self._sink.write(_header(name, new.size))
            self._sink.seek(end)
            self._members[name] = Member(name, start + RECORD, new.size)

    def put(self, descriptor: Descriptor, content: Callable[[], BinaryIO]) -> None:
        """Append the content, verified; DigestMismatch leaves the archive as it was."""
        with self._lock:
            if not self.has(descriptor):
                name = blob_name(descriptor.digest)
                with verifying(content(), descriptor.digest, descriptor.size, where=str(self.path)) as stream:
                    self._append(name, descriptor.size, stream)

    def take_over(self, old: Archive, descriptor: Descriptor) -> bool:
        """Copy a finished blob from an older archive; False when it is not there, or not what it should be."""
        if self.has(descriptor):
            return True
        try:
            self.put(descriptor, lambda: old.open(descriptor))
        except (BlobMissing, DigestMismatch, InvalidArchive, InvalidLayout):
            return False
        return True

    def member(self, name: str, content: bytes) -> None:
        """Append a file that is no blob, such as what another format wants beside the layout."""
        with self._lock:
            if name in self._members:
                raise InvalidArchive(f"member '{name}' is there twice", where=str(self.path))
            self._append(name, len(content), io.BytesIO(content))

    def root(self, descriptor: Descriptor) -> None:
        """List what the archive is about in `index.json`, with its platform and annotations and without a tag."""
        with self._lock:
            self._entries = self._entries.listed(descriptor)

    def tag(self, name: str, descriptor: Descriptor, content: Callable[[], BinaryIO] | None = None) -> None:
        """List a manifest under a tag, put first where its content is given; InvalidReference, BlobMissing."""
        check_tag(name)
        if content is not None:
            self.put(descriptor, content)
        if not self.has(descriptor):
            raise BlobMissing(f"has no manifest {descriptor.digest} for tag '{name}'", where=str(self.path))
        with self._lock:
            self._entries = self._entries.tagged(name, descriptor)

    def mount(self, descriptor: Descriptor, origin: Reference, *, unasked: bool = False) -> bool:  # noqa: ARG002  # the protocol's
        """False unless the blob is here already: an archive has no siblings."""
        return self.has(descriptor)

    def _window(self, member: Member) -> BinaryIO:
        with self._lock:
            self._sink.flush()
        return window(Path(self._sink.name), member)

    def _append(self, name: str, size: int, stream: BinaryIO) -> None:
        with self._appending() as start:
            header = _header(name, size)
            self._sink.write(header)
            shutil.copyfileobj(stream, self._sink, BLOCK)
            self._sink.write(padding(size))
            self._members[name] = Member(name, start + len(header), size)

    @contextmanager
    def _appending(self) -> Iterator[int]:
        """Hold the end of the file; what was begun there is taken back on an exception."""
        with self._lock:
            start = self._sink.tell()
            try:
                yield start
            except BaseException:
                self._cut(start)
                raise

    def _cut(self, start: int) -> None:
        self._sink.seek(start)
        self._sink.truncate()


class _Hashing(io.RawIOBase):
    """A sink that counts and hashes what it passes on; closing it leaves the file below open."""

    def __init__(self, sink: BinaryIO) -> None:
        super().__init__()
        self._sink = sink
        self.running = sha256()
        self.size = 0
        self.dropped = False

    def writable(self) -> bool:
        return True

    def write(self, content: ReadableBuffer, /) -> int:
        if not self.dropped:
            self._sink.write(content)
            self.running.update(content)
        size = memoryview(content).nbytes
        self.size += size
        return size


def _header(name: str, size: int) -> bytes:
    return Header(name, FILE, 0o644, 0, 0, size, 0).to_bytes()


def write_release(path: Path, source: Source, root: Descriptor, reference: Reference) -> None:
    """Write an archive that other tools load: an OCI layout and what `docker save` writes, in one tar file.

    `docker load` of every age, `podman load` and `skopeo` (`oci-archive:`, `docker-archive:`) take it. The two formats
    have their blobs in common: Docker's `manifest.json` names them by their paths in the layout, as `docker save` does.
    It holds all layers, and the name `reference` (with a tag); equal images give equal bytes.
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
