"""`graph`, `tree` and `diff`: questions about targets, folders and references; nothing is built by them."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from machines.browser import Browser
from machines.registry import Registry
from machines.required import required
from machines.small import Tree

HOSTILE = "</script><img src=x onerror=alert(1)>"


def ask(tree: Tree, *words: str, status: int = 0) -> str:
    """Ask a question; return the answer. Nothing runs, and nothing of the tree changes but what is remembered."""
    before = tree.digests() if (tree.path / "_output").exists() else {}
    ran = tree.scons("-Q", *words, check=False)
    assert (ran.status, ran.steps) == (status, []), ran.text
    assert "Traceback" not in ran.text
    assert (tree.digests() if (tree.path / "_output").exists() else {}) == before
    return ran.text


def test_a_graph_of_a_tree_in_which_nothing_was_built(fresh: Tree):
    lines = ask(fresh, "graph").splitlines()
    assert lines[:2] == ["%% multiarch graph 1", "flowchart LR"]
    assert '    n0[["program demo linux/amd64<br>_output/bin/amd64/linux/demo"]]' in lines
    assert sum("-->" in line for line in lines) == 9
    assert not (fresh.path / "_output").exists()
    assert fresh.go_starts() == []


def test_a_graph_of_a_target_alone(tree: Tree):
    drawn = ask(tree, "graph", "_output/images/demo-linux-arm64.tar")
    assert "linux/arm64" in drawn
    assert "linux/amd64" not in drawn


def test_graphviz_and_a_browser_draw_what_is_written(tree: Tree, tmp_path: Path):
    assert ask(tree, "graph", "OUTPUT=targets.dot") == ""
    drawn = subprocess.run(
        [required("dot"), "-Tplain", tree.path / "targets.dot"], capture_output=True, text=True, check=True
    )
    assert drawn.stdout.count("\nnode ") == 8
    assert drawn.stdout.count("\nedge ") == 9
    ask(tree, "graph", "OUTPUT=targets.svg")
    ask(tree, "graph", "OUTPUT=targets.svg")
    ET.parse(tree.path / "targets.svg")  # noqa: S314  # our own
    browser = Browser()
    try:
        browser.open(tree.path / "targets.svg")
        assert browser.value("document.querySelectorAll('.node').length") == 8
        picture = browser.screenshot(tmp_path / "targets.png")
        assert picture.brightness() > 0.9
        assert (130, 80, 223) in picture.colours(), "an image has its colour"
    finally:
        browser.close()
    ask(tree, "graph", "OUTPUT=graph.md")
    assert tree.read("graph.md").startswith(
        "<!-- multiarch graph 1 -->\n\n```mermaid\n%% multiarch graph 1\nflowchart LR\n"
    )


def test_a_file_of_somebody_else_is_not_written_over(tree: Tree):
    tree.edit("mine.svg", "<svg/>")
    said = ask(tree, "graph", "OUTPUT=mine.svg", status=2)
    assert "OUTPUT: mine.svg was not written by this tool, and is not replaced" in said
    png = ask(tree, "graph", "FORMAT=png", status=2)
    assert "'png' is not a value of FORMAT\n  hint: there is: mermaid, dot, svg\n" in png


def test_a_graph_is_written_where_a_folder_is_in_a_format_that_its_ending_says(tree: Tree, tmp_path: Path):
    said = ask(tree, "graph", f"OUTPUT={tmp_path}/nowhere/x.svg", status=2)
    assert f"OUTPUT: there is no folder {tmp_path}/nowhere\n  hint: make it first" in said
    assert not (tmp_path / "nowhere").exists()
    said = ask(tree, "graph", f"OUTPUT={tmp_path}/x.png", status=2)
    assert "OUTPUT: '.png' is the ending of no format of a graph\n  hint: end it in .svg, .dot, .mmd or .md" in said
    assert not (tmp_path / "x.png").exists()
    ask(tree, "graph", f"OUTPUT={tmp_path}/x.txt", "FORMAT=dot")
    assert (tmp_path / "x.txt").read_text().startswith("// multiarch graph 1\ndigraph")
    ask(tree, "graph", f"OUTPUT={tmp_path}/x.mmd")
    assert (tmp_path / "x.mmd").read_text().startswith("%% multiarch graph 1\nflowchart")


def test_generated_files_that_a_dockerfile_copies_are_in_the_graph(fresh: Tree):
    fresh.edit(
        "SConstruct",
        fresh.read("SConstruct") + '\nCommand("made/x.txt", "share/greeting", Copy("$TARGET", "$SOURCE"))\n',
    )
    fresh.edit("Dockerfile.amd64", fresh.read("Dockerfile.amd64").replace("COPY share /share", "COPY made/x.txt /x"))
    lines = ask(fresh, "graph", "images", "FORMAT=dot").splitlines()
    assert '    "made/x.txt" -> "_output/images/demo-linux-amd64.tar";' in lines


def test_a_tree_of_an_output_of_a_target_and_of_what_was_pushed(tree: Tree, registry: Registry):
    tree.scons("push-manifest", f"REGISTRY={registry.host}")
    one = ask(tree, "tree", "_output/images/demo-linux-arm64.tar").splitlines()
    assert one[0].startswith("_output/images/demo-linux-arm64.tar  linux/arm64  sha256:")
    assert [line for line in one if "COPY share /share" in line]
    assert "│  └─ /share/note.txt  7 B  0644" in one
    assert any("/demo  1." in line and "0755" in line for line in one)
    whole = ask(tree, "tree", "manifest").splitlines()
    assert whole[0].endswith("2 platforms")
    remote = ask(tree, "tree", f"{registry.host}/demo:v1.0").splitlines()
    assert remote[1:] == whole[1:]
    assert ask(tree, "tree", "demo").splitlines() == whole
    chosen = ask(tree, "tree", f"{registry.host}/demo:v1.0", "PLATFORM=linux/arm64").splitlines()
    assert chosen[1:] == one[1:]
    tagged = ask(tree, "tree", f"{registry.host}/demo:v1.0-arm64").splitlines()
    assert tagged[1:] == one[1:]


def test_a_tree_of_folder_registries_archives_and_plain_folders(tree: Tree):
    tree.scons("release")
    one = ask(tree, "tree", "_output/images/demo-linux-arm64.tar").splitlines()[1:]
    assert ask(tree, "tree", "_output/registry/demo:v1.0-arm64").splitlines()[1:] == one
    assert ask(tree, "tree", "./_output/registry/demo:v1.0", "PLATFORM=linux/arm64").splitlines()[1:] == one
    assert ask(tree, "tree", "_output/release/demo-v1.0-linux-arm64.tar").splitlines()[1:] == one
    layout = ask(tree, "tree", "_output/registry/demo")
    assert layout.splitlines()[0].endswith("layout    2 platforms")
    assert "├─ /one.conf  4 B  0644" in ask(tree, "tree", "conf").splitlines()
    pushed = ask(tree, "tree", "push-manifest", "PLATFORM=linux/arm64").splitlines()
    assert pushed[0].startswith("_output/registry/demo:v1.0  ")
    assert pushed[1:] == one
    receipt = next((tree.path / "_output/receipts").rglob("v1.0-arm64.json")).relative_to(tree.path)
    assert ask(tree, "tree", receipt.as_posix()).splitlines()[1:] == one


def test_two_publications_differ_by_files_config_and_platforms(tree: Tree, registry: Registry):
    tree.scons("push-manifest", f"REGISTRY={registry.host}")
    tree.edit("share/greeting", "other words\n")
    tree.remove("share/note.txt")
    tree.edit("share/new", "x")
    words = ("VERSION=v2.0", "LABELS=team=blue", "PLATFORMS=linux/amd64,linux/arm/v7")
    tree.scons("push-manifest", f"REGISTRY={registry.host}", *words)
    lines = ask(tree, "diff", f"{registry.host}/demo:v1.0", f"{registry.host}/demo:v2.0").splitlines()
    assert lines[0].startswith(f"--- {registry.host}/demo:v1.0  sha256:")
    assert f"- linux/arm64: only in {registry.host}/demo:v1.0" in lines
    assert f"+ linux/arm/v7: only in {registry.host}/demo:v2.0" in lines
    assert "  LABEL team: nothing → 'blue'" in lines
    assert "  ~ /share/greeting  6 B → 12 B" in lines
    assert "  - /share/note.txt  7 B" in lines
    assert "  + /share/new  1 B" in lines
    assert not [line for line in lines if "/etc/demo" in line], "what both have is no difference"
    same = ask(tree, "diff", "manifest", f"{registry.host}/demo:v2.0", *words)
    assert same.endswith("no difference: the same digest\n")


def test_what_differs_by_annotations_alone_is_said_to(tree: Tree, registry: Registry):
    words = ("PLATFORMS=linux/amd64", f"REGISTRY={registry.host}")
    tree.scons("push-manifest", *words)
    tree.scons("push-manifest", *words, "ANNOTATIONS=team=blue", "TAGS=blue")
    text = ask(tree, "diff", f"{registry.host}/demo:v1.0-amd64", f"{registry.host}/demo:blue")
    assert text.endswith("files; the digests differ by annotations, or by how layers are packed\n")
    first = ask(tree, "tree", f"{registry.host}/demo:blue").splitlines()[0]
    assert first.endswith("  1 platform")


def test_folders_and_files_are_compared_too(tree: Tree):
    assert "  - /one.conf  4 B" in ask(tree, "diff", "conf", "share").splitlines()
    assert "no difference" in ask(tree, "diff", "conf", "conf")
    programs = ask(tree, "diff", "_output/bin/amd64/linux/demo", "_output/bin/arm64/linux/demo")
    assert "  ~ /demo  " in programs


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tree",), "tree: there is nothing to be shown"),
        (("tree", "dmo"), "there is no target dmo\n  hint: did you mean demo?"),
        (("tree", "_output/release/demo-v1.0-linux-arm64.tar"), "build it first: "),
        (("tree", "bin:v1"), ""),
        (("diff", "manifest"), "diff: two are compared, and 1 were named"),
        (("diff", "images", "manifest"), "diff: two are compared, and these stand for 3"),
        (("tree", "127.0.0.1:1/demo:v1"), "127.0.0.1:1"),
        (("tree", "user:secret@127.0.0.1:1/demo:v1"), "holds a login"),
        (("tree", "manifest", "PLATFORM=windows/amd64"), "has no image for windows/amd64"),
        (
            ("tree", "push-manifest", "REGISTRY=./nowhere"),
            "nowhere/demo:v1.0: is not there\n  hint: no file and no folder ",
        ),
        (
            ("tree", "_output/release/none"),
            "_output/release/none: is not there\n  hint: no file and no folder is called so",
        ),
        (("graph", "nothing-here"), "there is no target nothing-here"),
    ],
)
def test_what_cannot_be_shown_is_said_in_words(words: tuple[str, ...], said: str, tree: Tree):
    text = ask(tree, *words, status=2)
    assert said in text
    assert "secret" not in text
    assert "there is no target 127" not in text


def test_what_others_wrote_is_shown_and_steers_nothing(tree: Tree):
    tree.edit(f"share/{HOSTILE}", "x\n")
    tree.edit("share/\x1b[31m::error::x", "x\n")
    tree.edit("share/##[error]y", "x\n")
    tree.scons("images", "LABELS=note=\x1b[1m##vso[x]")
    one, other = (f"_output/images/demo-linux-{name}.tar" for name in ("amd64", "arm64"))
    for text in (
        ask(tree, "tree", one),
        ask(tree, "diff", one, other),
        ask(tree, "graph"),
        ask(tree, "graph", "FORMAT=dot"),
    ):
        assert "\x1b" not in text
        assert "##[" not in text
        assert "##vso[" not in text
    assert "\\x1b[31m" in ask(tree, "tree", one)
    assert f"/share/{HOSTILE}" in ask(tree, "tree", one)


def test_a_base_is_read_where_it_is(tree: Tree, registry: Registry):
    tree.scons("push", f"REGISTRY={registry.host}")
    tree.edit("Dockerfile.amd64", f"FROM {registry.host}/demo:v1.0-amd64\nCOPY conf /etc/own/\n")
    tree.scons("images", "VERSION=v3")
    lines = ask(tree, "tree", "_output/images/demo-linux-amd64.tar").splitlines()
    assert f"on {registry.host}/demo:v1.0-amd64@sha256:" in lines[0]
    assert [line for line in lines if ", of the base: COPY share /share" in line]
    assert any("/share/note.txt" in line for line in lines)
    assert any("/etc/own/one.conf" in line for line in lines)
    registry.empty()
    lines = ask(tree, "tree", "_output/images/demo-linux-amd64.tar").splitlines()
    assert any("/etc/own/one.conf" in line for line in lines)


def test_a_tag_that_lists_referrers_holds_no_image(tree: Tree, registry: Registry):
    tree.scons("push-manifest", "ATTEST=sbom", f"REGISTRY={registry.host}")
    subject = tree.read("_output/manifest/demo-v1.0.digest").strip()
    name, tag = f"{registry.host}/demo", subject.replace(":", "-")
    said = ask(tree, "tree", f"{name}:{tag}", status=2)
    assert f"{name}:{tag}: holds no image: it lists what refers to {subject}\n" in said
    assert f"tree {name}@{subject} shows that\n" in said
    assert "/demo" in ask(tree, "tree", f"{name}@{subject}")
