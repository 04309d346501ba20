"""The listing of a checkout in the shared cache: where it is known no `go` runs (behaviour, section 9)."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faults import FaultProxy
from machines.project import Run
from machines.registry import Registry
from machines.small import Tree

Maker = Callable[[str], Tree]
WARM = {"GOCACHE": os.environ.get("GOCACHE") or str(Path("~/.cache/go-build").expanduser())}
"""A machine that has Go's build cache, so that a test need not compile the standard library."""

LARGE = """\
import os, random
import scons_multiarch
from scons_multiarch.shared.listings import SharedListings

env = scons_multiarch.environment()
env.GoBinary("_output/bin/demo", ".", platform="linux/amd64")
run = env["MULTIARCH_RUN"]
listings, content = SharedListings(run, run.settings.cache), random.Random(7).randbytes(5 << 20)
if os.environ["DO"] == "put":
    listings.put("0" * 64, content)
print("THE SAME", listings.get("0" * 64) == content)
"""


class Machines:
    """Machines that share nothing but a cache, behind a proxy that counts."""

    def __init__(self, make: Maker, proxy: FaultProxy, registry: Registry, homes: Path) -> None:
        self._make = make
        self._homes = homes
        self.proxy = proxy
        self.registry = registry

    def clone(self, name: str) -> Tree:
        return self._make(name)

    def run(self, tree: Tree, *words: str, mode: str = "read", env: dict[str, str] | None = None, **more: Any) -> Run:
        """Run SCons on a machine with an empty home, no caches of Go and no modules."""
        home = self._homes / tree.path.parent.name
        home.mkdir(exist_ok=True)
        own = {"HOME": str(home), "GOCACHE": str(home / "cache"), "GOMODCACHE": str(home / "modules"), "GOFLAGS": ""}
        self.proxy.forget()
        tree.go_starts()
        words = (*(words or ("push-manifest",)), f"REGISTRY={self.proxy.host}")
        return tree.scons(
            *words, f"CACHE={self.proxy.host}/team/cache", f"CACHE_MODE={mode}", env=own | (env or {}), **more
        )

    def listings(self) -> list[dict[str, Any]]:
        """The entries that are listings."""
        tags = [tag for tag in self.registry.tags("team/cache") if not tag.startswith("cache-list-")]
        documents = [self.registry.json("team/cache", tag) for tag in tags]
        return [document for document in documents if document["annotations"]["multiarch.kind"] == "go list"]

    def content(self, document: dict[str, Any]) -> str:
        return gzip.decompress(self.registry.blob(document["layers"][0]["digest"]).read_bytes()).decode("ascii")


@pytest.fixture
def machines(variant: Maker, registry: Registry, tmp_path: Path) -> Iterator[Machines]:
    (tmp_path / "homes").mkdir()
    with FaultProxy(registry.host) as proxy:
        yield Machines(variant, proxy, registry, tmp_path / "homes")


def lists(tree: Tree) -> int:
    """How often `go list` was started since it was last asked, but for where compiled packages lie."""
    return len([line for line in tree.go_starts() if line.startswith("list ") and " -export " not in line])


def test_a_machine_with_nothing_but_the_checkout_starts_no_go(machines: Machines):
    first = machines.clone("first")
    machines.run(first, mode="readwrite", env=WARM)
    assert lists(first) == 2
    (document,) = machines.listings()
    content = machines.content(document)
    assert str(first.path.parent) not in content + json.dumps(document)
    second = machines.clone("second")
    machines.run(second)
    assert second.go_starts() == []
    assert machines.proxy.kinds() == {"GET manifest": 5, "HEAD manifest": 3}  # 3 a platform and 3 are allowed: 9
    assert second.read("_output/manifest/demo-v1.0.json") == first.read("_output/manifest/demo-v1.0.json")
    facts = sorted(path.relative_to(first.path) for path in (first.path / ".multiarch/facts").rglob("*.json"))
    assert [(second.path / path).read_bytes() for path in facts] == [(first.path / path).read_bytes() for path in facts]
    assert machines.run(second).up_to_date
    assert second.go_starts() == []
    assert machines.proxy.kinds() == {"HEAD manifest": 3}


