"""What is printed where nobody watches: a line a step, what was published, digests alone, or nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.test_shared_trust import Keys
from machines.project import Project
from machines.registry import Registry
from machines.small import Tree

STARTED = (sys.executable, "site_scons/scons_multiarch/__main__.py", "./sconsw")
"""As `./sconsw` starts SCons."""


def started(tree: Project, *arguments: str, start: tuple[str, ...] = STARTED) -> subprocess.CompletedProcess[str]:
    """Run a build with standard output and standard error apart."""
    return subprocess.run(
        [*start, *arguments], cwd=tree.path, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def digest_of(tree: Project) -> str:
    return tree.read("_output/manifest/demo-v1.0.digest").strip()


def test_what_scons_prints_says_something(tree: Tree) -> None:
    assert started(tree, "manifest").stdout == "`manifest' is up to date.\n"
    plain = started(tree, "manifest", start=(sys.executable, "-m", "SCons"))
    assert plain.stdout == "`manifest' is up to date.\n"
    tree.append("conf/one.conf", "more\n")
    lines = started(tree, "images").stdout.splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == [
        "Image _output/images/demo-linux-amd64.tar",
        "Image _output/images/demo-linux-arm64.tar",
    ]
    tree.edit("main.go", "no Go\n")
    failed = started(tree, "bin")
    assert failed.returncode == 2
    assert "terminated" not in failed.stdout + failed.stderr
    assert failed.stderr.startswith("scons: *** [_output/bin/")


def test_help_says_how_it_was_started(tree: Tree) -> None:
    assert started(tree, "-h").stdout.endswith("\nUse ./sconsw -H for help about SCons' own options.\n")
    assert tree.scons("-h").text.endswith("\nUse scons -H for help about SCons' own options.\n")
    assert "Usage: ./sconsw [options]" in started(tree, "-h").stdout


def test_each_published_tag_is_said_with_digest_platforms_and_what_was_sent(fresh: Tree, registry: Registry) -> None:
    text = fresh.scons("push-manifest", f"REGISTRY={registry.host}", "TAGS=latest").text
    digest, size = digest_of(fresh), r"[0-9.]+ [kM]B"
    tag = f"{registry.host}/demo:v1.0@{digest}"
    assert re.search(
        rf"^{re.escape(tag)}  linux/amd64 {size}, linux/arm64 {size}; {size} sent\n"
        rf"{registry.host}/demo:latest@{digest}\n\Z",
        text,
        re.MULTILINE,
    ), text
    # A platform's tag alone is said by itself; what a no-op leaves is not said again.
    assert "sha256:" not in fresh.scons("push-manifest", f"REGISTRY={registry.host}", "TAGS=latest").text
    text = fresh.scons("push", f"REGISTRY={registry.host}/other").text
    for platform in ("amd64", "arm64"):
        assert re.search(
            rf"^{registry.host}/other/demo:v1.0-{platform}@sha256:\S+  linux/{platform} {size}; ", text, re.MULTILINE
        )


def test_an_index_that_stays_is_what_a_run_says_it_published(fresh: Tree, registry: Registry, tmp_path: Path) -> None:
    words = ("push-manifest", f"REGISTRY={registry.host}", f"CACHE={tmp_path / 'cache'}")
    fresh.scons("images", words[-1], "CACHE_MODE=readwrite")
    for folder in ("_output", ".multiarch"):
        shutil.rmtree(fresh.path / folder)
    fresh.scons(*words)
    # What was taken counts no more: all is made again, to the same bytes, and pushed.
    key = Keys(tmp_path, "key").public
    run = started(fresh, *words, f"CACHE_KEY={key}", "PRINT=digest")
    assert run.stderr.count("\nPush ") == 2
    said = [line for line in run.stderr.splitlines() if "@sha256:" in line]
    assert [line.partition("@")[0] for line in said] == [f"{registry.host}/demo:v1.0"], run.stderr
    assert said[0].endswith("; nothing sent")
    assert run.stdout == f"{registry.host}/demo@{digest_of(fresh)}\n"
    registry.delete_tag("demo", "v1.0-amd64")
    text = fresh.scons(*words, f"CACHE_KEY={key}").text
    assert re.findall("^(.*)@sha256:", text, re.MULTILINE) == [f"{registry.host}/demo:v1.0"], text


def test_digests_are_all_that_stands_on_standard_output(fresh: Tree, registry: Registry) -> None:
    fresh.append("SConstruct", '\nprint("said by the SConstruct")\nenv.Command("x", [], "echo said by a program")\n')
    fresh.append("SConstruct", 'env.Default("x")\n')
    words = ("push-manifest", "x", f"REGISTRY={registry.host},./folder", "TAGS=latest", "PRINT=digest")
    first = started(fresh, *words)
    digest = digest_of(fresh)
    lines = f"{registry.host}/demo@{digest}\n./folder/demo@{digest}\n"
    assert (first.returncode, first.stdout) == (0, lines), first.stderr
    for said in ("said by the SConstruct", "said by a program", "Publish ./folder/demo:v1.0", "demo:latest@sha256:"):
        assert said in first.stderr
    again = started(fresh, *words)
    assert again.stdout == lines
    assert "`push-manifest' is up to date." in again.stderr
    assert started(fresh, "-n", *words).stdout == ""
    pushed = started(fresh, "push", f"REGISTRY={registry.host}", "PRINT=digest").stdout
    entries = json.loads(fresh.read("_output/manifest/demo-v1.0.json"))["manifests"]
    assert sorted(pushed.split()) == sorted(f"{registry.host}/demo@{entry['digest']}" for entry in entries)


def test_nothing_stands_on_standard_output_when_it_fails(fresh: Tree, registry: Registry) -> None:
    words = (f"REGISTRY={registry.host},127.0.0.1:1", "PRINT=digest")
    one_down = started(fresh, "push-manifest", *words)
    assert (one_down.returncode, one_down.stdout) == (2, "")
    assert f"scons: {registry.host}: complete" in one_down.stderr
    for wrong in ("nonsense", "PLATFORMS=nonsense"):
        ran = started(fresh, wrong, "PRINT=digest")
        assert (ran.returncode, ran.stdout) == (2, "")
    nothing = started(fresh, "bin", "PRINT=digest")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "PRINT=digest: no target of this run is a tag; push and push-manifest are" in nothing.stderr
    refused = started(fresh, "PRINT=digest", "REPORT=-")
    assert refused.returncode == 2
    assert "REPORT: REPORT and PRINT both want standard output" in refused.stderr


def to(tree: Project, where: str, *words: str, start: tuple[str, ...] = STARTED) -> subprocess.CompletedProcess[str]:
    """Run a build whose standard output a shell leads somewhere."""
    command = ["sh", "-c", f'exec "$@" {where}', "sh", *start, *words]
    return subprocess.run(command, cwd=tree.path, stderr=subprocess.PIPE, text=True, check=False)


@pytest.mark.skipif(os.name == "nt", reason="no sh")
@pytest.mark.parametrize("start", [STARTED, (sys.executable, "-m", "SCons")], ids=["sconsw", "scons"])
def test_a_closed_standard_output_is_an_error_where_something_is_to_stand_on_it(
    tree: Tree, start: tuple[str, ...]
) -> None:
    for words in (["push", "PRINT=digest"], ["push", "REPORT=-"]):
        ran = to(tree, ">&-", *words, start=start)
        assert ran.returncode == 2
        assert re.fullmatch(r"\nscons: \*\*\* .*standard output.*\n|\nscons: .*not open for writing\n.*\n", ran.stderr)
    tree.append("conf/one.conf", "more\n")
    ran = to(tree, ">&-", "images", start=start)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert to(tree, ">&-", "graph", start=start).stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_what_cannot_be_printed_is_an_error_but_for_a_reader_that_has_ended(tree: Tree) -> None:
    tree.scons("push-manifest")
    questions = (["tree", "manifest"], ["graph"], ["why"], ["manifest"])
    for words in (["push-manifest", "PRINT=digest"], *questions):
        ran = to(tree, "> /dev/full", *words)
        assert ran.returncode == 2, words
        assert ran.stderr.endswith("scons: *** standard output was not written: No space left on device\n"), words
        assert "Traceback" not in ran.stderr
        ended = to(tree, "| true", *words)
        assert "not written" not in ended.stderr


def test_quiet_is_silence_unless_it_fails(fresh: Tree, registry: Registry) -> None:
    words = ("push-manifest", f"REGISTRY={registry.host}", "QUIET=yes")
    for _ in range(2):
        ran = started(fresh, *words)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert started(fresh, *words, "PRINT=digest").stdout == f"{registry.host}/demo@{digest_of(fresh)}\n"
    assert "unchanged" in started(fresh, "plan", *words).stdout  # an answer is what was asked for
    fresh.edit("main.go", "no Go\n")
    failed = started(fresh, *words)
    assert failed.returncode == 2
    assert "main.go:1:1: expected 'package', found no" in failed.stdout + failed.stderr


def test_a_step_is_one_line_when_it_ends(fresh: Tree) -> None:
    process = fresh.start("bin", "-j1")
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first.startswith("Compile _output/bin/")
    assert (fresh.path / first.split()[1]).exists()
    process.communicate()
    assert fresh.scons("-n", "images").text.count("Image _output/images/") == 2


def test_an_equal_error_of_the_compiler_is_printed_once_with_its_platforms(fresh: Tree) -> None:
    fresh.append("main.go", "\nvar more = nowhere\n")
    failed = fresh.scons("bin", "-j2", check=False).text
    assert failed.count("main.go") == failed.count("undefined: nowhere") == 1
    assert re.search(
        r"^scons: \*\*\* \[_output/bin/\S+, _output/bin/\S+\] go build of \. for (.*) failed$", failed, re.MULTILINE
    )
    assert "linux/amd64" in failed
    assert "linux/arm64" in failed
    later = fresh.scons("bin", "-j1", "-k", check=False).text
    assert later.count("undefined: nowhere") == 1
    assert re.search(r"for linux/\w+ failed: the same error as for linux/\w+$", later, re.MULTILINE), later


def printing(folder: Path, ending: str) -> str:
    """Return a PATH with a podman whose builds print a hundred lines, some of which a terminal or a CI would obey."""
    folder.mkdir()
    said = r"printf '\033[31mred\033[0m\n::error::x\n##[command]y\n'; for n in $(seq 1 100); do echo line $n; done"
    short = 'case " $* " in *" build "*|*" bud "*) ;; *) echo "[]"; exit 0;; esac'
    for name in ("podman", "buildah"):
        (folder / name).write_text(f"#!/bin/sh\n{short}\n{said}\n{ending}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_the_log_of_a_failed_step_is_whole_and_shown_not_sent(fresh: Tree, tmp_path: Path) -> None:
    fresh.remove(".dockerignore")
    fresh.edit("Dockerfile.amd64", "FROM scratch\nCOPY _output/bin/amd64/linux/demo /\nRUN x\n")
    fresh.scons("bin", "PLATFORMS=linux/amd64")
    path = printing(tmp_path / "bin", "exit 7")
    words = ("images", "PLATFORMS=linux/amd64", "ENGINE=podman")
    for more in ((), ("QUIET=yes",)):
        text = fresh.scons(*words, *more, check=False, env={"PATH": path}).text
        assert text.startswith("Image _output/images/demo-linux-amd64.tar\n")
        for number in range(1, 101):
            assert text.count(f"  | line {number}\n") == 1
        assert text.index("line 100\n") < text.index("scons: *** [_output/images/demo-linux-amd64.tar] ")
        assert "\x1b" not in text
        assert r"  | \x1b[31mred\x1b[0m" in text
        assert "#\\#[command]y" in text
        assert not re.search(r"^\s*::", text, re.MULTILINE)
    for ci, start, end in (
        ({"GITHUB_ACTIONS": "true"}, "::group::Image _output/images/demo-linux-amd64.tar", "::endgroup::\n"),
        ({"GITLAB_CI": "true"}, "\x1b[0Ksection_start:", "\x1b[0Ksection_end:"),
    ):
        text = fresh.scons(*words, check=False, env={"PATH": path, **ci}).text
        assert text.index(start) < text.index("  | line 1\n") < text.index(end) < text.index("scons: *** [")
