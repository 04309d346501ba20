"""One platform's image as its records say it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from multiarch_oci.descriptor import BASE_DIGEST, BASE_NAME
from multiarch_oci.digest import Digest, DigestMismatch
from multiarch_oci.document import InvalidDocument
from multiarch_oci.image import Image
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import LAYER_FOREIGN_GZIP
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference
from samples import Sample, sample

DIGEST = Digest.of(b"the base's manifest")
NAMED = ((BASE_NAME, "registry.example/base:1"), (BASE_DIGEST, str(DIGEST)))


def read(image: Sample, held: frozenset[Digest] = frozenset(), **changes: object) -> Image:
    root = replace(image.root, **changes)  # type: ignore[arg-type]  # a test's shorthand
    return Image.of(root, image.manifest.to_json(), image.config.to_json(), held, where="demo.tar")


def with_manifest(manifest: Manifest) -> Sample:
    image = sample()
    return replace(image, manifest=manifest, root=replace(manifest.descriptor(), platform=image.config.platform))


def test_what_is_not_held_is_mountable_from_the_base():
    image = sample()
    found = read(image, frozenset({image.own.digest}), annotations=NAMED)
    assert found.base == Reference("registry.example", "base", "1", DIGEST)
    assert found.missing == (image.base,)
    assert dict(found.mountable) == {image.base.digest: found.base}
    assert found.layers == image.manifest.layers
    assert found.platform == Platform("linux", "amd64")


def test_over_scratch_nothing_is_mountable():
    found = read(sample())
    assert found.base is None
    assert dict(found.mountable) == {}


def test_the_manifest_names_the_base_when_the_descriptor_does_not():
    image = with_manifest(replace(sample().manifest, annotations=NAMED))
    assert read(image).base == Reference("registry.example", "base", "1", DIGEST)
    assert read(image, annotations=((BASE_NAME, "other:2"),)).base == Reference.parse("other:2")


def test_foreign_layers_are_missing_but_not_mounted():
    plain = sample().manifest
    foreign = replace(plain.layers[0], media_type=LAYER_FOREIGN_GZIP)
    found = read(with_manifest(Manifest(plain.config, (foreign, plain.layers[1]))), annotations=NAMED)
    assert found.missing == (foreign, plain.layers[1])
    assert list(found.mountable) == [plain.layers[1].digest]


def test_a_layer_that_comes_twice_is_missing_once():
    plain = sample()
    twice = with_manifest(Manifest(plain.manifest.config, (plain.base, plain.base)))
    assert read(twice).missing == (plain.base,)


def test_bytes_of_another_image_are_refused():
    one, other = sample(text=b"one"), sample(text=b"other")
    with pytest.raises(DigestMismatch) as caught:
        Image.of(one.root, other.manifest.to_json(), one.config.to_json(), frozenset(), where="demo.tar")
    assert str(caught.value) == f"demo.tar: wanted {one.root.digest}, the bytes are {other.root.digest}"
    with pytest.raises(DigestMismatch) as caught:
        Image.of(one.root, one.manifest.to_json(), other.config.to_json(), frozenset(), where="demo.tar")
    wanted, found = one.manifest.config.digest, other.manifest.config.digest
    assert str(caught.value) == f"demo.tar: wanted {wanted}, the bytes are {found}"


def test_layers_without_diff_id_are_refused():
    plain = sample()
    with pytest.raises(InvalidDocument) as caught:
        read(with_manifest(Manifest(plain.manifest.config, (plain.base,))))
    assert str(caught.value) == "demo.tar: has 1 layers, but its config names 2 diff_ids"


def test_a_platform_that_contradicts_the_config_is_refused():
    with pytest.raises(InvalidDocument) as caught:
        read(sample(), platform=Platform("linux", "arm64"))
    assert str(caught.value) == "demo.tar: is said to be linux/arm64, but its config says linux/amd64"


@pytest.mark.parametrize("platform", [None, Platform("linux", "x86_64"), Platform("linux", "amd64", "v1")])
def test_no_platform_or_another_spelling_is_no_contradiction(platform: Platform | None):
    assert read(sample(), platform=platform).platform == Platform("linux", "amd64")
