"""What pruning leaves, in memory, in a folder and in a registry."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path

import pytest

from machines.bases import store_of
from machines.registry import Registry
from multiarch_oci.actioncache import Entry, Key, Output, manifest_of
from multiarch_oci.actioncache.cache import ActionCache, EntryStore
from multiarch_oci.actioncache.upkeep import leave_list, prune
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.mediatype import ACTION_LIST, INDEX, MANIFEST, OCTETS
from multiarch_oci.reference import Reference
from multiarch_oci.store.layout import Layout
from multiarch_oci.store.memory import Memory

NOW = dt.date(2026, 11, 30)
THEN = dt.date(2026, 9, 1)
OLDEST = dt.date(2026, 11, 1)


@pytest.fixture(params=["memory", "folder", "registry"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> EntryStore:
    if request.param == "memory":
        return Memory()
    if request.param == "folder":
        return Layout(tmp_path / "shared")
    return store_of(Reference(request.getfixturevalue("registry").host, "cache"))


def keep(place: EntryStore, number: int) -> Key:
    """Keep an entry, and return its key."""
    content = f"program {number}".encode()
    output = Output(Descriptor.of("application/octet-stream", content), "demo")
    key = Key("program", f"{number:064x}")
    ActionCache(place).keep(Entry(key, (output,)), {output.descriptor.digest: lambda: io.BytesIO(content)})
    return key


def test_a_list_that_two_days_have_stays_with_its_entries(place: EntryStore):
    used, unused = keep(place, 1), keep(place, 2)
    recent = leave_list(place, [used.hex], NOW)
    # Lists had nothing of the day in them once: the same manifest stands under the tag of each day.
    same = place.resolve(recent)
    assert same is not None
    place.tag(recent.replace("2026-11-30", "2026-09-01"), same)
    done = prune(place, OLDEST)
    assert (done.entries, done.lists, done.refused, done.kept) == (1, 0, 0, 3)
    assert {recent, used.tag} <= set(place.tags())
    assert unused.tag not in place.tags()
    again = prune(place, OLDEST)
    assert (again.entries, again.kept) == (0, 3)


def test_of_two_days_with_the_same_keys_the_old_list_goes(place: EntryStore):
    used = keep(place, 1)
    old, recent = leave_list(place, [used.hex], THEN), leave_list(place, [used.hex], NOW)
    assert leave_list(place, [used.hex], NOW) == recent
    done = prune(place, OLDEST)
    assert (done.entries, done.lists, done.kept) == (0, 1, 2)
    assert old not in place.tags()
    assert {recent, used.tag} <= set(place.tags())


@pytest.mark.parametrize("place", ["folder", "registry"], indirect=True)
def test_a_recent_list_that_is_named_and_not_there_stops_it(place: EntryStore, request: pytest.FixtureRequest):
    used = keep(place, 1)
    recent = leave_list(place, [used.hex], NOW)
    manifest = place.resolve(recent)
    assert manifest is not None
    if isinstance(place, Layout):
        folder: Path = request.getfixturevalue("tmp_path")
        (folder / "shared/blobs/sha256" / manifest.digest.hex).unlink()
    else:
        running: Registry = request.getfixturevalue("registry")
        running.blob(str(manifest.digest)).unlink()
        place = store_of(Reference(running.host, "cache"))  # which remembers nothing that was written
    words: list[str] = []
    done = prune(place, OLDEST, say=words.append)
    assert (done.entries, done.lists) == (0, 0)
    assert [line.partition(":")[0] for line in words] == ["nothing is deleted"]
    assert recent in words[0]
    assert {recent, used.tag} <= set(place.tags())


def test_a_recent_list_whose_keys_are_lost_stops_it(registry: Registry):
    place = store_of(Reference(registry.host, "cache"))
    used = keep(place, 1)
    recent = leave_list(place, [used.hex], NOW)
    registry.blob(registry.json("cache", recent)["layers"][0]["digest"]).unlink()
    words: list[str] = []
    done = prune(store_of(Reference(registry.host, "cache")), OLDEST, say=words.append)
    assert (done.entries, done.lists, len(words)) == (0, 0, 1)
    assert {recent, used.tag} <= set(place.tags())


def tagged(place: EntryStore, tag: str, content: bytes, media_type: str = MANIFEST) -> None:
    place.tag(tag, Descriptor.of(media_type, content), lambda: io.BytesIO(content))


HUGE = manifest_of(ACTION_LIST, [{"mediaType": OCTETS, "digest": f"sha256:{'0' * 64}", "size": 1 << 30}])


@pytest.mark.parametrize("content", [b"{}"[:1], b"[]", b'{"layers":1', HUGE, b" " * (5 << 20)])
@pytest.mark.parametrize("place", ["memory", "folder"], indirect=True)  # registries take no such manifest
def test_a_recent_list_that_is_none_any_more_stops_it(place: EntryStore, content: bytes):
    used = keep(place, 1)
    tag = leave_list(place, [used.hex], NOW)
    tagged(place, tag, content)
    words: list[str] = []
    assert prune(place, OLDEST, say=words.append).entries == 0
    assert len(words) == 1
    assert {tag, used.tag} <= set(place.tags())
    old = tag.replace("2026-11-30", "2026-09-01")
    tagged(place, old, content)
    place.delete(Descriptor.of(MANIFEST, content).digest)
    tagged(place, old, content)
    assert prune(place, OLDEST).entries == 1  # an old one is of no use anyway


@pytest.mark.parametrize(("content", "media_type"), [(b'{"layers":[]}', MANIFEST), (b'{"manifests":[]}', INDEX)])
def test_what_somebody_else_calls_like_a_list_stops_nothing(content: bytes, media_type: str):
    place = Memory()
    unused = keep(place, 1)
    tag = leave_list(place, [], NOW)
    tagged(place, tag, content, media_type)
    assert prune(place, OLDEST).entries == 1
    assert unused.tag not in place.tags()
    assert tag in place.tags()


@pytest.mark.parametrize("place", ["folder", "registry"], indirect=True)
def test_a_list_that_another_pruner_deletes_meanwhile_stops_nothing(place: EntryStore, monkeypatch: pytest.MonkeyPatch):
    used, unused = keep(place, 1), keep(place, 2)
    leave_list(place, [used.hex], NOW)
    going = leave_list(place, [unused.hex], NOW - dt.timedelta(days=1))
    fetch = type(place).fetch

    def late(store: EntryStore, name: str) -> Descriptor | None:
        if name == going and going in store.tags():
            held = store.resolve(going)
            assert held is not None
            store.delete(held.digest)
        return fetch(store, name)  # type: ignore[arg-type]

    monkeypatch.setattr(type(place), "fetch", late)
    words: list[str] = []
    done = prune(place, OLDEST, say=words.append)
    assert (done.entries, done.lists, words) == (1, 0, [])
    assert used.tag in place.tags()
