"""Blobs of bases kept on this machine, for all trees: content-addressed, verified, bounded in size.

Everything in the folder can be deleted at any time, by anybody; a damaged file is deleted by us when it is met.
"""

from __future__ import annotations

import io
import os
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import BLOCK, Digest, Filter, verifying
from multiarch_oci.document import LIMIT
from multiarch_oci.mediatype import MANIFEST
from multiarch_oci.store import BlobMissing, Source
from multiarch_oci.store.atomic import is_unfinished, replacing
from multiarch_oci.store.entries import manifest_type, parse_digest

_ABANDONED = 24 * 3600
"""Seconds after which an unfinished file belongs to a process that died."""


class Cache:
    """A Source over a folder of blobs; of the blobs over `limit` bytes in all, those go that were not used longest.

    Any number of threads and processes may use it. It knows no tags.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit

    def resolve(self, name: str) -> Descriptor | None:  # noqa: ARG002  # the protocol's
        """None, always: a cache holds content, not names."""
        return None

    def path(self, digest: Digest) -> Path:
        """Where the blob lies when it is there."""
        return self.folder / digest.algorithm / digest.hex

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """The content, verified before this returns; BlobMissing when it is absent, or was damaged and is now gone."""
        digest = descriptor.digest
        path, missing = self.path(digest), BlobMissing(f"has no {digest}", where=str(self.folder))
        try:
            stream = path.open("rb")
        except OSError:
            raise missing from None
        with ExitStack() as closing:
            closing.callback(stream.close)
            right = os.fstat(stream.fileno()).st_size == descriptor.size
            if right and Digest.of_stream(stream, digest.algorithm) == digest:
                with suppress(OSError):
                    os.utime(path)
                closing.pop_all()
                stream.seek(0)
                return stream
        with suppress(OSError):
            path.unlink()
        raise missing

    def manifest(self, digest: Digest) -> Descriptor | None:
        """The descriptor of a manifest or index that is here, by its own words or its look; None for anything else."""
        try:
            size = self.path(digest).stat().st_size
            if size > LIMIT:
                return None
            with self.open(Descriptor(MANIFEST, digest, size)) as stream:
                media_type = manifest_type(stream.read())
        except (OSError, BlobMissing):
            return None
        return None if media_type is None else Descriptor(media_type, digest, size)

    def trim(self) -> None:
        """Delete what goes beyond the limit, the longest unused first, and what dead processes left."""
        blobs = []
        for path in self.folder.glob("*/*"):
            with suppress(OSError):
                status = path.stat()
                if not is_unfinished(path.name):
                    blobs.append((status.st_mtime_ns, status.st_size, path))
                elif status.st_mtime < time.time() - _ABANDONED:
                    path.unlink()
        total = sum(size for _, size, _ in blobs)
        for _, size, path in sorted(blobs):
            if total <= self.limit:
                return
            with suppress(OSError):  # in use on Windows, or deleted by another process meanwhile
                path.unlink()
                total -= size


class Cached:
    """A Source that keeps what is read from `source` to its verified end in `cache`, and asks there first.

    A cache that cannot be written to (full, read-only) is no error: the content passes through.
    """

    def __init__(self, source: Source, cache: Cache) -> None:
        self._source = source
        self._cache = cache

    def resolve(self, name: str) -> Descriptor | None:
        """What the source says of a tag; a digest whose manifest is kept is not asked for again."""
        digest = parse_digest(name)
        kept = None if digest is None else self._cache.manifest(digest)
        return self._source.resolve(name) if kept is None else kept

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """The content, verified; BlobMissing when neither cache nor source holds it."""
        try:
            return self._cache.open(descriptor)
        except BlobMissing:
            below = self._source.open(descriptor)
        if descriptor.size > self._cache.limit:
            return below
        # Verified here again, so that what is kept is right whatever the source promises.
        checked = verifying(below, descriptor.digest, descriptor.size)
        return io.BufferedReader(_Keeping(checked, self._cache, descriptor), BLOCK)


class _Keeping(Filter):
    """Hands on what it reads and writes it to a new file of the cache, which counts only at the verified end."""

    def __init__(self, below: BinaryIO, cache: Cache, descriptor: Descriptor) -> None:
        super().__init__(below)
        self._cache = cache
        self._remaining = descriptor.size
        self._writing = ExitStack()
        self._sink: BinaryIO | None = None
        with suppress(OSError):
            self._sink = self._writing.enter_context(replacing(cache.path(descriptor.digest)))

    def take(self, size: int) -> bytes:
        try:
            block = self._below.read(size)
        except BaseException as error:
            self._drop(error)
            raise
        self._remaining -= len(block)
        self._keep(block)
        return block

    def close(self) -> None:
        if not self.closed:
            self._drop(EOFError())
        super().close()

    def _keep(self, block: bytes) -> None:
        if self._sink is None:
            return
        try:
            self._sink.write(block)
            if not self._remaining:
                self._sink = None
                self._writing.close()
                self._cache.trim()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: BaseException) -> None:
        """Take back what was not finished; nothing when there is nothing."""
        self._sink = None
        with suppress(type(error)):
            self._writing.__exit__(type(error), error, error.__traceback__)
        self._writing = ExitStack()
