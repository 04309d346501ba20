"""An OCI image layout in a folder (OCI image spec 1.1, image-layout.md): the registry that needs no server.

What other tools put there stays as it is: entries of `index.json` that are not the tag at hand are written back
unchanged. Two processes may write at once: blobs are there whole or not at all, `index.json` changes under a lock.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from multiarch_oci.descriptor import REF_NAME, Descriptor
from multiarch_oci.digest import BLOCK, Digest, DigestMismatch, verifying
from multiarch_oci.document import LIMIT
from multiarch_oci.mediatype import MANIFESTS
from multiarch_oci.reference import Reference, check_tag
from multiarch_oci.store import BlobMissing
from multiarch_oci.store.atomic import clear_abandoned, clear_unfinished, locked, replacing
from multiarch_oci.store.entries import (
    INDEX_FILE,
    MARKER,
    Entries,
    InvalidLayout,
    check_marker,
    marker,
    parse_digest,
    untagged,
)

_LOCK = ".index.lock"
_YOUNG_S = 3600
"""Seconds for which a blob is left alone that nothing names: what names it may be about to be written."""


class Layout:
    """One repository as a layout folder, made at the first write. Any number of threads and processes may use it.

    `reference` is the repository's name in a folder of layouts (`Destination.reference`), under which `folder` lies
    there; its siblings are what blobs can be mounted from. Without it nothing can be mounted.
    """

    def __init__(self, folder: Path, *, reference: Reference | None = None) -> None:
        self._folder = folder
        self._reference = reference
        self._cleared = False

    def resolve(self, name: str) -> Descriptor | None:
        """The descriptor of a tag or digest; None when it is absent, its bytes are damaged, or this can be no tag.

        A tag's descriptor is its entry in `index.json` without the tag; a digest may be of a manifest without entry.
        """
        descriptor = self._entries().find(name, self._manifest)
        return descriptor if descriptor is not None and self.has(descriptor) else None

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """The content, verified while it is read; BlobMissing when absent."""
        path = self._blob(descriptor.digest)
        try:
            stream = path.open("rb")
        except FileNotFoundError:
            raise BlobMissing(f"has no {descriptor.digest}", where=str(self._folder)) from None
        return verifying(stream, descriptor.digest, descriptor.size, where=str(path))

    def has(self, descriptor: Descriptor) -> bool:
        """Whether this content is there in its full size; manifests, being small, are checked byte by byte too."""
        path = self._blob(descriptor.digest)
        try:
            if path.stat().st_size != descriptor.size:
                return False
        except OSError:
            return False
        if descriptor.media_type not in MANIFESTS or descriptor.size > LIMIT:
            return True
        return self._right(descriptor)

    def put(self, descriptor: Descriptor, content: Callable[[], BinaryIO]) -> None:
        """Write the content, verified, on the disk when this returns; DigestMismatch leaves nothing behind.

        What lies there already is read through: it stays when it is right, and is replaced when it is damaged.
        """
        if self._right(descriptor):
            return
        self._establish()
        self._clear(self._blob(descriptor.digest).parent)
        with verifying(content(), descriptor.digest, descriptor.size) as stream:  # noqa: SIM117  # read, then written
            with replacing(self._blob(descriptor.digest), durable=True) as sink:
                shutil.copyfileobj(stream, sink, BLOCK)

    def _clear(self, blobs: Path) -> None:
        """Once for this object, before it writes: remove the halves of blobs that killed pushes left."""
        if not self._cleared:
            self._cleared = True
            clear_abandoned(blobs)

    def _right(self, descriptor: Descriptor) -> bool:
        try:
            with self.open(descriptor) as stream:
                while stream.read(BLOCK):
                    pass
        except (DigestMismatch, BlobMissing):
            return False
        return True

    def mount(self, descriptor: Descriptor, origin: Reference, *, unasked: bool = False) -> bool:  # noqa: ARG002  # the protocol's
        """Take a blob over from a sibling in the same folder, as a hard link where the file system has them.

        False when the sibling is elsewhere or does not hold it, right and whole.
        """
        if self.has(descriptor):
            return True
        sibling = self._sibling(origin)
        if sibling is None or not sibling.has(descriptor):
            return False
        if not sibling._right(descriptor):  # noqa: SLF001  # of the same class
            return False
        self._link(sibling, descriptor)
        return True

    def tag(self, name: str, descriptor: Descriptor, content: Callable[[], BinaryIO] | None = None) -> None:
        """Let a tag name a manifest, put first where its content is given; InvalidReference, BlobMissing.

        The old holder's bytes stay.
        """
        check_tag(name)
        if content is not None:
            self.put(descriptor, content)
        if not self.has(descriptor):
            raise BlobMissing(f"has no manifest {descriptor.digest} for tag '{name}'", where=str(self._folder))
        self._establish()
        with locked(self._folder / _LOCK):
            before = self._entries()
            after = before.tagged(name, descriptor)
            if after != before:
                self._write_index(after)

    def listed(self) -> tuple[Descriptor, ...]:
        """All entries of the index, without the annotations that are their tags."""
        return tuple(map(untagged, self._entries().descriptors()))

    def relist(self, new: tuple[Descriptor, ...], gone: frozenset[Digest]) -> None:
        """List manifests that are here without a tag, each once, and list those that are `gone` no more."""
        self._establish()
        with locked(self._folder / _LOCK):
            before = self._entries()
            after = before.without(gone)
            for descriptor in new:
                after = after if after.with_digest(descriptor.digest) is not None else after.listed(descriptor)
            if after != before:
                self._write_index(after)

    def fetch(self, name: str) -> Descriptor | None:
        """As `resolve`."""
        return self.resolve(name)

    def tags(self) -> tuple[str, ...]:
        """All tags, sorted; none where there is no layout yet."""
        return tuple(sorted(filter(None, (item.annotation(REF_NAME) for item in self._entries().descriptors()))))

    def delete(self, digest: Digest, *_tags: str) -> bool:
        """Let a manifest and all its tags be gone; True. Blobs stay until `sweep`."""
        if not (self._folder / MARKER).exists():
            return True
        with locked(self._folder / _LOCK):
            before = self._entries()
            after = before.removed(digest)
            if after != before:
                self._write_index(after)
        self._blob(digest).unlink(missing_ok=True)
        return True

    def sweep(self, keep: Iterable[Digest]) -> int:
        """Remove all blobs but those that are in `keep`, listed, or were written in the last hour; bytes removed."""
        kept = {*keep, *(item.digest for item in self._entries().descriptors())}
        removed, oldest = 0, time.time() - _YOUNG_S
        for path in self._folder.glob("blobs/*/*"):
            digest = parse_digest(f"{path.parent.name}:{path.name}")
            if digest is None or digest in kept:
                continue
            with suppress(FileNotFoundError):  # another process removed it meanwhile
                status = path.stat()
                if status.st_mtime < oldest:
                    path.unlink()
                    removed += status.st_size
        return removed

    def _blob(self, digest: Digest) -> Path:
        return self._folder / "blobs" / digest.algorithm / digest.hex

    def _entries(self) -> Entries:
        """What `index.json` says; nothing when there is no layout yet."""
        where = str(self._folder)
        try:
            check_marker((self._folder / MARKER).read_bytes(), where=where)
            content = (self._folder / INDEX_FILE).read_bytes()
        except FileNotFoundError:
            # Windows says the same of a file that stands where a folder should.
            if not self._folder.is_file():
                return Entries.empty(where=where)
            raise InvalidLayout("is no folder of an OCI image layout", where=where) from None
        except (NotADirectoryError, IsADirectoryError):
            raise InvalidLayout("is no folder of an OCI image layout", where=where) from None
        return Entries.parse(content, where=f"{where}: {INDEX_FILE}")

    def _manifest(self, digest: Digest) -> bytes | None:
        try:
            with self._blob(digest).open("rb") as stream:
                return stream.read(LIMIT + 1)
        except OSError:
            return None

    def _establish(self) -> None:
        """Make the folder a layout; marker last, since it is what says that the rest is there."""
        if (self._folder / MARKER).exists():
            self._entries()
            return
        with locked(self._folder / _LOCK):
            if not (self._folder / INDEX_FILE).exists():
                self._write_index(Entries.empty(where=str(self._folder)))
            if not (self._folder / MARKER).exists():
                clear_unfinished(self._folder / MARKER)
                with replacing(self._folder / MARKER, durable=True) as sink:
                    sink.write(marker())

    def _write_index(self, entries: Entries) -> None:
        """Replace `index.json`; the caller holds its lock, so what lies unfinished beside it is a killed process's."""
        clear_unfinished(self._folder / INDEX_FILE)
        with replacing(self._folder / INDEX_FILE, durable=True) as sink:
            sink.write(entries.to_json())

    def _sibling(self, origin: Reference) -> Layout | None:
        """The layout of another repository in the same folder; None when it is not in this folder."""
        own = self._reference
        if own is None or own.registry != origin.registry:
            return None
        depth = len(PurePosixPath(own.repository).parts)
        return Layout(self._folder.parents[depth - 1] / origin.repository)

    def _link(self, sibling: Layout, descriptor: Descriptor) -> None:
        self._establish()
        path = self._blob(descriptor.digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(sibling._blob(descriptor.digest), path)
        except OSError:  # another file system, none that has links, or a damaged file in the way
            self.put(descriptor, lambda: sibling.open(descriptor))
