"""What is loaded, and which registries are met, while a compiler runs.

OCI distribution spec 1.1: "Checking if content exists in the registry".
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import oci_ahead
from faults import FaultProxy
from machines.registry import PASSWORD, USER
from machines.registry import Registry as Machine
from machines.tokens import TokenRegistry
from multiarch.reference import Reference
from oci_ahead import OF_IMAGES, OF_PUSHES, Ahead, destinations, parents, wanted
from oci_places import Places
from oci_run import Run


@dataclass(eq=False)
class Waiting:
    """A node, what it has of an image or a push, and who waits for it."""

    attribute: str = ""
    remote: tuple[Reference, str | None] = (Reference("localhost:5000", "demo", "v1"), None)
    waiting_parents: set[Waiting] = field(default_factory=set)

    @property
    def attributes(self) -> Waiting:
        return self

    def check_attributes(self, name: str) -> bool:
        return name == self.attribute

    def needs(self, *nodes: Waiting) -> Waiting:
        for node in nodes:
            node.waiting_parents.add(self)
        return self


def test_only_what_waits_in_this_run_is_loaded_for():
    program, other = Waiting(), Waiting()
    assert wanted(parents(program)) == []
    image = Waiting("plan").needs(program)
    assert wanted(parents(program)) == list(OF_IMAGES)
    index = Waiting().needs(image, Waiting("plan").needs(other))
    Waiting("remote").needs(index, Waiting("remote").needs(image))
    assert wanted(parents(program)) == [*OF_IMAGES, *OF_PUSHES]


def test_a_registry_is_met_once_and_a_folder_never():
    tag, folder = Reference("localhost:5000", "demo", "v1"), Reference("here.folder.invalid", "demo", "v1")
    elsewhere = tag.with_tag("v2"), Reference("localhost:5001", "demo", "v1")
    waiting = [Waiting("remote", (where, None)) for where in (tag, *elsewhere)]
    assert [where.registry for where in destinations([*waiting, Waiting("plan")])] == [
        "localhost:5000",
        "localhost:5001",
    ]
    assert destinations([Waiting("remote", (folder, "here"))]) == []


def test_nobody_waits_for_a_registry_that_is_met(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(oci_ahead.importlib, "import_module", str)
    met, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def meet(_reference: Reference) -> None:
        met.set()
        go_on.wait(20)
        ended.set()

    program = Waiting()
    Waiting("remote").needs(program)
    ahead = Ahead(meet)
    ahead.load(program)
    assert met.wait(20)
    ahead.wait()
    assert not ended.is_set()
    go_on.set()
    assert ended.wait(20)


def test_a_run_that_ends_loads_no_further_module_and_meets_nobody(monkeypatch: pytest.MonkeyPatch):
    begun, go_on = threading.Event(), threading.Event()
    loaded: list[str] = []
    met: list[Reference] = []

    def load(name: str) -> None:
        begun.set()
        assert go_on.wait(20)
        loaded.append(name)

    monkeypatch.setattr(oci_ahead.importlib, "import_module", load)
    program = Waiting()
    Waiting("plan").needs(program)
    Waiting("remote").needs(program)
    ahead = Ahead(met.append)
    ahead.load(program)
    assert begun.wait(20)
    (thread,) = ahead.end()
    go_on.set()
    thread.join(20)
    assert ahead.end() == []
    assert (loaded, met) == ([OF_IMAGES[0]], [])


def test_a_run_ends_when_no_thread_of_its_own_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Else the interpreter ends around it, and crashes if the thread imports a module just then."""
    begun, order = threading.Event(), list[str]()
    run = Run(tmp_path, {"HOME": str(tmp_path)})

    def load(_name: str) -> None:
        begun.set()
        assert run.cancelled.wait(20)
        order.append("loaded")

    monkeypatch.setattr(oci_ahead.importlib, "import_module", load)
    monkeypatch.setattr(run.stat, "save", lambda: order.append("kept"))
    program = Waiting()
    Waiting("plan").needs(program)
    run.ahead.load(program)
    assert begun.wait(20)
    run.finish()
    assert order == ["loaded", "kept"]


