"""The shared cache in every kind of registry, and in those that lack something (behaviour, section 9)."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from faults import FaultProxy
from machines.referring import referring
from machines.registry import OPENER, Registry
from machines.required import cache_folder
from machines.small import Tree
from multiarch_oci.mediatype import MANIFEST

Maker = Callable[[str], Tree]
CACHE = cache_folder()


@pytest.fixture(params=["distribution 2.8", "distribution v3", "go-containerregistry"])
def host(request: pytest.FixtureRequest, registry: Registry, make_registry: Callable[..., Registry]) -> Iterator[str]:
    """Return an empty registry of each kind."""
    if request.param == "distribution 2.8":
        yield registry.host
    elif request.param == "distribution v3":
        yield make_registry("v3").host
    else:
        with referring(CACHE) as served:
            yield served


def cached(text: str) -> Counter[str]:
    return Counter(line.partition(" ")[0] for line in text.splitlines() if line.endswith(": from cache"))


def index(tree: Tree) -> str:
    return tree.read("_output/manifest/demo-v1.0.json")


def test_a_registry_is_a_cache(variant: Maker, host: str):
    with FaultProxy(host) as proxy:
        cache = f"CACHE={proxy.host}/team/cache"
        first, second = variant("first"), variant("second")
        first.scons("push-manifest", f"REGISTRY={proxy.host}", cache, "CACHE_MODE=readwrite")
        second.go_starts()
        proxy.forget()
        run = second.scons("push-manifest", f"REGISTRY={proxy.host}/other", cache)
        assert cached(run.text) == {"Compile": 2, "Image": 2}
        assert "GET blob" not in proxy.kinds()
        assert index(second) == index(first)
        assert not [line for line in second.go_starts() if line.startswith("build")]
        second.scons("verify", f"REGISTRY={proxy.host}/other", "VERIFY=content")
        assert "7 entries, 1 list" in second.scons("cache", cache).text
        put_another_entry(f"http://{host}/v2/team/cache")
        assert "8 entries, 1 list" in second.scons("cache", cache).text
        assert "1 entry and 0 lists deleted" in second.scons("cache", "prune", cache).text
        assert "7 entries, 1 list" in second.scons("cache", cache).text
        proxy.order("DELETE manifest", status=405, times=99)
        put_another_entry(f"http://{host}/v2/team/cache")
        refused = second.scons("cache", "prune", cache, check=False)
        assert refused.status == 1
        assert "set a retention rule there" in refused.text


def put_another_entry(cache: str) -> None:
    """Put an entry beside those that are there, one that no list names."""
    with OPENER.open(f"{cache}/tags/list") as answer:
        tag = next(tag for tag in json.load(answer)["tags"] if "list" not in tag)
    with OPENER.open(asked(f"{cache}/manifests/{tag}", Accept=MANIFEST)) as answer:
        document = json.load(answer)
    document["annotations"]["multiarch.key"] = "0" * 64
    put = asked(f"{cache}/manifests/cache-{'0' * 64}", **{"Content-Type": MANIFEST})
    put.method, put.data = "PUT", json.dumps(document).encode()
    OPENER.open(put).close()


def asked(url: str, **headers: str) -> urllib.request.Request:
    return urllib.request.Request(url, headers=headers)  # noqa: S310  # always http


def test_one_without_mounts_is_sent_what_the_cache_gives(variant: Maker, registry: Registry):
    with FaultProxy(registry.host) as proxy:
        cache = f"CACHE={proxy.host}/team/cache"
        first, second = variant("first"), variant("second")
        first.scons("manifest", cache, "CACHE_MODE=readwrite")
        proxy.forget()
        proxy.order("mount", status=404, times=99)
        run = second.scons("push-manifest", f"REGISTRY={proxy.host}", cache)
        assert cached(run.text) == {"Compile": 2, "Image": 2}
        assert proxy.kinds()["GET blob"] > 0
        second.scons("verify", f"REGISTRY={proxy.host}", "VERIFY=content")
        own = f"REGISTRY={proxy.host}/own"
        first.scons("push-manifest", own, "CACHE=REGISTRY", "CACHE_MODE=write")
        registry.delete_tag("own/demo", "v1.0-amd64")
        third = variant("third")
        proxy.forget()
        proxy.order("mount", status=404, times=99)
        run = third.scons("push-manifest", own, "CACHE=REGISTRY")
        assert "GET blob" not in proxy.kinds()
        assert index(third) == index(first)


def test_another_registry_than_that_of_the_cache_is_sent_the_layers(
    variant: Maker, registry: Registry, make_registry: Callable[..., Registry]
):
    elsewhere = make_registry()
    first, second = variant("first"), variant("second")
    first.scons("manifest", f"CACHE={elsewhere.host}/cache", "CACHE_MODE=readwrite")
    run = second.scons("push-manifest", f"REGISTRY={registry.host}", f"CACHE={elsewhere.host}/cache")
    assert cached(run.text) == {"Compile": 2, "Image": 2}
    second.scons("verify", f"REGISTRY={registry.host}", "VERIFY=content")


def test_a_registry_that_refuses_entries_fails_no_build(variant: Maker, registry: Registry):
    with FaultProxy(registry.host) as proxy:
        proxy.order("PUT manifest", status=400, times=99)
        run = variant("first").scons("manifest", f"CACHE={proxy.host}/cache", "CACHE_MODE=readwrite")
        assert run.text.count("the cache cannot be written to") == 1


def test_a_step_that_learns_late_that_layers_are_lost_reads_those_that_were_made_meanwhile(
    variant: Maker, registry: Registry, make_registry: Callable[..., Registry]
):
    elsewhere = make_registry()
    with FaultProxy(elsewhere.host) as proxy:
        first, second = variant("first"), variant("second")
        first.scons("manifest", f"CACHE={proxy.host}/cache", "CACHE_MODE=readwrite")
        second.scons("manifest", f"CACHE={proxy.host}/cache")
        for tag in elsewhere.tags("cache"):
            document = elsewhere.json("cache", tag)
            if document.get("annotations", {}).get("multiarch.kind") == "image":
                for layer in document["layers"]:
                    elsewhere.blob(layer["digest"]).unlink(missing_ok=True)
        # Push and Archive read each image: of one of the two steps the question is answered when the other is done.
        proxy.order("GET blob", stall=5, times=1)
        run = second.scons("release", "push-manifest", f"REGISTRY={registry.host}", f"CACHE={proxy.host}/cache", "-j4")
    assert "the cache has its layers no more" in run.text
    second.scons("verify", f"REGISTRY={registry.host}", "VERIFY=content")
