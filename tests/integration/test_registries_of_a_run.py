"""What the tags of a run hold is asked for once, and nobody waits for an answer that is not its own.

OCI distribution spec 1.1: "Checking if content exists in the registry".
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from faults import FaultProxy
from machines.registry import Registry as Machine
from multiarch_oci.errors import MultiarchError
from multiarch_oci.reference import Reference
from scons_multiarch.registries import Registries, location
from scons_multiarch.session import Run, Settings

STALL = 3.0  # seconds: longer than whatever shall not wait for it


def test_while_one_place_is_silent_the_others_answer(registry: Machine, tmp_path: Path) -> None:
    # distribution spec 1.1, "Checking if content exists in the registry"
    registries = Registries(tmp_path, Settings({"HOME": str(tmp_path)}), threading.Event())
    folder, layout = location("here/demo:v1")
    with FaultProxy(registry.host) as proxy, ThreadPoolExecutor(2) as pool:
        silent = Reference(proxy.host, "demo", "v1")
        proxy.order("HEAD manifest", stall=STALL, times=100)
        registries.prefetch([(silent, None)])
        first = pool.submit(registries.observed, silent, None)
        while not proxy.seen:
            assert not first.done()
        second = pool.submit(registries.observed, silent, None)
        assert registries.observed(folder, layout) is None
        registries.forget(folder)
        registries.transport()
        assert not first.done()
        assert not second.done()
        assert second.result() is None
        assert proxy.kinds()["HEAD manifest"] == 1


def test_of_tags_that_are_asked_for_together_each_is_known_as_soon_as_it_is_told(
    registry: Machine, tmp_path: Path
) -> None:
    registries = Registries(tmp_path, Settings({"HOME": str(tmp_path)}), threading.Event())
    with FaultProxy(registry.host) as proxy, ThreadPoolExecutor(1) as pool:
        proxy.order("HEAD manifest", path="/slow", stall=STALL)
        slow, *others = (Reference(proxy.host, "demo", name) for name in ("slow", "one", "two"))
        registries.prefetch((reference, None) for reference in (slow, *others))
        waiting = pool.submit(registries.observed, slow, None)
        assert [registries.observed(reference, None) for reference in others] == [None, None]
        time.sleep(0.2)  # were all told at the end, it would be told by now
        assert not waiting.done()
        assert waiting.result() is None
        assert proxy.kinds()["HEAD manifest"] == 3


def test_a_tag_is_asked_for_again_once_it_was_forgotten(registry: Machine, tmp_path: Path) -> None:
    registries = Registries(tmp_path, Settings({"HOME": str(tmp_path)}), threading.Event())
    tag = Reference(registry.host, "demo", "v1")
    for _ in range(2):
        assert registries.observed(tag, None) is None
        assert registries.observed(tag, None) is None
        registries.forget(tag)
    assert [request.method for request in registry.requests()] == ["HEAD"] * 2


def test_what_a_place_could_not_tell_is_told_to_all_who_ask(registry: Machine, tmp_path: Path) -> None:
    with FaultProxy(registry.host) as gone:
        pass
    registries = Registries(tmp_path, Settings({"HOME": str(tmp_path)}), threading.Event())
    for _ in range(2):
        with pytest.raises(MultiarchError, match="no connection"):
            registries.observed(Reference(gone.host, "demo", "v1"), None)


def test_where_a_folder_cannot_be_read_nobody_waits_for_the_other_tags(registry: Machine, tmp_path: Path) -> None:
    registries = Registries(tmp_path, Settings({"HOME": str(tmp_path)}), threading.Event())
    folder, layout = location("here/demo:v1")
    (tmp_path / "here/demo").mkdir(parents=True)
    (tmp_path / "here/demo/oci-layout").symlink_to("oci-layout")  # a link to itself
    tag = Reference(registry.host, "demo", "v1")
    with pytest.raises(OSError, match="oci-layout"):
        registries.prefetch([(folder, layout), (tag, None)])
    assert registries.observed(tag, None) is None
    with pytest.raises(OSError, match="oci-layout"):
        registries.observed(folder, layout)


def test_where_nothing_can_be_asked_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object, **_settings: object) -> None:
        raise RuntimeError("broken")

    registries = Registries(tmp_path, Settings({"HOME": str(tmp_path)}), threading.Event())
    tag = Reference("127.0.0.1:5000", "demo", "v1")
    monkeypatch.setattr("multiarch_oci.store.tags.resolve_all", broken)
    with pytest.raises(RuntimeError, match="broken"):
        registries.observed(tag, None)
    monkeypatch.setattr("scons_multiarch.registries.threading.Thread", broken)
    with pytest.raises(RuntimeError, match="broken"):
        registries.observed(tag, None)


def test_who_asks_learns_of_a_failure_that_was_quicker_than_he(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class AtOnce(threading.Thread):
        def start(self) -> None:
            self.run()

    def broken(*_arguments: object, **_settings: object) -> None:
        tried.append(1)
        if len(tried) == 3:
            registries.prefetch = None  # type: ignore[assignment,method-assign]  # to end who would try for ever
        raise RuntimeError("broken")

    tried: list[int] = []
    registries = Registries(tmp_path, Settings({"HOME": str(tmp_path)}), threading.Event())
    monkeypatch.setattr("multiarch_oci.store.tags.resolve_all", broken)
    monkeypatch.setattr("scons_multiarch.registries.threading.Thread", AtOnce)
    with pytest.raises(RuntimeError, match="broken"):
        registries.observed(Reference("127.0.0.1:5000", "demo", "v1"), None)
    assert tried == [1]


def test_a_run_ends_when_nobody_asks_any_more(registry: Machine, tmp_path: Path) -> None:
    run = Run(tmp_path, {"HOME": str(tmp_path)})
    with FaultProxy(registry.host) as proxy:
        proxy.order("HEAD manifest", stall=30.0, times=100)
        run.build.registries.prefetch([(Reference(proxy.host, "demo", "v1"), None)])
        while not proxy.seen:
            time.sleep(0.01)
        assert [thread.name for thread in run.build.registries.asking()] == ["tags"]
        run.finish()
        assert run.build.registries.asking() == []
