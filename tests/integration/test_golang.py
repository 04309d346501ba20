"""Which change touches which program: the table of Go changes, for six platforms, forth and back."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from integration.golang_repository import (
    Change,
    Repository,
    append,
    edit,
    explain,
    link,
    remove,
    rename,
    toolchain_of,
)
from multiarch_oci.golang.answers import run_process
from multiarch_oci.golang.compiler import CompileFailed, NoMainPackage, build
from multiarch_oci.golang.inputs import Inputs
from multiarch_oci.golang.lister import Lister
from multiarch_oci.golang.recipe import GoBuild
from multiarch_oci.golang.toolchain import Toolchain
from multiarch_oci.platform import Platform
from multiarch_oci.statcache import StatCache

PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/riscv64", "windows/amd64", "darwin/arm64")
ALL = set(PLATFORMS)
NONE: set[str] = set()
LINUX = {platform for platform in PLATFORMS if platform.startswith("linux")}
WINDOWS = {"windows/amd64"}
DARWIN = {"darwin/arm64"}
AMD64 = {"linux/amd64", "windows/amd64"}
ARM64 = {"linux/arm64", "darwin/arm64"}
P05 = "app/p05/p.go"
posix = pytest.mark.skipif(sys.platform == "win32", reason="there no file is known to be as it was")


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    return toolchain_of("1.24")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("go") / "repo")


def listing(repository: Repository, toolchain: Toolchain, base: dict[str, str] | None = None) -> Lister:
    """As a new run: nothing is shared with the last one but what stands on disk."""
    kept = repository.path(".multiarch")
    environment = {"PATH": os.environ["PATH"], "HOME": str(kept / "home"), "GOCACHE": go_cache()}
    stats = StatCache(kept / "stats")
    lister = Lister(
        toolchain, {**environment, **(base or {})}, kept / "go", stats, skip=[kept, repository.path("_output")]
    )
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


def write(name: str, text: str = "new") -> Change:
    return lambda repository: repository.write(name, text)


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
    (
        "A1 build tag, same size, old mtime",
        same_size_same_mtime("app/plat/unix_only.go", "unix && go1.21", "linux&& go1.21"),
        ALL - WINDOWS,
    ),
    ("A1 code, same size, old mtime", same_size_same_mtime(P05, "value 1", "value 9"), ALL),
    ("A1 embed line, same size, old mtime", same_size_same_mtime("app/emb/emb.go", "glob/*.txt", "glob/*.dat"), ALL),
    ("A2 rename that keeps contents", rename("app/plat/plat.go", "app/plat/renamed.go"), ALL),
    ("A5 header outside its package", edit("app/inc/outside.h", "DEEPER", "$2"), AMD64),
    ("A5 header included by that header", edit("app/inc/deeper.h", "$0", "$3"), AMD64),
    ("A5 header that nothing includes", edit("app/inc/unused.h", "$0", "$3"), NONE),
    ("profile for the compiler", write("app/cmd/a/default.pgo", ""), ALL),
    ("Windows resource", write("app/cmd/a/rsrc_windows_amd64.syso", ""), WINDOWS),
    (
        "require in one block or two",
        edit("app/go.mod", "\tex.org/ven v0.0.0\n)", ")\n\nrequire ex.org/ven v0.0.0 // indirect"),
        NONE,
    ),
    ("file in the output folder", write("_output/x.go", "package x\n"), NONE),
    ("file in a version control folder", write("app/.git/HEAD", "x\n"), NONE),
    ("new package folder that nobody imports", write("app/newone/x.go", "package newone\n"), NONE),
    ("CRLF", edit(P05, "\n", "\r\n"), ALL),
]


def test_the_first_run_asks_once_a_platform_and_the_second_one_not_at_all(repository: Repository, toolchain: Toolchain):
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
            assert "go list fails: " in explain(before[name], found)
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
    ("38 -tags feature", {"tags": ("feature",)}, {}, ALL, "tags: 'feature' is new"),
    ("38 GOFLAGS", {}, {"GOFLAGS": "-tags=feature"}, ALL, "GOFLAGS: '-tags=feature' is new"),
    ("39 GOAMD64=v3", {}, {"GOAMD64": "v3"}, AMD64, "GOAMD64: 'v3' is new"),
    ("39 GOARM=5", {"env": (("GOARM", "5"),)}, {}, {"linux/arm/v7"}, "GOARM: '7' → '5'"),
    ("GOEXPERIMENT", {}, {"GOEXPERIMENT": "greenteagc"}, ALL, "GOEXPERIMENT: 'greenteagc' is new"),
    (
        "version stamp",
        {"ldflags": "-X main.version=1"},
        {},
        ALL,
        "ldflags: '-s -w -buildid=' → '-s -w -buildid= -X main.version=1'",
    ),
    ("debug", {"debug": True}, {}, ALL, "flags"),
    ("a proxy", {}, {"GOPROXY": "off", "HTTP_PROXY": "http://x"}, NONE, "nothing changed"),
    ("another PATH", {}, {"PATH": "/usr/bin:/bin"}, NONE, "nothing changed"),
    ("an unknown variable", {}, {"EDITOR": "vi"}, NONE, "nothing changed"),
    ("a C compiler without cgo", {"cc": "gcc-99"}, {"CGO_CFLAGS": "-O3"}, NONE, "nothing changed"),
]


@pytest.mark.parametrize("row", SETTINGS, ids=[row[0] for row in SETTINGS])
def test_a_setting_touches(repository, toolchain, row):
    _, declared, base, touched, said = row
    before = inputs(listing(repository, toolchain), programs(repository, "./cmd/b"))
    after = inputs(listing(repository, toolchain, base), programs(repository, "./cmd/b", **declared))
    assert differing(before, after) == touched
    example = next(iter(sorted(touched)), "linux/amd64")
    assert said in explain(before[example], after[example])


def test_the_goenv_file_counts_like_the_environment(repository: Repository, toolchain: Toolchain):
    builds = programs(repository, "./cmd/b")
    with repository.edited():
        base = with_goenv(repository, "GOPROXY=https://proxy.golang.org")
        before = inputs(listing(repository, toolchain, base), builds)
        with_goenv(repository, "GOPROXY=off")
        assert differing(before, inputs(listing(repository, toolchain, base), builds)) == NONE
        with_goenv(repository, "GOFLAGS=-tags=feature")
        after = inputs(listing(repository, toolchain, base), builds)
        assert differing(before, after) == ALL
        assert "cmd/b/kind_feature.go" in after["linux/amd64"].files


def test_a_go_work_that_leaves_the_module_out_is_an_error_and_gowork_off_ignores_it(
    repository: Repository, toolchain: Toolchain
):
    builds = programs(repository)
    before = inputs(listing(repository, toolchain), builds)
    with repository.edited():
        repository.write("go.work", "go 1.24\n\nuse ./lib\n")
        assert all(found.error for found in inputs(listing(repository, toolchain), builds).values())
        off = inputs(listing(repository, toolchain, {"GOWORK": "off"}), builds)
        assert differing(before, off) == NONE


def test_a_workspace_member_counts_file_by_file(repository: Repository, toolchain: Toolchain):
    builds = programs(repository)
    with repository.edited():
        repository.write("go.work", "go 1.24\n\nuse (\n\t./app\n\t./lib\n)\n")
        before = inputs(listing(repository, toolchain), builds)
        assert before["linux/arm64"].error is None
        repository.write("lib/lib_arm64.go", "package lib\n")
        assert differing(before, inputs(listing(repository, toolchain), builds)) == ARM64


def test_a_vendored_package_counts_file_by_file(repository: Repository, toolchain: Toolchain):
    builds = programs(repository)
    with repository.edited():
        for name in ("lib", "ven"):
            repository.write(
                f"app/vendor/ex.org/{name}/{name}.go", f'package {name}\n\nfunc Name() string {{ return "v" }}\n'
            )
        entry = "# ex.org/{0} v0.0.0 => {1}\n## explicit; go 1.24\nex.org/{0}\n"
        replaced = "".join(f"# ex.org/{name} => {path}\n" for name, path in (("lib", "../lib"), ("ven", "./third/ven")))
        listed = entry.format("lib", "../lib") + entry.format("ven", "./third/ven")
        repository.write("app/vendor/modules.txt", listed + replaced)
        before = inputs(listing(repository, toolchain), builds)
        assert before["linux/amd64"].error is None
        assert "vendor/ex.org/lib/lib.go" in before["linux/amd64"].files
        repository.append("app/vendor/ex.org/lib/lib.go", "// edited\n")
        assert differing(before, inputs(listing(repository, toolchain), builds)) == ALL
        repository.append("lib/lib.go", "// not looked at\n")
        after = inputs(listing(repository, toolchain), builds)
        repository.append("lib/lib.go", "// not looked at\n")
        assert differing(after, inputs(listing(repository, toolchain), builds)) == NONE


def test_a_package_behind_a_linked_folder_is_watched(repository: Repository, toolchain: Toolchain):
    builds = programs(repository)
    with repository.edited():
        repository.write("away/l.go", "package linked\n")
        repository.path("app/linked").symlink_to("../away")
        repository.replace(P05, "package p05\n", 'package p05\n\nimport _ "ex.org/app/linked"\n')
        before = inputs(listing(repository, toolchain), builds)
        assert before["linux/amd64"].error is None
        again = listing(repository, toolchain)
        assert (differing(before, inputs(again, builds)), again.started) == (NONE, 0)
        repository.write("away/l_windows.go", "package linked\n")
        assert differing(before, inputs(listing(repository, toolchain), builds)) == WINDOWS
        repository.append("away/l.go", "var A = 1\n")
        assert differing(before, inputs(listing(repository, toolchain), builds)) == ALL


def test_generated_sources_are_seen_in_the_run_that_makes_them(repository: Repository, toolchain: Toolchain):
    generated = repository.path("app/plat/zz_generated.go")
    builds = programs(repository, sources=(generated,))
    with repository.edited():
        lister = listing(repository, toolchain)
        before = inputs(lister, builds)
        repository.write("app/plat/zz_generated.go", "package plat\n\nconst Generated = 1\n")
        after = inputs(lister, builds)
        assert differing(before, after) == ALL
        assert "plat/zz_generated.go" in after["linux/amd64"].files
        again = listing(repository, toolchain)
        assert (differing(after, inputs(again, builds)), again.started) == (NONE, 0)


def test_what_was_seen_holds_until_it_is_refreshed(repository: Repository, toolchain: Toolchain):
    builds = programs(repository)
    with repository.edited():
        lister = listing(repository, toolchain)
        before = inputs(lister, builds)
        repository.append(P05, "// more\n")
        assert differing(before, inputs(lister, builds)) == NONE
        lister.refresh()
        assert differing(before, inputs(lister, builds)) == ALL


def test_edits_within_one_tick_of_the_clock_are_all_seen(repository: Repository, toolchain: Toolchain):
    builds = {"linux/amd64": programs(repository, "./cmd/b")["linux/amd64"]}
    with repository.edited():
        seen = set()
        for number in range(10, 30):
            repository.write("app/cmd/b/tick.go", f"package main\n\nconst tick = {number}\n")
            seen.add(inputs(listing(repository, toolchain), builds)["linux/amd64"].digest)
        assert len(seen) == 20


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"key": 1}', b"\xff"])
def test_a_damaged_answer_is_asked_for_again(repository: Repository, toolchain: Toolchain, content: bytes):
    builds = programs(repository)
    before = inputs(listing(repository, toolchain), builds)
    for path in repository.path(".multiarch/go").glob("*.json"):
        path.write_bytes(content)
    lister = listing(repository, toolchain)
    assert differing(before, inputs(lister, builds)) == NONE
    assert lister.started == len(PLATFORMS)


def test_the_folder_does_not_count(repository: Repository, toolchain: Toolchain, tmp_path: Path):
    other = Repository(tmp_path / "somewhere" / "else")
    here = inputs(listing(repository, toolchain), programs(repository))
    assert differing(here, inputs(listing(other, toolchain), programs(other))) == NONE
    flags = ("-trimpath=false",)
    here = inputs(listing(repository, toolchain), programs(repository, flags=flags))
    assert differing(here, inputs(listing(other, toolchain), programs(other, flags=flags))) == ALL


def test_a_program_may_be_named_by_folder_import_path_file_or_from_within(repository: Repository, toolchain: Toolchain):
    lister = listing(repository, toolchain)
    host = Platform.parse("linux/amd64")
    app = repository.path("app")
    named = [
        GoBuild(host, package="./cmd/b", directory=app),
        GoBuild(host, package="ex.org/app/cmd/b", directory=app),
        GoBuild(host, package=".", directory=app / "cmd" / "b"),
        GoBuild(host, package="../b", directory=app / "cmd" / "a"),
        GoBuild(host, package=str(app / "cmd" / "b"), directory=app),
    ]
    lister.declare(*named)
    assert len({lister.inputs(each).digest for each in named}) == 1
    assert lister.started == 1
    alone = lister.inputs(GoBuild(host, package="main.go", directory=app / "cmd" / "b"))
    assert list(alone.files) == ["cmd/b/main.go"]


def test_cgo_counts_c_files_headers_elsewhere_and_the_compiler(
    repository: Repository, toolchain: Toolchain, tmp_path: Path
):
    compiler = tmp_path / "mycc"
    compiler.write_text("#!/bin/sh\n", encoding="utf-8")
    compiler.chmod(0o755)
    builds = programs(repository, cgo=True, cc=str(compiler))
    before = inputs(listing(repository, toolchain), builds)
    assert before["linux/amd64"].error is None
    with repository.edited():
        repository.append("app/cg/cg.c", "// more\n")
        assert differing(before, inputs(listing(repository, toolchain), builds)) == ALL
    with repository.edited():
        repository.append("app/inc/cgo_outside.h", "// more\n")
        assert differing(before, inputs(listing(repository, toolchain), builds)) == ALL
    compiler.write_text("#!/bin/sh\n# another\n", encoding="utf-8")
    after = inputs(listing(repository, toolchain), builds)
    assert differing(before, after) == ALL
    assert "CC program: '" in explain(before["linux/amd64"], after["linux/amd64"])


# --- with the compiler ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def host() -> Platform:
    import platform

    return Platform.of_machine(platform.system(), platform.machine())


class Process:
    """Starts `go`, and remembers the lines and whether its package index was switched off."""

    def __init__(self) -> None:
        self.lines: list[list[str]] = []
        self.indexed: list[bool] = []

    def __call__(self, line: Sequence[str], directory: Path, environment: Mapping[str, str]) -> tuple[int, str, str]:
        self.lines.append(list(line))
        self.indexed.append("goindex=0" not in environment.get("GODEBUG", ""))
        return run_process(line, directory, environment)


def make(repository: Repository, toolchain: Toolchain, declared: GoBuild, go: Process | None = None) -> bytes:
    lister = listing(repository, toolchain)
    found = lister.inputs(declared)
    output = repository.path("_output/program")
    build(declared, output, toolchain, lister.environment(declared), hints=found.hints, run=go or Process())
    assert [path.name for path in output.parent.iterdir()] == ["program"]
    return output.read_bytes()


def ran(repository: Repository) -> str:
    return subprocess.run([repository.path("_output/program")], capture_output=True, check=True, text=True).stdout


def test_equal_inputs_make_equal_programs_in_every_folder(repository, toolchain, host, tmp_path):
    other = Repository(tmp_path / "else")
    with repository.edited():
        one = make(repository, toolchain, GoBuild(host, package="./cmd/a", directory=repository.path("app")))
        two = make(other, toolchain, GoBuild(host, package="./cmd/a", directory=other.path("app")))
        assert hashlib.sha256(one).digest() == hashlib.sha256(two).digest()
        repository.append("app/cmd/a/main.go", "// a comment at the end\n")
        assert make(repository, toolchain, GoBuild(host, package="./cmd/a", directory=repository.path("app"))) == one


def test_a_header_outside_its_package_reaches_the_program_through_a_warm_cache(repository, toolchain, host):
    if host.architecture != "amd64":
        pytest.skip("the assembly is for amd64")
    declared = GoBuild(host, package="./cmd/a", directory=repository.path("app"))
    with repository.edited():
        first = make(repository, toolchain, declared)
        assert "none 3 " in ran(repository)
        repository.replace("app/inc/deeper.h", "$0", "$4")
        make(repository, toolchain, declared)
        assert "none 7 " in ran(repository)
        repository.replace("app/inc/deeper.h", "$4", "$0 // a comment")
        assert make(repository, toolchain, declared) == first


def test_a_package_that_embeds_its_folder_holds_no_header_of_ours(repository, toolchain, host, tmp_path):
    if host.architecture != "amd64":
        pytest.skip("the assembly is for amd64")
    other = Repository(tmp_path / "else")
    program = 'package main\n\nimport "ex.org/app/asm"\n\nfunc main() {\n\tprintln(asm.Add(1, 2))\n'
    program += "\tentries, _ := asm.Folder.ReadDir(`.`)\n\tfor _, entry := range entries {\n\t\tprintln(entry.Name())\n\t}\n}\n"
    with repository.edited():
        for tree in (repository, other):
            tree.write("app/asm/folder.go", 'package asm\n\nimport "embed"\n\n//go:embed *\nvar Folder embed.FS\n')
            tree.write("app/cmd/all/main.go", program)
        declared = GoBuild(host, package="./cmd/all", directory=repository.path("app"))
        make(repository, toolchain, declared)
        for tree in (repository, other):
            tree.replace("app/inc/deeper.h", "$0", "$4")
        elsewhere = GoBuild(host, package="./cmd/all", directory=other.path("app"))
        assert make(repository, toolchain, declared) == clean(other, toolchain, elsewhere)


def clean(repository: Repository, toolchain: Toolchain, declared: GoBuild) -> bytes:
    """The program of a build without a hint of ours, by a cache of Go's that knows nothing of builds with any."""
    cache = str(repository.folder.parent / "clean-cache")
    environment = {**listing(repository, toolchain).environment(declared), "GOCACHE": cache}
    build(declared, repository.path("_output/clean"), toolchain, environment)
    program = repository.path("_output/clean").read_bytes()
    repository.path("_output/clean").unlink()
    return program


