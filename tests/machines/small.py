"""A small tree with one of every kind of input, the template's own SConstruct, and a `go` that counts its starts."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from .project import ROOT, Project

# No net/http: it links in a third of the time, and what the program does is no matter here.
FILES = {
    "main.go": """\
package main

import "os"

var version = "unknown"

func main() { _, _ = os.Stdout.WriteString("demo " + version + " " + place + "\\n") }
""",
    "place_linux_arm64.go": 'package main\n\nconst place = "arm64"\n',
    "place_other.go": '//go:build !(linux && arm64)\n\npackage main\n\nconst place = "elsewhere"\n',
    "main_test.go": "package main\n",
    "go.mod": "module example.com/demo\n\ngo 1.21\n",
    "README.md": "# demo\n",
    "VERSION": "v1.0\n",
    ".dockerignore": "*\n!_output/bin\n!share\n!conf\n!arm64only\n!made\n*/*.tmp\n",
    "share/greeting": "hello\n",
    "share/note.txt": "a note\n",
    "share/left.tmp": "not copied\n",
    "conf/one.conf": "one\n",
    "conf/two.conf": "two\n",
    "arm64only/first.txt": "first\n",
    "arm64only/second.txt": "second\n",
}
DOCKERFILE = """\
FROM scratch
COPY _output/bin/{folder}/demo /demo
COPY share /share
COPY conf/*.conf /etc/demo/
{more}ENTRYPOINT ["/demo"]
"""
RECIPES = {
    "Dockerfile.amd64": DOCKERFILE.format(folder="amd64/linux", more=""),
    "Dockerfile.arm64": DOCKERFILE.format(folder="arm64/linux", more="COPY arm64only /arm64only\n"),
    "Dockerfile.arm-v7": DOCKERFILE.format(folder="arm-v7/linux", more=""),
}


class Tree(Project):
    """A small tree; `go_starts` tells how often `go` was started since it was last asked."""

    def __init__(self, path: Path, go_log: Path) -> None:
        super().__init__(path)
        self._go_log = go_log

    def go_starts(self) -> list[str]:
        """Return the command lines of every `go` started since the last call, with a GOGC it was given, and forget them."""
        told = self._go_log.read_text(encoding="utf-8").splitlines() if self._go_log.exists() else []
        self._go_log.write_text("", encoding="utf-8")
        return told

    def copy(self, target: Path, *, built: bool = True) -> Tree:
        """Copy this tree to a new folder, with what was built in it or without."""
        ignore = None if built else shutil.ignore_patterns("_output", ".multiarch")
        shutil.copytree(self.path, target, symlinks=True, ignore=ignore)
        return Tree(target, self._go_log)

    def append(self, path: str, text: str) -> None:
        """Add text at the end of a file."""
        self.edit(path, self.read(path) + text)


def plant(target: Path, go_log: Path) -> Tree:
    """Make a small tree in the new folder `target`; nothing is built."""
    target.mkdir(parents=True)
    shutil.copytree(ROOT / "site_scons", target / "site_scons")
    shutil.copy2(ROOT / "SConstruct", target / "SConstruct")
    tree = Tree(target, go_log)
    for name, text in {**FILES, **RECIPES}.items():
        tree.edit(name, text)
    for path in sorted(target.rglob("*")):
        if path.is_file() and "site_scons" not in path.parts:
            path.chmod(0o644)
    return tree


def counting_go(folder: Path, log: Path) -> Path:
    """Make a GOROOT whose `go` notes each start in `log` and then is the real one; return its `bin`."""
    real = Path(subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True, check=True).stdout.strip())
    (folder / "bin").mkdir(parents=True)
    for entry in real.iterdir():
        if entry.name != "bin":
            (folder / entry.name).symlink_to(entry)
    script = folder / "bin" / "go"
    script.write_text(
        f"#!/bin/sh\nprintf '%s\\n' \"$*${{GOGC:+ GOGC=$GOGC}}\" >> '{log}'\nGOROOT='{real}' exec '{real}/bin/go' \"$@\"\n",
        encoding="utf-8",
    )
    script.chmod(0o755)
    return folder / "bin"


def path_with(folder: Path) -> str:
    """Return PATH with `folder` before everything else."""
    return f"{folder}{os.pathsep}{os.environ['PATH']}"
