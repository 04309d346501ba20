"""The pages for strangers are true: their files and commands, in a repository of a stranger, print what the page shows.

Only what a stranger has already is supplied here: sources, git's history, base images, a registry in the place of
ghcr.io. Lines of one command are compared without their order, as steps of several platforms run side by side, digests
and sizes but for the numbers.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from machines import bases, debian
from machines.project import ROOT, Project
from machines.registry import Registry
from machines.required import cache_folder, required
from machines.wheels import AUTHOR, Installed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the pages are for a POSIX shell")

CACHE = cache_folder()  # before a test moves HOME
README = ROOT / "README.md"
HOWTO = ROOT / "docs" / "howto"
PLATFORMS = ("linux/amd64", "linux/arm64")
WHOAMI = 'package main\n\nvar version = "unknown"\n\nfunc main() { println("%s", version) }\n'
GO_MOD = "module example.com/team/shop\n\ngo 1.21\n"
SHOP = {"go.mod": GO_MOD, "cmd/api/main.go": WHOAMI % "api", "cmd/worker/main.go": WHOAMI % "worker"}
SOURCES = {
    "Go": {"go.mod": GO_MOD, "main.go": WHOAMI % "whoami"},
    "Rust": {
        "Cargo.toml": '[package]\nname = "hello"\nversion = "0.1.0"\nedition = "2021"\n',
        "Cargo.lock": 'version = 3\n\n[[package]]\nname = "hello"\nversion = "0.1.0"\n',
        "src/main.rs": 'fn main() { println!("hello"); }\n',
    },
    "C": {"main.c": '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n'},
    "Python": {"requirements.txt": "idna==3.10\n", "app/main.py": 'print("hello")\n'},
    "Node": {"app/main.js": 'console.log("hello")\n'},
    "From a Makefile": SHOP,
    "From ko": {**SHOP, "cmd/api/kodata/motd": "hello\n"},
    "From goreleaser": SHOP,
    "From buildx bake": SHOP,
}
NEEDS = {"Node": ("npm",), "C": ("x86_64-linux-gnu-gcc", "aarch64-linux-gnu-gcc")}


def sections(page: Path) -> dict[str, str]:
    """Return the parts of a page by their headings."""
    parts = re.split(r"^## (.+)\n", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def files(text: str) -> dict[str, str]:
    """Return the files that a text shows: a name in backquotes and a colon, and the block below."""
    return dict(re.findall(r"^`([^`\n]+)`:\n\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def dialogues(text: str) -> list[tuple[str, list[str]]]:
    """Return the commands of the console blocks, each with the lines that it prints."""
    blocks = "\n".join(re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    commands = re.split(r"^\$ ", blocks, flags=re.MULTILINE)[1:]
    return [(lines[0], lines[1:]) for lines in (command.rstrip("\n").split("\n") for command in commands)]


PAGES = [
    pytest.param(heading, text, id=heading)
    for page in (HOWTO / "five-minutes.md", HOWTO / "coming-from.md")
    for heading, text in sections(page).items()
    if heading in SOURCES
]


def push_bases(host: str) -> None:
    """Push what the pages' Dockerfiles name, for both platforms under one tag."""
    for name in ("python:3.13-slim", "node:24-slim", "static:nonroot"):
        users = {"etc/passwd": b"root:x:0:0::/:\nnode:x:1000:1000::/:\n"}
        members = {
            platform: bases.push_image(f"{host}/{name}-{platform.replace('/', '-')}", platform, users)
            for platform in PLATFORMS
        }
        bases.push_index(f"{host}/{name}", members)


def plant(folder: Path, given: dict[str, str], host: str, tag: str) -> Project:
    """Make a stranger's repository, with one commit and a tag."""
    project = Project(folder)
    for name, text in given.items():
        local = re.sub(r"(?<=FROM )(?=(python|node):)", f"{host}/", text)
        project.edit(name, local.replace("gcr.io/distroless/", f"{host}/"))
    project.edit(".gitignore", "_output/\n.multiarch/\n.sconsign*\nnode_modules/\ntarget/\n")
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "all"), ("tag", tag)):
        subprocess.run([required("git"), *AUTHOR, *arguments], cwd=folder, check=True)
    return project