def test_a_build_tag_edited_with_its_old_size_and_mtime_reaches_the_program(repository, toolchain, host):
    declared = GoBuild(host, package="./cmd/b", directory=repository.path("app"))
    kind = repository.path("app/cmd/b/kind.go")
    other = repository.path("app/cmd/b/kind_feature.go")
    with repository.edited():
        hour_ago = time.time_ns() - 3600 * 10**9
        for path in kind.parent.iterdir():
            os.utime(path, ns=(hour_ago, hour_ago))
        environment = listing(repository, toolchain).environment(declared)
        line = [toolchain.go, "build", "-o", repository.path("indexed"), "./cmd/b"]
        subprocess.run(line, cwd=declared.directory, env=environment, check=True)
        first = make(repository, toolchain, declared)
        for path, old, new in ((kind, "!feature", "a&&!a&&a"), (other, " feature", "!feature")):
            text = path.read_text(encoding="utf-8").replace(old, new, 1)
            path.write_text(text, encoding="utf-8")
            os.utime(path, ns=(hour_ago, hour_ago))
        assert make(repository, toolchain, declared) != first


def set_back(repository: Repository) -> None:
    """Let all files be older than their last change, as those of an archive, of `cp -a` and of `rsync -a` are."""
    hour_ago = time.time_ns() - 3600 * 10**9
    for path in repository.folder.rglob("*"):
        if path.is_file() and "_output" not in path.parts:
            os.utime(path, ns=(hour_ago, hour_ago))


