"""Archives and bases that are damaged, endless, deep, or not what their records say."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os

import pytest

import hostile_tars as hostile
from multiarch_oci.config import ImageConfig
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest, DigestMismatch
from multiarch_oci.document import InvalidDocument
from multiarch_oci.engine import Base
from multiarch_oci.errors import MultiarchError
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import LAYER_GZIP
from workshop import AMD64, Workshop, tar

END = bytes(1024)
PACKED = {"tar": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}
FILE = hostile.header(b"f", 3) + hostile.filled(b"abc")


@pytest.fixture
def shop(tmp_path) -> Workshop:
    (tmp_path / "context").mkdir()
    return Workshop(tmp_path / "context")


def base(shop: Workshop, *layers: bytes, ids: list[Digest] | None = None) -> None:
    """A base whose config says these diff_ids; the right ones are those of the layers."""
    blobs = [gzip.compress(layer, mtime=0) for layer in layers]
    config = ImageConfig(AMD64, tuple(map(Digest.of, layers)) if ids is None else tuple(ids))
    manifest = Manifest(config.descriptor(), tuple(Descriptor.of(LAYER_GZIP, blob) for blob in blobs))
    for descriptor, content in (
        *zip(manifest.layers, blobs, strict=True), (config.descriptor(), config.to_json()),
        (manifest.descriptor(), manifest.to_json()),
    ):  # fmt: skip
        shop.store.put(descriptor, lambda content=content: io.BytesIO(content))
    shop.bases = (Base("base", AMD64, manifest.descriptor().digest),)


@pytest.mark.parametrize("ids", [[], [Digest.of(b"1"), Digest.of(b"2")]], ids=["none", "two for one"])
def test_a_base_that_does_not_name_one_diff_id_for_each_layer_is_an_error(shop, ids):
    base(shop, FILE + END, ids=ids)
    with pytest.raises(InvalidDocument) as caught:
        shop.build("FROM scratch AS first\nFROM base\nLABEL a=b\n")
    assert str(caught.value).startswith("Dockerfile.test:2: base base cannot be read: docker.io/library/base@")
    assert caught.value.what.endswith(f"has 1 layers, but its config names {len(ids)} diff_ids")
    assert not shop.output.exists()


@pytest.mark.parametrize(
    "dockerfile",
    [
        "FROM base\nCOPY f /bin/f\n",
        "FROM scratch\nCOPY --from=base / /\n",
        "FROM base\nUSER a:b\nCOPY --chown=a f /x\n",
    ],
)
def test_an_unpacked_layer_is_what_its_diff_id_says(shop, dockerfile):
    shop.write("f", "x")
    base(shop, FILE + END, ids=[Digest.of(b"other")])
    with pytest.raises(DigestMismatch) as caught:
        shop.build(dockerfile)
    line = 2 if "scratch" in dockerfile else 1
    assert str(caught.value).startswith(f"Dockerfile.test:{line}: base docker.io/library/base: layer sha256:")
    assert caught.value.what.startswith(f"unpacked it is {Digest.of(FILE + END)}, but the image's config says ")
    assert not shop.output.exists()


@pytest.mark.parametrize("pack", PACKED)
def test_a_pax_size_beyond_all_numbers_ends(shop, pack):
    shop.write("a.tar", PACKED[pack](FILE + hostile.pax((b"size", b"9" * 20)) + hostile.header(b"b") + END))
    with pytest.raises(MultiarchError) as caught:
        shop.build("FROM scratch\nADD a.tar /x/\n")
    path = shop.folder / "a.tar"
    assert str(caught.value) == (
        f"Dockerfile.test:2: ADD: {path} cannot be read: member 'b': its header says '{'9' * 20}' where a number below 2**63 belongs"
    )


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_a_header_of_400_mib_is_not_read(shop, kind):
    content = FILE + hostile.header(b"h", 400 << 20, kind) + bytes(1 << 20)
    shop.write("a.tar", content)
    with pytest.raises(MultiarchError, match="member 'h': an extended header of 419430400 bytes, the limit is 1048576"):
        shop.build("FROM scratch\nADD a.tar /x/\n")
    base(shop, content)
    with pytest.raises(MultiarchError, match=r"base .*: layer .*: cannot be read: member 'h': an extended header"):
        shop.build("FROM scratch\nCOPY --from=base / /x/\n")


def test_chained_headers_are_no_recursion(shop):
    shop.write("a.tar", hostile.pax((b"path", b"n")) * 3000 + hostile.gnu(b"name") * 3000 + FILE + END)
    assert set(shop.files("FROM scratch\nADD a.tar /x/\n")) == {"x", "x/name"}


@pytest.mark.parametrize("how", ["ADD", "COPY --from", "ADD of all folders", "context", "below a file"])
def test_a_thousand_folders_deep(shop, how):
    depth = 400 if how == "context" else 1000  # Python's own rmtree, which removes the context, goes no deeper
    deep = b"/".join([b"d"] * depth)
    content = hostile.gnu(deep + b"/f") + FILE + END
    if how == "ADD of all folders":
        content = b"".join(hostile.gnu(b"d/" * (n + 1)) + hostile.header(b"d/", 0, b"5") for n in range(300)) + content
    dockerfile = "FROM scratch\nADD a.tar /x/\n"
    if how == "below a file":
        dockerfile += "COPY g /x/\nADD b.tar /x/\n"
        shop.write("g", "g")
        shop.write("b.tar", tar(("d", {}, b"now a file")))
    if how == "COPY --from":
        base(shop, content)
        dockerfile = "FROM scratch\nCOPY --from=base / /x/\n"
    if how == "context":
        dockerfile = "FROM scratch\nCOPY top /x/\n"
        shop.write(".dockerignore", "top\n!top/**/f\n")
        place = os.open(shop.folder, os.O_RDONLY)
        for name in ["top", *["d"] * depth]:
            os.mkdir(name, dir_fd=place)
            place = os.open(name, os.O_RDONLY, dir_fd=place)
        os.close(os.open("f", os.O_CREAT, dir_fd=place))
    shop.write("a.tar", content)
    found = shop.files(dockerfile)
    assert ("x/" + "d/" * depth + "f" in found) == (how != "below a file")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (b"n" * 256, "a name with a part of 256 bytes, the limit is 255"),
        (b"folder/" * 1000 + b"f", "a name of 7001 bytes, the limit is 4096"),
    ],
)
def test_names_that_no_file_system_takes_are_an_error(shop, name, what):
    shop.write("a.tar", FILE + hostile.gnu(name) + FILE + END)
    with pytest.raises(MultiarchError) as caught:
        shop.build("FROM scratch\nADD a.tar /x/\n")
    assert caught.value.what.endswith(f"…': {what}")
    assert len(caught.value.what) < 300


@pytest.mark.parametrize("pack", PACKED)
def test_what_begins_as_an_archive_and_is_damaged_behind_is_an_error(shop, pack):
    content = FILE + hostile.header(b"big", 90_000) + bytes(range(256)) * 300
    shop.write("a.tar", PACKED[pack](content))
    with pytest.raises(MultiarchError, match="member 'big': the archive ends within it"):
        shop.build("FROM scratch\nADD a.tar /x/\n")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (hostile.header(b"a", 1, wrong=1) + END, "is no tar archive, or a damaged one"),
        (gzip.compress(FILE + END)[:20], "cannot be read: the packed data ends too early"),
        (lzma.compress(FILE + END)[:30], "cannot be read: the packed data ends too early"),
        (bz2.compress(FILE + END)[:14] + bytes(100), "cannot be read: the packed data is damaged: Invalid data stream"),
        (hostile.pax((b"size", b"x")) + FILE, "cannot be read: member 'f': its header says 'x' where"),
    ],
    ids=["check sum", "gzip", "xz", "bzip2", "pax"],
)
def test_a_damaged_archive_is_not_copied_without_a_word(shop, content, why):
    shop.write("a.tar", content)
    assert set(shop.files("FROM scratch\nADD a.tar /x/\n")) == {"x", "x/a.tar"}
    (warning,) = shop.warnings
    path = shop.folder / "a.tar"
    assert warning.startswith(
        f"Dockerfile.test:2: {path} seems to be a damaged archive, and is copied as it is: it {why}"
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"text", b"t" * 5000, bytes(512), bytes(2048), gzip.compress(b"text"), gzip.compress(b"t" * 5000)],
    ids=["empty", "short", "text", "zero", "zeros", "gz short", "gz text"],
)
def test_what_is_no_archive_is_copied(shop, content):
    shop.write("file", content)
    assert set(shop.files("FROM scratch\nADD file /x/\n")) == {"x", "x/file"}
    assert shop.warnings == []


def test_what_follows_an_archive_is_nothing(shop):
    shop.write("a.tar", FILE + END + b"more")
    shop.write("b.tar", gzip.compress(FILE[:700]) + gzip.compress(FILE[700:] + END) + b"garbage")
    shop.write("c.tar", FILE + END + hostile.header(b"second") + END)
    found = shop.files("FROM scratch\nADD a.tar /a/\nADD b.tar /b/\nADD c.tar /c/\n")
    assert set(found) == {"a", "a/f", "b", "b/f", "c", "c/f"}


def test_a_wrong_check_sum_is_an_error(shop):
    packed = bytearray(gzip.compress(FILE + END))
    packed[-6] ^= 1
    shop.write("a.tar", packed)
    with pytest.raises(MultiarchError, match="the packed data is damaged"):
        shop.build("FROM scratch\nADD a.tar /x/\n")


def test_sparse_files_are_files_with_holes(shop):
    map_ = b"2\n512\n3\n1024\n3\n"
    pax = hostile.pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"new"), (b"GNU.sparse.realsize", b"2000"))  # fmt: skip
    stored = hostile.filled(map_) + b"abcdef"
    entries = b"%011o\0%011o\0" % (512, 3) + b"%011o\0%011o\0" % (1024, 3)
    tail = bytes(41) + entries.ljust(96, b"\0") + b"\0" + b"%011o\0" % 2000 + bytes(17)
    old = hostile.header(b"old", 6, b"S", magic=b"ustar  \0", tail=tail) + hostile.filled(b"abcdef")
    shop.write("a.tar", pax + hostile.header(b"x", len(stored)) + hostile.filled(stored) + old + FILE + END)
    shop.write("plain", bytes(512) + b"abc" + bytes(509) + b"def" + bytes(973))
    found = shop.files("FROM scratch\nADD a.tar /x/\nCOPY plain /x/plain\n")
    assert found["x/new"].content == found["x/old"].content == found["x/plain"].content
    assert "x/f" in found


def test_a_sparse_file_without_end_is_an_error(shop):
    record = ((b"GNU.sparse.numblocks", b"0"), (b"GNU.sparse.map", b"0,0"), (b"GNU.sparse.size", b"%d" % (1 << 62)))
    shop.write("a.tar", FILE + hostile.pax((b"GNU.sparse.numblocks", b"1"), *record[1:]) + hostile.header(b"s") + END)
    with pytest.raises(MultiarchError, match=f"a sparse file of {1 << 62} bytes, the limit is"):
        shop.build("FROM scratch\nADD a.tar /x/\n")


@pytest.mark.parametrize("name", ["a/../b", "/b", "./b", "/../b"])
def test_names_are_cleaned_as_engines_do(shop, name):
    shop.write("a.tar", hostile.header(name.encode(), 3) + hostile.filled(b"abc") + END)
    assert set(shop.files("FROM scratch\nADD a.tar /x/\n")) == {"x", "x/b"}


def test_global_headers_count_for_nothing(shop):
    shop.write(
        "a.tar", hostile.pax((b"path", b"g"), (b"mtime", b"5"), typeflag=b"g") + FILE + FILE.replace(b"f", b"h", 1)
    )
    with pytest.raises(MultiarchError):  # the check sum of the second is wrong
        shop.build("FROM scratch\nADD a.tar /x/\n")
    shop.write("a.tar", hostile.pax((b"path", b"g"), typeflag=b"g") + FILE + END)
    assert set(shop.files("FROM scratch\nADD a.tar /x/\n")) == {"x", "x/f"}


def test_a_pattern_of_a_thousand_parts(shop):
    deep = b"/".join([b"d"] * 1000)
    shop.write("a.tar", hostile.gnu(deep + b"/f") + FILE + END)
    source = "/".join(["?"] * 1000)
    text = "FROM scratch AS s\nADD a.tar /\nFROM scratch\nCOPY --from=s /{} /x/\n"
    assert "x/f" in shop.files(text.format(f"{source}/*"))
    assert shop.files(text.format(f"{source}/{source}/*")) == {}
