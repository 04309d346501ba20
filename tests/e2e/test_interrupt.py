"""Killed, stopped, disturbed or damaged between two steps or within one: the next run ends in the same digests."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from machines.names import silent_names
from machines.project import steps_of
from machines.required import required
from machines.small import Tree
from multiarch_oci.store.atomic import is_unfinished

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def outputs(tree: Tree) -> dict[str, str]:
    """Return the digests of all outputs.

    Not of the table of a folder registry, which is ordered by who came first, and not of what a killed process began
    to write into one: a folder registry may be shared, so nobody can tell that it is not being written.
    """
    return {
        path: digest
        for path, digest in tree.digests().items()
        if not path.endswith("demo/index.json") and not ("/blobs/" in path and is_unfinished(Path(path).name))
    }


def kill(process: subprocess.Popen[str]) -> None:
    """End the build and whatever it started at once, as the power does."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def begin(tree: Tree, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start SCons in a process group of its own."""
    return subprocess.Popen(
        [*before, sys.executable, "-u", "-m", "SCons", *arguments],
        cwd=tree.path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def when_printed(process: subprocess.Popen[str], beginning: str) -> None:
    """Return as soon as the build prints a line that begins so."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(beginning):
            return
    pytest.fail(f"never printed {beginning!r}")


def when_begun(tree: Tree, process: subprocess.Popen[str], verb: str) -> None:
    """Return as soon as the build begins a step of this kind; that of the index is the last, after its images."""
    if verb == "Publish":
        when_printed(process, "Push")
        when_printed(process, "Push")
    else:
        tree.until_begun(verb, process)


def ends_well(tree: Tree, wanted: Tree) -> None:
    run = tree.scons("push-manifest")
    assert "Traceback" not in run.text
    assert outputs(tree) == outputs(wanted)
    assert tree.scons("push-manifest").up_to_date


@pytest.mark.parametrize("moment", ["Compile", "Image", "Index", "Push", "Publish"])
def test_killed_at_a_step_the_next_run_ends_in_the_same_digests(moment: str, fresh: Tree, tree: Tree):
    process = begin(fresh, "push-manifest", "-j2")
    when_begun(fresh, process, moment)
    kill(process)
    ends_well(fresh, tree)


@pytest.mark.parametrize("moment", [0.15, 0.4, 0.65, 0.9])
def test_killed_at_any_time_the_next_run_ends_in_the_same_digests(
    moment: float, fresh: Tree, tree: Tree, tmp_path: Path
):
    started = time.monotonic()
    fresh.copy(tmp_path / "measured").scons("push-manifest")
    process = begin(fresh, "push-manifest")
    time.sleep((time.monotonic() - started) * moment)
    kill(process)
    ends_well(fresh, tree)


def test_killed_again_and_again_the_build_still_gets_there(fresh: Tree, tree: Tree):
    for moment in ("Compile", "Image", "Image", "Push"):
        process = begin(fresh, "push-manifest", "-j1")
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(moment):
                break
        kill(process)
    ends_well(fresh, tree)


def test_killed_in_the_middle_of_a_change_the_next_run_finishes_it(tree: Tree, tmp_path: Path):
    tree.replace("main.go", '"demo "', '"Demo "')
    clean = tree.copy(tmp_path / "clean", built=False)
    process = begin(tree, "push-manifest", "-j1")
    when_printed(process, "Push")
    kill(process)
    clean.scons("push-manifest")
    tree.scons("push-manifest")
    here = tree.digests()
    assert {path: here[path] for path in outputs(clean)} == outputs(clean)
    assert tree.scons("push-manifest").up_to_date


def test_temporary_files_of_killed_steps_do_not_reach_an_image(fresh: Tree, tree: Tree):
    fresh.edit("_output/bin/arm64/linux/.demo.4711.part", "half a program")
    fresh.edit("_output/images/.demo-linux-arm64.tar.4711.new", "half an image")
    fresh.scons("push-manifest")
    wanted = outputs(tree)
    assert {path: digest for path, digest in outputs(fresh).items() if path in wanted} == wanted


@pytest.mark.parametrize("moment", ["Compile", "Image", "Push"])
def test_interrupted_at_the_keyboard_it_ends_soon_and_clean(moment: str, fresh: Tree, tree: Tree):
    process = begin(fresh, "push-manifest", "-j2")
    when_begun(fresh, process, moment)
    os.killpg(process.pid, signal.SIGINT)
    text = process.communicate(timeout=30)[0]
    assert process.returncode != 0
    assert "Traceback" not in text, text
    files = [path for path in (fresh.path / "_output").rglob("*") if path.is_file()]
    assert [path for path in files if path.name.startswith(".") and path.name != ".index.lock"] == []
    ends_well(fresh, tree)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("jobs", ["-j1", "-j4"])
@pytest.mark.parametrize("moment", ["tags", "base"])
def test_a_name_that_is_looked_up_for_ever_does_not_outlast_an_interruption(
    moment: str, jobs: str, number: signal.Signals, tree: Tree, tmp_path: Path
):
    """While tags are asked for, which the decisions wait for, or while a base is looked for."""
    target, registry = "push-manifest", "REGISTRY=registry.example/team"
    if moment == "base":
        tree.replace("Dockerfile.amd64", "FROM scratch", "FROM registry.example/base:1")
        target, registry = "images", ""
    with silent_names(tmp_path) as before:
        process = begin(tree, target, jobs, *filter(None, [registry]), before=before)
        time.sleep(3)
        assert process.poll() is None
        begun = time.monotonic()
        os.kill(process.pid, number)
        text = process.communicate(timeout=30)[0]
        assert time.monotonic() - begun < 2
    assert process.returncode != 0
    assert "Traceback" not in text, text


# Records that are not what they were


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"\x80\x04}", b"\0" * 4096], ids=["empty", "text", "cut", "zeros"]
)
def test_a_damaged_record_of_scons_costs_a_build_and_nothing_else(content: bytes, tree: Tree):
    before = tree.digests()
    record = tree.path / ".multiarch/sconsign.dblite"
    assert record.exists()
    record.write_bytes(content)
    run = tree.scons("push-manifest")
    assert "Traceback" not in run.text, run.text
    assert tree.digests() == before
    assert tree.scons("push-manifest").up_to_date


@pytest.mark.parametrize("content", [b"", b"nonsense", b"{}", b"[1, 2]", b'{"format": 1, "entries": 3}', b"\xff\xfe\0"])
def test_damaged_records_of_ours_cost_a_look_and_nothing_else(content: bytes, tree: Tree):
    tree.scons("push-manifest")
    before = tree.digests()
    files = [path for path in (tree.path / ".multiarch").rglob("*") if path.is_file() and "sconsign" not in path.name]
    assert len(files) > 5
    for path in files:
        path.write_bytes(content)
    run = tree.scons("push-manifest")
    assert "Traceback" not in run.text, run.text
    assert run.up_to_date, run.text
    assert tree.digests() == before
    tree.replace("main.go", '"demo "', '"Demo "')
    for path in files:
        path.write_bytes(content)
    assert len(tree.scons("push-manifest").steps) == 8
    assert tree.scons("push-manifest").up_to_date


def test_without_any_record_the_build_is_done_again_and_the_tags_are_adopted(tree: Tree):
    before = tree.digests()
    shutil.rmtree(tree.path / ".multiarch")
    tree.scons("push-manifest")
    assert tree.digests() == before
    assert tree.scons("push-manifest").up_to_date


@pytest.mark.parametrize("content", [b"", b"nonsense", b"{}"])
def test_damaged_receipts_are_written_again(content: bytes, tree: Tree):
    before = tree.digests()
    for path in (tree.path / "_output/receipts").rglob("*.json"):
        path.write_bytes(content)
    assert len(tree.scons("push-manifest").steps) == 3
    assert tree.digests() == before
    assert tree.scons("push-manifest").up_to_date


# Folders


def bound() -> tuple[str, ...]:
    """Start a command that may write only where it is allowed to: root may write everywhere, unless told off."""
    if sys.platform == "win32":
        pytest.skip("a folder on Windows has no such mode")
    if os.geteuid():
        return ()
    powers = "-dac_override,-dac_read_search"
    return (required("setpriv"), f"--inh-caps={powers}", f"--bounding-set={powers}", "--")


@contextmanager
def closed(*folders: Path) -> Iterator[None]:
    """Take the right to write away from folders for a while."""
    for folder in folders:
        folder.chmod(0o555)
    try:
        yield
    finally:
        for folder in folders:
            folder.chmod(0o755)


@pytest.mark.parametrize(
    ("folder", "edited"),
    [("_output/images", "arm64only/first.txt"), ("_output/bin/arm64/linux", "place_linux_arm64.go")],
)
def test_an_output_folder_that_cannot_be_written_is_a_clear_error(folder: str, edited: str, tree: Tree):
    tree.edit(edited, tree.read(edited).replace("first", "changed").replace("arm64", "changed"))
    with closed(tree.path / folder):
        run = tree.scons(check=False, before=bound())
    assert run.status == 2
    assert "Traceback" not in run.text
    assert re.search(rf"{folder}[^\n]*: Permission denied\n  hint: the folder must be writable for you\n", run.text)


def test_a_tree_that_cannot_be_written_says_so_once(tree: Tree):
    with closed(tree.path, tree.path / ".multiarch"):
        run = tree.scons("manifest", check=False, before=bound())
    assert run.status == 2
    wanted = f"scons: *** {tree.path / '.multiarch'}: Permission denied\n  hint: the folder must be writable for you\n"
    assert wanted in run.text
    assert run.text.count("***") == 1
    assert "Traceback" not in run.text


@pytest.mark.parametrize("words", ["-n manifest", "-h", "-q manifest", "plan", "why manifest"])
@pytest.mark.parametrize("edit", [False, True])
def test_a_tree_that_cannot_be_written_can_be_asked(words: str, edit: bool, tree: Tree):
    if edit:
        tree.edit("late.go", "package main\n")
    folders = [
        tree.path,
        tree.path / ".multiarch",
        *(path for path in (tree.path / ".multiarch").iterdir() if path.is_dir()),
    ]
    with closed(*folders):
        run = tree.scons(*words.split(), check=False, before=bound())
    assert "Traceback" not in run.text
    assert "Permission denied" not in run.text
    assert run.status == (1 if edit and words.startswith("-q") else 0)
    expected = {"plan": "perhaps made again", "why manifest": "late.go added"}.get(words)
    if expected:
        assert (expected in run.text) is edit


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("_output/bin/arm64/linux/demo/file", "takes a file, and _output/bin/arm64/linux/demo is a folder"),
        (
            "_output/images/demo-linux-arm64.tar/file",
            "takes a file, and _output/images/demo-linux-arm64.tar is a folder",
        ),
        ("_output/manifest", "/_output/manifest: File exists"),
    ],
)
def test_something_in_the_way_of_an_output_is_a_clear_error(place: str, words: str, fresh: Tree):
    fresh.edit(place, "somebody's\n")
    run = fresh.scons(check=False)
    assert run.status == 2, run.text
    assert "Traceback" not in run.text
    assert f"{words}\n  hint: something else is in the way; move it aside" in run.text
    assert run.text.count("***") == 1
    assert fresh.read(place) == "somebody's\n"


# Two builds at once


def test_a_second_build_says_who_holds_the_lock_and_waits_and_both_end_right(fresh: Tree, tree: Tree):
    first = begin(fresh, "push-manifest")
    when_begun(fresh, first, "Compile")
    second = begin(fresh, "push-manifest")
    assert second.stdout is not None
    lines = []
    for line in second.stdout:
        lines.append(line)
        if "another build" in line:
            break
    assert lines[-1] == f"scons: another build (process {first.pid}) works in this tree; waiting for it to end\n", lines
    one, two = first.communicate(timeout=120)[0], second.communicate(timeout=120)[0]
    assert (first.returncode, second.returncode) == (0, 0), one + two
    assert steps_of(two) == []
    assert "`push-manifest' is up to date." in two
    assert outputs(fresh) == outputs(tree)
    assert fresh.scons("push-manifest").up_to_date


@pytest.mark.parametrize("words", [("-h",), ("-n", "manifest"), ("-q", "manifest")])
def test_questions_take_no_lock(words: tuple[str, ...], fresh: Tree):
    process = begin(fresh, "manifest", "-j1")
    when_begun(fresh, process, "Compile")
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        asked = fresh.scons(*words, check=False, timeout=60)
    finally:
        os.killpg(process.pid, signal.SIGCONT)
        text = process.communicate()[0]
    assert "another build" not in asked.text
    assert asked.status in (0, 1)
    assert process.returncode == 0, text
    assert fresh.scons("manifest").up_to_date


def test_a_killed_holder_leaves_no_lock(fresh: Tree):
    process = begin(fresh, "manifest")
    when_begun(fresh, process, "Compile")
    kill(process)
    assert "another build" not in fresh.scons("manifest").text


def test_many_builds_at_once_all_end_right(fresh: Tree, tree: Tree):
    running = [begin(fresh, "push-manifest") for _ in range(4)]
    texts = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0] * 4, texts
    assert sum(len(steps_of(text)) for text in texts) == 8
    assert outputs(fresh) == outputs(tree)