def pack_a_module(project: Project) -> None:
    """Give a Node project a package that npm finds without a network."""
    project.edit("greet/package.json", json.dumps({"name": "greet", "version": "1.0.0"}))
    npm = required("npm")
    subprocess.run([npm, "pack", "--silent", "./greet"], cwd=project.path, check=True, stdout=subprocess.DEVNULL)
    wanted = {"name": "hello", "version": "1.0.0", "dependencies": {"greet": "file:greet-1.0.0.tgz"}}
    project.edit("package.json", json.dumps(wanted))
    subprocess.run([npm, "install", "--silent", "--package-lock-only"], cwd=project.path, check=True)


def numberless(lines: list[str]) -> list[str]:
    """Return lines in which digests and sizes are those of nothing in particular, in order."""
    short = (re.sub(r"sha256:[0-9a-f]+…?", "sha256:…", line) for line in lines)
    return sorted(re.sub(r"[0-9.]+ (bytes|[kM]B)\b", "1 MB", line) for line in short)


def talk(project: Project, installed: Installed, text: str, host: str, path: str) -> None:
    """Run the commands of a text, and compare what they print with what it shows."""
    for command, shown in dialogues(text):
        ran = subprocess.run(
            [required("sh"), "-ec", command.replace("ghcr.io", host)],
            cwd=project.path,
            env=os.environ | {"PATH": os.pathsep.join((path, str(installed.bin), os.environ["PATH"]))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        assert ran.returncode == 0, f"{command}: exit {ran.returncode}\n{ran.stdout}"
        printed = [line.replace(host, "ghcr.io") for line in ran.stdout.splitlines() if "images.lock" not in line]
        assert numberless(printed) == numberless(shown), f"{command}\n{ran.stdout}"


def with_pip(folder: Path) -> str:
    """Return a folder for PATH whose python3 has pip, as that of an environment made by `python -m venv`."""
    folder.mkdir()
    (folder / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    (folder / "python3").chmod(0o755)
    return str(folder)


def test_the_first_screen_of_the_readme_prints_what_it_shows(installed: Installed, registry: Registry, tmp_path: Path):
    text = README.read_text(encoding="utf-8")
    first, rest = text[: text.index("\n## ")], text[text.index("\n## ") :]
    assert len(first.splitlines()) <= 50
    assert rest.startswith("\n## Compared with other tools")
    (sconstruct,) = re.findall(r"^```python\n(.*?)^```$", first, re.MULTILINE | re.DOTALL)
    assert len(sconstruct.splitlines()) == len(("import", "environment", "image"))
    project = plant(tmp_path / "whoami", {**SOURCES["Go"], "SConstruct": sconstruct}, registry.host, "v0.3.1")
    assert dialogues(first)
    talk(project, installed, first, registry.host, str(installed.bin))


@pytest.mark.parametrize(("heading", "text"), PAGES)
def test_a_page_prints_what_it_shows(heading: str, text: str, installed: Installed, registry: Registry, tmp_path: Path):
    path = str(installed.bin)
    for program in NEEDS.get(heading, ()):
        required(program)
    if heading == "Rust":
        path = str(debian.rust(tmp_path / "rust", CACHE))
    if heading == "Python":
        path = with_pip(tmp_path / "bin")
    push_bases(registry.host)
    after = text.partition("\nAfter")[2] or text
    project = plant(tmp_path / "project", {**SOURCES[heading], **files(after)}, registry.host, "v0.3.1")
    if heading == "Node":
        pack_a_module(project)
    assert dialogues(after)
    talk(project, installed, after, registry.host, path)
