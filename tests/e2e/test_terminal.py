"""What a person sees while a build runs, in a real terminal (tmux)."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from faults import FaultProxy
from machines.registry import Registry
from machines.screen import SHELL, Screen
from machines.small import Tree

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="tmux")

STARTED = (sys.executable, "site_scons/scons_multiarch/__main__.py", "./sconsw")
COSIGN = Path(__file__).parents[1] / "data" / "cosign"
LARGE = 300 << 20
SIZE = r"[0-9.]+ (?:bytes|[kMG]B)"
Opening = Callable[..., Screen]


@pytest.fixture
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opening]:
    """Return what opens a terminal in a tree's folder; all are closed at the end."""
    screens: list[Screen] = []

    def make(tree: Tree, *, width: int = 100, height: int = 24, more: Mapping[str, str] | None = None) -> Screen:
        socket = tmp_path_factory.mktemp("tmux") / "s"
        environment = {"TERM": "screen-256color", "PATH": os.environ["PATH"], "HOME": os.environ["HOME"]} | dict(
            more or {}
        )
        screen = Screen(tree.path, socket, environment, width=width, height=height)
        screens.append(screen.__enter__())
        return screen

    yield make
    for screen in screens:
        screen.__exit__()


@pytest.fixture
def slow(registry: Registry) -> Iterator[FaultProxy]:
    """Return a registry behind a slow line: 12 MB a second."""
    with FaultProxy(registry.host) as made:
        made.rate = 12e6
        yield made


@pytest.fixture
def heavy(tree: Tree, slow: FaultProxy) -> Tree:
    """Return a tree whose image of amd64, which is made already, has 300 MB that no compressor makes less of."""
    block = os.urandom(1 << 20)
    with (tree.path / "share/large").open("wb") as file:
        for _ in range(LARGE // len(block)):
            file.write(block)
    tree.scons("images", "PLATFORMS=linux/amd64", f"REGISTRY={slow.host}")
    return tree


def publish(slow: FaultProxy, *more: str) -> list[str]:
    return [*STARTED, "push-manifest", "PLATFORMS=linux/amd64", f"REGISTRY={slow.host}", *more]


def test_a_long_push_shows_what_goes_on_host_bytes_rate_and_time(
    heavy: Tree, slow: FaultProxy, opened: Opening
) -> None:
    screen = opened(heavy)
    screen.type(publish(slow))
    began = time.monotonic()
    screen.until(lambda text: "sent " in text, 15)
    shown = []
    for moment in (1, 5, 20):
        time.sleep(max(0.0, began + moment - time.monotonic()))
        shown.append(screen.until(lambda text: f"to {slow.host}" in text, 5))
    sent = []
    for text in shown:
        assert re.search(rf"^Push {slow.host}/demo:v1.0-amd64  [0-9.]+ s$", text, re.MULTILINE), text
        line = re.search(rf"^ +sent ({SIZE}) of (30[0-9.]+|31[0-9.]+) MB to {slow.host}, {SIZE}/s$", text, re.MULTILINE)
        assert line, text
        sent.append(float(line[1].partition(" ")[0]))
    assert sent[0] < sent[1] < sent[2]
    slow.rate = 0.0
    text = screen.until_done()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(SHELL.strip())]
    pushed = rf"Push {slow.host}/demo:v1.0-amd64  \([0-9.]+ s, 3[0-9.]+ MB sent.*\)"
    assert [line for line in lines if re.fullmatch(pushed, line)], text
    assert lines[-1].startswith(f"{slow.host}/demo:v1.0@sha256:")
    assert " of 3" not in text  # what was shown meanwhile is gone
    assert screen.cursor_is_visible()


def test_an_error_afterwards_is_whole_and_ctrl_c_leaves_the_terminal_as_it_was(
    heavy: Tree, slow: FaultProxy, opened: Opening
) -> None:
    screen = opened(heavy, width=60)
    screen.type(publish(slow))
    screen.until(lambda text: "sent " in text, 15)
    slow.order("PUT manifest", status=403, times=9)
    slow.rate = 0.0
    text = screen.until_done()
    assert "scons: *** [_output/receipts/" in text
    assert re.search(r"^  hint: ", text, re.MULTILINE), text
    # One long line, which the window alone breaks.
    assert f"{slow.host}: the registry refuses to push demo" in text or "no credentials for" in text, text
    slow.rate = 1e6
    with (heavy.path / "share/large").open("ab") as file:
        file.write(b"more")
    screen.type(publish(slow))
    screen.until(lambda text: " of 3" in text, 60)
    screen.press("C-c")
    screen.until_done(20)
    screen.type(["echo", "here", "I", "am"])
    assert re.search(r"^here I am$", screen.until(lambda text: "\nhere I am" in text), re.MULTILINE)
    assert screen.cursor_is_visible()


