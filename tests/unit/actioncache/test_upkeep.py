"""What pruning leaves, in memory, in a folder and in a registry."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path

import pytest

from machines.bases import store_of
from machines.registry import Registry
from multiarch_oci.actioncache import Entry, Key, Output
from multiarch_oci.actioncache.cache import ActionCache, EntryStore
from multiarch_oci.actioncache.upkeep import leave_list, prune
from multiarch_oci.descriptor import Descriptor
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
