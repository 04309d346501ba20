"""cgo for another architecture, with zig from PyPI as the C compiler: the documented way."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from machines import zig
from machines.project import ROOT
from machines.required import cache_folder, required
from machines.small import Tree

CACHE = cache_folder()  # before a test moves HOME
MAIN = """\
package main

/*
#include <answer.h>
static int answer(void) { return ANSWER; }
*/
import "C"

import "fmt"

func main() { fmt.Println("cgo says", C.answer()) }
"""
COMPILE = "Compile _output/bin/arm64/linux/demo"


def documented() -> str:
    """Return the lines that the guide gives for a SConstruct."""
    text = (ROOT / "docs/howto/cgo.md").read_text(encoding="utf-8")
    found = re.search(r"```python\n(TARGETS = .*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def tree(fresh: Tree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tree:
    """Return a tree whose program is half in C, with a header that lies outside the module."""
    python, variables = zig.zig(CACHE)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for name in ("place_linux_arm64.go", "place_other.go", "main_test.go"):
        fresh.remove(name)
    fresh.edit("main.go", MAIN)
    (tmp_path / "include").mkdir()
    (tmp_path / "include/answer.h").write_text("#define ANSWER 41\n", encoding="utf-8")
    monkeypatch.setenv("CGO_CPPFLAGS", f"-I{tmp_path}/include")
    sconstruct = fresh.read("SConstruct").replace('env.GoImage("demo")\n', documented())
    fresh.edit("SConstruct", "import sys\n" + sconstruct.replace("sys.executable", f"{str(python)!r}"))
    return fresh


def says(tree: Tree) -> str:
    program = tree.path / "_output/bin/arm64/linux/demo"
    told = subprocess.run([required("qemu-aarch64-static"), program], capture_output=True, text=True, check=True)
    return told.stdout


def test_a_program_with_c_runs_on_its_machine_and_follows_headers_and_compiler(tree: Tree, tmp_path: Path):
    arguments = ("bin", "PLATFORMS=linux/arm64")
    assert tree.scons(*arguments, timeout=3000).steps == [COMPILE]
    assert says(tree) == "cgo says 41\n"
    assert b"ziglang" not in (tree.path / "_output/bin/arm64/linux/demo").read_bytes()
    assert tree.scons(*arguments).up_to_date

    header = tmp_path / "include/answer.h"
    header.write_text("#define ANSWER 42\n", encoding="utf-8")
    run = tree.scons(*arguments)
    assert run.steps == [COMPILE]
    assert "include/answer.h changed" in run.text
    assert says(tree) == "cgo says 42\n"
    before = tree.digests()
    header.write_text("#define ANSWER 42 // as before\n", encoding="utf-8")
    assert tree.scons(*arguments).steps == [COMPILE]
    assert tree.digests() == before

    sconstruct = tree.read("SConstruct")
    tree.edit("SConstruct", sconstruct.replace(" cc -target", " cc -DOTHER -target"))
    assert f"{COMPILE}: CC: " in tree.scons(*arguments).text
    tree.edit("SConstruct", sconstruct)
    assert tree.scons(*arguments).steps == [COMPILE]
    assert tree.scons(*arguments).up_to_date
    assert tree.digests() == before
