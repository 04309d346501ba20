"""The build information in Go programs of every format, as `go version -m` prints it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from machines.required import required
from multiarch_oci.attest.gobuild import BuildInfo, Module, read_build_info

PLATFORMS = (
    *("linux/amd64", "linux/386", "linux/arm64", "linux/mips", "linux/s390x"),
    *("windows/amd64", "windows/386", "darwin/arm64", "freebsd/amd64"),
)
FILES = {
    "go.mod": "module example.com/demo\n\ngo 1.21\n\nrequire example.org/lib v0.0.0\n\nreplace example.org/lib => ./lib\n",
    "main.go": 'package main\n\nimport "example.org/lib"\n\nvar version string\n\nfunc main() { println(version, lib.X) }\n',
    "lib/go.mod": "module example.org/lib\n\ngo 1.21\n",
    "lib/lib.go": "package lib\n\nvar X = 1\n",
}
FLAGS = ("-buildvcs=false", "-ldflags=-s -w -X 'main.version=a \"b\"'", "-tags=one,two")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


def lines(path: Path, info: BuildInfo) -> list[str]:
    """Return what `go version -m` prints for this (cmd/go/internal/version, debug.BuildInfo.String)."""

    def module(word: str, of: Module) -> list[str]:
        words = [word, of.path, of.version, *([of.sum] if of.replace is None else [])]
        return ["\t" + "\t".join(words), *(module("=>", of.replace) if of.replace is not None else [])]

    printed = [f"{path}: {info.go}", *([f"\tpath\t{info.path}"] if info.path else [])]
    printed += module("mod", info.main) if info.main is not None else []
    return printed + [line for dependency in info.modules for line in module("dep", dependency)]


def go_says(path: Path) -> tuple[list[str], list[str]]:
    """Return what `go version -m` prints: all but the settings, and the names of these."""
    ran = subprocess.run(["go", "version", "-m", path], capture_output=True, text=True, check=True)
    printed = [line for line in ran.stdout.splitlines() if line.strip()]
    settings = [line.split("\t")[2].partition("=")[0] for line in printed if line.startswith("\tbuild\t")]
    return [line for line in printed if not line.startswith("\tbuild\t")], settings


@pytest.mark.parametrize("platform", PLATFORMS)
def test_as_go_version_prints_it(platform: str, sources: Path, tmp_path: Path):
    required("go")
    system, architecture = platform.split("/")
    environment = os.environ | {"GOOS": system, "GOARCH": architecture, "CGO_ENABLED": "0", "GOFLAGS": ""}
    program = tmp_path / "program"
    subprocess.run(["go", "build", *FLAGS, "-o", program, "."], cwd=sources, env=environment, check=True)
    with program.open("rb") as stream:
        info = read_build_info(stream)
    assert info is not None
    others, settings = go_says(program)
    assert lines(program, info) == others
    assert [name for name, _ in info.settings] == settings
    known = dict(info.settings)
    assert known["-tags"] == "one,two"
    assert known["-ldflags"] == "-s -w -X 'main.version=a \"b\"'"
    assert (known["GOOS"], known["GOARCH"]) == (system, architecture)


def test_what_is_no_go_program_says_nothing(tmp_path: Path):
    with Path("/bin/sh").open("rb") as stream:
        assert read_build_info(stream) is None
    (tmp_path / "text").write_bytes(b"\xff Go buildinf:" * 100)
    with (tmp_path / "text").open("rb") as stream:
        assert read_build_info(stream) is None