@posix
@pytest.mark.parametrize("package", ["./cmd/a", "./cmd/b", "ex.org/app/cmd/a"])
def test_where_mtimes_were_set_back_go_does_without_its_index_and_makes_the_same_program(
    repository, toolchain, host, tmp_path, package: str
):
    other = Repository(tmp_path / "else")
    go = Process()
    with repository.edited():
        set_back(repository)
        one = make(repository, toolchain, GoBuild(host, package=package, directory=repository.path("app")), go)
        two = make(other, toolchain, GoBuild(host, package=package, directory=other.path("app")))
    assert one == two
    assert go.indexed == [False]


@posix
def test_an_import_edited_with_its_old_size_and_mtime_behind_a_link_reaches_the_program(repository, toolchain, host):
    declared = GoBuild(host, package="./cmd/b", directory=repository.path("app"))
    with repository.edited():
        file = repository.path("elsewhere/w.go")
        repository.write("elsewhere/w.go", 'package elsewhere\n\nimport _ "os"\n\nconst W = 1\n')
        repository.link("app/away", "../elsewhere")
        repository.write("app/cmd/b/w.go", 'package main\n\nimport _ "ex.org/app/away"\n')
        hour_ago = time.time_ns() - 3600 * 10**9
        os.utime(file, ns=(hour_ago, hour_ago))
        environment = listing(repository, toolchain).environment(declared)
        line = [toolchain.go, "build", "-o", repository.path("indexed"), "./cmd/b"]
        subprocess.run(line, cwd=declared.directory, env=environment, check=True)
        first = make(repository, toolchain, declared)
        file.write_text(file.read_text(encoding="utf-8").replace('"os"', '"io"'), encoding="utf-8")
        os.utime(file, ns=(hour_ago, hour_ago))
        second = make(repository, toolchain, declared)
    assert len(second) < len(first)


