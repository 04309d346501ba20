"""A copy of the template in a folder of its own, and the build run on it as a user runs it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ("SConstruct", "VERSION", "Dockerfile*", "*.go", "go.mod", "go.sum", ".dockerignore", "site_scons")

GO_MODULE = {"go.mod": "module example.com/x\n\ngo 1.21\n", "main.go": "package main\n\nfunc main() {}\n"}
"""A program of one file that does nothing."""

# One line a step that runs: `<Verb> <subject>[: reason]`; a registry's port is a colon without a blank.
VERBS = "Compile|Image|Archive|Attest|Load|Push|Pin|Index|Provenance|Publish|Sbom|Test"
STEP = re.compile(rf"^((?:{VERBS}) \S.*?)(?:: .*)?$", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What one start of SCons did: the steps in the order they ran, its exit status, all it printed."""

    steps: list[str]
    status: int
    text: str

    @property
    def up_to_date(self) -> bool:
        """No step ran, and SCons says so."""
        return not self.steps and self.status == 0 and "is up to date" in self.text


def steps_of(text: str) -> list[str]:
    """Return the steps among lines of output, each without its reason."""
    return [match[1] for match in STEP.finditer(text)]


def copy_template(target: Path) -> None:
    """Copy the template as it stands in this tree to the new folder `target`, nothing that was built from it."""
    target.mkdir(parents=True)
    for pattern in TEMPLATE:
        for source in ROOT.glob(pattern):
            if source.is_dir():
                # Compiled modules come along, with the times that make them valid: a start then costs 0.3 s less.
                shutil.copytree(source, target / source.name)
            elif not source.name.endswith("_test.go"):
                shutil.copy2(source, target / source.name)


FOLDERS = {"Compile": "bin", "Image": "images", "Index": "manifest", "Push": "receipts", "Load": "receipts"}
"""Below _output: what SCons makes for the first step of a kind, when it begins; its line comes when it ends."""


class Project:
    """A folder with a build in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, path: Path, files: Mapping[str, str]) -> Project:
        """A new tree in `path`: the tool's own sources, VERSION 1.0 and these files, by path."""
        made = cls(path)
        shutil.copytree(ROOT / "site_scons", path / "site_scons")
        for name, text in {"VERSION": "1.0\n", **files}.items():
            made.edit(name, text)
        return made

    @classmethod
    def linked(cls, path: Path, files: Mapping[str, str]) -> Project:
        """A new tree in `path`: a link to the tool's own sources, which nothing here edits, and these files, by path."""
        made = cls(path)
        path.mkdir()
        (path / "site_scons").symlink_to(ROOT / "site_scons")
        for name, text in files.items():
            made.edit(name, text)
        return made

    def edit(self, path: str, text: str) -> None:
        """Write a file, making its folders; line ends are kept as given."""
        file = self.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())

    def read(self, path: str) -> str:
        """Return a file's text."""
        return (self.path / path).read_bytes().decode()

    def replace(self, path: str, old: str, new: str) -> None:
        """Replace the one occurrence of `old` in a file; another number of them is a mistake of the test."""
        text = self.read(path)
        assert text.count(old) == 1, f"{path} holds {old!r} {text.count(old)} times"
        self.edit(path, text.replace(old, new))

    def remove(self, path: str) -> None:
        """Delete a file or a whole folder."""
        target = self.path / path
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink()

    def grow_old(self) -> None:
        """Wait until no file is younger than two seconds: a younger one is hashed once more in the next run."""
        changes = (max(status.st_mtime, status.st_ctime) for file in self.path.rglob("*") if (status := file.lstat()))
        time.sleep(max(0.0, max(changes) + 2.1 - time.time()))

    def digests(self, folder: str = "_output") -> dict[str, str]:
        """Return the sha256 of every file below a folder, by path from that folder."""
        root = self.path / folder
        return {
            file.relative_to(root).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(root.rglob("*"))
            if file.is_file()
        }

    def scons(
        self,
        *arguments: str,
        check: bool = True,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 600,
        before: tuple[str, ...] = (),
    ) -> Run:
        """Run SCons here to its end.

        Args:
            arguments: as on the command line.
            check: an exit status other than 0 fails the test, with all that was printed.
            env: added to the environment of the test.
            cwd: another folder to start in.
            timeout: in seconds.
            before: a command that starts the command given to it.
        """
        ran = subprocess.run(
            [*before, sys.executable, "-m", "SCons", *arguments],
            cwd=cwd or self.path,
            env=os.environ | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=timeout,
        )
        assert not check or ran.returncode == 0, f"scons {' '.join(arguments)}: exit {ran.returncode}\n{ran.stdout}"
        return Run(steps_of(ran.stdout), ran.returncode, ran.stdout)

    def until_begun(self, verb: str, process: subprocess.Popen[str], seconds: float = 120) -> None:
        """Wait until a build begins the first step of a kind that this tree ever sees; fails the test when it ends."""
        folder, end = self.path / "_output" / FOLDERS[verb], time.monotonic() + seconds
        while not folder.exists():
            assert process.poll() is None, f"no {verb}: {process.communicate()[0]}"
            assert time.monotonic() < end, f"no {verb} in {seconds} s"
            time.sleep(0.01)

    def start(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Start SCons here and return the process: to be interrupted, killed, or run beside another one."""
        return subprocess.Popen(
            [sys.executable, "-m", "SCons", *arguments],
            cwd=self.path,
            env=os.environ | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
