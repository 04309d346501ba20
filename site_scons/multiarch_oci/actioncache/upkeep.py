"""Keeping a shared cache small: lists of the keys that runs wrote or used, what there is in all, and what may go.

A list is a manifest of ours under the tag `cache-list-<day>-<digest>`, its one layer the keys, a line each. Who writes
to a cache leaves one a day and set of keys. What no list of the last days names is of no use to anybody: at worst it
is made again.
"""

from __future__ import annotations

import datetime as dt
import io
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from multiarch_oci.actioncache import PREFIX, manifest_of, sizes
from multiarch_oci.actioncache.cache import EntryStore, put_manifest
from multiarch_oci.artifact import EMPTY_CONFIG
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest, DigestMismatch
from multiarch_oci.errors import MultiarchError, one_line
from multiarch_oci.mediatype import ACTION_LIST, MANIFEST, OCTETS
from multiarch_oci.store import BlobMissing, ManifestTooLarge, read
from multiarch_oci.store.http.errors import RegistryFailed

_LIST = re.compile(rf"{PREFIX}list-(\d{{4}}-\d\d-\d\d)-[0-9a-f]{{12}}")
_ENTRY = re.compile(rf"{PREFIX}([0-9a-f]{{64}})")
_DAY = "multiarch.day"
_TOGETHER = 8
_LONGEST = 32 << 20
"""Bytes of keys in one list; a run of half a million steps has less."""


class Usage(msgspec.Struct, frozen=True):
    """What a cache holds: entries, lists, and the bytes of all blobs that they name, each once."""

    entries: int = 0
    lists: int = 0
    size: int = 0


class Pruned(msgspec.Struct, frozen=True):
    """What `prune` deleted; `refused` is the number of manifests that the place did not delete."""

    entries: int = 0
    lists: int = 0
    size: int = 0
    refused: int = 0
    kept: int = 0


class _Held(msgspec.Struct, frozen=True):
    """A manifest of ours under one of its tags, and the blobs that it names, with their sizes."""

    tag: str
    digest: Digest
    blobs: dict[Digest, int]


def leave_list(store: EntryStore, keys: Iterable[str], day: dt.date) -> str:
    """Leave the keys that a run wrote or used, in hexadecimal; returns the tag. Idempotent for equal sets of a day."""
    content = "".join(f"{key}\n" for key in sorted(set(keys))).encode("ascii")
    layer = Descriptor.of(OCTETS, content)
    tag = f"{PREFIX}list-{day.isoformat()}-{layer.digest.hex[:12]}"
    if not store.has(layer):
        store.put(layer, lambda: io.BytesIO(content))
    # A registry deletes a manifest under all its tags: with the day in it, each day has a manifest of its own.
    content_of_day = manifest_of(ACTION_LIST, [layer.to_json()], annotations={_DAY: day.isoformat()})
    put_manifest(store, tag, content_of_day)
    return tag


def usage(store: EntryStore) -> Usage:
    """Count what a cache holds; a request an entry. Raises what the place raises."""
    tags = store.tags()
    entries = _held(store, [tag for tag in tags if _ENTRY.fullmatch(tag)])
    lists = _held(store, [tag for tag in tags if _LIST.fullmatch(tag)])
    return Usage(len(entries), len(lists), _size([*entries, *lists]))


def prune(store: EntryStore, oldest: dt.date, *, say: Callable[[str], object] = str) -> Pruned:
    """Delete the lists of days before `oldest`, and every entry that no later list names.

    What is no entry or list of ours is left alone, whatever it is called; so is a manifest that stays under another
    tag, as lists of equal keys were one on all days once. An entry that a run writes meanwhile, and has no list yet,
    may go, too: it is made again. `say` is told of lists that cannot be read: then nothing is deleted. Raises what the
    place raises.
    """
    tags = store.tags()
    lists = [tag for tag in tags if _LIST.fullmatch(tag)]
    try:
        recent = _held(store, [tag for tag in lists if _day(tag) >= oldest], whole=True)
        named = {key for held in recent for key in _keys(store, held)}
    except MultiarchError as error:
        say(f"nothing is deleted: {one_line(error)}")
        return Pruned(kept=len(tags))
    entries = _held(store, [tag for tag in tags if _ENTRY.fullmatch(tag)])
    old = _held(store, [tag for tag in lists if _day(tag) < oldest])
    used = [held for held in entries if held.tag.removeprefix(PREFIX) in named]
    needed = {held.digest for held in (*used, *recent)}
    gone, former = ([held for held in some if held.digest not in needed] for some in (entries, old))
    refused = sum(not store.delete(held.digest, held.tag) for held in (*gone, *former))
    kept = [held for held in (*entries, *recent, *old) if held.digest in needed]
    size = _size([*gone, *former, *kept]) - _size(kept)
    if refused:
        return Pruned(refused=refused, kept=len(kept), size=size)
    return Pruned(len(gone), len(former), size, kept=len(kept))


def blobs(store: EntryStore) -> set[Digest]:
    """Every blob that an entry or list names, and the empty config."""
    tags = [tag for tag in store.tags() if _ENTRY.fullmatch(tag) or _LIST.fullmatch(tag)]
    return {EMPTY_CONFIG.digest, *(digest for held in _held(store, tags) for digest in held.blobs)}


def _held(store: EntryStore, tags: list[str], *, whole: bool = False) -> list[_Held]:
    """The manifests of ours under these tags; what is another's, damaged, or gone meanwhile is none.

    With `whole` what cannot be read, and still has its tag, raises what the place raises, BlobMissing or another
    MultiarchError: it may be a list. Whose tag is gone, too, was deleted by somebody meanwhile.
    """

    def look(tag: str) -> _Held | None:
        try:
            digest, content = _manifest(store, tag)
        except (BlobMissing, DigestMismatch, ManifestTooLarge, RegistryFailed):  # 500: it cannot parse that itself
            if whole and tag in store.tags():
                raise
            return None
        try:
            named = sizes(content, where=tag)
        except MultiarchError:
            if whole:
                raise
            return None
        return None if named is None else _Held(tag, digest, dict(named))

    with ThreadPoolExecutor(_TOGETHER) as pool:
        return [held for held in pool.map(look, tags) if held is not None]


def _manifest(store: EntryStore, tag: str) -> tuple[Digest, bytes]:
    """The manifest under a tag; BlobMissing where there is none. Of an index, which is another's, an empty document."""
    descriptor = store.fetch(tag)
    if descriptor is None:
        raise BlobMissing("is a tag of no manifest", where=tag)
    return descriptor.digest, read(store, descriptor) if descriptor.media_type == MANIFEST else b"{}"


def _keys(store: EntryStore, held: _Held) -> list[str]:
    keys: list[str] = []
    for digest, size in held.blobs.items():
        if size > _LONGEST:
            raise ManifestTooLarge(f"names {size} bytes of keys; the limit is {_LONGEST}", where=held.tag)
        with store.open(Descriptor(OCTETS, digest, size)) as stream:
            keys += stream.read().decode("ascii", "replace").split()
    return keys


def _day(tag: str) -> dt.date:
    match = _LIST.fullmatch(tag)
    try:
        return dt.date.fromisoformat(match[1] if match else "")
    except ValueError:
        return dt.date.max  # of no day that there is: it stays


def _size(manifests: list[_Held]) -> int:
    return sum({digest: size for held in manifests for digest, size in held.blobs.items()}.values())
