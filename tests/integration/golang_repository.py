"""A small Go repository that holds one of everything that decides which files belong to a program."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, TypeAlias

import pytest

from multiarch_oci.golang.inputs import Inputs
from multiarch_oci.golang.toolchain import Toolchain, find_go
from multiarch_oci.why import Facts, changes

FILES = {
    "app/go.mod": """\
module ex.org/app // the program

go 1.24

require (
\tex.org/lib v0.0.0
\tex.org/ven v0.0.0
)

replace ex.org/lib => ../lib

replace ex.org/ven => ./third/ven
""",
    "app/cmd/a/main.go": """\
package main

import (
\t"fmt"

\t"ex.org/app/asm"
\t"ex.org/app/cg"
\t"ex.org/app/emb"
\t"ex.org/app/p05"
\t"ex.org/app/plat"
\t"ex.org/lib"
\t"ex.org/ven"
)

var version = "none"

func main() {
\tfmt.Println(version, asm.Add(1, 2), cg.Kind(), emb.All(), p05.Value(), plat.Name(), lib.Name(), ven.Name())
}
""",
    "app/cmd/b/main.go": "package main\n\nfunc main() { println(kind()) }\n",
    "app/cmd/b/kind.go": '//go:build !feature\n\npackage main\n\nfunc kind() string { return "plain" }\n',
    "app/cmd/b/kind_feature.go": '//go:build feature\n\npackage main\n\nfunc kind() string { return "feature" }\n',
    "app/p05/p.go": 'package p05\n\nfunc Value() string { return "value 1" }\n',
    "app/p05/p_test.go": "package p05\n",
    "app/p05/testdata/x.txt": "x",
    "app/plat/plat.go": "package plat\n\nvar names []string\n\nfunc Name() string { return names[0] }\n",
    "app/plat/os_linux.go": 'package plat\n\nfunc init() { names = append(names, "linux") }\n',
    "app/plat/os_windows.go": 'package plat\n\nfunc init() { names = append(names, "windows") }\n',
    "app/plat/os_other.go": '//go:build !linux && !windows\n\npackage plat\n\nfunc init() { names = append(names, "other") }\n',
    "app/plat/extra_linux_arm64.go": 'package plat\n\nfunc init() { names = append(names, "extra") }\n',
    "app/plat/arch_arm64.go": 'package plat\n\nfunc init() { names = append(names, "arm64") }\n',
    "app/plat/any.go": 'package plat\n\nfunc init() { names = append(names, "any") }\n',
    "app/plat/unix_only.go": '//go:build unix && go1.21\n\npackage plat\n\nfunc init() { names = append(names, "unix") }\n',
    "app/asm/add_amd64.go": "package asm\n\nfunc Add(a, b int64) int64\n",
    "app/asm/add_other.go": "//go:build !amd64\n\npackage asm\n\nfunc Add(a, b int64) int64 { return a + b }\n",
    "app/asm/mac.h": "#define EXTRA $0\n",
    "app/asm/add_amd64.s": """\
#include "textflag.h"
#include "mac.h"
#include "../inc/outside.h"

TEXT ·Add(SB), NOSPLIT, $0-24
\tMOVQ a+0(FP), AX
\tADDQ b+8(FP), AX
\tADDQ EXTRA, AX
\tADDQ OUTSIDE, AX
\tMOVQ AX, ret+16(FP)
\tRET
""",
    "app/inc/outside.h": '#include "../inc/deeper.h"\n#define OUTSIDE DEEPER\n',
    "app/inc/deeper.h": "#define DEEPER $0\n",
    "app/inc/unused.h": "#define UNUSED $0\n",
    "app/emb/emb.go": """\
package emb

import "embed"

//go:embed one.txt
var one string

//go:embed folder
var folder embed.FS

//go:embed all:every
var every embed.FS

//go:embed glob/*.txt
var glob embed.FS