SETTINGS: list[tuple[str, Change, dict[str, object]]] = [
    ("paths in the program", lambda _: None, {"flags": ("-trimpath=false",)}),
    ("a flag that names paths", lambda _: None, {"flags": ("-gcflags=all=-trimpath=",)}),
    ("instrumented", lambda _: None, {"flags": ("-cover",)}),
    ("debug", lambda _: None, {"debug": True}),
    ("a file, not a package", lambda _: None, {"package": "cmd/c/main.go"}),
    (
        "lines named by a file beside it",
        lambda repository: repository.replace("app/cmd/b/kind.go", "main\n", "main\n\n//line parser.y:7\n"),
        {},
    ),
]


@posix
@pytest.mark.parametrize(("change", "settings"), [row[1:] for row in SETTINGS], ids=[row[0] for row in SETTINGS])
def test_where_mtimes_were_set_back_the_program_is_the_same(
    repository, toolchain, host, change: Change, settings: dict[str, object]
):
    go = Process()
    declared = GoBuild(host, directory=repository.path("app"), **{"package": "./cmd/b", **settings})
    with repository.edited():
        repository.write("app/cmd/c/main.go", "package main\n\nfunc main() { println(`c`) }\n")
        change(repository)
        stamp = str(time.time_ns())  # contents that no cache of Go's knows
        for name in ("b", "c"):
            repository.append(f"app/cmd/{name}/main.go", f"\nfunc init() {{ println(`{stamp}`) }}\n")
        set_back(repository)
        first = make(repository, toolchain, declared, go)
        assert go.indexed == [False]
        assert first == clean(repository, toolchain, declared)


