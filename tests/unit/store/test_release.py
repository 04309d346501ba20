"""The archive that other tools load."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from msgspec.structs import replace

from multiarch_oci.digest import Digest
from multiarch_oci.manifest import Manifest
from multiarch_oci.reference import Reference
from multiarch_oci.store import BlobMissing
from multiarch_oci.store.archive import Archive, read_image, write_release
from multiarch_oci.store.memory import Memory
from samples import sample

NAME = Reference.parse("localhost:5000/team/demo:1.0-amd64")


def written(path: Path, reference: Reference = NAME) -> dict[str, bytes]:
    memory = Memory()
    root = sample().fill(memory)
    write_release(path, memory, replace(root, platform=sample().root.platform), reference)
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def test_it_is_a_layout_and_what_docker_saves(tmp_path: Path):
    image, members = sample(), written(tmp_path / "demo.tar")
    blobs = [f"blobs/sha256/{each.digest.hex}" for each in (image.base, image.own, image.manifest.config, image.root)]
    assert list(members) == ["oci-layout", *blobs, "manifest.json", "index.json"]
    assert json.loads(members["manifest.json"]) == [
        {"Config": blobs[2], "RepoTags": ["localhost:5000/team/demo:1.0-amd64"], "Layers": blobs[:2]}
    ]
    assert json.loads(members["index.json"])["manifests"] == [
        {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": str(image.root.digest),
            "size": image.root.size,
            "annotations": {
                "io.containerd.image.name": "localhost:5000/team/demo:1.0-amd64",
                "org.opencontainers.image.ref.name": "1.0-amd64",
            },
            "platform": {"architecture": "amd64", "os": "linux"},
        }
    ]


@pytest.mark.parametrize(
    ("reference", "familiar", "full"),
    [
        ("demo:1.0", "demo:1.0", "docker.io/library/demo:1.0"),
        ("demo", "demo:latest", "docker.io/library/demo:latest"),
        ("demo:1.0@" + str(Digest.of(b"x")), "demo:1.0", "docker.io/library/demo:1.0"),
    ],
)
def test_the_name_is_the_one_that_docker_shows(tmp_path: Path, reference: str, familiar: str, full: str):
    members = written(tmp_path / "demo.tar", Reference.parse(reference))
    assert json.loads(members["manifest.json"])[0]["RepoTags"] == [familiar]
    annotations = json.loads(members["index.json"])["manifests"][0]["annotations"]
    assert annotations["io.containerd.image.name"] == full


def test_equal_images_are_equal_bytes(tmp_path: Path):
    written(tmp_path / "one.tar")
    written(tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_it_reads_back_as_the_same_image_and_lacks_nothing(tmp_path: Path):
    written(tmp_path / "demo.tar")
    found = read_image(tmp_path / "demo.tar")
    assert found.manifest.to_json() == sample().manifest.to_json()
    assert found.missing == ()
    assert Archive(tmp_path / "demo.tar").resolve("1.0-amd64") is not None


def test_a_layer_that_comes_twice_is_held_once_and_named_twice(tmp_path: Path):
    image, memory = sample(), Memory()
    image.fill(memory)
    config = replace(image.config, diff_ids=(image.config.diff_ids[0],) * 2)
    manifest = Manifest(config.descriptor(), (image.base, image.base))
    twice = replace(
        image,
        manifest=manifest,
        config=config,
        root=manifest.descriptor(),
        blobs={config.descriptor(): config.to_json(), manifest.descriptor(): manifest.to_json()},
    )
    write_release(tmp_path / "demo.tar", memory, twice.fill(memory), NAME)
    with tarfile.open(tmp_path / "demo.tar") as tar:
        names = tar.getnames()
        listed = json.load(tar.extractfile("manifest.json"))[0]["Layers"]
    base = f"blobs/sha256/{image.base.digest.hex}"
    assert listed == [base, base]
    assert names.count(base) == 1


def test_a_missing_layer_leaves_no_archive(tmp_path: Path):
    image, memory = sample(), Memory("base")
    image.fill(memory, without=(image.base,))
    with pytest.raises(BlobMissing) as caught:
        write_release(tmp_path / "demo.tar", memory, image.root, NAME)
    assert str(caught.value) == f"base: has no {image.base.digest}"
    assert list(tmp_path.iterdir()) == []
