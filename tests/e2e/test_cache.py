"""SCons' shared cache, `CacheDir`: what one tree made another one takes, and no wrong byte."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from machines.project import ROOT, Project
from machines.registry import Registry

TOOLS = """\
DefaultEnvironment(tools=[])
env = Environment(
    tools=[
        "oci_settings", "go_binary", "oci_image", "oci_archive", "oci_push", "oci_index", "oci_targets",
    ],
    DEFAULTS={"PLATFORMS": "linux/amd64"},
)
env.CacheDir(%r)
"""
PIPELINE = """
made = env.Command("made.txt", "made.in", Copy("$TARGET", "$SOURCE"))
program = env.GoBinary("_output/bin/demo", platform="linux/amd64")
image = env.Image("_output/images/one.tar", program, dockerfile="Dockerfile", platform="linux/amd64")
%s
archive = env.Archive("_output/release/one.tar", image, reference="$REPOSITORY:$VERSION-amd64")
push = env.Push(image, "$REPOSITORY:$VERSION-amd64")
index = env.Index("_output/manifest/all.json", image, platforms=["linux/amd64"])
published = env.Push(index, "$REPOSITORY:$VERSION", children=push)
env.Targets(bin=program, images=image, release=archive, push=push, manifest=index, push_manifest=published)
"""
FILES = {
    "VERSION": "1.0\n",
    "made.in": "one\n",
    "Dockerfile": "FROM scratch\nCOPY _output/bin/demo /demo\nCOPY made.txt /\n",
    "main.go": "package main\n\nfunc main() { println(1) }\n",
    "go.mod": "module example.com/one\n\ngo 1.21\n",
}
ALL = ("release", "push-manifest")
MADE = ["_output/bin/demo", "_output/images/one.tar", "_output/manifest/all.digest", "_output/manifest/all.json"]
MADE += ["_output/release/one.tar", "made.txt"]
MAKING = {"Compile", "Image", "Archive", "Index"}


class Trees:
    """Trees with the same sources, in folders of their own, and one cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "shared" / "cache"
        self.cache.parent.mkdir()

    def plant(self, name: str, *lines: str, cache: str | None = None) -> Project:
        tree = Project(self.folder / name / "tree")
        shutil.copytree(ROOT / "site_scons", tree.path / "site_scons")
        for path, text in FILES.items():
            tree.edit(path, text)
        tree.edit("SConstruct", TOOLS % (cache or str(self.cache)) + PIPELINE % "\n".join(lines))
        return tree

    def cached(self) -> dict[Path, bytes]:
        """Return the files that were put in, without what SCons and our marks need."""
        found = {path: path.read_bytes() for path in self.cache.glob("??/*") if path.is_file() and not path.suffix}
        assert found
        return found


@pytest.fixture
def trees(tmp_path: Path, clean_environment: Path) -> Trees:  # noqa: ARG001
    return Trees(tmp_path)


def outputs(tree: Project) -> dict[str, bytes]:
    return {name: (tree.path / name).read_bytes() for name in MADE}


def verbs(steps: list[str]) -> list[str]:
    return [step.partition(" ")[0] for step in steps]


@pytest.mark.parametrize("jobs", ["-j1", "-j8"])
def test_another_tree_takes_all_that_was_made_and_no_receipt(jobs: str, trees: Trees):
    first, second = trees.plant("a"), trees.plant("b")
    assert set(verbs(first.scons(*ALL).steps)) == MAKING | {"Push", "Publish"}
    assert len(trees.cached()) == len(MADE)
    assert not [path for path, content in trees.cached().items() if b'"reference"' in content[:200]]
    ran = second.scons(jobs, *ALL)
    assert verbs(ran.steps) == ["Push", "Publish"], ran.text
    assert ran.text.count("Retrieved `") == len(MADE)
    assert outputs(second) == outputs(first)
    assert os.access(second.path / "_output/bin/demo", os.X_OK)
    assert second.scons(*ALL).up_to_date
    assert second.scons(*ALL).up_to_date
    assert first.scons(*ALL).up_to_date
    assert len(trees.cached()) == len(MADE)


def test_the_reason_of_the_next_step_and_why_know_what_was_taken(trees: Trees):
    trees.plant("a").scons(*ALL)
    second = trees.plant("b")
    second.scons(*ALL, "REPORT=report.json")
    assert '"step": "Retrieve"' in second.read("report.json")
    assert "Image _output/images/one.tar: up to date; made last because: taken from SCons' cache" in (
        second.scons("why", "push-manifest").text
    )
    second.edit("main.go", "package main\n\nfunc main() { println(2) }\n")
    ran = second.scons(*ALL)
    assert "Compile _output/bin/demo: main.go changed\n" in ran.text
    assert "Image _output/images/one.tar: _output/bin/demo changed\n" in ran.text
    second.edit("main.go", FILES["main.go"])
    back = second.scons(*ALL)
    assert not MAKING & set(verbs(back.steps))
    assert "Compile _output/bin/demo: up to date; made last because: main.go changed; taken from SCons' cache" in (
        second.scons("why", "bin").text
    )


