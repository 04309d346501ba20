"""What is loaded while a compiler runs."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

import pytest  # noqa: TC002  # ours are imported by their bare names, so ruff takes all for third-party

import oci_ahead
from oci_ahead import OF_IMAGES, OF_PUSHES, Ahead, wanted


@dataclass(eq=False)
class Waiting:
    """A node, what it has of an image or a push, and who waits for it."""

    attribute: str = ""
    waiting_parents: set[Waiting] = field(default_factory=set)

    def check_attributes(self, name: str) -> bool:
        return name == self.attribute

    def needs(self, *nodes: Waiting) -> Waiting:
        for node in nodes:
            node.waiting_parents.add(self)
        return self


def test_only_what_waits_in_this_run_is_loaded_for():
    program, other = Waiting(), Waiting()
    assert wanted(program) == []
    image = Waiting("plan").needs(program)
    assert wanted(program) == list(OF_IMAGES)
    index = Waiting().needs(image, Waiting("plan").needs(other))
    Waiting("remote").needs(index, Waiting("remote").needs(image))
    assert wanted(program) == [*OF_IMAGES, *OF_PUSHES]


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
    ahead = Ahead()
    ahead.wait()
    ahead.load(program)
    ahead.load(program)
    ahead.wait()
    assert done == list(OF_IMAGES)
    assert threads == {"ahead"}
