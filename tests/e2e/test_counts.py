"""What a change costs, counted: steps, processes, requests to the registry, bytes uploaded. No timing is a test."""

from __future__ import annotations

import importlib.util
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from faults import FaultProxy
from machines.project import ROOT, Run
from machines.registry import Registry
from machines.small import Tree


def bench(name: str) -> Any:
    """Return a module of bench/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", ROOT / "bench" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


generate = bench("generate")


@dataclass
class Counted:
    """A tree and the proxy before its registry, both counting from the last `publish` on."""

    tree: Tree
    proxy: FaultProxy

    def publish(self, *arguments: str) -> Run:
        """Run `push-manifest`; what was counted before is forgotten."""
        self.proxy.forget()
        self.tree.go_starts()
        return self.tree.scons("push-manifest", f"REGISTRY={self.proxy.host}", *arguments)

    def verbs(self, run: Run) -> Counter[str]:
        return Counter(step.partition(" ")[0] for step in run.steps)

    def go(self) -> Counter[str]:
        """The subcommands of `go` that were started."""
        return Counter(line.split()[0] for line in self.tree.go_starts())


@pytest.fixture
def counted(fresh: Tree, registry: Registry) -> Iterator[Counted]:
    """Return a tree that was published to a registry behind a counting proxy."""
    with FaultProxy(registry.host) as proxy:
        made = Counted(fresh, proxy)
        made.publish()
        yield made


TAGS = {"HEAD manifest": 3}
"""One question a tag: two platforms and the main one."""


def unstamped(tree: Tree) -> None:
    tree.replace("SConstruct", 'GOLDFLAGS="-X main.version=$VERSION"', "")


def test_nothing_to_do_asks_each_tag_once_and_starts_nothing(counted: Counted):
    run = counted.publish()
    assert run.up_to_date
    assert counted.go() == {}
    assert counted.proxy.kinds() == TAGS
    assert counted.proxy.uploaded() == 0


def test_images_with_nothing_to_do_ask_nobody(counted: Counted):
    counted.proxy.forget()
    counted.tree.go_starts()
    assert counted.tree.scons("images", f"REGISTRY={counted.proxy.host}").up_to_date
    assert counted.go() == {}
    assert counted.proxy.connections == 0


def test_a_source_change_builds_each_program_once_and_sends_what_is_new_once(counted: Counted, registry: Registry):
    counted.tree.replace("main.go", '"demo ', '"Demo ')
    run = counted.publish()
    assert counted.verbs(run) == {"Compile": 2, "Image": 2, "Push": 2, "Index": 1, "Publish": 1}
    assert counted.go() == {"build": 2}  # what is below the imports changes no set of files
    kinds = counted.proxy.kinds()
    assert kinds["PUT blob"] == 4  # a layer and a config of each image; the files they share are there
    assert kinds["POST"] == 4
    assert kinds["PATCH"] == 0
    # A tag is asked for before it is written and after.
    # Of each image the layers are asked for, what both have once; a manifest is put under its tag alone, and neither it
    # nor its config, nor what this run put, is asked for before.
    layers = [
        layer["digest"] for arch in ("amd64", "arm64") for layer in registry.json("demo", f"v1.0-{arch}")["layers"]
    ]
    assert len(set(layers)) == len(layers) - 2  # share and conf
    assert kinds == {"HEAD manifest": 6, "HEAD blob": len(set(layers)), "POST": 4, "PUT blob": 4, "PUT manifest": 3}
    assert counted.proxy.uploaded() < 1.1 * sum(map(len, new_blobs(counted)))


def new_blobs(counted: Counted) -> list[bytes]:
    """Return the contents of both programs' layers, as the tarballs hold them."""
    found = []
    for arch in ("amd64", "arm64"):
        with tarfile.open(counted.tree.path / f"_output/images/demo-linux-{arch}.tar") as tar:
            blobs = [tar.extractfile(member) for member in tar if member.name.startswith("blobs/sha256/")]
            found.append(max((blob.read() for blob in blobs if blob), key=len))
    return found


def test_a_comment_ends_after_the_programs_and_sends_nothing(counted: Counted):
    counted.tree.append("main.go", "\n// nothing\n")
    run = counted.publish()
    assert counted.verbs(run) == {"Compile": 2}
    assert counted.go() == {"build": 2}
    assert counted.proxy.kinds() == {"HEAD manifest": 3}  # each tag
    assert counted.proxy.uploaded() == 0


