"""`scons plan`: what a build would do, told without building or writing anything.

OCI distribution spec 1.1: "Checking if content exists in the registry".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from machines import bases
from machines.registry import PASSWORD, USER, Registry
from machines.small import Tree

NOTHING = {"bytes": 0, "bound": False, "complete": True}


def planned(tree: Tree, *words: str, env: dict[str, str] | None = None) -> Any:
    """Run the verb; return what it wrote as JSON."""
    tree.scons("-Q", "plan", *words, "PLAN=plan.json", env=env)
    return json.loads(tree.read("plan.json"))


def actions(plan: Any) -> dict[str, str]:
    """Return what becomes of each tag, by tag."""
    return {tag["reference"].rpartition(":")[2]: tag["action"] for tag in plan["tags"]}


def rebuilt(plan: Any) -> dict[str, tuple[str, str | None]]:
    return {Path(image["target"]).stem: (image["rebuild"], image["why"]) for image in plan["images"]}


def everything(tree: Tree) -> dict[str, str]:
    """Return every file of a tree, caches and all, but for the plan and for what Python keeps of its modules."""
    return {name: digest for name, digest in tree.digests(".").items() if "pycache" not in name and name != "plan.json"}


def stored(registry: Registry) -> dict[str, int]:
    """Return the size of everything that the registry keeps, by digest."""
    files = (registry.storage / "docker/registry/v2/blobs").glob("sha256/*/*/data")
    return {file.parent.name: file.stat().st_size for file in files}


@pytest.fixture
def pushed(tree: Tree, registry: Registry) -> Tree:
    """Return a tree whose index is in the registry."""
    tree.scons("push-manifest", f"REGISTRY={registry.host}")
    return tree


def test_nothing_to_do_is_told_with_the_digests(tree: Tree):
    digest = tree.read("_output/manifest/demo-v1.0.digest").strip()
    lines = tree.scons("-Q", "plan").text.splitlines()
    assert lines[0] == "image _output/images/demo-linux-amd64.tar: unchanged"
    assert lines[-2:] == [
        f"tag _output/registry/demo:v1.0: unchanged, {digest}",
        "tags: 3 unchanged; 0 bytes to upload",
    ]


def test_nothing_is_built_and_nothing_is_written(pushed: Tree, registry: Registry):
    pushed.append("main.go", "// more\n")
    pushed.edit("share/new.txt", "new\n")
    before = everything(pushed)
    registry.requests()
    plan = planned(pushed, f"REGISTRY={registry.host}")
    assert set(actions(plan).values()) == {"move"}
    assert {request.method for request in registry.requests()} <= {"GET", "HEAD"}
    assert everything(pushed) == before


@pytest.mark.parametrize("start", ["a fresh tree", "a built tree"])
def test_not_even_a_cache_of_the_tree_is_written(start: str, fresh: Tree, tree: Tree, registry: Registry):
    asked = fresh if start == "a fresh tree" else tree
    bases.push_image(f"{registry.host}/base/deb:12", "linux/amd64", {"etc/base": b"a file"})
    asked.replace("Dockerfile.amd64", "FROM scratch", f"FROM {registry.host}/base/deb:12")
    asked.append("main.go", "// more\n")
    asked.edit("more.go", "package main\n")
    before = everything(asked)
    assert set(actions(planned(asked, f"REGISTRY={registry.host}")).values()) == {"create"}
    assert "go list" in " ".join(f"go {words}" for words in asked.go_starts())  # there was something to be kept
    assert everything(asked) == before


def test_a_push_to_an_empty_registry_counts_its_bytes_before_it_sends_them(tree: Tree, registry: Registry):
    words = ("push-manifest", f"REGISTRY={registry.host}")
    plan = planned(tree, *words)
    assert actions(plan) == {"v1.0-amd64": "create", "v1.0-arm64": "create", "v1.0": "create"}
    assert set(rebuilt(plan).values()) == {("no", None)}
    assert (plan["upload"]["bound"], plan["upload"]["complete"]) == (False, True)
    tree.scons(*words)
    assert plan["upload"]["bytes"] == sum(stored(registry).values())
    assert {tag["new"] for tag in plan["tags"]} == {
        registry.digest("demo", tag) for tag in ("v1.0-amd64", "v1.0-arm64", "v1.0")
    }
    assert planned(tree, *words)["upload"] == NOTHING


def test_a_change_of_one_platform_is_foretold_for_it_alone(pushed: Tree, registry: Registry):
    pushed.edit("arm64only/first.txt", "other\n")
    plan = planned(pushed, f"REGISTRY={registry.host}")
    assert rebuilt(plan) == {
        "demo-linux-amd64": ("no", None),
        "demo-linux-arm64": ("yes", "arm64only/first.txt changed"),
    }
    assert actions(plan) == {"v1.0-amd64": "unchanged", "v1.0-arm64": "move", "v1.0": "move"}
    arm64 = plan["tags"][1]
    assert (arm64["old"], arm64["new"]) == (registry.digest("demo", "v1.0-arm64"), None)
    assert arm64["upload"]["bound"]


def test_below_a_program_that_changes_an_image_is_made_again_perhaps(tree: Tree):
    tree.append("main.go", "// more\n")
    assert rebuilt(planned(tree))["demo-linux-arm64"] == ("perhaps", "if _output/bin/arm64/linux/demo changes")


def test_a_moved_tag_and_a_deleted_one_are_foretold_and_so_is_what_policies_say(pushed: Tree, registry: Registry):
    words = f"REGISTRY={registry.host}"
    right = registry.digest("demo", "v1.0")
    other = registry.move_tag("demo", "v1.0", "v1.0-amd64")
    registry.delete_tag("demo", "v1.0-arm64")
    plan = planned(pushed, words)
    assert actions(plan) == {"v1.0-amd64": "unchanged", "v1.0-arm64": "create", "v1.0": "move"}
    assert (plan["tags"][2]["old"], plan["tags"][2]["new"]) == (other, right)
    assert plan["upload"] == NOTHING
    assert [tag["fails"] for tag in plan["tags"]] == [None, None, None]
    plan = planned(pushed, words, "DRIFT=fail")
    assert plan["tags"][2]["fails"] == f"was moved by somebody ({other} → {right}), and DRIFT=fail"
    plan = planned(pushed, words, "IMMUTABLE=yes")
    assert plan["tags"][2]["fails"] == f"exists with other content ({other} → {right}), and IMMUTABLE=yes"
    assert registry.digest("demo", "v1.0") == other


def test_further_tags_are_planned_as_they_are_pushed(pushed: Tree, registry: Registry):
    words = (f"REGISTRY={registry.host}", "TAGS=latest,{major}")
    told = actions(planned(pushed, *words))
    assert (told["latest"], told["1"], told["v1.0"]) == ("create", "create", "unchanged")
    pushed.scons("push-manifest", *words)
    registry.move_tag("demo", "latest", "v1.0-amd64")
    assert set(actions(planned(pushed, *words)).values()) == {"unchanged"}


def test_the_index_of_images_that_stay_is_known_before_it_is_written(pushed: Tree, registry: Registry):
    words = (f"REGISTRY={registry.host}", "ANNOTATIONS=team=blue")
    plan = planned(pushed, *words)
    assert actions(plan) == {"v1.0-amd64": "unchanged", "v1.0-arm64": "unchanged", "v1.0": "move"}
    pushed.scons("push-manifest", *words)
    assert plan["tags"][2]["new"] == registry.digest("demo", "v1.0")


def test_a_layer_that_can_be_mounted_is_not_counted(tree: Tree, registry: Registry):
    tree.scons("push", f"REGISTRY={registry.host}/base")
    tree.edit("Dockerfile.amd64", f"FROM {registry.host}/base/demo:v1.0-amd64\nLABEL a=b\n")
    words = (f"REGISTRY={registry.host}", "PLATFORMS=linux/amd64")
    tree.scons("images", *words)
    before = stored(registry)
    plan = planned(tree, *words)
    tree.scons("push-manifest", *words)
    new = {digest: size for digest, size in stored(registry).items() if digest not in before}
    assert plan["upload"] == {"bytes": sum(new.values()), "bound": False, "complete": True}
    assert plan["upload"]["bytes"] < 10_000


def test_a_registry_that_is_down_is_told_and_is_no_error(pushed: Tree, registry: Registry):
    registry.stop()
    plan = planned(pushed, f"REGISTRY={registry.host}")
    assert set(actions(plan).values()) == {"unreachable"}
    assert all(registry.host in tag["error"] and "refused" in tag["error"] for tag in plan["tags"])


def test_an_external_tag_that_is_new_stays_moves_and_goes_is_told(pushed: Tree, registry: Registry):
    pushed.scons("push", f"REGISTRY={registry.host}/theirs", "PLATFORMS=linux/arm/v7")
    words = (f"REGISTRY={registry.host}", f"EXTERNAL={registry.host}/theirs/demo:v1.0-arm-v7")
    plan = planned(pushed, *words)
    assert [pin["state"] for pin in plan["pins"]] == ["new"]
    assert actions(plan) == {
        "v1.0-arm-v7": "create",
        "v1.0-amd64": "unchanged",
        "v1.0-arm64": "unchanged",
        "v1.0": "move",
    }
    pushed.scons("push-manifest", *words)
    plan = planned(pushed, *words)
    assert ([pin["state"] for pin in plan["pins"]], set(actions(plan).values())) == (["unchanged"], {"unchanged"})
    old = plan["pins"][0]["new"]
    manifest, media_type = registry.manifest("theirs/demo", "v1.0-arm-v7")
    registry.put_manifest("theirs/demo", "v1.0-arm-v7", manifest + b" ", media_type)
    plan = planned(pushed, *words)
    (pin,) = plan["pins"]
    assert (pin["state"], pin["old"], pin["new"] != old) == ("moved", old, True)
    assert (plan["tags"][-1]["action"], plan["tags"][-1]["new"]) == ("move", None)
    registry.delete_tag("theirs/demo", "v1.0-arm-v7")
    plan = planned(pushed, *words)
    assert plan["pins"][0]["state"] == "missing"
    assert plan["tags"][-1]["fails"] == (
        f"{registry.host}/theirs/demo:v1.0-arm-v7 is not in the registry; nothing is published without it"
    )


def test_a_tree_in_which_nothing_was_built_has_a_plan(fresh: Tree):
    plan = planned(fresh)
    assert rebuilt(plan)["demo-linux-amd64"] == ("yes", "not built before")
    assert set(actions(plan).values()) == {"create"}
    assert not plan["upload"]["complete"]
    assert not (fresh.path / "_output").exists()


def test_a_plan_of_the_manifest_touches_no_tag(tree: Tree):
    assert planned(tree, "manifest")["tags"] == []


def test_a_plan_does_not_wait_for_a_build(tree: Tree):
    tree.edit("slow.py", "import time\ntime.sleep(40)\n")
    tree.append("SConstruct", 'env.Command("_output/slow", [], "python3 slow.py")\n')
    build = tree.start("_output/slow")
    try:
        assert build.stdout is not None
        while "python3 slow.py" not in build.stdout.readline():
            assert build.poll() is None
        tree.scons("plan", timeout=30)
        assert build.poll() is None
    finally:
        build.kill()
        build.wait()


def test_no_secret_gets_into_a_plan(tree: Tree, basic_registry: Registry, clean_environment: Path):
    import base64

    secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    folder = clean_environment / ".docker"
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"auths": {basic_registry.host: {"auth": secret}}}), encoding="utf-8"
    )
    words = ("push-manifest", f"REGISTRY={basic_registry.host}")
    ran = tree.scons("plan", *words, "PLAN=plan.json")
    assert "3 create" in ran.text
    (folder / "config.json").unlink()
    refused = tree.scons("plan", *words, "PLAN=refused.json")
    assert "unreachable" in refused.text
    for text in (ran.text, refused.text, tree.read("plan.json"), tree.read("refused.json")):
        assert secret not in text
        assert PASSWORD not in text


def test_a_file_beside_the_index_that_was_damaged_or_deleted_is_the_reason(tree: Tree):
    index, beside = "_output/manifest/demo-v1.0.json", "_output/manifest/demo-v1.0.digest"
    tree.edit(beside, "damaged\n")
    told = f"Index {index}: {beside} is not what was built"
    assert told in tree.scons("why", "manifest").text
    assert told in tree.scons("manifest").text
    tree.remove(beside)
    assert f"Index {index}: {beside} is not there" in tree.scons("manifest").text
    assert tree.scons("manifest").up_to_date
