"""Which change touches which program: the table of Go changes, for six platforms, forth and back."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from multiarch.golang import (
    CompileFailed,
    GoBuild,
    Inputs,
    Lister,
    NoMainPackage,
    Toolchain,
    build,
    explain,
    find_go,
)
from multiarch.platform import Platform
from multiarch.statcache import StatCache

_spec = importlib.util.spec_from_file_location("golang_repository", Path(__file__).with_name("golang_repository.py"))
golang_repository = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(golang_repository)
Repository = golang_repository.Repository

PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/riscv64", "windows/amd64", "darwin/arm64")
ALL = set(PLATFORMS)
NONE: set[str] = set()
LINUX = {platform for platform in PLATFORMS if platform.startswith("linux")}
WINDOWS = {"windows/amd64"}
DARWIN = {"darwin/arm64"}
AMD64 = {"linux/amd64", "windows/amd64"}
ARM64 = {"linux/arm64", "darwin/arm64"}
P05 = "app/p05/p.go"

Change = Callable[[Repository], None]


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    try:
        return find_go(os.environ["PATH"], minimum="1.24")
    except Exception:
        if os.environ.get("CI"):
            raise
        pytest.skip("no Go on PATH")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("go") / "repo")


def listing(repository: Repository, toolchain: Toolchain, base: dict[str, str] | None = None) -> Lister:
    """As a new run: nothing is shared with the last one but what stands on disk."""
    kept = repository.path(".multiarch")
    environment = {"PATH": os.environ["PATH"], "HOME": str(kept / "home"), "GOCACHE": go_cache()}
    stats = StatCache(kept / "stats")
    lister = Lister(toolchain, {**environment, **(base or {})}, kept / "go", stats, skip=[kept, repository.path("_output")])
    lister.stats = stats  # type: ignore[attr-defined]  # what a run saves at its end
    return lister


def go_cache() -> str:
    return os.environ.get("GOCACHE") or str(Path("~/.cache/go-build").expanduser())


def programs(repository: Repository, package: str = "./cmd/a", **declared: object) -> dict[str, GoBuild]:
    directory = repository.path("app")
    return {name: GoBuild(Platform.parse(name), package=package, directory=directory, **declared) for name in PLATFORMS}


def inputs(lister: Lister, builds: dict[str, GoBuild]) -> dict[str, Inputs]:
    lister.declare(*builds.values())
    found = {name: lister.inputs(declared) for name, declared in builds.items()}
    lister.save()
    lister.stats.save()
    return found


def differing(before: dict[str, Inputs], after: dict[str, Inputs]) -> set[str]:
    return {name for name in before if before[name].digest != after[name].digest}


def touch(repository: Repository) -> None:
    repository.path(P05).touch()


def ignored_files(repository: Repository) -> None:
    repository.append("app/p05/p_test.go", "// more\n")
    repository.append("app/p05/testdata/x.txt", "more")
    repository.append("app/README.md", "more")
    for name in ("_x.go", ".x.go"):
        repository.write(f"app/p05/{name}", "package p05\nfunc Hidden() {}\n")
    repository.write("app/p05/tool.go", "//go:build ignore\n\npackage main\n")


def becomes_link(repository: Repository) -> None:
    repository.write("app/elsewhere/p.go", 'package p05\n\nfunc Value() string { return "elsewhere" }\n')
    repository.link(P05, "../elsewhere/p.go")


def unimported(repository: Repository) -> None:
    repository.append("app/unimported/u.go", "func U() {}\n")
    repository.append("app/nested/n.go", "func N() {}\n")


def same_size_same_mtime(name: str, old: str, new: str) -> Change:
    def change(repository: Repository) -> None:
        path = repository.path(name)
        status = path.stat()
        assert len(old) == len(new)
        repository.replace(name, old, new)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return change


def edit(name: str, old: str, new: str) -> Change:
    return lambda repository: repository.replace(name, old, new)


def append(name: str, text: str) -> Change:
    return lambda repository: repository.append(name, text)


def write(name: str, text: str = "new") -> Change:
    return lambda repository: repository.write(name, text)


def remove(name: str) -> Change:
    return lambda repository: repository.remove(name)


def rename(name: str, other: str) -> Change:
    return lambda repository: repository.rename(name, other)


def link(name: str, target: str) -> Change:
    return lambda repository: repository.link(name, target)


INIT = "package plat\n\nfunc init() { names = append(names, version) }\nconst version = `z`\n"

ROWS: list[tuple[str, Change, set[str]]] = [
    ("1 touch", touch, NONE),
    ("2 comment at the end of a dependency", append(P05, "// end\n"), ALL),
    ("2 comment at the end of main", append("app/cmd/a/main.go", "// end\n"), ALL),
    ("3 comment line at the top", edit(P05, "package", "// top\npackage"), ALL),
    ("4 code", edit(P05, "value 1", "value 2"), ALL),
    ("5 os_linux.go", append("app/plat/os_linux.go", "\nvar L = 1\n"), LINUX),
    ("6 os_windows.go", append("app/plat/os_windows.go", "\nvar W = 1\n"), WINDOWS),
    ("7 extra_linux_arm64.go", append("app/plat/extra_linux_arm64.go", "\nvar E = 1\n"), {"linux/arm64"}),
    ("7 extra_linux_arm64.go removed", remove("app/plat/extra_linux_arm64.go"), {"linux/arm64"}),
    ("8 arch_arm64.go", append("app/plat/arch_arm64.go", "\nvar A = 1\n"), ARM64),
    ("9 add_amd64.s", edit("app/asm/add_amd64.s", "\tRET", "\tNOP\n\tRET"), AMD64),
    ("10 header included by assembly", edit("app/asm/mac.h", "$0", "$1"), ALL),
    ("11 tests, testdata, README, hidden and ignored files", ignored_files, NONE),
    ("12 unimported package, nested module", unimported, NONE),
    ("13 embedded file edited", append("app/emb/one.txt", "!"), ALL),
    ("14 file added to an embedded folder", write("app/emb/folder/f4.txt"), ALL),
    ("14 file added deep in an embedded folder", write("app/emb/folder/sub/deeper/f4.txt"), ALL),
    ("14 file removed from an embedded folder", remove("app/emb/folder/f2.txt"), ALL),
    ("14 file renamed in an embedded folder", rename("app/emb/folder/f2.txt", "app/emb/folder/f9.txt"), ALL),
    ("15 embed glob gains a match", write("app/emb/glob/g2.txt"), ALL),
    ("16 file that the glob does not match", write("app/emb/glob/g2.dat"), NONE),
    ("16 dotfile in a plain embedded folder", write("app/emb/folder/.dot"), NONE),
    ("17 dotfile in an all: folder", write("app/emb/every/.dot"), ALL),
    ("17 dotfile in an all: folder edited", append("app/emb/every/.hidden", "!"), ALL),
    ("18 file embedded on windows only", append("app/emb/win.txt", "!"), WINDOWS),
    ("19 new file with init", write("app/plat/zz.go", INIT), ALL),
    ("20 new zz_darwin.go", write("app/plat/zz_darwin.go", INIT), DARWIN),
    ("20 new empty zz_riscv64.s", write("app/plat/zz_riscv64.s", ""), {"linux/riscv64"}),
    ("21 unix_only.go removed", remove("app/plat/unix_only.go"), ALL - WINDOWS),
    ("22 build tag of unix_only.go", edit("app/plat/unix_only.go", "unix && go1.21", "linux"), ALL - WINDOWS),
    ("23 replaced module: !linux file", append("app/third/ven/os_other.go", "\nvar O = 1\n"), WINDOWS | DARWIN),
    ("23 replaced module: file", append("app/third/ven/ven.go", "\nvar O = 1\n"), ALL),
    ("23 replaced module outside: file", append("lib/lib.go", "\nvar O = 1\n"), ALL),
    ("23 replaced module outside: new file", write("lib/new.go", "package lib\n"), ALL),
    ("24 go.mod comment", append("app/go.mod", "\n// end\n"), NONE),
    ("25 go line", edit("app/go.mod", "go 1.24", "go 1.25"), ALL),
    ("25 godebug line", append("app/go.mod", "\ngodebug panicnil=1\n"), ALL),
    ("25 required version", edit("app/go.mod", "ex.org/lib v0.0.0", "ex.org/lib v0.0.1"), ALL),
    ("26 go line of a replaced module", edit("lib/go.mod", "go 1.24", "go 1.21"), ALL),
    ("27 cgo files without cgo", append("app/cg/cg_on.go", "// more\n"), NONE),
    ("27 C file without cgo", append("app/cg/cg.c", "// more\n"), NONE),
    ("28 header without cgo", append("app/cg/cg.h", "// more\n"), ALL),
    ("29 new import", edit(P05, "package p05\n", 'package p05\n\nimport _ "time"\n'), ALL),
    ("30 go.work appears in a parent", write("go.work", "go 1.24\n\nuse ./app\n"), ALL),
    ("31 unused function in a dependency", append("lib/lib.go", "\nfunc unused() {}\n"), ALL),
    ("33 link inside an embedded folder", link("app/emb/folder/link", "f1.txt"), NONE),
    ("34 Go file becomes a link", becomes_link, ALL),
    ("35 go.mod in an embedded subfolder", write("app/emb/folder/sub/go.mod", "module sub\n"), ALL),
    ("A1 build tag, same size, old mtime", same_size_same_mtime("app/plat/unix_only.go", "unix && go1.21", "linux&& go1.21"), ALL - WINDOWS),
    ("A1 code, same size, old mtime", same_size_same_mtime(P05, "value 1", "value 9"), ALL),
    ("A1 embed line, same size, old mtime", same_size_same_mtime("app/emb/emb.go", "glob/*.txt", "glob/*.dat"), ALL),
    ("A2 rename that keeps contents", rename("app/plat/plat.go", "app/plat/renamed.go"), ALL),
    ("A5 header outside its package", edit("app/inc/outside.h", "DEEPER", "$2"), AMD64),
    ("A5 header included by that header", edit("app/inc/deeper.h", "$0", "$3"), AMD64),
    ("A5 header that nothing includes", edit("app/inc/unused.h", "$0", "$3"), NONE),
    ("profile for the compiler", write("app/cmd/a/default.pgo", ""), ALL),
    ("Windows resource", write("app/cmd/a/rsrc_windows_amd64.syso", ""), WINDOWS),
    ("require in one block or two", edit("app/go.mod", "\tex.org/ven v0.0.0\n)", ")\n\nrequire ex.org/ven v0.0.0 // indirect"), NONE),
    ("file in the output folder", write("_output/x.go", "package x\n"), NONE),
    ("file in a version control folder", write("app/.git/HEAD", "x\n"), NONE),
    ("new package folder that nobody imports", write("app/newone/x.go", "package newone\n"), NONE),
    ("CRLF", edit(P05, "\n", "\r\n"), ALL),
]


def test_the_first_run_asks_once_a_platform_and_the_second_one_not_at_all(
    repository: Repository, toolchain: Toolchain
):
    with repository.edited():
        repository.append("app/cmd/b/main.go", "// asked anew\n")
        both = [*programs(repository).values(), *programs(repository, "./cmd/b").values()]
        first, second = listing(repository, toolchain), listing(repository, toolchain)
        for lister in (first, second):
            lister.declare(*both)
            for declared in both:
                assert lister.inputs(declared).error is None
            lister.save()
            lister.stats.save()
        assert (first.started, second.started) == (len(PLATFORMS), 0)


@pytest.mark.parametrize(("change", "touched"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_change_touches(repository: Repository, toolchain: Toolchain, change: Change, touched: set[str]):
    builds = programs(repository)
    before = inputs(listing(repository, toolchain), builds)
    with repository.edited():
        change(repository)
        after = inputs(listing(repository, toolchain), builds)
        assert differing(before, after) == touched
        assert [found.error for found in after.values()] == [None] * len(PLATFORMS)
        again = listing(repository, toolchain)
        assert differing(after, inputs(again, builds)) == NONE
        assert again.started == 0
        for name in touched:
            assert explain(before[name], after[name]) != "nothing changed"
    assert differing(before, inputs(listing(repository, toolchain), builds)) == NONE


ERRORS: list[tuple[str, Change, str]] = [
    ("32 embedded file becomes a link", link("app/emb/one.txt", "win.txt"), "irregular file"),
    ("36 go.mod in the folder of an imported package", write("app/p05/go.mod", "module p05\n"), "ex.org/app/p05"),
    ("syntax error in go.mod", append("app/go.mod", "\nnonsense\n"), "go.mod"),
    ("missing import", edit(P05, "package p05\n", 'package p05\n\nimport _ "nowhere/at/all"\n'), "nowhere/at/all"),
    ("embedded file removed", remove("app/emb/one.txt"), "one.txt"),
    ("replaced module removed", lambda repository: repository.path("lib").rename(repository.path("lib2")), "lib"),
]


@pytest.mark.parametrize(("change", "said"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_an_error_of_the_build_is_foreseen(repository: Repository, toolchain: Toolchain, change: Change, said: str):
    builds = programs(repository)
    before = inputs(listing(repository, toolchain), builds)
    with repository.edited():
        change(repository)
        after = inputs(listing(repository, toolchain), builds)
        assert differing(before, after) == ALL
        for name, found in after.items():
            assert said in (found.error or "")
            assert explain(before[name], found).startswith("go list fails: ")
        if "lib2" in [path.name for path in repository.folder.iterdir()]:
            repository.path("lib2").rename(repository.path("lib"))
    assert differing(before, inputs(listing(repository, toolchain), builds)) == NONE


def test_37_a_windows_file_of_another_program(repository: Repository, toolchain: Toolchain):
    a, b = programs(repository), programs(repository, "./cmd/b")
    lister = listing(repository, toolchain)
    before_a, before_b = inputs(lister, a), inputs(lister, b)
    with repository.edited():
        repository.write("app/cmd/b/b_windows.go", 'package main\n\nimport _ "ex.org/app/plat"\n')
        lister = listing(repository, toolchain)
        assert differing(before_a, inputs(lister, a)) == NONE
        assert differing(before_b, inputs(lister, b)) == WINDOWS


def with_goenv(repository: Repository, line: str) -> dict[str, str]:
    repository.write("goenv", f"{line}\n")
    return {"GOENV": str(repository.path("goenv"))}


SETTINGS = [
    ("38 -tags feature", {"tags": ("feature",)}, {}, ALL, "tags: '' -> 'feature'"),
    ("38 GOFLAGS", {}, {"GOFLAGS": "-tags=feature"}, ALL, "GOFLAGS: '' -> '-tags=feature'"),
    ("39 GOAMD64=v3", {}, {"GOAMD64": "v3"}, AMD64, "GOAMD64: '' -> 'v3'"),
    ("39 GOARM=5", {"env": (("GOARM", "5"),)}, {}, {"linux/arm/v7"}, "GOARM: '7' -> '5'"),
    ("GOEXPERIMENT", {}, {"GOEXPERIMENT": "greenteagc"}, ALL, "GOEXPERIMENT: '' -> 'greenteagc'"),
    ("version stamp", {"ldflags": "-X main.version=1"}, {}, ALL, "ldflags: '-s -w -buildid=' -> '-s -w -buildid= -X main.version=1'"),
    ("debug", {"debug": True}, {}, ALL, "flags"),
    ("a proxy", {}, {"GOPROXY": "off", "HTTP_PROXY": "http://x", "TMPDIR": "/tmp"}, NONE, "nothing changed"),
    ("another PATH", {}, {"PATH": "/usr/bin:/bin"}, NONE, "nothing changed"),
    ("an unknown variable", {}, {"EDITOR": "vi"}, NONE, "nothing changed"),
    ("a C compiler without cgo", {"cc": "gcc-99"}, {"CGO_CFLAGS": "-O3"}, NONE, "nothing changed"),
]


@pytest.mark.parametrize(("declared", "base", "touched", "said"), [row[1:] for row in SETTINGS], ids=[row[0] for row in SETTINGS])
def test_a_setting_touches(repository, toolchain, declared, base, touched, said):
    before = inputs(listing(repository, toolchain), programs(repository, "./cmd/b"))
    after = inputs(listing(repository, toolchain, base), programs(repository, "./cmd/b", **declared))
    assert differing(before, after) == touched
    example = next(iter(sorted(touched)), "linux/amd64")
    assert said in explain(before[example], after[example])