def test_what_is_lost_comes_back_and_what_depends_on_it_stands(trees: Trees):
    tree = trees.plant("a")
    tree.scons(*ALL)
    before = outputs(tree)
    for name in MADE:
        tree.remove(name)
        ran = tree.scons(*ALL)
        assert ran.steps == [], name
        assert "Retrieved" in ran.text
        assert outputs(tree) == before
        assert tree.scons(*ALL).up_to_date
    tree.remove("_output")
    assert verbs(tree.scons("manifest").steps) == []
    assert verbs(tree.scons(*ALL).steps) == ["Push", "Publish"]


def test_the_options_of_scons_mean_what_scons_says_they_mean(trees: Trees):
    first = trees.plant("a")
    first.scons("--cache-readonly", *ALL)
    assert not [path for path in trees.cache.glob("??/*") if path.is_file()]
    first.scons("--cache-populate", *ALL)  # all is up to date
    assert len(trees.cached()) == len(MADE)
    shutil.rmtree(trees.cache)
    first.scons("--cache-force", *ALL)
    assert len(trees.cached()) == len(MADE)

    second = trees.plant("b")
    assert set(verbs(second.scons("--cache-disable", *ALL).steps)) >= MAKING

    third = trees.plant("c")
    asked = third.scons("-n", *ALL)
    assert asked.status == 0
    assert not third.path.joinpath("_output").exists()
    shown = third.scons("--cache-show", *ALL)
    assert set(verbs(shown.steps)) >= MAKING
    assert "Retrieved" not in shown.text
    assert outputs(third) == outputs(first)
    assert third.scons(*ALL).up_to_date

    fourth = trees.plant("d")
    before = {path: path.stat().st_size for path in trees.cache.rglob("*")}
    fourth.edit("made.in", "two\n")
    assert "Image" in verbs(fourth.scons("--cache-readonly", *ALL).steps)
    assert {path: path.stat().st_size for path in trees.cache.rglob("*")} == before


def damage(path: Path, content: bytes, how: str) -> None:
    path.chmod(0o644)
    if how == "emptied":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(content[:-1])
    elif how == "a bit":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        path.with_name(f"{path.name}.lost").touch()
        for mark in path.parent.glob(f"{path.name}.*"):
            mark.unlink()


@pytest.mark.parametrize("how", ["emptied", "cut", "a bit", "without its mark"])
def test_what_is_damaged_in_the_cache_is_made_again(how: str, trees: Trees):
    first = trees.plant("a")
    first.scons(*ALL)
    for path, content in trees.cached().items():
        damage(path, content, how)
    second = trees.plant("b")
    read_only = second.scons("--cache-readonly", *ALL)
    assert set(verbs(read_only.steps)) >= MAKING
    assert outputs(second) == outputs(first)
    third = trees.plant("c")
    ran = third.scons(*ALL)
    assert set(verbs(ran.steps)) == MAKING | {"Push", "Publish"}
    words = "is not known to be whole" if how == "without its mark" else "is damaged"
    assert f"  _output/images/one.tar {words} in SCons' cache; it is made again\n" in ran.text
    assert outputs(third) == outputs(first)
    fourth = trees.plant("d")
    assert verbs(fourth.scons(*ALL).steps) == ["Push", "Publish"]
    assert outputs(fourth) == outputs(first)


def test_what_is_damaged_in_a_cache_that_cannot_be_written_to_is_made_again(trees: Trees):
    first = trees.plant("a")
    first.scons(*ALL)
    for path, content in trees.cached().items():
        damage(path, content, "cut")
        path.with_name(f"{path.name}.lost").mkdir()  # no user may remove that as a file, root either
    second = trees.plant("b")
    assert set(verbs(second.scons(*ALL).steps)) >= MAKING
    assert outputs(second) == outputs(first)


@pytest.mark.skipif(sys.platform == "win32", reason="files have no mode there")
def test_a_program_from_a_cache_without_modes_can_be_run(trees: Trees):
    trees.plant("a").scons("manifest")
    for path in trees.cached():
        path.chmod(0o444)
    second = trees.plant("b")
    assert second.scons("manifest").steps == []
    assert os.access(second.path / "_output/bin/demo", os.X_OK)
    assert second.scons("manifest").up_to_date
    assert outputs_of_the_manifest(second) == outputs_of_the_manifest(trees.plant("c", cache="own"))


