"""The tool as somebody else installs it: wheels of this tree, and environments of every Python that this machine has."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .project import ROOT, Project, Run, steps_of
from .required import missing, required

# Before a test moves HOME.
CACHE = os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv")
AUTHOR = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost", "-c", "commit.gpgsign=false")

SCONSTRUCT = """\
import scons_multiarch
env = scons_multiarch.environment(GOLDFLAGS="-X main.version=$VERSION")
env.GoImage("whoami")
"""
FILES = {
    "SConstruct": SCONSTRUCT,
    "VERSION": "v1.0\n",
    "go.mod": "module example.com/whoami\n\ngo 1.21\n",
    "main.go": 'package main\n\nvar version = ""\n\nfunc main() { println(version) }\n',
    "Dockerfile": 'FROM scratch\nARG TARGETARCH\nCOPY _output/bin/$TARGETARCH/linux/whoami /whoami\nENTRYPOINT ["/whoami"]\n',
    ".dockerignore": "*\n!_output/bin\n",
}


def foreign(target: Path) -> Project:
    """Make somebody else's repository: a Go program, and none of this tool's files."""
    project = Project(target)
    for name, text in FILES.items():
        project.edit(name, text)
    return project


def checkout(target: Path, *tags: str) -> Path:
    """Copy what git would take of this tree into a repository of its own, of one commit, with these tags."""
    git = required("git")
    listed = subprocess.check_output([git, "ls-files", "-zco", "--exclude-standard"], cwd=ROOT).decode().split("\0")
    for name in filter(None, listed):
        if (source := ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    dates = {"GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "all"), *(("tag", tag) for tag in tags)):
        subprocess.run([git, *AUTHOR, *arguments], cwd=target, env=os.environ | dates, check=True)
    return target


@functools.cache  # asked for first before a test moves HOME
def pythons() -> list[str]:
    """Every Python of this machine that the tool may run on, oldest first, one a version."""
    found = {}
    programs = [Path(sys.executable), *Path.home().glob(".pyenv/versions/*/bin/python3")]
    programs += [Path(path) for minor in range(10, 20) if (path := shutil.which(f"python3.{minor}"))]
    for program in programs:
        asked = [program, "-c", "import sys; print(*sys.version_info[:2])"]
        ran = subprocess.run(asked, capture_output=True, text=True, check=False, cwd="/")
        if ran.returncode == 0 and (version := tuple(map(int, ran.stdout.split()))) >= (3, 10):
            found.setdefault(version, str(program))
    return [found[version] for version in sorted(found)]


def uv(*arguments: str) -> str:
    """Run uv, which makes environments in no time and needs no ensurepip; what it printed."""
    program = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv") or missing("uv")
    ran = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, env=_as_pip(dict(os.environ))
    )
    assert ran.returncode == 0, f"uv {' '.join(arguments)}: exit {ran.returncode}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


def _as_pip(environment: dict[str, str]) -> dict[str, str]:
    """What pip was told of its index holds for uv, too; its cache stays where it is while HOME moves."""
    names = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_CERT": "SSL_CERT_FILE"}
    known = {name: environment[pip] for pip, name in names.items() if environment.get(pip)}
    return {"UV_CACHE_DIR": CACHE, "UV_NO_CONFIG": "1"} | known | environment


class Installed:
    """An environment with the wheel in it, and nothing else."""

    def __init__(self, folder: Path, python: str, *packages: str) -> None:
        self.folder = folder
        self.bin = folder / ("Scripts" if sys.platform == "win32" else "bin")
        uv("venv", "-q", "--no-project", "--python", python, str(folder))
        self.install(*packages)

    def install(self, *packages: str) -> None:
        """Install packages, or other versions of them."""
        uv(
            "pip",
            "install",
            "-q",
            "--python",
            str(self.bin / "python"),
            "--reinstall-package",
            "scons-multiarch",
            *packages,
        )

    def run(
        self,
        tree: Path,
        *arguments: str,
        command: str = "multiarch",
        check: bool = True,
        env: dict[str, str] | None = None,
    ) -> Run:
        """Run a command of the environment in a folder to its end; nothing of the environment stands on PATH."""
        ran = subprocess.run(
            [self.bin / command, *arguments],
            cwd=tree,
            env=os.environ | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        assert not check or ran.returncode == 0, f"{command} {arguments}: exit {ran.returncode}\n{ran.stdout}"
        return Run(steps_of(ran.stdout), ran.returncode, ran.stdout)


def hatchling() -> None:
    """End the test where this Python has no builder of wheels."""
    for module in ("hatchling", "hatch_vcs", "hatch_requirements_txt"):
        if importlib.util.find_spec(module) is None:
            missing(module)