def test_a_run_ends_when_nobody_asks_any_more(registry: Machine, tmp_path: Path) -> None:
    run = Run(tmp_path, {"HOME": str(tmp_path)})
    with FaultProxy(registry.host) as proxy:
        proxy.order("HEAD manifest", stall=30.0, times=100)
        run.places.prefetch([(Reference(proxy.host, "demo", "v1"), None)])
        while not proxy.seen:
            time.sleep(0.01)
        assert [thread.name for thread in run.places.asking()] == ["tags"]
        run.finish()
        assert run.places.asking() == []


def test_what_cannot_be_begun_holds_nobody_up(monkeypatch: pytest.MonkeyPatch):
    def none(*_arguments: object, **_settings: object) -> None:
        raise RuntimeError("can't start new thread")

    ahead = Ahead(str)
    monkeypatch.setattr(oci_ahead.threading, "Thread", none)
    with pytest.raises(RuntimeError):
        ahead.load(Waiting())
    ahead.wait()


def test_a_push_to_a_registry_that_was_met_finds_token_and_connection(
    token_registry: TokenRegistry, tmp_path: Path
) -> None:
    secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (tmp_path / ".docker").mkdir()
    known = json.dumps({"auths": {token_registry.host: {"auth": secret}}})
    (tmp_path / ".docker/config.json").write_text(known, encoding="utf-8")
    places = Places(tmp_path, {"HOME": str(tmp_path)}, threading.Event())
    tag = Reference(token_registry.host, "demo", "v1")
    token_registry.registry.requests()
    places.meet(tag)
    assert [request.status for request in token_registry.registry.requests()] == [401, 404]
    assert places.store(tag, action="push").resolve("v1") is None
    assert [request.status for request in token_registry.registry.requests()] == [404]
    assert token_registry.service.issued.total() == 1


def test_a_registry_that_is_not_there_yet_is_met_by_the_push(registry: Machine, tmp_path: Path) -> None:
    places = Places(tmp_path, {"HOME": str(tmp_path)}, threading.Event())
    tag = Reference(registry.host, "demo", "v1")
    registry.stop()
    places.meet(tag)
    registry.start()
    registry.requests()
    assert places.observed(tag, None) is None
    assert places.store(tag, action="push").resolve("v1") is None
    assert [request.status for request in registry.requests()] == [404, 404]


def test_what_was_told_while_the_compiler_ran_is_asked_again(registry: Machine, tmp_path: Path) -> None:
    places = Places(tmp_path, {"HOME": str(tmp_path)}, threading.Event())
    tag = Reference(registry.host, "demo", "v1")
    places.meet(tag)
    content = b'{"schemaVersion":2,"manifests":[],"mediaType":"application/vnd.oci.image.index.v1+json"}'
    moved = registry.put_manifest("demo", "v1", content, "application/vnd.oci.image.index.v1+json")
    assert str(places.observed(tag, None)) == moved


def test_every_module_that_is_named_is_there():
    loading = f"import importlib\nfor name in {[*OF_IMAGES, *OF_PUSHES]}: importlib.import_module(name)"
    paths = [path for path in sys.path if path.endswith("site_scons")]
    subprocess.run([sys.executable, "-c", f"import sys; sys.path += {paths}\n{loading}"], check=True)


def test_who_waits_goes_on_when_all_is_loaded_and_one_thread_loads(monkeypatch: pytest.MonkeyPatch):
    done: list[str] = []
    threads: set[str] = set()

    def slow(name: str) -> None:
        threads.add(threading.current_thread().name)
        time.sleep(0.01)
        done.append(name)
        if name == OF_IMAGES[0]:
            raise ImportError(name)  # is told by the step that needs it

    monkeypatch.setattr(oci_ahead.importlib, "import_module", slow)
    program = Waiting()
    Waiting("plan").needs(program)
    ahead = Ahead(str)
    ahead.wait()
    ahead.load(program)
    ahead.load(program)
    ahead.wait()
    assert done == list(OF_IMAGES)
    assert threads == {"ahead"}
