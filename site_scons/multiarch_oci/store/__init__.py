"""Places that hold images: the two protocols, and the one verb between them.

A Source or Store is bound to one repository (of a registry) or one layout, so a name is a tag or a digest. The rooms
beside this one are its implementations: `memory`, `layout`, `archive`, `registry`, `daemon`, `cache`;
`sources` are made of others.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Protocol

import msgspec

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.document import LIMIT
from multiarch_oci.errors import MultiarchError
from multiarch_oci.index import Index
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import is_foreign, is_index, is_manifest
from multiarch_oci.reference import Reference

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor


class BlobMissing(MultiarchError):
    """Content that a manifest names and that no place at hand holds."""


class PartsMissing(MultiarchError):
    """A manifest that a place does not take, as it lacks what the manifest names; `missing` is what is not there."""

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        missing: tuple[Descriptor, ...] = (),
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.missing = missing


class ManifestTooLarge(MultiarchError):
    """A manifest or index above the size that registries accept (distribution spec 1.1: 4 MiB)."""


class Source(Protocol):
    """A place to read images from."""

    def resolve(self, name: str) -> Descriptor | None:
        """The descriptor of a tag or digest (`sha256:…`) now; None = absent, an error = not known."""
        ...

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """The content, verified against digest and size while it is read (DigestMismatch); BlobMissing when absent."""
        ...


class Store(Source, Protocol):
    """A place to read images from and to write them to; every method is idempotent."""

    def has(self, descriptor: Descriptor) -> bool:
        """Whether this blob or manifest is there."""
        ...

    def put(self, descriptor: Descriptor, content: Callable[[], BinaryIO]) -> None:
        """Make the content be there; returns when it is. `content` is called anew for each try, from its beginning."""
        ...

    def mount(self, descriptor: Descriptor, origin: Reference, *, unasked: bool = False) -> bool:
        """Take a blob over from another repository of the same registry; False: not possible here, put it.

        `unasked`: nobody asked yet whether it is there, which is cheaper than a mount that is likely to be refused.
        """
        ...

    def tag(self, name: str, descriptor: Descriptor, content: Callable[[], BinaryIO] | None = None) -> None:
        """Let a tag name a manifest; the old holder of the tag stays reachable by digest.

        It has to be there, unless its `content` is given: then it is put, too, which costs a registry nothing. Here and
        in `put`, PartsMissing where the place holds to a manifest's parts and lacks some.
        """
        ...


class Copied(msgspec.Struct, frozen=True):
    """What a copy did, as descriptors of blobs and manifests; `present` was there already."""

    sent: tuple[Descriptor, ...] = ()
    mounted: tuple[Descriptor, ...] = ()
    present: tuple[Descriptor, ...] = ()

    def __add__(self, other: Copied) -> Copied:
        return Copied(self.sent + other.sent, self.mounted + other.mounted, self.present + other.present)


def read(source: Source, descriptor: Descriptor) -> bytes:
    """The verified bytes of a manifest, index or config; ManifestTooLarge above 4 MiB, before anything is read."""
    if descriptor.size > LIMIT:
        raise ManifestTooLarge(f"{descriptor.digest} is {descriptor.size} bytes; the limit of a manifest is {LIMIT}")
    with source.open(descriptor) as stream:
        return stream.read()


class _Copy(msgspec.Struct, frozen=True):
    source: Source
    store: Store
    mountable: Mapping[Digest, Reference]
    lent: Mapping[Digest, Reference]
    pool: ThreadPoolExecutor
    deep: bool
    again: frozenset[Digest]
    sending: Callable[[Descriptor], object]

    def tree(self, root: Descriptor, tag: str | None = None, *, new: bool = False) -> Copied:
        """Everything below `root`, then `root` itself, by digest or under a tag; not asked for where it is `new`."""
        if not (is_index(root.media_type) or is_manifest(root.media_type)):
            return self.blob(root)
        there = not new and root.digest not in self.again and self.store.has(root)
        if there and not self.deep:
            # The spec lets a registry hold a manifest only with its blobs; what breaks that promise is verify's work.
            return Copied(present=(root,))
        content = read(self.source, root)
        done = self._children(root, content)
        if there:
            return done + Copied(present=(root,))
        return done + self._write(root, content, tag)

    def _write(self, root: Descriptor, content: bytes, tag: str | None) -> Copied:
        """Put a manifest whose parts were seen to; those that the place has lost meanwhile are sent again."""
        again = Copied()
        sendings = _SENDINGS
        while (lacking := self._lacking(root, content, tag)) is not None:
            sendings -= 1
            if not sendings or not lacking.missing:
                raise lacking
            again += self._send(lacking)
        return again + Copied(sent=(root,))

    def _lacking(self, root: Descriptor, content: bytes, tag: str | None) -> PartsMissing | None:
        """Put a manifest; the error of a place that lacks some of its parts."""
        try:
            if tag is None:
                self.store.put(root, lambda: _reader(content))
            else:
                self.store.tag(tag, root, lambda: _reader(content))
        except PartsMissing as error:
            return error
        return None

    def _send(self, lacking: PartsMissing) -> Copied:
        """Send what a place lacks, whatever it said before; raises `lacking` where the source has no such manifest."""
        for part in lacking.missing:
            if is_index(part.media_type) or is_manifest(part.media_type):
                try:
                    content = read(self.source, part)
                except BlobMissing:
                    raise lacking from None
                self._children(part, content)
                self.store.put(part, lambda content=content: _reader(content))  # type: ignore[misc]  # the loop's own
            else:
                self.store.put(part, lambda part=part: self.source.open(part))  # type: ignore[misc]  # the loop's own
        return Copied(sent=lacking.missing)

    def _children(self, root: Descriptor, content: bytes) -> Copied:
        where = str(root.digest)
        if is_index(root.media_type):
            entries = Index.from_json(content, where=where, media_type=root.media_type).manifests
            results = [self.tree(entry) for entry in dict.fromkeys(entry.bare() for entry in entries)]
        else:
            manifest = Manifest.from_json(content, where=where, media_type=root.media_type)
            blobs = [blob.bare() for blob in manifest.blobs() if not is_foreign(blob.media_type)]
            # Where a manifest is absent, its config is: it is sent in the time of the question, unless it is large.
            absent = not self.deep and root.digest not in self.again
            sure = manifest.config.digest if absent and manifest.config.size <= _SMALL else None
            results = list(self.pool.map(lambda blob: self.blob(blob, new=blob.digest == sure), blobs))
        return sum(results, Copied())

    def blob(self, descriptor: Descriptor, *, new: bool = False) -> Copied:
        distrusted = descriptor.digest in self.again
        if not distrusted and self._mounted(descriptor, self.lent, unasked=not new):
            return Copied(mounted=(descriptor,))
        if not new and not distrusted and self.store.has(descriptor):
            return Copied(present=(descriptor,))
        if not distrusted and self._mounted(descriptor, self.mountable):
            return Copied(mounted=(descriptor,))
        self.sending(descriptor)
        self.store.put(descriptor, lambda: self.source.open(descriptor))
        return Copied(sent=(descriptor,))

    def _mounted(self, descriptor: Descriptor, origins: Mapping[Digest, Reference], *, unasked: bool = False) -> bool:
        origin = origins.get(descriptor.digest)
        return origin is not None and self.store.mount(descriptor, origin, unasked=unasked)


def holds(questions: Iterable[tuple[Store, Descriptor]], *, workers: int = 8) -> tuple[bool | MultiarchError, ...]:
    """Whether each blob is in its place, `workers` questions at once; in the order given, an error where none knows."""

    def ask(question: tuple[Store, Descriptor]) -> bool | MultiarchError:
        store, descriptor = question
        try:
            return store.has(descriptor)
        except MultiarchError as error:
            return error

    from concurrent.futures import ThreadPoolExecutor  # start-up

    with ThreadPoolExecutor(workers) as pool:
        return tuple(pool.map(ask, questions))


_NOTHING: Mapping[Digest, Reference] = MappingProxyType({})
_SMALL = 16 << 10
_SENDINGS = 4
"""How often a manifest is put, in all, where its place has lost something that it names."""


def copy(
    source: Source,
    store: Store,
    root: Descriptor,
    *,
    tags: tuple[str, ...] = (),
    mountable: Mapping[Digest, Reference] = _NOTHING,
    lent: Mapping[Digest, Reference] = _NOTHING,
    workers: int = 4,
    deep: bool = False,
    again: frozenset[Digest] = frozenset(),
    new: bool = False,
    sending: Callable[[Descriptor], object] = id,
) -> Copied:
    """Make `root` and all below it be in `store`: blobs, then manifests, the tags last.

    Idempotent; only what is absent is sent, `workers` blobs at once. A blob in `mountable` that is absent is first
    asked for from that repository; one in `lent`, which is seldom there, before anybody asks whether it is, unless
    mounts from there are refused. Foreign layers are never sent. A manifest that is there is taken to have its blobs;
    with `deep` these are asked for too, and sent where they miss. What is in `again` is sent though it seems to be
    there. `new`: `root` was just made and is not asked for, which is right or costs a few questions. What the store
    loses before it takes the manifest that names it is sent again. `sending` is told of each blob before it is sent, by
    any thread. Raises what the two places raise; then no tag was written, and what was sent stays and is found by the
    next copy.
    """
    from concurrent.futures import ThreadPoolExecutor  # start-up; who only asks for tags has no use for it

    mountable = {**lent, **mountable}  # where mounts are refused, what is lent is asked for first, too
    if deep:  # what is there may be damaged: a question compares its size, a mount does not
        lent = _NOTHING
    with ThreadPoolExecutor(workers) as pool:
        copied = _Copy(source, store, mountable, lent, pool, deep, again, sending).tree(root, *tags[:1], new=new)
    for name in tags if root in copied.present else tags[1:]:
        store.tag(name, root)
    return copied


def _reader(content: bytes) -> BinaryIO:
    return io.BytesIO(content)
