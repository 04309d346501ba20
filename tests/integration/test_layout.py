"""Other tools read the layouts that we write, and we read theirs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from machines.engine import Tool
from machines.registry import Registry as Machine
from multiarch_oci.index import Index
from multiarch_oci.store import copy, read
from multiarch_oci.store.layout import Layout
from multiarch_oci.store.memory import Memory
from samples import Sample, factory, sample


@pytest.fixture
def images() -> tuple[Sample, ...]:
    return (sample("linux/amd64"), sample("linux/arm64"), sample("windows(10.0.20348.2849)/amd64"))


@pytest.fixture
def folder(tmp_path: Path, images: tuple[Sample, ...]) -> Path:
    """Return a layout with a tag for each image and one for their index."""
    memory, folder = Memory(), tmp_path / "registry" / "demo"
    layout = Layout(folder)
    for image in images:
        copy(memory, layout, image.fill(memory), tags=(image.config.platform.tag_suffix,))
    index = Index(tuple(image.root for image in images))
    memory.put(index.descriptor(), factory(index.to_json()))
    copy(memory, layout, index.descriptor(), tags=("all",))
    return folder


def test_skopeo_reads_every_tag(folder: Path, skopeo: Tool, images: tuple[Sample, ...]):
    for image in images:
        suffix = image.config.platform.tag_suffix
        raw = skopeo.run("inspect", "--raw", f"oci:{folder}:{suffix}")
        assert raw.encode() == image.manifest.to_json()
        config = json.loads(skopeo.run("inspect", "--config", "--raw", f"oci:{folder}:{suffix}"))
        assert config["os"] == image.config.platform.os


def test_skopeo_copies_the_index_with_all_its_images_to_a_registry(
    folder: Path, skopeo: Tool, registry: Machine, images: tuple[Sample, ...]
):
    skopeo.run(
        "copy",
        "--all",
        "--preserve-digests",
        "--dest-tls-verify=false",
        f"oci:{folder}:all",
        f"docker://{registry.host}/demo:1",
    )
    found = registry.json("demo", "1")
    assert [each["digest"] for each in found["manifests"]] == [str(image.root.digest) for image in images]
    assert found["manifests"][2]["platform"]["os.version"] == "10.0.20348.2849"


def test_crane_finds_the_layout_sound(folder: Path, crane: Tool, registry: Machine, images: tuple[Sample, ...]):
    pushed = crane.run("push", "--insecure", "--index", str(folder), f"{registry.host}/whole:1")
    assert f"{registry.host}/whole@sha256:" in pushed
    digests = {each["digest"] for each in registry.json("whole", "1")["manifests"]}
    assert {str(image.root.digest) for image in images} < digests
    crane.run("validate", "--insecure", "--remote", f"{registry.host}/whole:1")


def test_podman_reads_the_image_of_its_platform(folder: Path, podman: Tool, images: tuple[Sample, ...]):
    identity = podman.run("pull", "-q", f"oci:{folder}:amd64").split()[-1]
    assert identity == images[0].manifest.config.digest.hex


def test_what_skopeo_wrote_is_read_and_kept(tmp_path: Path, folder: Path, skopeo: Tool, images: tuple[Sample, ...]):
    theirs = tmp_path / "theirs"
    skopeo.run("copy", f"oci:{folder}:amd64", f"oci:{theirs}:one")
    layout = Layout(theirs)
    found = layout.resolve("one")
    assert found is not None
    assert found.digest == images[0].root.digest
    assert read(layout, images[0].own) == images[0].blobs[images[0].own]
    memory = Memory()
    copy(memory, layout, images[1].fill(memory), tags=("two",))
    assert skopeo.run("inspect", "--raw", f"oci:{theirs}:one").encode() == images[0].manifest.to_json()
    assert skopeo.run("inspect", "--raw", f"oci:{theirs}:two").encode() == images[1].manifest.to_json()


def test_skopeo_and_we_write_to_one_layout_in_turn(folder: Path, skopeo: Tool, images: tuple[Sample, ...]):
    skopeo.run("copy", f"oci:{folder}:arm64", f"oci:{folder}:theirs")
    layout = Layout(folder)
    for name, image in (("theirs", images[1]), ("amd64", images[0]), ("windows-amd64-10.0.20348.2849", images[2])):
        found = layout.resolve(name)
        assert found is not None, name
        assert found.digest == image.root.digest