def test_the_first_run_of_a_clone_leaves_its_listing_though_python_compiles_the_tool_meanwhile(machines: Machines):
    first, env = machines.clone("first"), {**WARM, "PYTHONDONTWRITEBYTECODE": ""}
    for folder in [*(first.path / "site_scons").rglob("__pycache__")]:
        shutil.rmtree(folder)
    machines.run(first, mode="readwrite", env=env)
    assert not [*(first.path / "site_scons").rglob("__pycache__")]
    assert len(machines.listings()) == 1
    assert lists(first) == 2
    assert machines.run(first, mode="readwrite", env=env).up_to_date
    assert first.go_starts() == []


def test_the_first_run_of_a_clone_leaves_its_listing_though_it_writes_a_file_beside_the_sources(machines: Machines):
    """As a build without images.lock does."""
    first = machines.clone("first")
    written = 'env.Command("written.txt", "_output/manifest/demo-v1.0.json", Copy("$TARGET", "$SOURCE"))'
    first.edit("SConstruct", f"{first.read('SConstruct')}\n{written}\n")
    machines.run(first, "push-manifest", "written.txt", mode="readwrite", env=WARM)
    assert (first.path / "written.txt").exists()
    assert len(machines.listings()) == 1
    second = machines.clone("second")
    machines.run(second)
    assert second.go_starts() == []


def test_one_edit_on_a_machine_with_nothing_starts_the_compiler_alone(machines: Machines):
    machines.run(machines.clone("first"), mode="readwrite", env=WARM)
    second = machines.clone("second")
    second.replace("main.go", "demo ", "other ")
    machines.run(second, "manifest", env=WARM)
    assert [line.split()[0] for line in second.go_starts()] == ["build", "build"]
    alone = machines.clone("alone")
    alone.replace("main.go", "demo ", "other ")
    alone.scons("manifest")
    assert second.read("_output/manifest/demo-v1.0.json") == alone.read("_output/manifest/demo-v1.0.json")
    third = machines.clone("third")
    third.edit("more.go", "package main\n\nfunc init() { println() }\n")
    machines.run(third, "manifest", env=WARM)
    assert lists(third) == 2


@pytest.mark.parametrize("place", ["environment", "go env -w"])
def test_without_modules_nothing_is_shared(machines: Machines, tmp_path: Path, place: str):
    first, file = machines.clone("first"), tmp_path / "goenv"
    file.write_text("GO111MODULE=off\n" if place == "go env -w" else "", encoding="utf-8")
    given = {"GOENV": str(file)} | ({"GO111MODULE": "off"} if place == "environment" else {})
    machines.run(first, "bin", mode="readwrite", env=WARM | given)
    assert lists(first) > 0
    assert machines.listings() == []


def test_with_a_key_only_a_signed_listing_counts(machines: Machines, tmp_path: Path):
    key = tmp_path / "cache.key"
    made = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(key)]
    subprocess.run(made, check=True, capture_output=True)
    machines.run(machines.clone("first"), "bin", mode="readwrite", env=WARM)
    second = machines.clone("second")
    run = machines.run(second, "bin", f"CACHE_KEY={key}", mode="readwrite", env=WARM)
    assert "is not signed" in run.text
    assert lists(second) == 2
    third = machines.clone("third")
    machines.run(third, "bin", f"CACHE_KEY={key}")
    assert third.go_starts() == []


def test_the_listing_of_a_large_tree_is_read_too(machines: Machines):
    tree = machines.clone("large")
    tree.edit("SConstruct", LARGE)
    assert "THE SAME False" in machines.run(tree, "-c", mode="readwrite", env={"DO": "get"}).text
    machines.run(tree, "-c", mode="readwrite", env={"DO": "put"})
    assert "THE SAME True" in machines.run(tree, "-c", env={"DO": "get"}).text
