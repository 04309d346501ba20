"""`scons cache` and `scons cache prune`: what the shared cache holds, and how it stays small."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults import FaultProxy
from machines.registry import Registry
from machines.small import Tree

Maker = Callable[[str], Tree]


@pytest.fixture
def proxy(registry: Registry) -> Iterator[FaultProxy]:
    with FaultProxy(registry.host) as proxy:
        yield proxy


def age(registry: Registry, days: int) -> str:
    """Give the one list that is there another day; return its new tag."""
    (tag,) = [tag for tag in registry.tags("cache") if tag.startswith("cache-list-")]
    day = (dt.datetime.now(dt.timezone.utc).date() - dt.timedelta(days=days)).isoformat()
    new = re.sub(r"\d{4}-\d\d-\d\d", day, tag)
    registry.move_tag("cache", new, tag)
    registry.delete_tag("cache", tag)
    return new


def test_entries_are_counted_and_what_no_list_names_goes(variant: Maker, registry: Registry, proxy: FaultProxy):
    cache = f"CACHE={proxy.host}/cache"
    tree = variant("first")
    tree.scons("manifest", cache, "CACHE_MODE=readwrite")
    counted = tree.scons("cache", cache)
    assert "7 entries, 1 list" in counted.text
    assert "0 entries and 0 lists deleted, 8 others kept" in tree.scons("cache", "prune", cache).text
    age(registry, 40)
    tree.append("main.go", "// a comment\n")
    tree.scons("manifest", cache, "CACHE_MODE=readwrite")  # two new programs; the images were not asked for
    pruned = tree.scons("cache", "prune", "OLDER=30d", cache)
    assert "4 entries and 1 list deleted" in pruned.text  # the listing and the compiled packages were used
    assert "5 entries, 1 list" in tree.scons("cache", cache).text
    other = variant("second")
    other.append("main.go", "// a comment\n")
    run = other.scons("manifest", cache)
    assert run.text.count("from cache") == 2


def damage(registry: Registry, tag: str) -> None:
    """Let the registry's disk turn a byte of what is under a tag."""
    path = registry.blob(registry.digest("cache", tag) or "")
    path.write_bytes(path.read_bytes().replace(b"multiarch", b"multiArch", 1))


def test_what_a_disk_damaged_stops_nobody(variant: Maker, registry: Registry, proxy: FaultProxy):
    cache = f"CACHE={proxy.host}/cache"
    tree = variant("first")
    tree.scons("manifest", cache, "CACHE_MODE=readwrite")
    old = age(registry, 40)
    one, other, *_ = [tag for tag in registry.tags("cache") if "list" not in tag]
    damage(registry, one)
    path = registry.blob(registry.digest("cache", other) or "")
    path.write_bytes(path.read_bytes()[:100])  # the registry answers 500
    assert "5 entries, 1 list" in tree.scons("cache", cache).text
    damage(registry, old)  # it is old enough to be of no use
    assert "5 entries and 0 lists deleted" in tree.scons("cache", "prune", "OLDER=30d", cache).text
    variant("second").scons("manifest", cache, "CACHE_MODE=readwrite")
    damage(registry, max(tag for tag in registry.tags("cache") if "list" in tag))
    assert "nothing is deleted: " in tree.scons("cache", "prune", "OLDER=30d", cache).text


def test_what_is_used_stays(variant: Maker, registry: Registry, proxy: FaultProxy, tmp_path: Path):
    cache = f"CACHE={proxy.host}/cache"
    variant("first").scons("manifest", cache, "CACHE_MODE=readwrite")
    age(registry, 40)
    second = variant("second")
    # All is from the cache, so nobody asks for the compiled packages; they are in use with the programs.
    assert second.scons("manifest", cache, "CACHE_MODE=readwrite").text.count(": from cache") == 4
    assert "0 entries and 0 lists deleted" in second.scons("cache", "prune", cache).text
    third = variant("third")
    third.append("main.go", "// a comment\n")
    run = third.scons("bin", cache, env={"HOME": str(tmp_path), "GOCACHE": str(tmp_path / "gocache")})
    assert run.text.count("compiled packages taken from the cache") == 2


def test_a_registry_without_delete_is_said_which_rule_to_set(variant: Maker, registry: Registry, proxy: FaultProxy):
    cache = f"CACHE={proxy.host}/cache"
    tree = variant("first")
    tree.scons("manifest", cache, "CACHE_MODE=readwrite")
    age(registry, 40)
    proxy.order("DELETE manifest", status=405, times=99)
    run = tree.scons("cache", "prune", cache, check=False)
    assert run.status == 1
    assert "the registry deletes nothing" in run.text
    assert "retention rule" in run.text
    assert len(registry.tags("cache")) == 8


def test_what_is_not_ours_is_left_alone(variant: Maker, registry: Registry, proxy: FaultProxy):
    tree = variant("first")
    cache = "CACHE=REGISTRY", f"REGISTRY={proxy.host}"
    tree.scons("push-manifest", *cache, "CACHE_MODE=readwrite")
    registry.move_tag("demo", f"cache-{'ab' * 32}", "v1.0-amd64")
    tags = [tag for tag in registry.tags("demo") if tag.startswith("cache-list")]
    for tag in tags:
        registry.delete_tag("demo", tag)
    run = tree.scons("cache", "prune", *cache)
    assert "7 entries and 0 lists deleted" in run.text
    assert registry.tags("demo") == [f"cache-{'ab' * 32}", "v1.0", "v1.0-amd64", "v1.0-arm64"]


def test_a_folder_gives_its_bytes_back(variant: Maker, tmp_path: Path):
    folder = tmp_path / "shared"
    tree = variant("first")
    tree.scons("manifest", f"CACHE={folder}", "CACHE_MODE=readwrite")
    for file in (folder / "blobs").rglob("*"):
        if file.is_file():
            os.utime(file, (1, 1))
    index = folder / "index.json"
    index.write_text(re.sub(r"cache-list-\d{4}", "cache-list-2020", index.read_text()))
    assert "7 entries and 1 list deleted" in tree.scons("cache", "prune", f"CACHE={folder}").text
    assert [file for file in (folder / "blobs").rglob("*") if file.is_file() and file.stat().st_size > 2] == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("cache",), "there is no cache"),
        (("cache", "purge", "CACHE=./x"), "there is no target purge"),
        (("cache", "prune", "CACHE=./x", "OLDER=soon"), "'soon' is no time"),
        (("manifest", "CACHE=word"), "is neither a registry nor a folder"),
        (("manifest", "CACHE=host.example"), "names no repository"),
        (("manifest", "CACHE=./x", "CACHE_MODE=both"), "'both' is not a value of CACHE_MODE"),
        (("manifest", "CACHE=./x", "CACHE_SCOPE=a b"), "'a b' is no scope"),
        (("manifest", "CACHE=."), "is the folder of this build"),
    ],
)
def test_mistakes_are_said_before_anything_is_built(fresh: Tree, words: tuple[str, ...], text: str):
    run = fresh.scons(*words, check=False)
    assert run.status == 2
    assert text in run.text
    assert "Traceback" not in run.text
