"""What is printed where nobody watches: a line a step, what was published, digests alone, or nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

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


def test_a_closed_standard_output_is_an_error_in_words(fresh: Tree) -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *STARTED, "push", "PRINT=digest"]
    ran = subprocess.run(command, cwd=fresh.path, stderr=subprocess.PIPE, text=True, check=False)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    full = ["sh", "-c", 'exec "$@" >/dev/full', "sh", *STARTED, "push", "PRINT=digest"]
    if Path("/dev/full").exists() and os.name != "nt":
        ran = subprocess.run(full, cwd=fresh.path, stderr=subprocess.PIPE, text=True, check=False)
        assert "Traceback" not in ran.stderr


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