func All() int {
\tsum := len(one)
\tfor _, files := range []embed.FS{folder, every, glob} {
\t\tentries, _ := files.ReadDir(".")
\t\tsum += len(entries)
\t}
\treturn sum
}
""",
    "app/emb/emb_windows.go": 'package emb\n\nimport _ "embed"\n\n//go:embed win.txt\nvar win string\n',
    "app/emb/one.txt": "one",
    "app/emb/win.txt": "win",
    "app/emb/folder/f1.txt": "f1",
    "app/emb/folder/f2.txt": "f2",
    "app/emb/folder/sub/f3.txt": "f3",
    "app/emb/every/e1.txt": "e1",
    "app/emb/every/.hidden": "hidden",
    "app/emb/glob/g1.txt": "g1",
    "app/emb/glob/g.dat": "dat",
    "app/cg/cg_off.go": '//go:build !cgo\n\npackage cg\n\nfunc Kind() string { return "off" }\n',
    "app/cg/cg_on.go": (
        'package cg\n\n/*\n#cgo CFLAGS: -I${SRCDIR}/../inc\n#include "cg.h"\n*/\nimport "C"\n\n'
        "func Kind() string { return C.GoString(C.kind()) }\n"
    ),
    "app/cg/cg.c": '#include "cg.h"\n#include <cgo_outside.h>\nconst char *kind(void) { return KIND; }\n',
    "app/cg/cg.h": "const char *kind(void);\n",
    "app/inc/cgo_outside.h": '#define KIND "on 1"\n',
    "app/unimported/u.go": "package unimported\n",
    "app/library/l.go": "package library\n",
    "app/nested/go.mod": "module ex.org/nested\n\ngo 1.24\n",
    "app/nested/n.go": "package nested\n",
    "app/README.md": "read me\n",
    "app/third/ven/go.mod": "module ex.org/ven\n\ngo 1.24\n",
    "app/third/ven/ven.go": 'package ven\n\nvar name = "ven"\n\nfunc Name() string { return name }\n',
    "app/third/ven/os_other.go": '//go:build !linux\n\npackage ven\n\nfunc init() { name = "other" }\n',
    "lib/go.mod": "module ex.org/lib\n\ngo 1.24\n",
    "lib/lib.go": 'package lib\n\nfunc Name() string { return "lib 1" }\n',
}


class Repository:
    """The files on disk, with edits that can be taken back.

    Names and texts may hold `{main}` (the program's folder), `{mainfile}`, `{module}` (its path), `{go}` and `{newer}`
    (versions that its go.work may name), so that the same edits fit a module of somebody else.
    """

    words: ClassVar[dict[str, str]] = {
        "{main}": "app/cmd/a",
        "{mainfile}": "app/cmd/a/main.go",
        "{module}": "ex.org/app",
        "{go}": "1.24",
        "{newer}": "1.25",
    }

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in FILES.items():
            self.write(name, text)

    @property
    def module(self) -> str:
        return self.words["{module}"]

    def path(self, name: str) -> Path:
        return self.folder / self._meant(name)

    def read(self, name: str) -> str:
        return self.path(name).read_bytes().decode()

    def write(self, name: str, text: str) -> None:
        self.write_bytes(name, self._meant(text).encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_bytes(content)

    def append(self, name: str, text: str) -> None:
        self.write(name, (self.read(name) if self.path(name).exists() else "") + text)

    def replace(self, name: str, old: str, new: str) -> None:
        text = self.read(name)
        assert self._meant(old) in text, f"{name} does not hold {old!r}"
        self.write(name, text.replace(self._meant(old), new, 1))

    def remove(self, name: str) -> None:
        self.path(name).unlink()

    def rename(self, name: str, other: str) -> None:
        self.path(name).rename(self.path(other))

    def link(self, name: str, target: str) -> None:
        self.path(name).unlink(missing_ok=True)
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).symlink_to(target)

    def require_go(self, version: str) -> None:
        """Let go.mod ask for another Go."""
        self.write("app/go.mod", re.sub(r"(?m)^go .*$", f"go {version}", self.read("app/go.mod"), count=1))

    @contextmanager
    def edited(self) -> Iterator[None]:
        """Take back, afterwards, whatever was done to the files meanwhile, but for their times."""
        before = self._state()
        try:
            yield
        finally:
            for path in [path for path, state in self._state().items() if before.get(path, [])[:1] != state[:1]]:
                if path.is_symlink() or path.is_file():
                    path.unlink()
                elif path.exists():
                    shutil.rmtree(path)
            after = self._state()
            for path, state in before.items():
                if after.get(path) != state:
                    _restore(path, state)

    def _meant(self, text: str) -> str:
        for word, meaning in self.words.items():
            text = text.replace(word, meaning)
        return text

    def _state(self) -> dict[Path, list[object]]:
        """Everything below, as [kind, contents, mode, mtime], folders before what is in them."""
        found: dict[Path, list[object]] = {}
        for base, folders, names in os.walk(self.folder):
            folders[:] = sorted(set(folders) - {".multiarch", "site_scons"})
            if Path(base).name == "_output":  # what is built there is nobody's edit
                folders[:], names[:] = [], [name for name in names if name.endswith(".go")]
            for path in (Path(base) / name for name in (*folders, *names)):
                status = path.lstat()
                if path.is_symlink():
                    found[path] = ["link", os.readlink(path)]  # noqa: PTH115  # as text
                elif path.is_dir():
                    found[path] = ["folder"]
                else:
                    found[path] = ["file", path.read_bytes(), status.st_mode, status.st_mtime_ns]
        return found


def _restore(path: Path, state: list[object]) -> None:
    """Write what was there; its mtime is now, as an editor's."""
    if state[0] == "folder":
        path.mkdir(exist_ok=True)
        return
    path.unlink(missing_ok=True)
    if state[0] == "link":
        path.symlink_to(str(state[1]))
    else:
        _, content, mode, _ = state
        assert isinstance(content, bytes)
        assert isinstance(mode, int)
        path.write_bytes(content)
        path.chmod(mode & 0o777)


Change: TypeAlias = "Callable[[Repository], object]"


def edit(name: str, old: str, new: str) -> Change:
    return lambda repository: repository.replace(name, old, new)


def append(name: str, text: str) -> Change:
    return lambda repository: repository.append(name, text)


def remove(name: str) -> Change:
    return lambda repository: repository.remove(name)


def rename(name: str, other: str) -> Change:
    return lambda repository: repository.rename(name, other)


def link(name: str, target: str) -> Change:
    return lambda repository: repository.link(name, target)


def toolchain_of(minimum: str) -> Toolchain:
    """Return Go from PATH; without one the test is skipped, and fails in CI."""
    try:
        return find_go(os.environ["PATH"], minimum=minimum)
    except Exception:
        if os.environ.get("CI"):
            raise
        pytest.skip("no Go on PATH")


def explain(before: Inputs, after: Inputs) -> str:
    """Return every change between two inputs, in the words that a build says."""
    facts = (Facts(inputs.facts, inputs.files) for inputs in (before, after))
    return ", ".join(changes(*facts)) or "nothing changed"