def test_a_registry_that_is_waited_for_is_named(tree: Tree, slow: FaultProxy, opened: Opening) -> None:
    tree.scons("push-manifest", f"REGISTRY={slow.host}")
    screen = opened(tree, more={"NO_COLOR": "1"})
    slow.latency = 3.0
    screen.type([*STARTED, "push-manifest", f"REGISTRY={slow.host}"])
    screen.until(lambda text: re.search(rf"^Asking {slow.host} for its tags  [0-9.]+ s$", text, re.MULTILINE), 20)
    slow.latency = 0.0
    assert "`push-manifest' is up to date." in screen.until_done(60)
    slow.latency = 2.5
    screen.type([*STARTED, "push", f"REGISTRY={slow.host}/other"])
    screen.until(lambda text: f"waiting for {slow.host} for " in text, 30)
    slow.latency = 0.0
    screen.until_done(60)


def test_a_dumb_terminal_gets_lines_and_a_program_has_the_terminal_for_itself(fresh: Tree, opened: Opening) -> None:
    fresh.append("SConstruct", 'env.Command("x", [], "echo begun; sleep 2; echo ended")\n')
    fresh.append("SConstruct", 'env.Depends("x", env.Alias("bin"))\n')
    dumb = opened(fresh, more={"TERM": "dumb"})
    dumb.type([*STARTED, "bin", "x", "-j1"])
    assert "\x1b" not in (text := dumb.until_done())
    assert "\nbegun\nended\n" in text
    fresh.append("main.go", "// changed\n")
    screen = opened(fresh)
    screen.type([*STARTED, "x", "images", "-j8"])
    text = screen.until_done()
    assert "\nbegun\n" in text
    assert "\nended\n" in text


def test_with_nothing_to_do_nothing_more_is_loaded_than_without_a_terminal(tree: Tree, opened: Opening) -> None:
    tree.scons("push-manifest")
    tree.append(
        "SConstruct",
        "\nimport atexit, sys, threading\n"
        'names = ("rich", "ruamel", "scons_multiarch.lines", "scons_multiarch.progress", "scons_multiarch.recorder")\n'
        'atexit.register(lambda: print("loaded:", [n for n in names if n in sys.modules], threading.active_count()))\n',
    )
    tree.scons("push-manifest")
    screen = opened(tree, width=200)
    screen.type([*STARTED, "push-manifest"])
    text = screen.until_done()
    assert "`push-manifest' is up to date." in text
    without = next(line for line in tree.scons("push-manifest").text.splitlines() if line.startswith("loaded: []"))
    assert without in text


def test_ctrl_c_at_the_question_for_a_password_leaves_a_terminal_that_shows_what_is_typed(
    tree: Tree, registry: Registry, opened: Opening
) -> None:
    for suffix in (".key", ".pub"):
        (tree.path / f"own{suffix}").write_bytes((COSIGN / f"locked{suffix}").read_bytes())
    (tree.path / "own.key").chmod(0o600)
    screen = opened(tree)
    command = [*STARTED, "push-manifest", f"REGISTRY={registry.host}", "SIGN=own.key"]
    screen.type(command)
    screen.until(lambda text: "Password of own.key:" in text)
    time.sleep(1.5)  # what is shown of a step that takes long is drawn after a second
    assert screen.text().rstrip().endswith("Password of own.key:")
    screen.press("C-c")
    ended = screen.until_done(20)
    assert "was cut off" not in ended
    assert "Traceback" not in ended
    screen.type(["stty", "-a"])
    assert re.search(r"[^-]\becho\b", screen.until(lambda text: "echoe" in text)), screen.text()
    screen.type(command)
    screen.until(lambda text: text.rstrip().endswith("Password of own.key:"))
    screen.type(["hunter2"])
    ended = screen.until_done()
    assert "demo:v1.0@sha256:" in ended
    assert "hunter2" not in ended
