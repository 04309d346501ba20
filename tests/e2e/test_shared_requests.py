"""What a machine with nothing but the checkout asks a registry for that has all in a shared cache (behaviour, section 9)."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from e2e.test_shared_listings import WARM
from faults import FaultProxy
from machines.project import ROOT, Run
from machines.referring import referring
from machines.registry import Registry
from machines.required import cache_folder
from machines.small import Tree

Maker = Callable[[str], Tree]
CACHE = cache_folder()


@pytest.fixture(params=["distribution 2.8", "distribution v3", "go-containerregistry"])
def proxy(
    request: pytest.FixtureRequest, registry: Registry, make_registry: Callable[..., Registry]
) -> Iterator[FaultProxy]:
    """Return a counting proxy before an empty registry of each kind."""
    if request.param == "go-containerregistry":
        with referring(CACHE) as host, FaultProxy(host) as made:
            yield made
        return
    host = registry.host if request.param == "distribution 2.8" else make_registry("v3").host
    with FaultProxy(host) as made:
        yield made


class Template:
    """Machines with the template's own images, of one layer each, that share a cache behind a proxy."""

    def __init__(self, make: Maker, proxy: FaultProxy, *, mounts: bool) -> None:
        self._make = make
        self.proxy = proxy
        self.mounts = mounts

    def clone(self, name: str) -> Tree:
        tree = self._make(name)
        for dockerfile in ("Dockerfile.amd64", "Dockerfile.arm64"):
            shutil.copy2(ROOT / dockerfile, tree.path / dockerfile)
        return tree

    def push(self, tree: Tree, *words: str, mode: str = "read") -> Run:
        home = tree.path.parent / "home"
        home.mkdir(exist_ok=True)
        own = {"HOME": str(home), "GOMODCACHE": str(home / "modules"), "GOFLAGS": ""}
        env = own | (WARM if mode != "read" else {"GOCACHE": str(home / "cache")})
        self.proxy.seen.clear()
        tree.go_starts()
        cache = (f"CACHE={self.proxy.host}/team/cache", f"CACHE_MODE={mode}")
        registry = () if any(word.startswith("REGISTRY=") for word in words) else (f"REGISTRY={self.proxy.host}",)
        return tree.scons("push-manifest", *registry, *cache, *words, env=env)


@pytest.fixture
def template(variant: Maker, proxy: FaultProxy, request: pytest.FixtureRequest) -> Template:
    """Return what a first machine has left; the registry of go-containerregistry mounts nothing."""
    made = Template(variant, proxy, mounts="go-containerregistry" not in request.node.name)
    made.push(made.clone("first"), mode="readwrite")
    return made


ENTRIES = Counter({"GET manifest": 5})
"""The listing, two programs, two images."""
ELSEWHERE = Counter({"HEAD manifest": 6, "mount": 4, "PUT manifest": 3})
"""Each tag before it is written and after; the layer and the config of each image; two images and the index."""
CONFIGS = Counter({"PUT blob": 2})
"""In the session that a mount opened which was refused."""
REFUSED = Counter({"mount": 2})
"""After two that are answered by 404 no more are tried, in one step after the other."""


def test_a_machine_with_nothing_but_the_checkout_asks_for_nothing_twice(template: Template):
    proxy, second = template.proxy, template.clone("second")
    template.push(second)
    assert proxy.kinds() == ENTRIES + Counter({"HEAD manifest": 3})
    template.push(template.clone("third"), "IMAGE=team/other", "-j1")
    kinds = proxy.kinds()
    if not template.mounts:  # a layer is there, and asked for first once it is known that mounts are refused
        cancelled = kinds.pop("DELETE upload", 0)
        assert cancelled <= 1
        kinds += Counter({"mount": 2 - cancelled})
    assert kinds == ENTRIES + ELSEWHERE + (Counter() if template.mounts else CONFIGS + Counter({"HEAD blob": 2}))
    proxy.order("mount", status=404, times=4)
    fourth = template.clone("fourth")
    template.push(fourth, "IMAGE=team/third", "-j1")
    layers = {"GET blob": 2, "POST": 2, "PUT blob": 2} if template.mounts else {}  # else all repositories have all
    sent = Counter({"HEAD blob": 2, "POST": 2, "PUT blob": 2}) + Counter(layers)
    assert proxy.kinds() == ENTRIES + ELSEWHERE - REFUSED + sent
    proxy.take_back()
    fourth.scons("verify", f"REGISTRY={proxy.host}", "IMAGE=team/third", "VERIFY=content")


def unstamped(template: Template, name: str, version: str = "v1.0") -> Tree:
    """A clone whose programs do not hold their version."""
    tree = template.clone(name)
    tree.replace("SConstruct", 'GOLDFLAGS="-X main.version=$VERSION"', "")
    tree.edit("VERSION", f"{version}\n")
    return tree


@pytest.mark.parametrize("proxy", ["distribution 2.8"], indirect=True)
def test_a_new_tag_of_images_that_are_there_sends_no_layer(template: Template):
    """Two mounts are no more than the question for a manifest and a mount of each blob, were it new."""
    template.push(unstamped(template, "one"), mode="readwrite")
    template.push(unstamped(template, "two", "v1.1"))
    assert template.proxy.kinds() == ENTRIES + ELSEWHERE
    template.proxy.order("mount", status=404, times=4)
    template.push(unstamped(template, "three", "v1.2"), "-j1")
    sent = Counter({"HEAD blob": 2, "POST": 2, "PUT blob": 2})
    assert template.proxy.kinds() == ENTRIES + ELSEWHERE - REFUSED + sent


PROGRAMS = 5
SCONSTRUCT = f"""\
import scons_multiarch

env = scons_multiarch.environment()
for number in range({PROGRAMS}):
    env.GoImage(f"p{{number}}", f"./cmd/p{{number}}")
"""


@pytest.mark.parametrize("proxy", ["distribution 2.8"], indirect=True)
def test_of_many_programs_each_costs_what_one_does(variant: Maker, proxy: FaultProxy):
    machines = Template(variant, proxy, mounts=True)

    def clone(name: str) -> Tree:
        tree = machines.clone(name)
        for path in (*tree.path.glob("*.go"), *tree.path.glob("Dockerfile*")):
            path.unlink()
        tree.edit("SConstruct", SCONSTRUCT)
        for number in range(PROGRAMS):
            tree.edit(f"cmd/p{number}/main.go", f"package main\n\nfunc main() {{ println({number}) }}\n")
        return tree

    def times(**kinds: int) -> dict[str, int]:
        return {name.replace("_", " "): count * PROGRAMS for name, count in kinds.items()}

    machines.push(clone("first"), mode="readwrite")
    second, entries = clone("second"), Counter(times(GET_manifest=4)) + Counter({"GET manifest": 1})
    machines.push(second)
    assert second.go_starts() == []
    assert proxy.kinds() == entries + Counter(times(HEAD_manifest=3))
    # An image of three blobs is asked for by its digest.
    machines.push(clone("third"), f"REGISTRY={proxy.host}/other")
    assert proxy.kinds() == entries + Counter(times(HEAD_manifest=3 + 3 + 2, mount=6, PUT_manifest=3))