def test_a_new_import_asks_go_list_once_a_platform(counted: Counted):
    counted.tree.replace("main.go", "package main\n", 'package main\n\nimport _ "embed"\n')
    counted.publish()
    assert counted.go() == {"list": 2, "build": 2}


def test_a_label_starts_no_go_and_sends_one_config_and_manifests(counted: Counted):
    counted.tree.replace("Dockerfile.arm64", "ENTRYPOINT", "LABEL team=blue\nENTRYPOINT")
    run = counted.publish()
    assert counted.verbs(run) == {"Image": 1, "Push": 1, "Index": 1, "Publish": 1}
    assert counted.go() == {}
    assert counted.proxy.kinds()["PUT blob"] == 1
    assert counted.proxy.uploaded() < 8_000


def test_a_stamped_version_builds_all_and_lists_nothing(counted: Counted):
    run = counted.publish("VERSION=v2.0")
    assert counted.verbs(run) == {"Compile": 2, "Image": 2, "Push": 2, "Index": 1, "Publish": 1}
    assert counted.go() == {"build": 2}  # a flag changes no set of files
    assert counted.proxy.kinds()["PUT blob"] == 4


def test_an_unstamped_version_sends_manifests_alone(fresh: Tree, registry: Registry):
    unstamped(fresh)
    with FaultProxy(registry.host) as proxy:
        counted = Counted(fresh, proxy)
        counted.publish()
        run = counted.publish("VERSION=v2.0")
        assert counted.verbs(run) == {"Push": 2, "Index": 1, "Publish": 1}
        assert counted.go() == {}
        kinds = proxy.kinds()
        assert [kinds[kind] for kind in ("POST", "PATCH", "PUT blob", "mount")] == [0, 0, 0, 0]
        assert kinds["PUT manifest"] == 3
        sent = [registry.manifest("demo", tag)[0] for tag in ("v2.0", "v2.0-amd64", "v2.0-arm64")]
        assert proxy.uploaded() == sum(map(len, sent))


@pytest.mark.parametrize("forbidden", ["1", ""])
def test_modules_are_compiled_once_and_not_beside_them(fresh: Tree, forbidden: str):
    for cache in sorted((fresh.path / "site_scons").rglob("__pycache__")):
        fresh.remove(str(cache.relative_to(fresh.path)))
    environment = {"PYTHONDONTWRITEBYTECODE": forbidden}
    fresh.scons("-n", "images", env=environment)
    compiled = {path: path.stat().st_mtime_ns for path in (fresh.path / ".multiarch").rglob("*.pyc")}
    assert {"session", "platform", "process", "installation"} <= {path.name.partition(".")[0] for path in compiled}
    assert not list((fresh.path / "site_scons").rglob("*.pyc"))
    fresh.scons("-n", "images", env=environment)
    assert {path: path.stat().st_mtime_ns for path in compiled} == compiled


def test_of_many_images_those_are_built_again_that_a_changed_package_is_linked_into(
    fresh: Tree, tmp_path: Path, registry: Registry
):
    generate.generate(tmp_path / "many", 12)
    tree = Tree(tmp_path / "many", tmp_path / "go.log")
    tree.edit("internal/leaf/leaf.go", 'package leaf\n\nfunc init() { println("leaf") }\n')
    users = ("c001", "c003")
    for name in users:
        tree.edit(f"cmd/{name}/leaf.go", 'package main\n\nimport _ "example.com/many/internal/leaf"\n')
    with FaultProxy(registry.host) as proxy:
        counted = Counted(tree, proxy)
        counted.publish()
        assert counted.publish().up_to_date
        assert proxy.kinds() == {"HEAD manifest": 12 * 3}
        fresh.go_starts()
        tree.replace("internal/leaf/leaf.go", '"leaf"', '"Leaf"')
        run = counted.publish()
        assert [step for step in run.steps if not any(name in step for name in users)] == []
        assert counted.verbs(run) == {"Compile": 4, "Image": 12, "Push": 12, "Index": 6, "Publish": 6}
        assert Counter(line.split()[0] for line in fresh.go_starts()) == {"build": 4}
