"""Compiled packages in the shared cache: the standard library is not compiled again (behaviour, section 9)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2e.test_shared_trust import Keys
from machines.project import GO_MODULE, Project, Run
from machines.registry import Registry
from machines.small import Tree
from multiarch_oci.golang.buildcache import read_list, unpack

Maker = Callable[[str], Tree]
KIND = "go packages"
TAKEN = "compiled packages taken from the cache"


def build(tree: Tree, registry: Registry, *words: str, **env: str) -> Run:
    return tree.scons("bin", f"CACHE={registry.host}/cache", *words, env=env)


def written(variant: Maker, registry: Registry, *words: str) -> Tree:
    """Return the tree of a machine that compiled all, and wrote to the cache."""
    tree = variant("first")
    run = build(tree, registry, "CACHE_MODE=readwrite", *words)
    assert run.text.count("compiled packages for linux/") == 2
    return tree


def edited(variant: Maker, name: str) -> Tree:
    """Return a fresh clone in which one file is another."""
    tree = variant(name)
    tree.replace("main.go", '"demo "', '"another "')
    return tree


def cold(tmp_path: Path) -> dict[str, str]:
    """Return what a machine that never compiled anything has."""
    (tmp_path / "home").mkdir(exist_ok=True)
    return {"HOME": str(tmp_path / "home"), "GOCACHE": str(tmp_path / "gocache")}


def nearly_warm(tmp_path: Path, registry: Registry) -> dict[str, str]:
    """Return what a machine has whose build cache lacks the largest package: it is worth fetching, and soon compiled."""
    folder = tmp_path / "gocache"
    for document in entries(registry).values():
        listing, blob = (registry.blob(layer["digest"]) for layer in document["layers"])
        packages = read_list(listing.read_bytes(), where="list")
        with blob.open("rb") as stream:
            unpack(stream, packages, folder)
        (folder / max(packages, key=lambda package: package.size).content).unlink()
    return cold(tmp_path)


def entries(registry: Registry, repository: str = "cache") -> dict[str, Any]:
    documents = {tag: registry.json(repository, tag) for tag in registry.tags(repository)}
    return {tag: of for tag, of in documents.items() if of.get("annotations", {}).get("multiarch.kind") == KIND}


def compiled(folder: Path) -> set[str]:
    """Return the actions of a build cache whose output is a compiled package."""
    actions = set()
    for line in folder.rglob("*-a"):
        output = line.read_text(encoding="ascii").split()[2]
        content = folder / output[:2] / f"{output}-d"
        if content.is_file() and content.read_bytes().startswith(b"!<arch>\n"):
            actions.add(line.name.removesuffix("-a"))
    return actions


def listed(registry: Registry) -> set[str]:
    """Return the actions that the entries list."""
    lists = [registry.blob(document["layers"][0]["digest"]) for document in entries(registry).values()]
    return {package[0] for path in lists for package in json.loads(path.read_bytes())}


def program(tree: Tree) -> bytes:
    return (tree.path / "_output/bin/amd64/linux/demo").read_bytes()


def test_another_machine_compiles_only_what_is_its_own(variant: Maker, registry: Registry, tmp_path: Path):
    written(variant, registry)
    assert len(entries(registry)) == 2  # a platform
    second = edited(variant, "second")
    run = build(second, registry, **cold(tmp_path))
    assert run.text.count(TAKEN) == 2, run.text
    (folder,) = (second.path / ".multiarch" / "go-build").iterdir()
    assert listed(registry) < compiled(folder)
    assert len(compiled(folder) - listed(registry)) == 2  # the program's own package, for each platform
    assert compiled(tmp_path / "gocache") == set()

    # The next edit needs nothing but what is here by now.
    second.replace("main.go", '"another "', '"a third "')
    again = build(second, registry, **cold(tmp_path))
    assert "Compile" in again.text
    assert TAKEN not in again.text
    assert compiled(tmp_path / "gocache") == set()
    assert len(compiled(folder) - listed(registry)) == 4

    plain = edited(variant, "plain")  # without any cache
    plain.replace("main.go", '"another "', '"a third "')
    plain.scons("bin")
    assert program(plain) == program(second)


def test_nothing_is_fetched_that_go_has_nor_written_that_is_there(variant: Maker, registry: Registry):
    written(variant, registry)
    tags = registry.tags("cache")
    run = build(edited(variant, "second"), registry, "CACHE_MODE=readwrite")
    assert "Compile" in run.text
    assert "compiled packages" not in run.text
    assert {tag for tag in registry.tags("cache") if tag not in tags and "list" not in tag} - entries(registry).keys()
    assert len(entries(registry)) == 2


def test_who_only_reads_leaves_nothing(variant: Maker, registry: Registry):
    run = build(variant("first"), registry)
    assert "Compile" in run.text
    assert "compiled packages" not in run.text


def test_only_what_the_key_signed_counts(variant: Maker, registry: Registry, tmp_path: Path):
    ours, theirs = Keys(tmp_path, "ours"), Keys(tmp_path, "theirs")
    written(variant, registry, f"CACHE_KEY={theirs.private}")
    second = edited(variant, "second")
    run = build(second, registry, f"CACHE_KEY={ours.public}")
    assert "an entry of the cache is left out" in run.text
    assert TAKEN not in run.text
    assert not (second.path / ".multiarch" / "go-build").exists()
    # What was taken without a key is not used with one.
    third = edited(variant, "third")
    assert TAKEN in build(third, registry, **cold(tmp_path)).text
    (folder,) = (third.path / ".multiarch" / "go-build").iterdir()
    before = compiled(folder)
    third.replace("main.go", '"another "', '"a third "')
    assert "Compile" in build(third, registry, f"CACHE_KEY={ours.public}").text
    assert compiled(folder) == before


def test_what_a_key_signed_is_not_used_when_another_takes_its_place(variant: Maker, registry: Registry, tmp_path: Path):
    former, later = Keys(tmp_path, "former"), Keys(tmp_path, "later")
    written(variant, registry, f"CACHE_KEY={former.private}")
    tree = edited(variant, "second")
    (tree.path / "cache.pub").write_bytes(former.public.read_bytes())
    assert TAKEN in build(tree, registry, "CACHE_KEY=cache.pub", **cold(tmp_path)).text
    (folder,) = (tree.path / ".multiarch" / "go-build").iterdir()
    before = compiled(folder)
    (tree.path / "cache.pub").write_bytes(later.public.read_bytes())
    tree.replace("main.go", '"another "', '"a third "')
    assert "Compile" in build(tree, registry, "CACHE_KEY=cache.pub").text
    assert compiled(folder) == before


@pytest.mark.parametrize("what", ["blob", "list", "gone"])
def test_what_is_damaged_is_compiled_here(variant: Maker, registry: Registry, tmp_path: Path, what: str):
    written(variant, registry)
    machine = nearly_warm(tmp_path, registry)
    for tag, document in entries(registry).items():
        layers = document["layers"]
        if what == "blob":
            layers[1] |= {"digest": layers[0]["digest"], "size": layers[0]["size"]}
        elif what == "list":
            layers[0].pop("data", None)
            layers[0] |= {"digest": layers[1]["digest"], "size": layers[1]["size"]}
        else:
            registry.blob(layers[1]["digest"]).unlink(missing_ok=True)
        if what != "gone":
            registry.put_manifest(
                "cache", tag, json.dumps(document).encode(), "application/vnd.oci.image.manifest.v1+json"
            )
    second = edited(variant, "second")
    run = build(second, registry, **machine)
    assert "warning: compiled packages are not taken from the cache: " in run.text, run.text
    assert "Traceback" not in run.text
    assert TAKEN not in run.text
    plain = edited(variant, "plain")
    plain.scons("bin")
    assert program(plain) == program(second)


def test_who_writes_leaves_again_what_was_lost(variant: Maker, registry: Registry, tmp_path: Path):
    written(variant, registry)
    machine = nearly_warm(tmp_path, registry)
    blobs = [registry.blob(document["layers"][1]["digest"]) for document in entries(registry).values()]
    for blob in blobs:
        blob.unlink()
    run = build(edited(variant, "second"), registry, "CACHE_MODE=readwrite", **machine)
    assert run.text.count(": kept in the cache") == len(blobs), run.text
    documents = entries(registry).values()
    assert all(registry.blob(document["layers"][1]["digest"]).is_file() for document in documents)


def test_a_build_of_several_images_keeps_its_packages_once(registry: Registry, tmp_path: Path):
    sconstruct = "import scons_multiarch\n\nenv = scons_multiarch.environment()\n"
    files = {name: text for name, text in GO_MODULE.items() if name == "go.mod"}
    files |= {"SConstruct": sconstruct + 'for name in "abc":\n    env.GoImage(name, f"./{name}")\n'}
    files |= {f"{name}/main.go": f'package main\n\nfunc main() {{ println("{name}") }}\n' for name in "abc"}
    words = ("bin", f"REGISTRY={registry.host}", "CACHE=REGISTRY", "PLATFORMS=linux/amd64", "VERSION=v1.0")
    Project.linked(tmp_path / "first", files).scons(*words, "CACHE_MODE=readwrite")
    assert [len(entries(registry, name)) for name in "abc"] == [1, 0, 0]
    second = Project.linked(tmp_path / "second", files)
    second.edit("c/main.go", files["c/main.go"].replace('"c"', '"another"'))
    run = second.scons(*words, env=cold(tmp_path))
    assert run.text.count(": from cache") == 2, run.text
    assert run.text.count(TAKEN) == 1, run.text
