"""An OCI image layout in one tar file.

OCI image spec 1.1, image-layout.md; POSIX.1-2017, pax ("ustar Interchange Format").
"""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from multiarch_oci.descriptor import BASE_DIGEST, BASE_NAME, Descriptor
from multiarch_oci.digest import Digest, DigestMismatch
from multiarch_oci.document import InvalidDocument
from multiarch_oci.mediatype import LAYER_GZIP
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference
from multiarch_oci.store import BlobMissing, read
from multiarch_oci.store.archive import Archive, ArchiveWriter, read_image
from multiarch_oci.store.entries import InvalidLayout
from multiarch_oci.store.tarmembers import InvalidArchive
from samples import blob, factory, sample

BASE = Reference.parse("registry.example/base:1@sha256:" + "ab" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "images" / "demo.tar"


def sparse(path: Path, text: bytes = b"hello", platform: str = "linux/arm64") -> Descriptor:
    """Write an image tarball without its base's layer, as an engine does; return its root."""
    image = sample(platform, text)
    root = replace(image.root, annotations=((BASE_NAME, "registry.example/base:1"), (BASE_DIGEST, str(BASE.digest))))
    with ArchiveWriter(path) as archive:
        with archive.blob() as new:
            new.stream.write(image.blobs[image.own])
        assert new.descriptor(LAYER_GZIP) == image.own
        archive.put(image.manifest.config, factory(image.config.to_json()))
        archive.put(image.root, factory(image.manifest.to_json()))
        archive.root(root)
    return root


def names(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


def test_an_image_tarball_holds_what_the_image_adds(path: Path):
    root, image = sparse(path), sample("linux/arm64")
    wanted = [f"blobs/sha256/{each.digest.hex}" for each in (image.own, image.manifest.config, root)]
    assert names(path) == ["oci-layout", *wanted, "index.json"]
    found = read_image(path)
    assert found.descriptor == root
    assert found.platform == Platform("linux", "arm64")
    assert found.manifest.to_json() == image.manifest.to_json()
    assert found.config == image.config
    assert found.base == BASE
    assert found.own == {image.own.digest, image.manifest.config.digest, root.digest}
    assert found.missing == (image.base,)
    assert dict(found.mountable) == {image.base.digest: BASE}
    with pytest.raises(BlobMissing) as caught:
        Archive(path).open(image.base)
    assert str(caught.value) == f"{path}: has no {image.base.digest}"


def test_the_index_names_platform_and_base(path: Path):
    root = sparse(path)
    with tarfile.open(path) as tar:
        index = json.load(tar.extractfile("index.json"))
    assert index == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": str(root.digest),
                "size": root.size,
                "annotations": {
                    "org.opencontainers.image.base.name": "registry.example/base:1",
                    "org.opencontainers.image.base.digest": str(BASE.digest),
                },
                "platform": {"architecture": "arm64", "os": "linux"},
            }
        ],
    }


