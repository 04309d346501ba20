"""Changes of a Go repository beyond the table of 39: each with the platforms whose inputs it touches, and the reason.

A change acts on a `Repository` (golang_repository); `app/` is the module, which may be somebody else's.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from integration.golang_repository import Change, Repository, append, edit, link, remove, rename

PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386", "windows/amd64", "windows/arm64")
ALL = frozenset(PLATFORMS)
NONE: frozenset[str] = frozenset()
LINUX = frozenset(name for name in PLATFORMS if name.startswith("linux"))
WINDOWS = ALL - LINUX
AMD64 = frozenset(("linux/amd64", "windows/amd64"))
ARM64 = frozenset(("linux/arm64", "windows/arm64"))
ARM = frozenset(("linux/arm/v7",))
I386 = frozenset(("linux/386",))
P05 = "app/p05/p.go"
INIT = "package plat\n\nfunc init() {{ names = append(names, `{0}`) }}\n"


def nothing(_: Repository) -> None:
    """Change no file: the settings do."""


@dataclass(frozen=True)
class Row:
    """A change in words, done after `prepare` was; whose inputs it touches, and what `why` says there.

    `fails`: the build refuses, and this is in what `go list` says ("" when only the compiler finds it). `base` is
    added to the environment, `declared` to the declaration of the program.
    """

    words: str
    change: Change
    touched: frozenset[str]
    why: str = ""
    prepare: Change = nothing
    fails: str | None = None
    base: Mapping[str, str] = field(default_factory=dict)
    declared: Mapping[str, Any] = field(default_factory=dict)


def all_of(*changes: Change) -> Change:
    return lambda r: [change(r) for change in changes]


def write(name: str, text: str = "new\n") -> Change:
    return lambda r: r.write(name, text)


def folder(name: str) -> Change:
    return lambda r: r.path(name).mkdir(parents=True)


def chmod(name: str, mode: int) -> Change:
    return lambda r: r.path(name).chmod(mode)


def mtime(name: str, seconds: int) -> Change:
    """Set an mtime so far from now; the contents stay."""
    return lambda r: os.utime(r.path(name), (time.time() + seconds,) * 2)


def plat(name: str, head: str = "") -> Change:
    """Add a file with an init function, so that it changes every program that it belongs to."""
    return write(f"app/plat/{name}", head + INIT.format(name))


def added(name: str, touched: frozenset[str], head: str = "", words: str = "") -> Row:
    return Row(words or f"new {name}", plat(name, head), touched, f"plat/{name} added" if touched else "")


def constrained(constraint: str, touched: frozenset[str]) -> Row:
    name = f"zz_{re.sub(r'[^a-z0-9]+', '_', constraint)}_tag.go"
    return added(name, touched, f"//go:build {constraint}\n\n", f"new file for {constraint}")


def renamed(name: str) -> Row:
    return Row(f"any.go becomes {name}", rename("app/plat/any.go", f"app/plat/{name}"), ALL, "plat/any.go removed")


def broken(words: str, change: Change, says: str = "", prepare: Change = nothing) -> Row:
    return Row(words, change, ALL, "go list fails: " if says else "", prepare, says)


def swapped(one: str, other: str) -> Change:
    """Two files change names; sizes, mtimes and the set of names stay."""
    return all_of(rename(one, f"{one}.aside"), rename(other, one), rename(f"{one}.aside", other))


def again(name: str) -> Change:
    """Delete a file and write it anew, the same."""

    def change(r: Repository) -> None:
        text = r.path(name).read_text(encoding="utf-8")
        r.remove(name)
        r.write(name, text)

    return change


def twice(name: str, old: str, *news: str) -> Change:
    """Edit more than once within one tick, the size stays."""

    def change(r: Repository) -> None:
        last = old
        for new in news:
            r.replace(name, last, new)
            last = new

    return change


def quietly(name: str, old: str, new: str) -> Change:
    """Edit a file and give it its old mtime back."""

    def change(r: Repository) -> None:
        status = r.path(name).stat()
        r.replace(name, old, new)
        os.utime(r.path(name), ns=(status.st_atime_ns, status.st_mtime_ns))

    return change


def touch_all(r: Repository) -> None:
    for path in sorted(r.path("app").rglob("*.go")):
        path.touch()


def copied(name: str, other: str) -> Change:
    return lambda r: shutil.copytree(r.path(name), r.path(other))


def goenv(text: str) -> Change:
    return write("goenv", text)


def vendor(r: Repository) -> None:
    """Vendor the two replaced modules; a foreign module has other modules, and is vendored by Go itself."""
    listed = ""
    for name, path in (("lib", "../lib"), ("ven", "./third/ven")):
        r.write(
            f"app/vendor/ex.org/{name}/{name}.go", f'package {name}\n\nfunc Name() string {{ return "vendored" }}\n'
        )
        listed += f"# ex.org/{name} v0.0.0 => {path}\n## explicit; go 1.24\nex.org/{name}\n"
    listed += "# ex.org/lib => ../lib\n# ex.org/ven => ./third/ven\n"
    r.write("app/vendor/modules.txt", listed)


def workspace(*lines: str) -> Change:
    return write("go.work", "\n".join(("go {go}", "", "use ./app", *lines, "")))


def importing(folder_: str, name: str = "zz.go") -> Change:
    """A package that the program imports from now on."""
    package = folder_.rpartition("/")[2].lstrip("_.")
    return lambda r: [
        r.write(f"app/{folder_}/x.go", f"package {package}\n\nfunc init() {{ println(`one`) }}\n"),
        r.write(f"app/plat/{name}", f'package plat\n\nimport _ "{r.module}/{folder_}"\n'),
    ]


def included(r: Repository) -> None:
    """Assembly that includes files of its own folder which are no headers by name, and of a folder below."""
    r.replace(
        "app/asm/add_amd64.s", '#include "mac.h"\n', '#include "mac.h"\n#include "table.inc"\n#include "sub/x.h"\n'
    )
    r.write("app/asm/table.inc", "#define TABLE $0\n")
    r.write("app/asm/sub/x.h", "#define SUB $0\n")
    r.replace("app/asm/add_amd64.s", "\tRET", "\tADDQ TABLE, AX\n\tADDQ SUB, AX\n\tRET")


def linked_source(r: Repository) -> None:
    for name in ("one", "two", "three"):
        r.write(f"app/elsewhere/{name}.txt", INIT.format("one" if name == "three" else name))
    r.link("app/plat/linked.go", "../elsewhere/one.txt")


def linked_package(r: Repository) -> None:
    for name in ("one", "two"):
        r.write(f"away/{name}/l.go", f"package linked\n\nfunc init() {{ println(`{name}`) }}\n")
    r.link("app/linked", "../away/one")
    r.write("app/plat/zz.go", f'package plat\n\nimport _ "{r.module}/linked"\n')


def moved_internal(r: Repository) -> None:
    r.write("app/plat/internal/x/x.go", r.path("app/internal1/x.go").read_text(encoding="utf-8"))
    r.remove("app/internal1/x.go")
    r.replace("app/plat/zz.go", "/internal1", "/plat/internal/x")


NAMES = [
    *[renamed(f"any_{end}.go") for end in ("linux", "windows", "arm", "unix", "linux_arm64", "test", "android_arm64")],
    *[renamed(name) for name in ("_any.go", ".any.go", "any.go.bak", "any.GO", "Any.go", "linux.go", "any_ARM.go")],
    added("zz_unix.go", ALL),
    added("zz_linux.go", LINUX),
    added("zz_arm.go", ARM),
    added("zz_386.go", I386),
    added("zz_windows_arm64.go", frozenset(("windows/arm64",))),
    added("zz_linux_more.go", ALL),
    added("zz_more_linux_386.go", I386),
    added("windows.go", ALL),
    added("zz_wasm.go", NONE),
    added("zz_android.go", NONE),
    added("zz_linux_test.go", NONE),
    added("zz_windows_mips.go", NONE),
    added("zz.x.go", ALL),
]
TAGS = [
    constrained("arm || 386", ARM | I386),
    constrained("linux && !arm64", LINUX - ARM64),
    constrained("!(linux && arm64) && !386", ALL - I386 - {"linux/arm64"}),
    constrained("unix", LINUX),
    constrained("gc", ALL),
    constrained("cgo", NONE),
    constrained("!cgo", ALL),
    constrained("go1.99", NONE),
    constrained("!go1.99", ALL),
    constrained("goexperiment.nothing", NONE),
    constrained("amd64.v2", NONE),
    constrained("amd64.v1", AMD64),
    constrained("arm.7", ARM),
    constrained("arm64.v8.0", ARM64),
    constrained("386.sse2", I386),
    constrained("race", NONE),
    constrained("never", NONE),
    added("zz.go", ALL, "", "new file without a constraint"),
    Row(
        "//go:build after the package clause is a comment",
        write("app/plat/zz.go", INIT.format("late").replace("\n\n", "\n\n//go:build windows\n\n", 1)),
        ALL,
        "plat/zz.go added",
    ),
    added("zz.go", WINDOWS, "//go:build windows\n", "//go:build without a blank line after it"),
    added("zz.go", ALL, "/*\n//go:build windows\n*/\n\n", "//go:build within a comment"),
    added("zz.go", WINDOWS, "// A remark.\n\n//go:build windows\n\n", "//go:build after a remark"),
    added("zz.go", WINDOWS, "// +build windows\n\n", "// +build"),
    added("zz.go", ALL, "// +build windows\n", "// +build without a blank line after it"),
    added("zz.go", LINUX, "//go:build linux\n// +build windows\n\n", "//go:build and another // +build"),
    added("zz.go", ALL, "// go:build windows\n\n", "a blank in //go:build"),
    Row("tag of a file, from one to another", edit("app/plat/unix_only.go", "unix && go1.21", "arm64"), LINUX | ARM64),
    broken("malformed //go:build", plat("zz.go", "//go:build (linux\n\n"), "zz.go"),
    broken("two //go:build lines", plat("zz.go", "//go:build linux\n//go:build arm\n\n"), "zz.go"),
]
SOURCES = [
    Row("go:generate comment", append(P05, "\n//go:generate stringer -type=X\n"), ALL, "p05/p.go changed"),
    Row("line directive", edit(P05, "func", "//line other.go:77\nfunc"), ALL, "p05/p.go changed"),
    Row("byte order mark", edit(P05, "package", "\ufeffpackage"), ALL, "p05/p.go changed"),
    Row("//go:debug in main", edit("{mainfile}", "package main", "//go:debug panicnil=1\npackage main"), ALL, "main.go"),
    Row("//go:noinline", edit(P05, "func", "//go:noinline\nfunc"), ALL, "p05/p.go changed"),
    Row("deleted and written again", again(P05), NONE),
    Row("edited to and fro", twice(P05, "value 1", "value 2", "value 1"), NONE),
    Row("edited twice in one tick", twice(P05, "value 1", "value 2", "value 3"), ALL, "p05/p.go changed"),
    Row("old mtime restored", quietly(P05, "value 1", "value 7"), ALL, "p05/p.go changed"),
    Row("mtime in the future", mtime(P05, 86400), NONE),
    Row("mtime long ago", mtime(P05, -86400 * 900), NONE),
    Row("edited, mtime in the future", all_of(edit(P05, "value 1", "value 2"), mtime(P05, 86400)), ALL, "p05/p.go changed"),
    Row(
        "edited, mtime in the future stays",
        quietly(P05, "value 1", "value 2"),
        ALL,
        "p05/p.go changed",
        prepare=mtime(P05, 86400),
    ),
    Row(
        "build tag edited, mtime long ago stays",
        quietly("app/plat/unix_only.go", "unix && go1.21", "386  && go1.21"),
        LINUX,
        "plat/unix_only.go",
        prepare=mtime("app/plat/unix_only.go", -86400 * 900),
    ),
    Row("every file touched", touch_all, NONE),
    Row("chmod of a source", chmod(P05, 0o755), NONE),
    Row("read-only source", chmod(P05, 0o444), NONE),
    Row("two files swapped", swapped("app/plat/os_linux.go", "app/plat/os_windows.go"), LINUX | WINDOWS, "plat/os_"),
    Row("contents of a function moved to a new file", all_of(
        edit(P05, 'func Value() string { return "value 1" }\n', ""),
        write("app/p05/q.go", 'package p05\n\nfunc Value() string { return "value 1" }\n'),
    ), ALL, "p05/q.go added"),
    Row("a folder without sources", folder("app/p05/empty"), NONE),
    Row("a folder called like a source", folder("app/p05/folder.go"), NONE),
    Row("what editors leave", all_of(
        *(write(f"app/p05/{name}", "package wrong\n") for name in ("p.go~", "#p.go#", "p.go.orig", ".p.go.swp")),
        link("app/p05/.#p.go", "user@host.1234"),
    ), NONE),
    Row("Makefile, Markdown, object file", all_of(
        *(write(f"app/p05/{name}") for name in ("Makefile", "notes.md", "x.o", "go.txt")),
    ), NONE),
    Row("package folder that begins with _, edited", edit("app/_under/x.go", "one", "two"), ALL, "_under/x.go changed",
        prepare=importing("_under")),
    Row("package in testdata, edited", edit("app/testdata/x.go", "one", "two"), ALL, "testdata/x.go changed",
        prepare=importing("testdata")),
    Row("package imported on Windows only", importing("winonly", "zz_windows.go"), WINDOWS, "added"),
    Row("package imported on Windows only, edited", edit("app/winonly/x.go", "one", "two"), WINDOWS,
        "winonly/x.go changed", prepare=importing("winonly", "zz_windows.go")),
    Row("internal package moved", moved_internal, ALL, "plat/internal/x/x.go added",
        prepare=importing("internal1")),
    Row("target of a linked source edited", edit("app/elsewhere/one.txt", "one", "two"), ALL, "plat/linked.go changed",
        prepare=linked_source),
    Row("linked source, another target", link("app/plat/linked.go", "../elsewhere/two.txt"), ALL,
        "plat/linked.go changed", prepare=linked_source),
    Row("linked source, another target of the same contents", link("app/plat/linked.go", "../elsewhere/three.txt"),
        NONE, prepare=linked_source),
    Row("linked package folder, another target", link("app/linked", "../away/two"), ALL, "l.go changed",
        prepare=linked_package),
    Row("linked package folder, target edited", edit("away/one/l.go", "one", "two"), ALL, "l.go changed",
        prepare=linked_package),
    Row("profile", write("{main}/default.pgo", "GO PREPROFILE V1\n"), ALL, "default.pgo added"),
    Row("profile elsewhere", write("app/p05/default.pgo", "GO PREPROFILE V1\n"), NONE),
    Row("profile edited", append("{main}/default.pgo", "a\nb\n1 1\n"), ALL, "default.pgo changed",
        prepare=write("{main}/default.pgo", "GO PREPROFILE V1\n")),
]  # fmt: skip
NATIVE = [
    Row("table that assembly includes from its own folder", edit("app/asm/table.inc", "$0", "$1"), AMD64,
        "asm/table.inc changed", prepare=included),
    Row("header that assembly includes from below", edit("app/asm/sub/x.h", "$0", "$1"), AMD64, "asm/sub/x.h changed",
        prepare=included),
    Row("header that an amd64 file alone includes becomes a link", all_of(
        write("app/inc/same.txt", "#define DEEPER $0\n"), link("app/inc/deeper.h", "same.txt")), NONE),
    Row("assembly for 386, unused", write("app/asm/zz_386.s", ""), I386, "asm/zz_386.s added"),
    Row("assembly in a package without any", write("app/p05/zz_arm64.s", ""), ARM64, "p05/zz_arm64.s added"),
    Row("assembly with a build tag", write("app/asm/zz.s", "//go:build arm\n\n"), ARM, "asm/zz.s added"),
    Row("resource in a dependency", write("app/p05/r_windows_arm64.syso", ""), {"windows/arm64"},
        "p05/r_windows_arm64.syso added"),
    Row("resource for no platform", write("app/p05/r_plan9.syso", ""), NONE),
    Row("C++ and Objective-C beside cgo", all_of(write("app/cg/x.cc"), write("app/cg/x.m")), NONE),
    Row("C in a package without cgo", write("app/p05/x.c", "int x;\n"), NONE),
    broken("Fortran beside cgo", write("app/cg/x.f"), "Fortran source files not allowed"),
    Row("header in a package without C", write("app/p05/x.h", ""), ALL, "p05/x.h added"),
]  # fmt: skip
EMBEDDED = [
    Row("embedded file: mode", chmod("app/emb/one.txt", 0o755), NONE),
    Row("embedded file: mtime", mtime("app/emb/one.txt", -5000), NONE),
    Row("embedded file: edited, old mtime", quietly("app/emb/one.txt", "one", "two"), ALL, "emb/one.txt changed"),
    Row("embedded files swapped", swapped("app/emb/folder/f1.txt", "app/emb/folder/f2.txt"), ALL, "emb/folder/f1.txt"),
    Row("embedded file becomes empty", write("app/emb/one.txt", ""), ALL, "emb/one.txt changed"),
    Row("underscore file in an embedded folder", write("app/emb/folder/_x.txt"), NONE),
    Row("dotfile deep in an embedded folder", write("app/emb/folder/sub/.x"), NONE),
    Row("dot folder in an embedded folder", write("app/emb/folder/.d/x.txt"), NONE),
    Row("underscore file deep in an all: folder", write("app/emb/every/d/_x"), ALL, "emb/every/d/_x added"),
    Row("empty folder in an embedded folder", folder("app/emb/folder/none"), NONE),
    Row("version control in an embedded folder", write("app/emb/every/.git/HEAD"), NONE),
    Row("Go source in an embedded folder", write("app/emb/folder/x.go", "not go"), ALL, "emb/folder/x.go added"),
    Row("embedded folder below renamed", rename("app/emb/folder/sub", "app/emb/folder/sup"), ALL, "removed"),
    Row("glob matches a folder", write("app/emb/glob/d.txt/x.dat"), ALL, "emb/glob/d.txt/x.dat added"),
    Row("glob matches a link to nowhere elsewhere", link("app/emb/glob/l.dat", "nowhere"), NONE),
    Row("one more pattern in a block", edit("app/emb/emb.go", "//go:embed one.txt\nvar one string",
        "var (\n\t//go:embed one.txt\n\tone string\n\t//go:embed win.txt\n\tmore []byte\n)"), ALL, "emb/win.txt added"),
    Row("quoted pattern", edit("app/emb/emb.go", "glob/*.txt", '"glob/*.txt"'), ALL, "emb/emb.go changed"),
    Row("dotfile by its name", edit("app/emb/emb.go", "//go:embed folder\n", "//go:embed folder folder/.x\n"), ALL,
        "emb/folder/.x added", prepare=write("app/emb/folder/.x")),
    Row("folder becomes all:", edit("app/emb/emb.go", "//go:embed folder\n", "//go:embed all:folder\n"), ALL,
        "emb/folder/.x added", prepare=write("app/emb/folder/.x")),
    Row("pattern in a test", write("app/emb/e_test.go", 'package emb\n\nimport _ "embed"\n\n//go:embed no\nvar n string\n'),
        NONE),
    broken("glob loses its last match", remove("app/emb/glob/g1.txt"), "no matching files"),
    broken("pattern that leaves the folder", edit("app/emb/emb.go", "glob/*.txt", "../p05/*"), "invalid pattern"),
    broken("embedded file becomes a folder", all_of(remove("app/emb/one.txt"), write("app/emb/one.txt/x"))),
    broken("go.mod in the embedded folder itself", write("app/emb/folder/go.mod", "module x\n"), "different module"),
    broken("embedded file called like nothing on Windows", write("app/emb/folder/a:b"), "invalid name"),
]  # fmt: skip
MODULES = [
    Row("go.mod: exclude", append("app/go.mod", "\nexclude ex.org/nobody v1.0.0\n"), NONE),
    Row("go.mod: retract", append("app/go.mod", "\nretract v0.0.9 // why\n"), NONE),
    Row("go.mod: ignore", append("app/go.mod", "\nignore ./node_modules\n"), NONE),
    Row("go.mod: tool", append("app/go.mod", "\ntool {module}/cmd/b\n"), NONE),
    Row("go.mod: toolchain", append("app/go.mod", "\ntoolchain go1.99.9\n"), NONE),
    Row("go.mod: blanks", append("app/go.mod", "\n\n\n"), NONE),
    Row("go.mod: CRLF", lambda r: r.write_bytes("app/go.mod", r.path("app/go.mod").read_bytes().replace(b"\n", b"\r\n")), NONE),
    Row("go.mod: quoted path", edit("app/go.mod", "ex.org/lib => ../lib", '"ex.org/lib" => "../lib"'), NONE),
    Row("go.mod: replaced by a copy elsewhere", all_of(copied("lib", "lib2"), edit("app/go.mod", "=> ../lib", "=> ../lib2")),
        ALL, "go.mod replace ex.org/lib: '../lib' → '../lib2'"),
    Row("go.mod: replace of a module that nobody needs", append("app/go.mod", "\nreplace ex.org/nobody => ../nobody\n"), NONE),
    Row("go.mod in a parent", write("go.mod", "module parent\n"), NONE),
    Row("replaced go.mod: comment", append("lib/go.mod", "\n// end\n"), NONE),
    Row("replaced go.mod: godebug", append("lib/go.mod", "\ngodebug panicnil=1\n"), NONE),
    Row("replaced module: folder", write("lib/more/m.go", "package more\n"), NONE),
    Row("replaced module: test", write("lib/l_test.go", "package lib\n"), NONE),
    Row("go.sum: a line more", append("app/go.sum", "ex.org/nobody v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"), NONE),
    broken("go.mod: newer Go than there is", lambda r: r.require_go("1.99"), "go.mod requires go >= 1.99"),
    broken("go.mod: replaced by a folder that is none", edit("app/go.mod", "=> ../lib", "=> ../none"), "none"),
    broken("go.mod removed", remove("app/go.mod"), "go.mod file not found"),
    broken("replaced go.mod removed", remove("lib/go.mod"), "lib"),
    broken("empty vendor folder", folder("app/vendor"), "inconsistent vendoring"),
]  # fmt: skip
WORKSPACES = [
    Row("go.work: comment", append("go.work", "// end\n"), NONE, prepare=workspace()),
    Row("go.work: go line", edit("go.work", "go {go}", "go {newer}"), ALL, "go.work go: ", workspace()),
    Row("go.work: godebug", append("go.work", "\ngodebug panicnil=1\n"), ALL, "go.work godebug panicnil: '1' is new", workspace()),
    Row("go.work: uses one more", append("go.work", "\nuse ./lib\n"), ALL, "go.work use ./lib", workspace()),
    Row("go.work: replace", append("go.work", "\nreplace ex.org/ven => ./ven2\n"), ALL, "go.work replace ex.org/ven",
        all_of(copied("app/third/ven", "ven2"), workspace())),
    Row("go.work removed", remove("go.work"), ALL, "is gone", workspace()),
    Row("go.work, ignored by GOWORK=off", workspace(), NONE, base={"GOWORK": "off"}),
    Row("GOWORK=off without one", nothing, NONE, base={"GOWORK": "off"}),
    Row("go.work.sum", write("go.work.sum", ""), NONE, prepare=workspace()),
    Row("used module: file for arm64", write("lib/l_arm64.go", "package lib\n\nfunc init() { println(`x`) }\n"), ARM64,
        "l_arm64.go added", workspace("use ./lib")),
    broken("go.work: malformed", append("go.work", "nonsense\n"), "go.work", workspace()),
    broken("go.work: uses a folder that is none", append("go.work", "use ./none\n"), "none", workspace()),
]  # fmt: skip
VENDORED = [
    Row("vendor folder appears", vendor, ALL, "vendor/"),
    Row("vendored file edited", append("app/vendor/ex.org/lib/lib.go", "\nfunc init() { println(`x`) }\n"), ALL,
        "vendor/ex.org/lib/lib.go changed", vendor),
    Row("vendored file for arm64", write("app/vendor/ex.org/lib/l_arm64.go", "package lib\n\nfunc init() { println(`x`) }\n"),
        ARM64, "vendor/ex.org/lib/l_arm64.go added", vendor),
    Row("vendored module: what is not vendored", append("lib/lib.go", "// not looked at\n"), NONE, prepare=vendor),
    Row("vendored package that nobody imports", write("app/vendor/ex.org/lib/more/m.go", "package more\n"), NONE,
        prepare=vendor),
    Row("vendored, but -mod=mod", nothing, ALL, "lib/lib.go added", vendor, base={"GOFLAGS": "-mod=mod"}),
    broken("modules.txt does not agree", edit("app/vendor/modules.txt", "## explicit; go 1.24\n", ""), "inconsistent vendoring",
           vendor),
    broken("modules.txt removed", remove("app/vendor/modules.txt"), "inconsistent vendoring", vendor),
]  # fmt: skip
MISTAKES = [
    broken("import cycle", edit(P05, "package p05\n", 'package p05\n\nimport _ "{module}/plat"\n'), "import cycle",
           lambda r: r.write("app/plat/zz.go", f'package plat\n\nimport _ "{r.module}/p05"\n')),
    broken("two packages in one folder", write("app/p05/other.go", "package other\n"), "found packages"),
    broken("syntax error", append(P05, "\nfunc {\n")),
    broken("type error", append(P05, "\nvar wrong int = `x`\n")),
    broken("empty source", write("app/p05/empty.go", ""), "expected 'package'"),
    broken("imported package removed", remove(P05)),
    broken("main is no longer main", lambda r: [
        r.replace(str(path.relative_to(r.folder)), "package main", "package domain")
        for path in r.path("{main}").glob("*.go") if not path.name.endswith("_test.go")]),
    broken("source is a link to nowhere", link("app/p05/q.go", "nowhere"), "q.go"),
    broken("internal package of somebody else", edit(P05, "package p05\n", 'package p05\n\nimport _ "ex.org/lib/internal/x"\n'),
           "internal", write("lib/internal/x/x.go", "package x\n")),
    broken("embed without its import", write("app/p05/q.go", "package p05\n\n//go:embed p.go\nvar q string\n")),
]  # fmt: skip


def setting(words: str, touched: frozenset[str], why: str = "", prepare: Change = nothing, **base: str) -> Row:
    return Row(words, nothing, touched, why, prepare, base=base)


def declaring(words: str, touched: frozenset[str], why: str = "", **declared: Any) -> Row:
    return Row(words, nothing, touched, why, declared=declared)


SETTINGS = [
    setting("GOAMD64=v2", AMD64, "GOAMD64", GOAMD64="v2"),
    setting("GO386=softfloat", I386, "GO386", GO386="softfloat"),
    setting("GOARM64=v9.0", ARM64, "GOARM64", GOARM64="v9.0"),
    setting("GOARM=5, but the platform says v7", NONE, GOARM="5"),
    setting("GOMIPS=softfloat", NONE, GOMIPS="softfloat"),
    setting("GOFLAGS=-tags=never", ALL, "GOFLAGS: '-tags=never' is new", plat("zz.go", "//go:build never\n\n"), GOFLAGS="-tags=never"),
    setting("GOFLAGS with flags that change no byte", NONE, GOFLAGS="-v=false -p=3 -modcacherw -x -work -a -mod=mod"),
    setting("GOFLAGS with flags that we give anyway", NONE, GOFLAGS="-buildvcs=false -trimpath"),
    setting("GOFLAGS that contradicts a flag of ours", ALL, "GOFLAGS", GOFLAGS="-buildvcs=auto"),
    Row("flags that change no byte", nothing, NONE, declared={"flags": ("-p", "3", "-mod=readonly", "-v")}),
    setting("GOFLAGS set, and empty", NONE, GOFLAGS=""),
    setting("CGO_ENABLED=1 of the user", NONE, CGO_ENABLED="1"),
    setting("GOOS and GOARCH of the user", NONE, GOOS="plan9", GOARCH="mips"),
    setting("GOROOT of the user", NONE, GOROOT="/nowhere"),
    setting("GOTOOLCHAIN of the user", NONE, GOTOOLCHAIN="go1.99.9+auto"),
    setting("GODEBUG of the user", NONE, GODEBUG="panicnil=1"),
    setting("GOMAXPROCS, GOGC", NONE, GOMAXPROCS="1", GOGC="50"),
    setting("GOEXPERIMENT", ALL, "GOEXPERIMENT", GOEXPERIMENT="nodwarf5"),
    Row("goenv file: GOFLAGS", goenv("GOFLAGS=-tags=never\n"), ALL, "GOFLAGS", plat("zz.go", "//go:build never\n\n")),
    Row("goenv file: a remark", goenv("# GOFLAGS=-tags=never\n"), NONE),
    Row("goenv file: a proxy", goenv("GOPROXY=off\nGONOSUMDB=*\n"), NONE),
    Row("goenv file: GOWORK=off", goenv("GOWORK=off\n"), ALL, "go.work", workspace()),
    Row("goenv file: GOAMD64", goenv("GOAMD64=v3\n"), AMD64, "GOAMD64"),
    declaring("tags that name nothing", ALL, "tags", tags=("nothing",)),
    declaring("another stamp", ALL, "ldflags", ldflags="-X main.version=v77"),
    declaring("-trimpath=false", ALL, "flags", flags=("-trimpath=false",)),
    declaring("debug", ALL, "flags", debug=True),
    declaring("-gcflags", ALL, "flags", flags=("-gcflags=-l",)),
    declaring("GOENV of the declaration", AMD64, "GOAMD64", env=(("GOAMD64", "v3"),)),
]  # fmt: skip
ROWS = [*NAMES, *TAGS, *SOURCES, *NATIVE, *EMBEDDED, *MODULES, *WORKSPACES, *VENDORED, *MISTAKES, *SETTINGS]