def outputs_of_the_manifest(tree: Project) -> bytes:
    tree.scons("manifest")
    return (tree.path / "_output/manifest/all.json").read_bytes()


EDITS = {
    "program": ("program", "main.go", "package main\n\nfunc main() { println(2) }\n"),
    "image": ("image", "Dockerfile", "FROM scratch\nCOPY made.txt /\n"),
    "archive": ("archive", "_output/images/one.tar", ""),
}


@pytest.mark.parametrize("node", EDITS)
def test_what_was_edited_while_it_was_made_is_not_kept_for_others(node: str, trees: Trees):
    """The cache would call it by what it was decided from, and give it to whoever has that."""
    name, path, text = EDITS[node]
    text = f"open({path!r}, 'w').write({text!r})" if text else f"open({path!r}, 'ab').write(b'x')"
    line = f"""
def edit(target, source, env):
    if GetOption("num_jobs") == 1:
        {text}
"""
    tree = trees.plant("a")
    construct = tree.read("SConstruct").replace(
        "env.Targets(", f"{line}\nenv.AddPreAction({name}, Action(edit, None))\nenv.Targets("
    )
    tree.edit("SConstruct", construct)
    tree.scons("-j1", *ALL, check=False)
    second, apart = trees.plant("b"), trees.plant("c", cache="own")
    for other in (second, apart):
        other.edit("SConstruct", construct.replace(str(trees.cache), "own") if other is apart else construct)
        other.scons("-j2", *ALL)
    assert outputs(second) == outputs(apart)


def test_a_cache_inside_the_tree_is_no_part_of_an_image_that_copies_all(trees: Trees):
    tree = trees.plant("a", cache="inside")
    tree.edit("Dockerfile", "FROM scratch\nCOPY . /all\n")
    tree.edit(".dockerignore", "site_scons\n.scon*\n")
    tree.scons("manifest")
    assert tree.scons("manifest").up_to_date
    before = (tree.path / "_output/manifest/all.json").read_bytes()
    tree.edit("made.in", "two\n")
    tree.scons("manifest")
    tree.edit("made.in", "one\n")
    ran = tree.scons("manifest")
    assert ran.steps == [], ran.text
    assert (tree.path / "_output/manifest/all.json").read_bytes() == before
    assert tree.scons("manifest").up_to_date


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_to_fails_no_build(trees: Trees):
    tree = trees.plant("a")
    tree.scons("-h")
    trees.cache.chmod(0o555)
    assert set(verbs(tree.scons(*ALL).steps)) >= MAKING


def test_an_image_from_the_cache_gives_its_base_the_line_in_images_lock(trees: Trees, registry: Registry):
    base = trees.plant("base", cache="own")
    repository = f"REGISTRY={registry.host}"
    base.scons("push", repository, "VERSION=base")
    files = {}
    for name in ("a", "b"):
        tree = trees.plant(name)
        tree.edit("Dockerfile", f"FROM {registry.host}/demo:base-amd64\nCOPY made.txt /second\n")
        tree.scons("images")
        files[name] = tree.read("images.lock")
        assert tree.scons("images", "LOCKED=yes").up_to_date
    assert files["a"] == files["b"]


@pytest.mark.parametrize("order", [("made.txt", *ALL), ("-j8", "."), ("-n", "-j1", ".")])
@pytest.mark.parametrize("lines", ['env.Command("a/other.txt", "made.txt", Copy("$TARGET", "$SOURCE"))', ""])
def test_a_file_of_another_builder_is_looked_at_whatever_asks_for_it_first(
    order: tuple[str, ...], lines: str, trees: Trees
):
    first = trees.plant("a", lines)
    first.scons(".")
    before = outputs(first)
    for path, content in trees.cached().items():
        if content == b"one\n":
            path.write_text("bad\n")
    second = trees.plant("b", lines)
    ran = second.scons(*order)
    assert "  made.txt is damaged in SCons' cache; it is made again\n" in ran.text
    second.scons(".")
    assert outputs(second) == before
    assert b"bad\n" not in trees.cached().values()


def test_a_dry_run_leaves_the_cache_alone(trees: Trees):
    tree = trees.plant("a", 'env.Command("other.txt", "made.in", Copy("$TARGET", "$SOURCE"))')
    ran = tree.scons("-n", ".")
    assert "not kept" not in ran.text
    tree.scons(".")
    before = sorted(trees.cache.rglob("*"))
    tree.edit("made.in", "two\n")
    tree.scons("-n", ".")
    assert sorted(trees.cache.rglob("*")) == before
