"""The one verb between places.

OCI distribution spec 1.1: "Pushing Manifests" (blobs first); image spec 1.1, image-index.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.document import LIMIT
from multiarch_oci.errors import MultiarchError
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import LAYER_FOREIGN_GZIP, MANIFEST
from multiarch_oci.reference import Destination, Reference
from multiarch_oci.store import BlobMissing, Copied, ManifestTooLarge, copy, holds, read
from multiarch_oci.store.layout import Layout
from multiarch_oci.store.memory import Memory
from samples import blob, factory, sample


def place(tmp_path: Path, name: str) -> tuple[Layout, Reference]:
    reference = Destination.parse(str(tmp_path)).reference(name)
    return Layout(tmp_path / name, reference=reference), reference


def test_a_layer_of_the_base_is_mounted_and_not_asked_of_the_source(tmp_path: Path):
    image, sparse = sample(), Memory()
    (base, base_name), (ours, _) = place(tmp_path, "base"), place(tmp_path, "demo")
    image.fill(base)
    root = image.fill(sparse, without=(image.base,))
    copied = copy(sparse, ours, root, tags=("1.0",), mountable={image.base.digest: base_name})
    assert copied.mounted == (image.base,)
    assert [each.digest for each in copied.sent] == [image.own.digest, image.manifest.config.digest, root.digest]
    assert copied.present == ()
    assert read(ours, image.base) == image.blobs[image.base]


def test_a_layer_that_cannot_be_mounted_comes_from_the_source(tmp_path: Path):
    image, full = sample(), Memory()
    (_, base_name), (ours, _) = place(tmp_path, "base"), place(tmp_path, "demo")
    copied = copy(full, ours, image.fill(full), mountable={image.base.digest: base_name})
    assert copied.mounted == ()
    assert image.base in copied.sent


def test_what_is_there_is_told_apart_from_what_was_sent():
    image, other, origin, store = sample(text=b"1"), sample(text=b"2"), Memory(), Memory()
    copy(origin, store, image.fill(origin))
    copied = copy(origin, store, other.fill(origin))
    assert copied.present == (other.base,)
    assert [each.digest for each in copied.sent] == [other.own.digest, other.manifest.config.digest, other.root.digest]


def test_foreign_layers_are_not_sent():
    image, origin, store = sample(), Memory(), Memory()
    foreign = replace(image.base, media_type=LAYER_FOREIGN_GZIP, urls=("https://example.com/layer",))
    manifest = Manifest(image.manifest.config, (foreign, image.own))
    changed = replace(image, manifest=manifest, root=manifest.descriptor())
    blobs = {**image.blobs, changed.root: manifest.to_json()}
    replace(changed, blobs=blobs).fill(origin, without=(image.base, image.root))
    copied = copy(origin, store, changed.root, tags=("1.0",))
    assert foreign.digest not in {each.digest for each in copied.sent}
    assert store.resolve("1.0") == changed.root


def test_a_blob_alone_can_be_copied():
    origin, store, image = Memory(), Memory(), sample()
    image.fill(origin)
    assert copy(origin, store, image.own) == Copied(sent=(image.own,))
    assert copy(origin, store, image.own) == Copied(present=(image.own,))


def test_what_the_source_lacks_is_an_error():
    with pytest.raises(BlobMissing) as caught:
        copy(Memory("base"), Memory(), blob(b"x"))
    assert str(caught.value) == f"base: has no {blob(b'x').digest}"


def test_a_manifest_above_the_limit_is_not_read():
    huge = Descriptor(MANIFEST, blob().digest, LIMIT + 1)
    with pytest.raises(ManifestTooLarge) as caught:
        copy(Memory(), Memory(), huge)
    assert str(caught.value) == f"{huge.digest} is {LIMIT + 1} bytes; the limit of a manifest is {LIMIT}"


def test_a_manifest_that_is_there_is_trusted_unless_the_copy_is_deep():
    image, origin, store = sample(), Memory(), Memory()
    root = image.fill(origin)
    image.fill(store, without=(image.own,))
    assert copy(origin, store, root) == Copied(present=(root,))
    copied = copy(origin, store, root, deep=True)
    assert copied.sent == (image.own,)
    assert set(copied.present) == {image.base, image.manifest.config, root}
    assert read(store, image.own) == image.blobs[image.own]


def test_what_is_distrusted_is_sent_though_it_seems_to_be_there(tmp_path: Path):
    image, origin = sample(), Memory()
    (ours, _), (base, base_name) = place(tmp_path, "demo"), place(tmp_path, "base")
    root = image.fill(origin)
    image.fill(base)
    image.fill(ours)
    damaged = tmp_path / "demo" / "blobs" / str(image.base.digest).replace(":", "/")
    damaged.write_bytes(bytes(image.base.size))
    again = frozenset({image.base.digest})
    assert copy(origin, ours, root, deep=True).sent == ()
    copied = copy(origin, ours, root, deep=True, again=again, mountable={image.base.digest: base_name})
    assert copied.sent == (image.base,)
    assert read(ours, image.base) == image.blobs[image.base]
    assert copy(origin, ours, root, again=frozenset({root.digest})).sent == (root,)


def test_blobs_are_asked_for_at_once_and_answered_in_order():
    image, store = sample(), Memory()
    image.fill(store, without=(image.own,))

    class Down(Memory):
        def has(self, descriptor: Descriptor) -> bool:
            raise MultiarchError(f"no answer about {descriptor.size}")

    asked = [(store, image.base), (store, image.own), (Down(), image.own)]
    here, gone, unknown = holds(asked, workers=2)
    assert (here, gone) == (True, False)
    assert str(unknown) == f"no answer about {image.own.size}"
    assert holds([]) == ()


CACHE = Reference.parse("localhost:1/cache")


class Lent(Memory):
    """A store that mounts these blobs, and refuses others, or all that are `unasked`."""

    def __init__(self, blobs: dict[Descriptor, bytes], *, wary: bool = False) -> None:
        super().__init__()
        self._lent = blobs
        self._wary = wary

    def mount(self, descriptor: Descriptor, origin: Reference, *, unasked: bool = False) -> bool:
        assert origin == CACHE
        if self._wary and unasked:
            return False
        if descriptor in self._lent:
            self.put(descriptor, factory(self._lent[descriptor]))
        return descriptor in self._lent


def test_what_is_lent_is_mounted_before_it_is_asked_for():
    image, origin = sample(), Memory()
    root, lent = image.fill(origin), {image.base.digest: CACHE, image.own.digest: CACHE}
    store, refusing = Lent(image.blobs), Lent({})
    for place in (store, refusing):
        place.put(image.base, factory(image.blobs[image.base]))
    assert set(copy(origin, store, root, lent=lent, new=True).mounted) == {image.base, image.own}
    copied = copy(origin, refusing, root, lent=lent, new=True)
    assert copied.present == (image.base,)
    assert copied.sent == (image.own, image.manifest.config, root)
    wary = Lent(image.blobs, wary=True)
    wary.put(image.base, factory(image.blobs[image.base]))
    copied = copy(origin, wary, root, lent=lent | {image.manifest.config.digest: CACHE}, new=True)
    assert copied.present == (image.base,)
    assert copied.mounted == (image.own, image.manifest.config)
    assert copy(origin, Lent(image.blobs), root, lent=lent, again=frozenset(lent)).mounted == ()
    assert copy(origin, store, root, lent=lent, deep=True).present[0] == image.base
