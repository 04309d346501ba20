"""`scons verify`: what a registry lost or that somebody changed is told, and repaired when asked.

OCI distribution spec 1.1: "Pulling manifests", "Checking if content exists in the registry"; image spec 1.1, descriptor.md, "Verification".
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from machines.registry import Registry
from machines.small import Tree

ARCHS = ("amd64", "arm64")


@pytest.fixture
def pushed(tree: Tree, registry: Registry) -> Tree:
    """Return a tree whose index is in the registry."""
    tree.scons("push-manifest", f"REGISTRY={registry.host}")
    return tree


def verify(tree: Tree, registry: Registry, *words: str, status: int = 0) -> str:
    """Run the verb; return what it printed."""
    ran = tree.scons("-Q", "verify", *words, f"REGISTRY={registry.host}", check=False)
    assert ran.status == status, ran.text
    return ran.text


def name(registry: Registry, arch: str | None = None) -> str:
    return f"{registry.host}/demo:v1.0" + (f"-{arch}" if arch else "")


def layers(registry: Registry, arch: str) -> list[dict[str, object]]:
    return list(registry.json("demo", f"v1.0-{arch}")["layers"])


def lose(registry: Registry, digest: object) -> None:
    registry.blob(str(digest)).unlink()


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def test_all_is_there_and_asking_changes_nothing(pushed: Tree, registry: Registry):
    before = pushed.digests("_output")
    registry.requests()
    assert verify(pushed, registry) == "everything is there: 3 tags checked\n"
    asked = registry.requests()
    assert {request.method for request in asked} <= {"GET", "HEAD"}
    assert sum(request.method == "HEAD" and "/blobs/" in request.path for request in asked) == len(
        {layer["digest"] for arch in ARCHS for layer in layers(registry, arch)}
    )
    assert pushed.digests("_output") == before


def test_only_what_the_target_reaches_is_checked(pushed: Tree, registry: Registry):
    registry.delete_tag("demo", "v1.0")
    assert verify(pushed, registry, "push") == "everything is there: 2 tags checked\n"


def test_a_lost_blob_under_a_living_manifest_is_told_and_repaired(pushed: Tree, registry: Registry):
    arm64 = layers(registry, "arm64")
    own = next(layer for layer in arm64 if layer not in layers(registry, "amd64"))
    digests = {tag: registry.digest("demo", tag) for tag in registry.tags("demo")}
    lose(registry, own["digest"])
    assert pushed.scons("push-manifest", f"REGISTRY={registry.host}").up_to_date
    line = (
        f"{name(registry, 'arm64')}: the blob {own['digest']} ({own['size']} bytes)"
        " is not in the registry, or not whole\n"
    )
    told = verify(pushed, registry, status=1)
    assert told == f"{line}1 fault found; scons verify push-manifest repairs what it can\n"
    told = verify(pushed, registry, "push-manifest")
    assert told == (
        f"{line}1 fault found, to be repaired now\n"
        f"Push {name(registry, 'arm64')}: verify found it wrong\n"
        "Verify again\n"
        "repaired: everything is there\n"
    )
    assert verify(pushed, registry).startswith("everything is there")
    assert {tag: registry.digest("demo", tag) for tag in registry.tags("demo")} == digests


def test_a_lost_config_is_repaired(pushed: Tree, registry: Registry):
    lose(registry, registry.json("demo", "v1.0-amd64")["config"]["digest"])
    assert "the config sha256:" in verify(pushed, registry, status=1)
    verify(pushed, registry, "push-manifest")
    assert verify(pushed, registry).startswith("everything is there")


def test_a_deleted_tag_and_a_moved_one_are_told_and_repaired(pushed: Tree, registry: Registry):
    right = registry.digest("demo", "v1.0-amd64"), registry.digest("demo", "v1.0-arm64")
    registry.delete_tag("demo", "v1.0-amd64")
    registry.move_tag("demo", "v1.0-arm64", "v1.0")
    index = registry.digest("demo", "v1.0")
    assert verify(pushed, registry, status=1).splitlines()[:2] == [
        f"{name(registry, 'amd64')}: is not in the registry; it should hold {right[0]}",
        f"{name(registry, 'arm64')}: holds {index}, not {right[1]}: somebody moved it",
    ]
    verify(pushed, registry, "push-manifest")
    assert (registry.digest("demo", "v1.0-amd64"), registry.digest("demo", "v1.0-arm64")) == right


def test_a_child_that_was_collected_is_told_and_repaired(pushed: Tree, registry: Registry):
    child = str(registry.digest("demo", "v1.0-arm64"))
    registry.delete_manifest("demo", child)
    told = verify(pushed, registry, status=1).splitlines()
    assert told[0] == f"{name(registry, 'arm64')}: is not in the registry; it should hold {child}"
    assert told[1].startswith(f"{name(registry)}: the manifest {child} (")
    assert verify(pushed, registry, "push-manifest").endswith("repaired: everything is there\n")
    assert registry.digest("demo", "v1.0-arm64") == child


def test_an_empty_registry_is_one_line_a_tag_and_is_filled_without_a_build(pushed: Tree, registry: Registry):
    registry.empty()
    assert len(verify(pushed, registry, status=1).splitlines()) == 4
    told = verify(pushed, registry, "push-manifest")
    assert "Image" not in told
    assert "Compile" not in told
    assert told.endswith("repaired: everything is there\n")


def test_a_damaged_blob_is_found_by_content_and_it_is_told_when_the_registry_keeps_it(pushed: Tree, registry: Registry):
    layer = str(layers(registry, "arm64")[0]["digest"])
    damage(registry.blob(layer))
    assert verify(pushed, registry).startswith("everything is there")
    told = verify(pushed, registry, "VERIFY=content", status=1)
    assert f"the blob {layer} is damaged: wanted {layer}, the bytes are sha256:" in told
    told = verify(pushed, registry, "push-manifest", "VERIFY=content", status=2)
    assert told.count(f"the blob {layer} is damaged") == 2
    assert "  hint: some registries keep what they hold and take nothing in its place; remove it from" in told
    assert "\n1 fault left\n" in told
    lose(registry, layer)
    assert verify(pushed, registry, "push-manifest").endswith("repaired: everything is there\n")
    assert verify(pushed, registry, "VERIFY=content").startswith("everything is there")


def test_a_damaged_blob_in_a_folder_registry_is_replaced(tree: Tree):
    index = json.loads(tree.read("_output/manifest/demo-v1.0.json"))
    blobs = tree.path / "_output/registry/demo/blobs/sha256"
    manifest = json.loads((blobs / index["manifests"][0]["digest"].removeprefix("sha256:")).read_bytes())
    layer = manifest["layers"][0]["digest"]
    damage(blobs / layer.removeprefix("sha256:"))
    assert tree.scons("verify").status == 0
    ran = tree.scons("-Q", "verify", "VERIFY=content", check=False)
    assert (ran.status, f"the blob {layer} is damaged" in ran.text) == (1, True)
    assert tree.scons("verify", "push-manifest", "VERIFY=content").text.count("repaired: everything is there") == 1
    assert tree.scons("verify", "VERIFY=content").status == 0


def test_a_registry_that_is_down_is_no_fault_of_the_tags(pushed: Tree, registry: Registry):
    registry.stop()
    told = verify(pushed, registry, status=2)
    assert len(told.splitlines()) == 4
    assert all(registry.host in line and "refused" in line for line in told.splitlines()[:3])
    assert "to be repaired" not in verify(pushed, registry, "push-manifest", status=2)


def test_what_was_never_pushed_is_told_and_pushed(tree: Tree, registry: Registry):
    assert "was not pushed from this tree" in verify(tree, registry, status=1)
    verify(tree, registry, "push-manifest")
    assert verify(tree, registry).startswith("everything is there")


def test_a_copied_pin_is_checked_in_both_places(pushed: Tree, registry: Registry):
    pushed.scons("push", f"REGISTRY={registry.host}/theirs", "PLATFORMS=linux/arm/v7")
    external = f"EXTERNAL={registry.host}/theirs/demo:v1.0-arm-v7"
    pushed.scons("push-manifest", f"REGISTRY={registry.host}", external)
    assert verify(pushed, registry, external) == "everything is there: 4 tags checked\n"
    own = str(registry.digest("demo", "v1.0-arm-v7"))
    registry.delete_tag("demo", "v1.0-arm-v7")
    told = verify(pushed, registry, external, status=1)
    assert f"{name(registry, 'arm-v7')}: is not in the registry; it should hold {own}\n" in told
    assert verify(pushed, registry, "push-manifest", external).endswith("repaired: everything is there\n")
    assert registry.digest("demo", "v1.0-arm-v7") == own
    registry.delete_tag("demo", "v1.0-arm-v7")
    ran = pushed.scons("push-manifest", f"REGISTRY={registry.host}", external)
    assert ran.steps == [f"Pin {registry.host}/theirs/demo:v1.0-arm-v7"]
    assert registry.digest("demo", "v1.0-arm-v7") == own


def test_a_dry_run_tells_and_repairs_nothing(pushed: Tree, registry: Registry):
    registry.delete_tag("demo", "v1.0")
    told = pushed.scons("-Q", "-n", "verify", "push-manifest", f"REGISTRY={registry.host}").text
    assert "is not in the registry; it should hold" in told
    assert f"Publish {name(registry)}: verify found it wrong" in told
    assert registry.digest("demo", "v1.0") is None


def test_a_value_of_verify_that_there_is_not_is_an_error(tree: Tree):
    ran = tree.scons("verify", "VERIFY=contents", check=False)
    assert ran.status == 2
    assert "'contents' is not a value of VERIFY\n  hint: did you mean content?" in ran.text


@pytest.mark.parametrize("words", [("images",), ("bin", "manifest")], ids=" ".join)
def test_what_pushes_nothing_cannot_be_verified(words: tuple[str, ...], pushed: Tree, registry: Registry):
    registry.requests()
    told = verify(pushed, registry, *words, status=2)
    assert told == (
        f"\nscons: *** verify: {', '.join(words)} pushes nothing, so there is nothing to verify\n"
        "  hint: name a target that pushes: push, push-manifest (the default), or a receipt below _output/receipts\n"
    )
    assert registry.requests() == []