@posix
def test_what_an_overlay_of_the_user_shows_is_read_though_its_size_and_mtime_stay(repository, toolchain, host):
    declared = GoBuild(host, package="./cmd/b", directory=repository.path("app"), flags=("-overlay=shown.json",))
    kind = repository.path("app/shown.txt")
    with repository.edited():
        repository.write(
            "app/shown.txt", 'package main\n\nimport _ "ex.org/app/asm"\n\nfunc kind() string { return "shown" }\n'
        )
        replaced = {str(repository.path("app/cmd/b/kind.go")): str(kind)}
        repository.write("app/shown.json", json.dumps({"Replace": replaced}))
        hour_ago = time.time_ns() - 3600 * 10**9
        os.utime(kind, ns=(hour_ago, hour_ago))
        time.sleep(2.1)  # of the files themselves none was set back, and Go indexes none that is younger
        environment = listing(repository, toolchain).environment(declared)
        line = [toolchain.go, "build", "-overlay=shown.json", "-o", repository.path("indexed"), "./cmd/b"]
        subprocess.run(line, cwd=declared.directory, env=environment, check=True)
        first = make(repository, toolchain, declared)
        kind.write_text(kind.read_text(encoding="utf-8").replace("asm", "emb"), encoding="utf-8")
        os.utime(kind, ns=(hour_ago, hour_ago))
        second = make(repository, toolchain, declared)
        assert second != first
        assert "emb/emb.go" in listing(repository, toolchain).inputs(declared).files
        assert second == clean(repository, toolchain, declared)


