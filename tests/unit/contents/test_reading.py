"""Images of any place read for people, and their lines: what is in them, and how two differ."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from msgspec.structs import replace

from multiarch_oci.config import History, ImageConfig
from multiarch_oci.contents.lines import difference_lines, tree_lines
from multiarch_oci.contents.listing import Listing
from multiarch_oci.contents.reading import NoImage, Opened, folder_files, images_of, read_layer
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.index import Index
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import CONFIG, INDEX, LAYER_FOREIGN, LAYER_TAR, MANIFEST
from multiarch_oci.platform import Platform
from multiarch_oci.store.memory import Memory

AMD64 = Platform("linux", "amd64")


def put(memory: Memory, content: bytes, media_type: str) -> Descriptor:
    descriptor = Descriptor.of(media_type, content)
    memory.put(descriptor, lambda: io.BytesIO(content))
    return descriptor


def layer(memory: Memory, files: dict[str, bytes], media_type: str = LAYER_TAR) -> Descriptor:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return put(memory, packed.getvalue(), media_type)


def image(memory: Memory, *layers: Descriptor, platform: Platform = AMD64, user: str = "") -> Descriptor:
    digests = tuple(Digest.of(str(number).encode()) for number in range(len(layers)))
    lines = tuple(History(created_by=f"COPY {number} /") for number in range(len(layers)))
    config = ImageConfig(platform, digests, lines, user=user)
    described = put(memory, config.to_json(), CONFIG)
    manifest = Manifest(described, layers)
    return replace(put(memory, manifest.to_json(), MANIFEST), platform=platform)


def opened(memory: Memory, root: Descriptor, name: str = "x", kind: str = "image") -> Opened:
    return Opened(name, str(root.digest), kind, images_of(memory, root, name))


def test_an_index_is_its_images_without_attestations():
    memory = Memory()
    one = image(memory, layer(memory, {"a": b"1"}))
    two = image(memory, layer(memory, {"a": b"1"}), platform=Platform("linux", "arm64"))
    proof = replace(one, annotations=(("vnd.docker.reference.type", "attestation-manifest"),))
    root = put(memory, Index((one, two, proof)).to_json(), INDEX)
    lines = list(tree_lines(opened(memory, root, kind="index")))
    assert lines[0] == f"x  index  {root.digest}  2 platforms"
    assert [line[:14] for line in lines[1:4]] == ["├─ linux/amd64", "│  └─ layer 1 ", "│     └─ /a  1"]
    assert [line[:14] for line in lines[4:]] == ["└─ linux/arm64", "   └─ layer 1 ", "      └─ /a  1"]
    assert lines[2].endswith(": COPY 0 /")


def test_an_index_in_an_index_has_an_end_and_what_is_no_image_is_an_error():
    memory = Memory()
    root = image(memory, layer(memory, {"a": b"1"}))
    for _ in range(3):
        root = put(memory, Index((root,)).to_json(), INDEX)
    assert len(images_of(memory, root, "x")) == 1
    with pytest.raises(NoImage):
        images_of(memory, put(memory, Index((put(memory, Index((root,)).to_json(), INDEX),)).to_json(), INDEX), "x")
    with pytest.raises(NoImage, match="and no image"):
        images_of(memory, put(memory, b"{}", CONFIG), "x")


def test_a_layer_that_cannot_be_read_says_why_in_its_place():
    memory = Memory()
    foreign = layer(memory, {"w": b"1"}, LAYER_FOREIGN)
    root = image(memory, foreign, put(memory, b"no layer" * 200, LAYER_TAR), layer(memory, {"a": b"1"}))
    lines = list(tree_lines(opened(memory, root)))
    assert "its files are not known: x: a layer that may not be distributed, and is not read" in lines[2]
    assert "its files are not known: " in lines[4]
    assert lines[-1] == "   └─ /a  1 B  0644"


def test_layers_that_both_have_are_read_only_where_they_may_matter():
    memory, asked = Memory(), []
    base = layer(memory, {"base": b"x", "a": b"1"})
    old, new = (image(memory, base, layer(memory, {"a": content})) for content in (b"2", b"33"))

    def listing_of(descriptor: Descriptor) -> Listing:
        asked.append(descriptor.digest)
        return read_layer(memory, descriptor, "x")

    before, after = (
        Opened("p", str(root.digest), "image", (replace(view, listing_of=listing_of),))
        for root in (old, new)
        for view in images_of(memory, root, "x")
    )
    assert list(difference_lines(before, after))[3:] == ["  ~ /a  1 B → 2 B"]
    assert base.digest not in asked
    added = image(memory, base, layer(memory, {"a": b"1"}))
    assert list(difference_lines(opened(memory, image(memory, base)), opened(memory, added)))[3:] == [
        "  the same config and files; layers, history or times differ"
    ]


def test_two_images_over_one_base_differ_by_config_and_files():
    memory = Memory()
    base = layer(memory, {"base": b"x"})
    old = image(memory, base, layer(memory, {"a": b"1", "gone": b"22"}))
    new = image(memory, base, layer(memory, {"a": b"22", "new": b"2"}), user="1000")
    places = [
        Opened(str(n), str(root.digest), "image", images_of(memory, root, "x")) for n, root in enumerate((old, new))
    ]
    lines = list(difference_lines(*places))
    assert lines[:2] == [f"--- 0  {old.digest}", f"+++ 1  {new.digest}"]
    assert lines[2] == f"linux/amd64: {old.digest} → {new.digest}"
    assert lines[3:] == ["  USER: nothing → '1000'", "  ~ /a  1 B → 2 B", "  - /gone  2 B", "  + /new  1 B"]


def test_a_whiteout_over_a_shared_layer_is_seen():
    memory = Memory()
    base = layer(memory, {"etc/secret": b"x", "etc/other": b"y"})
    old, new = image(memory, base), image(memory, base, layer(memory, {"etc/.wh.secret": b""}))
    lines = list(difference_lines(opened(memory, old), opened(memory, new)))
    assert lines[3:] == ["  - /etc/secret  1 B"]


def test_images_that_differ_in_nothing_to_be_seen_say_so():
    memory = Memory()
    old = image(memory, layer(memory, {"a": b"1"}))
    new = image(memory, layer(memory, {"a": b"1"}), layer(memory, {"a": b"1"}))
    lines = list(difference_lines(opened(memory, old), opened(memory, new)))
    assert lines[3:] == ["  the same config and files; layers, history or times differ"]
    assert list(difference_lines(opened(memory, old), opened(memory, old)))[2:] == ["no difference: the same digest"]


def test_folders_are_file_systems_too(tmp_path: Path):
    tmp_path.joinpath("a").write_bytes(b"1")
    tmp_path.joinpath("d").mkdir()
    tmp_path.joinpath("d", "link").symlink_to("../a")
    files = folder_files(tmp_path)
    assert [(file.path, file.kind, file.target) for file in files.values()] == [
        ("a", "file", ""), ("d", "directory", ""), ("d/link", "symbolic link", "../a"),
    ]  # fmt: skip
    memory = Memory()
    several = Opened("s", "", "index", images_of(memory, image(memory, layer(memory, {"a": b"1"})), "s") * 2)
    with pytest.raises(NoImage, match="has several platforms"):
        list(difference_lines(Opened("f", "", "folder", files=files), several))
    same = Opened("f", "", "folder", files=files)
    assert list(difference_lines(same, same))[2:] == ["no difference in platforms, configs and files"]
