"""A report or plan is written where it was asked for, and never over a file that is somebody else's (section 6)."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from machines.project import Project

SCONSTRUCT = """\
DefaultEnvironment(tools=[])
env = Environment(
    tools=["oci_settings", "oci_image", "oci_push", "oci_index", "oci_targets"],
    DEFAULTS={"PLATFORMS": "linux/amd64"},
)
made = env.Command("made.txt", ["made.in", "blank.in"], Copy("$TARGET", "$SOURCE"))
platform = env["PLATFORMS"][0]
image = env.Image("_output/images/demo.tar", dockerfile="Dockerfile", platform=platform)
pushed = env.Push(image, f"$REPOSITORY:$VERSION-{platform.tag_suffix}")
index = env.Index("_output/manifest/index.json", image, platforms=env["PLATFORMS"])
published = env.Push(index, "$REPOSITORY:$VERSION", children=pushed, also=env["TAGS"])
env.Targets(images=image, push=pushed, manifest=index, push_manifest=published)
"""
OLD_REPORT = '{\n  "steps": [],\n  "unchanged": []\n}\n'
OLD_PLAN = '{"images": [], "pins": [], "tags": [], "upload": {}}'
posix = pytest.mark.skipif(sys.platform == "win32", reason="devices, pipes and links as POSIX has them")


@pytest.fixture
def tree(tmp_path: Path, clean_environment: Path) -> Project:  # noqa: ARG001
    files = {
        "SConstruct": SCONSTRUCT,
        "made.in": "one\n",
        "blank.in": "",
        "copied.json": "",
        "other.json": '{"steps": "of a dance"}',
        "Dockerfile": "FROM scratch\nCOPY made.txt ./copied.json /\n",
    }
    return Project.of(tmp_path / "tree", files)


def fails(tree: Project, *words: str) -> str:
    """Run with words that are refused before anything is built; return what is said."""
    before = tree.path.joinpath("made.txt").exists()
    ran = tree.scons(*words, check=False)
    assert (ran.status, ran.steps) == (2, []), ran.text
    assert tree.path.joinpath("made.txt").exists() == before, "something was built"
    assert "Traceback" not in ran.text
    return ran.text


@pytest.mark.parametrize("name", ["REPORT", "PLAN"])
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("SConstruct", "SConstruct is a file of the build's own"),
        ("./VERSION", "./VERSION is a file of the build's own"),
        ("custom.py", "custom.py is a file of the build's own"),
        (".dockerignore", ".dockerignore is a file of the build's own"),
        ("images.lock", "images.lock is a file of the build's own"),
        ("Dockerfile.arm64", "Dockerfile.arm64 is a file of the build's own"),
        ("site_scons/x.json", "site_scons/x.json is a file of the build's own"),
        (".multiarch/stat.json", ".multiarch/stat.json is a file of the build's own"),
        ("made.in", "made.in was not written by this tool, and is not replaced"),
        ("other.json", "other.json was not written by this tool, and is not replaced"),
        ("blank.in", "blank.in is a file of this build"),
        ("made.txt", "made.txt is a file of this build"),
        ("_output/manifest/../images/demo.tar", "is a file of this build"),
        ("copied.json", "copied.json is copied by Dockerfile"),
    ],
)
def test_a_file_that_is_not_of_this_tool_is_refused_before_the_build(
    name: str, path: str, words: str, tree: Project
) -> None:
    for folder in ("images", "manifest"):
        tree.path.joinpath("_output", folder).mkdir(parents=True)
    before = {each: each.read_bytes() for each in tree.path.iterdir() if each.is_file()}
    verb = ["plan"] if name == "PLAN" else []
    assert f"scons: *** {name}: " in (said := fails(tree, *verb, "push-manifest", f"{name}={path}"))
    assert f"{words}\n  hint: name another file\n" in said
    assert {each: each.read_bytes() for each in tree.path.iterdir() if each.is_file()} == before


@pytest.mark.parametrize(
    "line",
    ["COPY data /x/", "COPY dat? /x/", "ADD --chmod=0600 data/ /x/", 'COPY ["data/e*.json", "/x/"]', "COPY . /x/"],
)
def test_an_empty_source_in_a_copied_folder_is_refused(line: str, tree: Project) -> None:
    tree.edit("Dockerfile", f"FROM scratch\n{line}\n")
    tree.edit("data/empty.json", "")
    tree.edit("data/other.txt", "x\n")
    assert "is copied by Dockerfile\n  hint: name another file\n" in fails(tree, "images", "REPORT=data/empty.json")
    assert tree.read("data/empty.json") == ""
    if "*" not in line:
        tree.scons("images", "REPORT=data/new.json")


def test_a_file_that_git_tracks_is_refused(tree: Project) -> None:
    tree.edit("notes/tracked.json", "")
    for command in (["init", "-q"], ["add", "-f", "notes/tracked.json"]):
        subprocess.run(["git", *command], cwd=tree.path, check=True, capture_output=True)
    said = fails(tree, "images", "REPORT=notes/tracked.json")
    assert "REPORT: notes/tracked.json is tracked by git, and is not replaced\n  hint: name another file\n" in said
    tree.scons("images", "REPORT=notes/free.json")


@pytest.mark.parametrize("text", ["", OLD_REPORT, OLD_PLAN], ids=["empty", "report before", "plan before"])
def test_an_empty_file_and_one_of_this_tool_are_replaced(text: str, tree: Project) -> None:
    for name, words, key in (("REPORT", ["images"], "steps"), ("PLAN", ["plan"], "tags")):
        for _ in range(2):
            tree.edit("told.json", text)
            tree.scons(*words, f"{name}=told.json")
            told: dict[str, Any] = json.loads(tree.read("told.json"))
            assert key in told
            text = tree.read("told.json")
            assert told["format"].startswith("multiarch ")


@posix
def test_a_link_is_refused_wherever_it_leads(tree: Project) -> None:
    elsewhere = tree.path.parent / "elsewhere.json"
    elsewhere.write_text(OLD_REPORT)
    for place in (elsewhere, tree.path.parent / "nowhere"):
        link = tree.path / "report.json"
        link.symlink_to(place)
        said = fails(tree, "images", "REPORT=report.json")
        assert "REPORT: report.json is a link, which is not replaced\n" in said
        assert link.readlink() == place
        link.unlink()
    assert elsewhere.read_text() == OLD_REPORT


PLACES = [
    ("sub/", "sub/ is the name of a folder\n  hint: name a file in it: sub/report.json"),
    ("sub/.", "sub/. is the name of a folder\n  hint: name a file in it: sub/report.json"),
    (".", ". is the name of a folder\n  hint: name a file in it: report.json"),
    ("none/", "none/ is the name of a folder\n  hint: name a file in it: none/report.json"),
    ("/dev/fd/999", "/dev/fd/999 is not open for writing\n  hint: name a file, or - for stdout"),
    ("/dev/fd/x", "/dev/fd/x is no device, pipe or open file\n  hint: name a file, or - for stdout"),
    ("/dev/fd/9999999999", "/dev/fd/9999999999 is no device, pipe or open file"),
    ("/dev/nothing", "/dev/nothing is no device, pipe or open file"),
    ("/proc/nothing", "/proc/nothing is no device, pipe or open file"),
]


@posix
@pytest.mark.parametrize(("path", "words"), PLACES, ids=[path for path, _ in PLACES])
def test_what_is_no_file_device_or_open_descriptor_is_refused(path: str, words: str, tree: Project) -> None:
    (tree.path / "sub").mkdir()
    assert f"REPORT: {words}" in fails(tree, "images", f"REPORT={path}")
    assert not Path(tree.path, path).is_file()


@posix
def test_a_terminal_that_is_none_is_refused_at_once(tree: Project) -> None:
    ran = tree.scons("images", "REPORT=/dev/tty", check=False, before=("setsid", "--wait"))
    assert (ran.status, ran.steps) == (2, [])
    assert "REPORT: /dev/tty cannot be written to: No such device or address\n  hint: name a file, or - " in ran.text


def test_one_file_for_report_and_plan_is_refused(tree: Project) -> None:
    words = fails(tree, "images", "REPORT=out.json", "PLAN=./out.json")
    assert "PLAN: ./out.json is the file of REPORT, too\n  hint: name another file" in words


@posix
def test_devices_and_descriptors_are_written_to(tree: Project) -> None:
    device = tree.path / "null"
    device.symlink_to("/dev/null")
    for path in ("/dev/null", "null"):
        tree.scons("images", f"REPORT={path}")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert device.is_symlink()
    for path in ("-", "/dev/stdout", "/proc/self/fd/1"):
        text = tree.scons("-Q", "images", f"REPORT={path}").text
        assert json.loads(text[text.index("{") :])["unchanged"]
    script = f"'{sys.executable}' -m SCons -Q images REPORT=/dev/fd/7 7>told.json && echo more >>told.json"
    subprocess.run(["sh", "-c", script], cwd=tree.path, check=True, capture_output=True)
    assert json.loads(tree.read("told.json").removesuffix("more\n"))["unchanged"]
    assert "REPORT: /dev/fd/9 is not open for writing\n" in fails(tree, "images", "REPORT=/dev/fd/9")


@posix
def test_a_plan_on_standard_output_is_all_that_stands_there(tree: Project) -> None:
    command = [sys.executable, "-m", "SCons", "-Q", "plan", "PLAN=-"]
    ran = subprocess.run(command, cwd=tree.path, check=True, capture_output=True)
    assert json.loads(ran.stdout)["tags"][-1]["reference"] == "_output/registry/demo:1.0"
    assert b"tag _output/registry/demo:1.0: create" in ran.stderr


@posix
def test_a_pipe_is_written_to_and_stays(tree: Project) -> None:
    pipe = tree.path / "pipe"
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    tree.scons("images", "REPORT=pipe")
    reader.join(30)
    assert json.loads(found[0])["steps"]
    assert stat.S_ISFIFO(pipe.lstat().st_mode)


def test_a_report_by_its_full_path_is_in_no_image(tree: Project) -> None:
    tree.edit("Dockerfile", "FROM scratch\nCOPY . /\n")
    tree.scons("images", f"REPORT={tree.path / 'report.json'}")
    assert tree.scons("images", f"REPORT={tree.path / 'report.json'}").up_to_date


@posix
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_something_else_in_the_place_of_the_lock_is_an_error(kind: str, tree: Project) -> None:
    lock, victim = tree.path / ".multiarch/lock", tree.path / "victim.txt"
    lock.parent.mkdir()
    victim.write_text("keep me\n")
    {"link": lambda: lock.symlink_to(victim), "pipe": lambda: os.mkfifo(lock), "folder": lock.mkdir}[kind]()
    assert f"{lock}: is no file of this tool\n  hint: remove it, and build again\n" in fails(tree, "images")
    assert victim.read_text() == "keep me\n"


@posix
def test_an_output_folder_behind_a_link_is_written_to_and_not_emptied(tree: Project) -> None:
    elsewhere = tree.path.parent / "disk"
    elsewhere.mkdir()
    elsewhere.joinpath("thesis.txt").write_text("years\n")
    tree.path.joinpath("_output").symlink_to(elsewhere)
    tree.scons("images")
    for words in (("clean",), ("-c",)):
        assert "_output: is a link, and what it leads to is not emptied\n" in fails(tree, *words)
    assert elsewhere.joinpath("images/demo.tar").is_file()
    assert elsewhere.joinpath("thesis.txt").is_file()
    assert tree.scons("images").up_to_date
