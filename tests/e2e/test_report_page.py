"""REPORT=report.html, opened in a real browser: what it must tell is in the document, and seen; all text is data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import FaultProxy
from machines.browser import Browser
from machines.project import Project
from machines.registry import Registry
from machines.small import Tree

HOSTILE = "</script><img src=x onerror=document.title='hit'>"
LABEL = "a `tick` | pipe <b>bold</b>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    opened = Browser()
    yield opened
    opened.close()


def report(tree: Project, *words: str, registry: str, check: bool = True) -> Path:
    tree.scons("push-manifest", f"REGISTRY={registry}", "REPORT=report.html", *words, check=check)
    return tree.path / "report.html"


def test_the_page_tells_why_what_took_longest_what_is_in_a_layer_and_what_changed(
    tree: Tree, registry: Registry, browser: Browser
):
    tree.edit(f"share/{HOSTILE}", "hostile\n")
    tree.edit("share/huge.bin", "x" * 300_000)
    report(tree, registry=registry.host)
    tree.edit("share/greeting", "other words\n")
    tree.remove("share/note.txt")
    page = report(tree, f"LABELS=note={LABEL}", registry=registry.host)
    browser.open(page)
    assert browser.logged == []
    assert browser.requested == [page.as_uri()]
    assert browser.value("document.documentElement.dataset.ready") == "yes"
    assert browser.value("document.title").startswith("built: ")
    assert browser.value("document.images.length") == 0
    assert browser.value("document.querySelectorAll('b b').length") == 0
    why = browser.text("#targets")
    assert "share/greeting changed" in why
    assert "share/note.txt removed" in why
    assert f"label note: '{LABEL}' is new" in why
    time = browser.text("#time")
    assert re.search(r"longest chain of steps took [0-9.]+ s", time)
    slowest = browser.value("document.querySelector('.slow tbody td, .slow td').textContent")
    assert slowest.startswith(("Image ", "Push ", "Publish "))
    layers = browser.text("#layers")
    assert f"/share/{HOSTILE}" in layers
    assert "300.0 kB" in layers
    assert "COPY share /share" in layers
    changes = browser.text("#changes")
    assert "changed /share/greeting" in changes
    assert "removed /share/note.txt" in changes
    assert re.search(r"sha256:[0-9a-f]{12} → sha256:[0-9a-f]{12}", changes)
    digest = next(iter(tree.path.glob("_output/manifest/*.digest"))).read_text(encoding="utf-8").strip()
    assert digest in browser.text("#published")
    assert f"{registry.host}/demo:v1.0" in browser.text("#published")


def test_an_unchanged_run_says_so_and_why_each_was_built_last(tree: Tree, registry: Registry, browser: Browser):
    report(tree, registry=registry.host)
    browser.open(report(tree, registry=registry.host))
    assert "Nothing changed." in browser.text("#changes")
    assert "No step ran" in browser.text("#time")
    states = browser.value("[...document.querySelectorAll('#target-table [data-state]')].map((e) => e.dataset.state)")
    assert set(states) == {"up to date"}
    assert "made last because: it is not there" in browser.text("#targets") or "up to date" in browser.text("#targets")


def test_what_somebody_moved_is_repaired_and_an_error_page_steers_nothing(
    tree: Tree, registry: Registry, browser: Browser
):
    report(tree, registry=registry.host)
    registry.empty()
    browser.open(report(tree, registry=registry.host))
    states = browser.value("[...document.querySelectorAll('#target-table [data-state]')].map((e) => e.dataset.state)")
    assert states.count("repaired") == 3
    assert "it is not in the registry" in browser.text("#targets")
    registry.empty()
    with FaultProxy(registry.host) as proxy:
        body = b"<html>\x1b[31m\x1b]0;owned\x07::error::no</script><img src=x onerror=document.title='hit'>"
        proxy.order("POST", status=403, headers=(("Content-Type", "text/html"),), body=body, times=99)
        proxy.order("PUT manifest", status=403, headers=(("Content-Type", "text/html"),), body=body, times=99)
        page = report(tree, registry=proxy.host, check=False)
    content = page.read_text(encoding="utf-8")
    assert "\x1b" not in content
    browser.open(page)
    assert browser.logged == []
    assert browser.value("document.title").startswith("failed: ")
    assert browser.value("document.images.length") == 0
    assert "403" in browser.text("#failures")
    assert browser.value("document.querySelector('#inspector .state').textContent") == "failed"


def test_it_is_seen_in_light_and_in_dark(tree: Tree, registry: Registry, browser: Browser):
    page = report(tree, registry=registry.host)
    browser.open(page)
    light = browser.screenshot()
    browser.open(page, dark=True)
    dark = browser.screenshot()
    assert light.brightness() > 0.85
    assert dark.brightness() < 0.2
    assert (9, 105, 218) in light.colours(), "what was made has its colour"
    assert (68, 147, 248) in dark.colours()
    browser.value("document.getElementById('theme').click()")
    assert browser.screenshot().brightness() > 0.85
    browser.open(page, width=480, height=900)
    assert browser.value("document.documentElement.scrollWidth") <= 480


def test_keys_lead_through_the_graph_and_the_filter(tree: Tree, registry: Registry, browser: Browser):
    page = report(tree, registry=registry.host)
    browser.open(page)
    browser.press("Tab")
    assert browser.value("document.activeElement.className") == "skip"
    browser.press("/", text="/")
    assert browser.value("document.activeElement.id") == "filter"
    browser.type("push arm64")
    rows = "[...document.querySelectorAll('#target-table tbody tr:not(.hidden)')].map((e) => e.textContent)"
    shown = browser.value(rows)
    assert shown
    assert all("push" in row and "arm64" in row for row in shown)
    assert browser.value("document.querySelectorAll('#graph-scroll .dim').length") > 0
    browser.press("Escape")
    assert len(browser.value(rows)) > len(shown)
    browser.value("document.querySelector('#graph-scroll a').focus()")
    before = browser.text("#inspector h3")
    browser.press("ArrowRight")
    after = browser.text("#inspector h3")
    assert before != after
    assert after.startswith("image ")
    assert "Layers, from the base up" in browser.text("#inspector")
    browser.press("Enter")
    assert browser.value("location.hash").startswith("#t")


MANY = """\
import scons_multiarch
DefaultEnvironment(tools=[])
env = scons_multiarch.environment(PLATFORMS="linux/amd64,linux/arm64", VERSION="v1.0")
for number in range(150):
    env.MultiarchImage(f"service-{number:03}", lambda platform: [], dockerfile="Dockerfile", BUILD_ARGS=f"N={number}")
"""


def test_a_page_of_300_images_is_small_and_quick(tmp_path: Path, registry: Registry, browser: Browser):
    files = {"SConstruct": MANY, "Dockerfile": 'FROM scratch\nARG N\nCOPY share /share/${N}\nENTRYPOINT ["/x"]\n'}
    files |= {f"share/{number}.txt": f"{number}\n" * 100 for number in range(30)}
    tree = Project.of(tmp_path / "many", files)
    page = report(tree, registry=registry.host)
    assert page.stat().st_size < 10_000_000
    assert browser.open(page) < 2
    assert browser.value("document.querySelectorAll('#graph .kind-image').length") == 300
    assert browser.value("document.querySelectorAll('#target-table tbody tr').length") >= 900
    assert browser.text("#layers").count("/share/149/29.txt") >= 1
