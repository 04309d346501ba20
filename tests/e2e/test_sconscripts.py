"""A build of several SConscripts, and SCons started in another folder than the top."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import unpacked
from machines.project import ROOT, Project

TOP = """\
DefaultEnvironment(tools=[])
env = Environment(
    tools=["oci_settings", "go_binary", "oci_image", "oci_archive", "oci_load", "oci_push", "oci_pin", "oci_index",
           "oci_targets"],
    DEFAULTS={"PLATFORMS": "linux/amd64", "IMAGE": "team"},
)
Export("env")
"""
WORKER = """\
Import("env")
image = env.Image("out/worker.tar", env.Command("made.txt", "in.txt", Copy("$TARGET", "$SOURCE")),
                  dockerfile="Dockerfile", platform="linux/amd64")
archive = env.Archive("out/worker-release.tar", image, reference="$REPOSITORY:$VERSION-amd64")
push = env.Push(image, "$REPOSITORY:$VERSION-amd64")
index = env.Index("out/worker.json", image, platforms="linux/amd64")
main = env.Push(index, "$REPOSITORY:$VERSION", children=push)
env.Targets(images=image, release=archive, push=push, manifest=index, push_manifest=main)
"""
SUBJECTS = {
    "Image cmd/worker/out/worker.tar",
    "Archive cmd/worker/out/worker-release.tar",
    "Push _output/registry/team:1.0-amd64",
    "Index cmd/worker/out/worker.json",
    "Publish _output/registry/team:1.0",
}


@pytest.fixture
def tree(tmp_path: Path, clean_environment: Path) -> Project:  # noqa: ARG001
    files = {
        "SConstruct": TOP + 'SConscript("cmd/worker/SConscript")\n',
        "cmd/worker/SConscript": WORKER,
        "cmd/worker/in.txt": "one\n",
        "cmd/worker/Dockerfile": "FROM scratch\nCOPY cmd/worker/made.txt /\n",
    }
    return Project.of(tmp_path / "tree", files)


def test_a_target_of_a_lower_sconscript_has_one_name_everywhere(tree: Project) -> None:
    planned = tree.scons("-Q", "plan", "push-manifest", "PLAN=plan.json").text
    assert "cmd/worker/out/worker.tar" in planned
    assert str(tree.path) not in planned
    assert json.loads(tree.read("plan.json"))["images"][0]["target"] == "cmd/worker/out/worker.tar"
    ran = tree.scons("release", "push-manifest", "REPORT=report.json")
    assert set(ran.steps) == SUBJECTS
    report = json.loads(tree.read("report.json"))
    assert {f"{step['step']} {step['subject']}" for step in report["steps"]} == SUBJECTS
    assert {step["target"].partition("/receipts/")[0] for step in report["steps"]} == {
        *(f"cmd/worker/out/{name}" for name in ("worker.tar", "worker-release.tar", "worker.json")),
        "_output",
    }
    said = tree.scons("-Q", "why", "push-manifest").text
    assert {line.partition(": up to date")[0] for line in said.splitlines()} == SUBJECTS - {
        "Archive cmd/worker/out/worker-release.tar"
    }
    facts = {
        path.relative_to(tree.path / ".multiarch/facts").as_posix()
        for path in tree.path.glob(".multiarch/facts/**/*.json")
    }
    assert "cmd/worker/out/worker.tar.json" in facts
    assert not [name for name in facts if name.startswith("out/")]
    tree.edit("cmd/worker/in.txt", "two\n")
    assert "Image cmd/worker/out/worker.tar: cmd/worker/made.txt changed" in tree.scons("images").text


def test_receipts_of_a_lower_sconscript_lie_at_the_top(tree: Project) -> None:
    tree.scons("push-manifest")
    assert not (tree.path / "cmd/worker/_output").exists()
    assert len(list(tree.path.glob("_output/receipts/**/*.json"))) == 2


def test_a_receipt_that_an_earlier_version_kept_elsewhere_counts_and_moves(tree: Project) -> None:
    tree.scons("push-manifest")
    shutil.move(tree.path / "_output/receipts", tree.path / "cmd/worker/_output/receipts")
    (tree.path / ".multiarch/sconsign.dblite").unlink()
    tree.edit("cmd/worker/in.txt", "two\n")
    assert "moved" not in tree.scons("plan", "DRIFT=fail").text
    ran = tree.scons("push-manifest", "DRIFT=fail")  # what the receipts say was pushed by this tree
    assert "its receipt moves here from cmd/worker/_output/receipts/" in ran.text
    assert not (tree.path / "cmd/worker/_output").exists()
    assert tree.scons("push-manifest", "DRIFT=fail", "IMMUTABLE=yes").up_to_date


def test_what_is_declared_after_targets_is_known(tree: Project) -> None:
    tree.edit(
        "SConstruct",
        TOP + 'env.Targets()\nSConscript("cmd/worker/SConscript")\nenv.Alias("later", "late.txt")\n'
        'env.Command("late.txt", "VERSION", Copy("$TARGET", "$SOURCE"))\n',
    )
    assert tree.scons("later").status == 0
    assert tree.scons("-Q", "plan").text.count("worker.tar") == 1
    assert tree.scons("-Q", "why", "later").status == 0
    assert "worker.tar" in tree.scons("-h").text


def test_targets_of_several_sconscripts_add_up_and_answer_once(tree: Project) -> None:
    tree.edit("SConstruct", TOP + 'SConscript(["cmd/worker/SConscript", "other/SConscript"])\nenv.Targets()\n')
    tree.edit(
        "other/SConscript",
        WORKER.replace("worker", "other")
        .replace("-amd64", "-other")
        .replace('"$REPOSITORY:$VERSION"', '"$REPOSITORY:$VERSION-main"'),
    )
    tree.edit("other/Dockerfile", "FROM scratch\nCOPY other/made.txt /\n")
    tree.edit("other/in.txt", "other\n")
    planned = tree.scons("-Q", "plan").text
    assert planned.count("out/worker.tar") == planned.count("out/other.tar") == 1
    assert set(tree.scons("images").steps) == {"Image cmd/worker/out/worker.tar", "Image other/out/other.tar"}
    assert set(tree.scons().steps) == {"Index cmd/worker/out/worker.json", "Index other/out/other.json"}
    wrong = tree.scons("imags", check=False)
    assert (wrong.status, wrong.text.count("there is no target imags")) == (2, 1)


def test_a_default_before_targets_is_the_only_one_and_a_later_one_joins_it(tree: Project) -> None:
    image, index = "Image cmd/worker/out/worker.tar", "Index cmd/worker/out/worker.json"
    tree.edit("SConstruct", TOP + 'env.Default("images")\nSConscript("cmd/worker/SConscript")\n')
    assert tree.scons().steps == [image]  # the alias, which is no file though it was not there yet
    tree.edit("SConstruct", TOP + 'SConscript("cmd/worker/SConscript")\nenv.Default("release")\n')
    assert set(tree.scons().steps) == {index, "Archive cmd/worker/out/worker-release.tar"}


@pytest.mark.parametrize("option", ["-u", "-U", "-D"])
def test_words_are_seen_from_the_folder_that_scons_starts_in(option: str, tree: Project) -> None:
    here = tree.path / "cmd/worker"
    tree.edit("cmd/other.txt", "a source\n")
    assert tree.scons(option, "out/worker.tar", cwd=here).steps == ["Image cmd/worker/out/worker.tar"]
    assert tree.scons(option, "../worker/out/worker.tar", "../other.txt", "#cmd/worker/made.txt", cwd=here).status == 0
    assert tree.scons(option, "images", cwd=here).up_to_date
    assert tree.scons(option, "-Q", "why", "out/worker.tar", cwd=here).text.count("up to date") == 1
    wrong = tree.scons(option, "cmd/worker/out/worker.tar", cwd=here, check=False)
    assert wrong.status == 2
    assert "there is no target cmd/worker/out/worker.tar" in wrong.text
    assert "Traceback" not in tree.scons(option, "in.txt/x", cwd=here, check=False).text
    assert tree.scons(option, cwd=here).steps == ["Index cmd/worker/out/worker.json"]
    assert tree.scons(option, "-c", cwd=here).status == 0
    assert not (tree.path / "cmd/worker/out/worker.json").exists()


def test_the_default_of_the_folder_is_built_there(tree: Project) -> None:
    tree.edit("SConstruct", TOP + 'SConscript(["cmd/worker/SConscript", "other/SConscript"])\n')
    tree.edit(
        "other/SConscript", 'Import("env")\nenv.Default(env.Command("b.txt", "in.txt", Copy("$TARGET", "$SOURCE")))\n'
    )
    tree.edit("other/in.txt", "other\n")
    tree.edit("cmd/worker/SConscript", WORKER + "env.Default(image)\n")
    assert tree.scons("-U", cwd=tree.path / "other").steps == []
    assert tree.scons("-U", cwd=tree.path / "cmd/worker").steps == ["Image cmd/worker/out/worker.tar"]


def test_the_event_that_scons_has_not_is_found_where_it_is_looked_for(tmp_path: Path) -> None:
    """It is after all SConscripts, once, before the help text and the build, and knows the folder of the start."""
    (tmp_path / "below").mkdir()
    (tmp_path / "SConstruct").write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT / 'site_scons')!r})\n"
        "from scons_multiarch.tracking.phases import after_reading\n"
        "DefaultEnvironment(tools=[])\n"
        'after_reading(lambda here: print("first", here.get_internal_path(), "none read"))\n'
        'after_reading(lambda here: print("second"))\n'
        'Help("the help\\n")\n'
        'Environment(tools=[]).Command("x", [], lambda target, source, env: print("built"))\n'
        'Default("x")\n'
        'SConscript("below/SConscript")\n'
        'print("read all")\n'
    )
    (tmp_path / "below/SConscript").write_text('Progress("…")\nprint("read below")\n')
    for words, cwd, place, last in (
        ([], tmp_path, ".", "built"),
        (["-Q"], tmp_path, ".", "built"),
        (["-s"], tmp_path, ".", "built"),
        (["-h"], tmp_path, ".", "the help"),
        (["-n"], tmp_path, ".", "<lambda>"),
        (["-u", "-s", "#x"], tmp_path / "below", "below", "built"),
        (["-D"], tmp_path / "below", "below", "built"),
        (["-C", "..", "-f", "SConstruct"], tmp_path / "below", ".", "built"),
    ):
        ran = subprocess.run(
            [sys.executable, "-m", "SCons", *words], cwd=cwd, capture_output=True, text=True, check=False
        )
        lines = [line for line in ran.stdout.splitlines() if not line.startswith(("scons: ", "…"))]
        assert lines[:4] == ["read below", "read all", f"first {place} none read", "second"], ran.stdout + ran.stderr
        assert ran.stdout.count("second") == 1
        assert last in ran.stdout.partition("second")[2]


@pytest.mark.parametrize("duplicate", [0, 1])
def test_sources_of_a_variant_folder_are_found_and_their_edits_seen(duplicate: int, tree: Project) -> None:
    tree.edit("SConstruct", TOP + f'SConscript("cmd/worker/SConscript", variant_dir="build", duplicate={duplicate})\n')
    tree.edit(
        "cmd/worker/SConscript",
        WORKER.replace('Copy("$TARGET", "$SOURCE"))', 'Copy("$TARGET", "$SOURCE")) + ["more.txt"]'),
    )
    tree.edit("cmd/worker/more.txt", "more\n")
    tree.edit("cmd/worker/Dockerfile", "FROM scratch\nCOPY build/made.txt cmd/worker/more.txt /\n")
    image = "Image build/out/worker.tar"
    assert image in tree.scons("-n", "images").steps
    assert tree.scons("images").steps == [image]
    assert tree.scons("images").up_to_date
    for name in ("in.txt", "more.txt"):
        tree.edit(f"cmd/worker/{name}", "changed\n")
        if name == "more.txt":  # what is made of the other one is not known under -n
            assert tree.scons("-n", "images").steps == [image]
        assert tree.scons("images").steps == [image]
    tree.edit("cmd/worker/Dockerfile", "FROM scratch\nCOPY build/made.txt cmd /\n")
    tree.edit("cmd/worker/Dockerfile.dockerignore", "cmd/worker/more.txt\n")
    assert tree.scons("-n", "images").steps == [image]
    assert tree.scons("images").steps == [image]
    tree.edit("cmd/worker/Dockerfile.dockerignore", "cmd\n!cmd/worker\n")
    assert tree.scons("images").steps == [image]
    assert tree.scons("images").up_to_date


def test_a_dockerfile_of_a_repository_is_found_and_its_edits_seen(tree: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "other")
    other.edit("Dockerfile", "FROM scratch\nCOPY VERSION /\n")
    other.edit("more.txt", "one\n")
    tree.edit(
        "SConstruct",
        TOP + f'env.Repository({str(other.path)!r})\nimage = env.Image("i.tar", "more.txt", '
        'dockerfile=["none", "Dockerfile"])\nenv.Targets(images=image)\n',
    )
    assert tree.scons("images").steps == ["Image i.tar"]
    assert tree.scons("images").up_to_date
    other.edit("Dockerfile", "FROM scratch\nCOPY VERSION /other\n")
    assert tree.scons("images").steps == ["Image i.tar"]
    other.edit("more.txt", "two\n")
    assert tree.scons("images").steps == ["Image i.tar"]
    assert tree.scons("images").up_to_date


SOURCES = """\
Import("env")
env.Command("data/made.txt", "in.txt", Copy("$TARGET", "$SOURCE"))
env.Targets(images=[env.Image(f"{name}.tar", dockerfile=f"D.{name}") for name in ("whole", "file", "glob", "deep")])
"""
RECIPES = {
    "whole": "COPY {0}data /w\n",
    "file": "COPY {0}data/deep/x {0}data/a.txt /\n",
    "glob": "COPY {0}data/*.txt /g/\n",
    "deep": "ADD {0}data/deep /d\n",
}
IN_THEM = {
    "whole": {"w", "w/a.txt", "w/deep", "w/deep/x", "w/made.txt"},
    "file": {"x", "a.txt"},
    "glob": {"g", "g/a.txt", "g/made.txt"},
    "deep": {"d", "d/x"},
}
EDITS = (("data/a.txt", "two\n", {"whole", "file", "glob"}), ("data/deep/x", "two\n", {"whole", "file", "deep"}))


def plant(place: Project, folder: str = "", *, seen: str = "") -> None:
    for name, text in {"in.txt": "one\n", "data/a.txt": "one\n", "data/deep/x": "one\n", "SConscript": SOURCES}.items():
        place.edit(folder + name, text)
    for name, lines in RECIPES.items():
        place.edit(f"{folder}D.{name}", "FROM scratch\n" + lines.format(seen))


@pytest.mark.parametrize("duplicate", [0, 1])
def test_what_a_dockerfile_copies_of_a_variant_folder_is_found_where_its_source_is(
    duplicate: int, tree: Project
) -> None:
    plant(tree, "sub/", seen="build/")
    tree.edit("SConstruct", TOP + f'SConscript("sub/SConscript", variant_dir="build", duplicate={duplicate})\n')
    steps = {f"Image build/{name}.tar" for name in RECIPES}
    assert set(tree.scons("-n", "images").steps) == steps
    assert not (tree.path / "build").exists()
    assert set(tree.scons("images").steps) == steps
    assert tree.scons("images").up_to_date
    for name, paths in IN_THEM.items():
        assert set(unpacked.of_archive(tree.path / f"build/{name}.tar")) == paths
    for path, text, changed in EDITS:
        tree.edit(f"sub/{path}", text)
        steps = {f"Image build/{name}.tar" for name in changed}
        assert set(tree.scons("-n", "images").steps) == set(tree.scons("images").steps) == steps
    tree.edit("build/data/a.txt", "a copy of long ago\n")
    assert tree.scons("images").steps == []
    tree.remove("sub/data/deep")
    wrong = tree.scons("-k", "images", check=False)
    assert wrong.status == 2
    assert "'build/data/deep/x' is not in the context" in wrong.text


def test_a_variant_folder_as_a_whole_is_what_was_made_in_it(tree: Project) -> None:
    tree.edit("SConstruct", TOP + 'SConscript("SConscript", variant_dir="build", duplicate=0)\n')
    tree.edit(
        "SConscript",
        'Import("env")\nenv.Command("made.txt", "VERSION", Copy("$TARGET", "$SOURCE"))\n'
        'env.Targets(images=env.Image("i.tar", dockerfile="D"))\n',
    )
    tree.edit("D", "FROM scratch\nCOPY build /b\nCOPY build/VERSION /\n")  # the sources are the top itself
    tree.scons("images")
    assert set(unpacked.of_archive(tree.path / "build/i.tar")) == {"b", "b/made.txt", "VERSION"}
    tree.edit("D", "FROM scratch\nCOPY . /\n")
    tree.edit(".dockerignore", ".*\nsite_scons\ncmd\n")
    tree.scons("images")
    files = {"VERSION", "SConstruct", "SConscript", "D"}
    assert set(unpacked.of_archive(tree.path / "build/i.tar")) == {"build", "build/made.txt", *files}
    assert tree.scons("images").up_to_date


def test_what_lies_in_a_repository_alone_is_found_as_if_it_were_here(tree: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "other")
    plant(other)
    other.edit("VERSION", "2.0\n")
    other.edit("data/left.out", "x\n")
    other.edit(".dockerignore", "data/left.out\n")
    for path in ("VERSION", "SConstruct"):
        tree.remove(path)
    tree.edit(
        "SConstruct", f"Repository({str(other.path)!r})\n{TOP}" + 'SConscript("SConscript")\nprint(env["VERSION"])\n'
    )
    steps = {f"Image {name}.tar" for name in RECIPES}
    assert set(tree.scons("-n", "images").steps) == steps
    ran = tree.scons("images")
    assert set(ran.steps) == steps
    assert "2.0\n" in ran.text
    assert tree.scons("images").up_to_date
    for name, paths in IN_THEM.items():
        assert set(unpacked.of_archive(tree.path / f"{name}.tar")) == paths
    for path, text, changed in EDITS:
        steps = {f"Image {name}.tar" for name in changed}
        other.edit(path, text)
        assert set(tree.scons("images").steps) == steps
        tree.edit(path, "here\n")  # what is here counts
        assert set(tree.scons("images").steps) == steps
        tree.remove(path)
        assert set(tree.scons("images").steps) == steps
        assert tree.scons("images").up_to_date
    tree.edit("data/more.txt", "here\n")
    assert set(tree.scons("images").steps) == {"Image whole.tar", "Image glob.tar"}
    assert set(unpacked.of_archive(tree.path / "glob.tar")) == {*IN_THEM["glob"], "g/more.txt"}


@pytest.mark.parametrize("duplicate", [0, 1])
def test_a_variant_folder_of_a_repository(duplicate: int, tree: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "other")
    plant(other, "sub/", seen="build/")
    tree.edit(
        "SConstruct",
        f"Repository({str(other.path)!r})\n{TOP}"
        f'SConscript("sub/SConscript", variant_dir="build", duplicate={duplicate})\n',
    )
    tree.scons("images")
    assert tree.scons("images").up_to_date
    for name, paths in IN_THEM.items():
        assert set(unpacked.of_archive(tree.path / f"build/{name}.tar")) == paths
    for path, text, changed in EDITS:
        other.edit(f"sub/{path}", text)
        assert set(tree.scons("images").steps) == {f"Image build/{name}.tar" for name in changed}


def test_a_named_context_of_a_repository(tree: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "other")
    other.edit("assets/a.txt", "one\n")
    tree.edit(
        "SConstruct",
        f"Repository({str(other.path)!r})\n{TOP}"
        'env.Targets(images=env.Image("i.tar", dockerfile="D", contexts={"c": "assets"}))\n',
    )
    tree.edit("D", "FROM scratch\nCOPY --from=c . /c\n")
    tree.scons("images")
    tree.edit("assets/b.txt", "here\n")
    assert tree.scons("images").steps == ["Image i.tar"]
    other.edit("assets/a.txt", "two\n")
    assert tree.scons("images").steps == ["Image i.tar"]
    assert tree.scons("images").up_to_date
    assert set(unpacked.of_archive(tree.path / "i.tar")) == {"c", "c/a.txt", "c/b.txt"}


GO = {
    "go.mod": "module example.com/x\n\ngo 1.21\n",
    "cmd/a/main.go": 'package main\n\nimport "example.com/x/lib"\n\nfunc main() { print(lib.Name) }\n',
    "lib/lib.go": 'package lib\n\nconst Name = "one"\n',
}


@pytest.mark.parametrize(
    "arguments",
    ['"./cmd/a"', '"example.com/x/cmd/a"', 'env.Dir("cmd/a")', 'env.File("cmd/a/main.go")', '".", GODIR="cmd/a"'],
)
def test_a_module_of_a_repository_is_built_there(arguments: str, tree: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "other")
    for name, text in GO.items():
        other.edit(name, text)
    tree.edit(
        "SConstruct",
        f"Repository({str(other.path)!r})\n{TOP}"
        f'env.Targets(bin=env.GoBinary("p", {arguments}, platform=env["PLATFORMS"][0]))\n',
    )
    for name in ("one", "two"):
        other.edit("lib/lib.go", f'package lib\n\nconst Name = "{name}"\n')
        assert tree.scons("-n", "bin").steps == tree.scons("bin").steps == ["Compile p"]
        assert subprocess.run([tree.path / "p"], capture_output=True, text=True, check=True).stderr == name
        assert tree.scons("bin").up_to_date
    assert set(other.digests(".")) == set(GO)


def test_go_reads_no_two_trees(tree: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "other")
    for name, text in GO.items():
        other.edit(name, text)
    tree.edit(
        "SConstruct",
        f"Repository({str(other.path)!r})\n{TOP}"
        'env.Targets(bin=env.GoBinary("p", "./cmd/a", platform=env["PLATFORMS"][0]))\n',
    )
    tree.edit("lib/lib.go", GO["lib/lib.go"])
    ran = tree.scons("bin", check=False)
    assert ran.status == 2
    assert f"lib/lib.go lies here, and its module in {other.path}\n" in ran.text
    tree.edit("go.mod", GO["go.mod"])
    ran = tree.scons("bin", check=False)
    assert ran.status == 2
    assert f"package ./cmd/a lies in {other.path}, and its module in {tree.path}\n" in ran.text
    tree.edit("cmd/a/main.go", GO["cmd/a/main.go"])
    assert tree.scons("bin").steps == ["Compile p"]