def test_equal_images_are_equal_bytes_whatever_the_umask(tmp_path: Path):
    sparse(tmp_path / "one.tar")
    before = os.umask(0o077)
    try:
        sparse(tmp_path / "two.tar")
    finally:
        os.umask(before)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "two.tar") as tar:
        said = {(m.mode, m.mtime, m.uid, m.gid, m.uname, m.gname, m.type) for m in tar.getmembers()}
    assert said == {(0o644, 0, 0, 0, "", "", tarfile.REGTYPE)}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_the_file_has_the_mode_that_the_umask_gives(path: Path):
    before = os.umask(0o022)
    try:
        sparse(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_streamed_blob_and_a_put_one_make_the_same_file(tmp_path: Path):
    content = os.urandom(3_000_001)
    with ArchiveWriter(tmp_path / "streamed.tar") as archive, archive.blob() as new:
        for start in range(0, len(content), 70_000):
            new.stream.write(content[start : start + 70_000])
    with ArchiveWriter(tmp_path / "put.tar") as archive:
        archive.put(blob(content), factory(content))
    assert (tmp_path / "streamed.tar").read_bytes() == (tmp_path / "put.tar").read_bytes()
    assert (new.digest, new.size) == (Digest.of(content), len(content))


def test_a_streamed_blob_that_is_there_already_is_not_there_twice(path: Path):
    with ArchiveWriter(path) as archive:
        for _ in range(2):
            with archive.blob() as new:
                new.stream.write(b"same")
        with archive.blob() as after:
            after.stream.write(b"other")
    assert names(path) == [
        "oci-layout",
        f"blobs/sha256/{new.digest.hex}",
        f"blobs/sha256/{after.digest.hex}",
        "index.json",
    ]
    assert read(Archive(path), Descriptor.of("x", b"other")) == b"other"


def test_a_streamed_blob_that_fails_is_taken_back(path: Path):
    with ArchiveWriter(path) as archive:
        with pytest.raises(ZeroDivisionError), archive.blob() as new:  # noqa: PT012  # the block is what is tested
            new.stream.write(b"half a layer" * 200_000)
            new.stream.write(b"still in the buffer")
            raise ZeroDivisionError
        assert new.stream.closed  # else its buffer would reach the file whenever Python lets go of it
        archive.put(blob(b"x"), factory(b"x"))
    assert names(path) == ["oci-layout", f"blobs/sha256/{blob(b'x').digest.hex}", "index.json"]
    assert read(Archive(path), blob(b"x")) == b"x"


def test_content_that_is_wrong_is_taken_back(path: Path):
    with ArchiveWriter(path) as archive:
        with pytest.raises(DigestMismatch):
            archive.put(blob(b"right"), factory(b"wrong"))
        archive.put(blob(b"x"), factory(b"x"))
    assert names(path) == ["oci-layout", f"blobs/sha256/{blob(b'x').digest.hex}", "index.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_archive_and_nothing_else(path: Path, error: type[BaseException]):
    sparse(path)
    before = path.read_bytes()
    with pytest.raises(error), ArchiveWriter(path) as archive:  # noqa: PT012  # the block is what is tested
        archive.put(blob(b"x"), factory(b"x"))
        raise error
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_finished_layer_is_taken_over(path: Path, tmp_path: Path):
    sparse(path)
    own = sample("linux/arm64").own
    with ArchiveWriter(tmp_path / "new.tar") as archive:
        assert archive.take_over(Archive(path), own) is True
        assert archive.take_over(Archive(path), own) is True
        assert archive.take_over(Archive(path), blob(b"other")) is False
        assert archive.take_over(Archive(tmp_path / "never.tar"), blob(b"other")) is False
    assert read(Archive(tmp_path / "new.tar"), own) == sample("linux/arm64").blobs[own]


def test_an_archive_is_replaced_by_one_that_takes_from_it(path: Path):
    sparse(path)
    before = path.read_bytes()
    old = Archive(path)
    with ArchiveWriter(path) as archive:
        for descriptor in (
            sample("linux/arm64").own,
            sample("linux/arm64").manifest.config,
            sample("linux/arm64").root,
        ):
            assert archive.take_over(old, descriptor)
        archive.root(old.roots[0])
    assert path.read_bytes() == before


def test_a_damaged_layer_is_not_taken_over(path: Path, tmp_path: Path):
    sparse(path)
    own = sample("linux/arm64").own
    damage(path, f"blobs/sha256/{own.digest.hex}")
    with ArchiveWriter(tmp_path / "new.tar") as archive:
        assert archive.take_over(Archive(path), own) is False
        archive.put(blob(b"x"), factory(b"x"))
    assert read(Archive(tmp_path / "new.tar"), blob(b"x")) == b"x"


def damage(path: Path, name: str) -> None:
    with tarfile.open(path) as tar:
        offset = tar.getmember(name).offset_data
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\x7f")


def test_wrong_content_is_found_out(path: Path):
    root = sparse(path)
    damage(path, f"blobs/sha256/{root.digest.hex}")
    with pytest.raises(DigestMismatch, match=f"wanted {root.digest}"):
        read_image(path)


def test_threads_read_at_once(path: Path):
    contents = [os.urandom(200_000) for _ in range(6)]
    with ArchiveWriter(path) as writer:
        for content in contents:
            writer.put(blob(content), factory(content))
        writer.root(sample().root)
    archive, wrong = Archive(path), []

    def work() -> None:
        wrong.extend(content for content in contents * 4 if read(archive, blob(content)) != content)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_archive_resolves_tags_and_digests(path: Path):
    image = sample()
    with ArchiveWriter(path) as archive:
        archive.tag("1.0", image.fill(archive))
    found = Archive(path).resolve("1.0")
    assert found == image.root
    assert Archive(path).resolve(str(image.root.digest)) == image.root
    assert Archive(path).resolve("other") is None
    assert Archive(path).resolve(str(image.own.digest)) is None
    assert Archive(path).resolve(str(Digest.of(b"x"))) is None


def test_sha512_names_are_longer_than_a_header_and_work(path: Path):
    descriptor = Descriptor(LAYER_GZIP, Digest.of(b"x", "sha512"), 1)
    with ArchiveWriter(path) as writer:
        writer.put(descriptor, factory(b"x"))
        writer.root(sample().root)
    assert names(path)[1] == f"blobs/sha512/{descriptor.digest.hex}"
    assert read(Archive(path), descriptor) == b"x"


def test_gnu_tar_reads_it(path: Path):
    root = sparse(path)
    listed = subprocess.run(["tar", "tf", path], capture_output=True, text=True, check=True)
    assert f"blobs/sha256/{root.digest.hex}" in listed.stdout.split()
    assert listed.stderr == ""


def foreign(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


LAYOUT = b'{"imageLayoutVersion": "1.0.0"}'
EMPTY = b'{"schemaVersion":2,"manifests":[]}'


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"x": b""}, "is no OCI image layout: it has no 'oci-layout'"),
        ({"oci-layout": LAYOUT}, "is no OCI image layout: it has no 'index.json'"),
        ({"oci-layout": LAYOUT, "index.json": EMPTY}, "holds 0 entries, not one image"),
        (
            {"oci-layout": b'{"imageLayoutVersion":"9"}', "index.json": EMPTY},
            "is an OCI image layout of version 9; known is 1.0.0",
        ),
        ({"oci-layout": LAYOUT, "index.json": b"[]"}, "index.json: is a list, not a JSON object"),
        (
            {"oci-layout": LAYOUT, "index.json": b" " * 5_000_000},
            "index.json: is 4194305 bytes of JSON, the limit is 4194304",
        ),
    ],
)
def test_what_is_no_image_is_an_error_that_names_the_file(path: Path, members: dict[str, bytes], text: str):
    foreign(path, members)
    with pytest.raises((InvalidLayout, InvalidArchive, InvalidDocument)) as caught:
        read_image(path)
    assert str(caught.value) == f"{path}: {text}"


def test_the_layouts_of_other_tools_are_read(path: Path):
    image = sample()
    index = json.dumps({"schemaVersion": 2, "manifests": [image.root.to_json()]}).encode()
    blobs = {f"./blobs/sha256/{each.digest.hex}": content for each, content in image.blobs.items()}
    foreign(path, {**blobs, "./oci-layout": LAYOUT, "./index.json": index, "blobs/sha256/odd": b"", "blobs/x": b""})
    found = read_image(path)
    assert found.missing == ()
    assert found.base is None
    assert found.own == {each.digest for each in image.blobs}


def test_a_missing_file_is_an_error_that_names_it(path: Path):
    with pytest.raises(InvalidArchive) as caught:
        read_image(path)
    assert str(caught.value) == f"{path}: is not there, or is no file"


def test_a_member_cannot_be_there_twice(path: Path):
    with pytest.raises(InvalidArchive) as caught, ArchiveWriter(path) as archive:
        archive.member("oci-layout", b"{}")
    assert str(caught.value) == f"{path}: member 'oci-layout' is there twice"
    assert not path.exists()