def test_flags_tags_and_stamps_reach_the_program(repository, toolchain, host):
    directory = repository.path("app")
    stamped = GoBuild(host, package="./cmd/a", directory=directory, ldflags="-X main.version=v9")
    with repository.edited():
        repository.write("_output/.program.123.part", "left by a build that was killed")
        make(repository, toolchain, stamped)
        assert ran(repository).startswith("v9 ")
        tagged = GoBuild(host, package="./cmd/b", directory=directory, tags=("feature",))
        plain = GoBuild(host, package="./cmd/b", directory=directory)
        assert b"feature" in make(repository, toolchain, tagged)
        assert make(repository, toolchain, plain) != make(repository, toolchain, tagged)


def refusal(repository, toolchain, declared: GoBuild) -> str:
    output = repository.path("_output/program")
    output.parent.mkdir(exist_ok=True)
    output.write_bytes(b"from before")
    with pytest.raises((CompileFailed, NoMainPackage)) as caught:
        make(repository, toolchain, declared)
    assert [path.read_bytes() for path in output.parent.iterdir()] == [b"from before"]
    return str(caught.value).replace(str(repository.folder), "REPO").replace(str(host), "HOST")


def test_a_compile_error_is_shown_with_file_and_line(repository, toolchain, host):
    with repository.edited():
        repository.append("app/cmd/b/main.go", "\nfunc broken() { return 1 }\n")
        text = refusal(repository, toolchain, GoBuild(host, package="./cmd/b", directory=repository.path("app")))
    assert text == (
        f"go build of ./cmd/b for {host} failed\n# ex.org/app/cmd/b\ncmd/b/main.go:5:24: too many return values\n"
        "\thave (number)\n\twant ()"
    )


