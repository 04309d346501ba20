"""SIGINT and SIGTERM end every kind of step within two seconds, and the next run ends as it should."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hostile_tars
from machines.small import Tree, counting_go, path_with

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

SECONDS = 2.0
BUSY = 1.0
"""What a busy machine may add."""


def begin(tree: Tree, *arguments: str, path: str | None = None) -> subprocess.Popen[str]:
    environment = dict(os.environ) if path is None else {**os.environ, "PATH": path}
    tree.remove(".dockerignore")
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "SCons", *arguments],
        cwd=tree.path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True, env=environment,
    )  # fmt: skip


def interrupt(tree: Tree, process: subprocess.Popen[str], verb: str, number: int, *, wait: float = 0.7) -> str:
    """Wait until a step begins, send the signal to SCons alone, and return all that was printed."""
    tree.until_begun(verb, process)
    time.sleep(wait)
    assert process.poll() is None, process.communicate()[0]
    os.kill(process.pid, number)
    sent = time.monotonic()
    printed = ""
    try:
        printed = process.communicate(timeout=30)[0]
        took = time.monotonic() - sent
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert took < SECONDS + BUSY, f"{took:.1f} s: {printed}"
    assert process.returncode != 0
    assert "Traceback" not in printed
    return printed


def zeros(tree: Tree, name: str, size: int) -> None:
    with (tree.path / name).open("wb") as stream:
        stream.truncate(size)


def endless(tree: Tree) -> str:
    """An archive of a sparse file that takes minutes to pack."""
    records = ((b"GNU.sparse.numblocks", b"1"), (b"GNU.sparse.map", b"0,1"), (b"GNU.sparse.size", b"%d" % (60 << 30)))
    content = hostile_tars.pax(*records) + hostile_tars.header(b"s", 1) + hostile_tars.filled(b"s") + bytes(1024)
    (tree.path / "endless.tar").write_bytes(content)
    return "ADD endless.tar /x/\n"


def many(tree: Tree) -> str:
    """An archive of very many members."""
    with (tree.path / "many.tar").open("wb") as stream:
        for number in range(400_000):
            stream.write(hostile_tars.header(b"f%d" % number))
    return "ADD many.tar /x/\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("jobs", ["-j1", "-j2"])
@pytest.mark.parametrize("make", [endless, many])
def test_an_image_that_takes_long(fresh: Tree, make, number: int, jobs: str):
    fresh.edit("Dockerfile.amd64", f"FROM scratch\n{make(fresh)}")
    process = begin(fresh, "images", "PLATFORMS=linux/amd64", jobs)
    interrupt(fresh, process, "Image", number)
    assert not list((fresh.path / "_output/images").glob("*.tar"))
    fresh.edit("Dockerfile.amd64", "FROM scratch\nCOPY VERSION /\n")
    assert fresh.scons("images", "PLATFORMS=linux/amd64").status == 0
    assert [path.name for path in (fresh.path / "_output/images").iterdir()] == ["demo-linux-amd64.tar"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("jobs", ["-j1", "-j2"])
def test_a_compiler_that_hangs(fresh: Tree, tmp_path: Path, number: int, jobs: str):
    folder = counting_go(tmp_path / "goroot", tmp_path / "log")
    script = (folder / "go").read_text(encoding="utf-8")
    hangs = f'case "$1" in build) echo $$ > {tmp_path}/pid; exec sleep 300;; esac'
    (folder / "go").write_text(script.replace("\n", f"\n{hangs}\n", 1), encoding="utf-8")
    process = begin(fresh, "bin", "PLATFORMS=linux/amd64", jobs, path=path_with(folder))
    interrupt(fresh, process, "Compile", number, wait=1.5)
    pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_source_that_takes_long_to_hash(fresh: Tree, number: int):
    zeros(fresh, "large", 40 << 30)
    fresh.edit("Dockerfile.amd64", "FROM scratch\nCOPY large /\n")
    process = begin(fresh, "images", "PLATFORMS=linux/amd64")
    interrupt(fresh, process, "Compile", number, wait=2.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    ("hangs", "ending"), [("asked", ""), ("building", ""), ("building", "trap '' INT TERM;")], ids=lambda text: text[:5]
)
def test_a_program_of_an_engine_that_hangs(fresh: Tree, tmp_path: Path, hangs: str, ending: str, number: int):
    """Its own child holds its output for a while longer; nobody waits for that, and the program itself is gone."""
    folder, pid = tmp_path / "bin", tmp_path / "pid"
    folder.mkdir()
    short = "" if hangs == "asked" else 'case " $* " in *" build "*|*" bud "*) ;; *) echo "[]"; exit 0;; esac\n'
    script = f"#!/bin/sh\n{short}{ending} echo $$ > {pid}\nsleep 8 &\nwhile :; do sleep 0.1; done\n"
    for name in ("podman", "buildah"):
        (folder / name).write_text(script, encoding="utf-8")
        (folder / name).chmod(0o755)
    fresh.edit("Dockerfile.amd64", "FROM scratch\nCOPY VERSION /\nRUN x\n")
    words = ("images", "PLATFORMS=linux/amd64", "ENGINE=podman")
    process = begin(fresh, *words, path=f"{folder}{os.pathsep}{os.environ['PATH']}")
    deadline = time.monotonic() + 60
    while not pid.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    assert pid.exists(), process.communicate()[0]
    time.sleep(0.3)
    os.kill(process.pid, number)
    sent = time.monotonic()
    process.wait(timeout=30)
    assert time.monotonic() - sent < SECONDS + BUSY
    assert process.returncode == 2
    time.sleep(0.2)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text(encoding="utf-8")), 0)
    printed = process.communicate()[0]
    assert "Traceback" not in printed
    assert "cut off" not in printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_ctr_that_hangs(fresh: Tree, tmp_path: Path, number: int):
    folder, pid = tmp_path / "bin", tmp_path / "pid"
    folder.mkdir()
    (folder / "ctr").write_text(f"#!/bin/sh\necho $$ > {pid}\nexec sleep 300\n", encoding="utf-8")
    (folder / "ctr").chmod(0o755)
    fresh.replace("SConstruct", "environment(", 'environment(LOAD_INTO="containerd", ')
    words = ("load", "PLATFORMS=linux/amd64")
    process = begin(fresh, *words, path=f"{folder}{os.pathsep}{os.environ['PATH']}")
    printed = interrupt(fresh, process, "Load", number, wait=1.5)
    assert "cut off" not in printed
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text(encoding="utf-8")), 0)