@posix
def test_a_compile_error_is_told_once_where_mtimes_were_set_back(repository, toolchain, host):
    with repository.edited():
        repository.append("app/cmd/b/main.go", "\nfunc broken() { return 1 }\n")
        set_back(repository)
        text = refusal(repository, toolchain, GoBuild(host, package="./cmd/b", directory=repository.path("app")))
    assert "\ncmd/b/main.go:5:24: too many return values\n" in text


def test_a_missing_package_says_where_it_was_looked_for(repository, toolchain, host):
    with repository.edited():
        text = refusal(repository, toolchain, GoBuild(host, package="./cmd/none", directory=repository.path("app")))
    assert text == (
        f"go build of ./cmd/none for {host} failed\nstat REPO/app/cmd/none: directory not found\n"
        "  hint: the package is looked for from REPO/app; `go mod tidy` adds missing modules"
    )


def test_a_folder_without_a_module_says_how_it_gets_one(repository, toolchain, host, tmp_path):
    (tmp_path / "main.go").write_text("package main\n\nfunc main() {}\n", encoding="utf-8")
    text = refusal(repository, toolchain, GoBuild(host, package=".", directory=tmp_path))
    assert text.endswith(f"\n  hint: {tmp_path} and the folders above it have none: `go mod init` writes one")


def test_a_library_is_no_program(repository, toolchain, host):
    with repository.edited():
        text = refusal(repository, toolchain, GoBuild(host, package="./library", directory=repository.path("app")))
    assert text == (
        "REPO/app: ./library is not a program: its package is not called main\n"
        "  hint: name the folder of a 'package main', for instance package=\"./cmd/demo\""
    )


def test_a_missing_c_compiler_is_named(repository, toolchain, host):
    declared = GoBuild(host, package="./cmd/a", directory=repository.path("app"), cgo=True, cc="no-such-cc")
    with repository.edited():
        text = refusal(repository, toolchain, declared)
    assert 'C compiler "no-such-cc" not found' in text
    assert text.endswith(f'hint: install no-such-cc, a C compiler for {host}, or name another: cc="zig cc -target …"')


@pytest.mark.skipif(sys.platform == "win32", reason="needs a C compiler")
def test_cgo_builds_and_follows_a_header_outside_its_package(repository, toolchain, host):
    import shutil

    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    declared = GoBuild(host, package="./cmd/a", directory=repository.path("app"), cgo=True, cc="gcc")
    with repository.edited():
        make(repository, toolchain, declared)
        assert " on 1 " in ran(repository)
        repository.replace("app/inc/cgo_outside.h", "on 1", "on 2")
        make(repository, toolchain, declared)
        assert " on 2 " in ran(repository)


def test_a_lister_that_looks_again_sees_the_tree_and_the_settings_of_go_as_they_are(
    tmp_path: Path, toolchain: Toolchain
):
    repository = Repository(tmp_path / "repo")
    lister, builds = listing(repository, toolchain), programs(repository)
    first = inputs(lister, builds)
    settings = repository.path(".multiarch/home/.config/go/env")
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text("GOFLAGS=-tags=other\n", encoding="utf-8")
    lister.refresh()
    second = inputs(lister, builds)
    assert differing(first, second) == set(builds)
    assert second == inputs(listing(repository, toolchain), builds)
    settings.unlink()
    repository.append(P05, "// more\n")
    lister.refresh()
    third = inputs(lister, builds)
    assert differing(second, third) == set(builds)
    assert third == inputs(listing(repository, toolchain), builds)
