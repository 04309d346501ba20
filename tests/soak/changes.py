"""The tables of Go changes on a whole build for six platforms, in a module of somebody else if one is named.

Each change is made and taken back. After each, programs are compared with those that `go build` makes of a fresh copy
elsewhere; an image is made again only when its program has other bytes; the run after is a no-op.
Run by hand: python tests/soak/changes.py [--module golang.org/x/tools@v0.52.0 --program ./cmd/stringer [--vendor]] [--only TEXT]
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "site_scons"))

from integration import golang_rows, test_golang
from integration.golang_repository import FILES, Repository
from integration.golang_rows import ALL, NONE, PLATFORMS, Row, nothing
from machines.project import ROOT, Project, Run
from multiarch_oci.platform import Platform
from soak import alone

DOCKERFILE = "FROM scratch\nARG TARGETOS\nCOPY _output/bin/{}/{} /program\n"
FLAGS = ("-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid= -X main.version=v1")
KEPT = ("GOPROXY", "GOMODCACHE", "GOCACHE")
HOOK = """\
package main

import (
	"os"

	"{module}/asm"
	"{module}/cg"
	"{module}/emb"
	"{module}/p05"
	"{module}/plat"
	"ex.org/lib"
	"ex.org/ven"
)

func init() {
	if len(os.Args) > 99 {
		println(asm.Add(1, 2), cg.Kind(), emb.All(), p05.Value(), plat.Name(), lib.Name(), ven.Name())
	}
}
"""
MOD = """
require (
	ex.org/lib v0.0.0
	ex.org/ven v0.0.0
)

replace ex.org/lib => ../lib

replace ex.org/ven => ./third/ven
"""


class Foreign(Repository):
    """A module of somebody else, with our packages beside its own and imported by its program."""

    def __init__(self, folder: Path, source: Path, program: str) -> None:
        self.folder = folder
        shutil.copytree(source, folder / "app")
        for path in [folder, *folder.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o600)
        mod = (folder / "app/go.mod").read_text(encoding="utf-8")
        lines = [line for line in mod.splitlines() if not line.startswith("toolchain ")]
        main = next(
            path
            for path in sorted((folder / "app" / program).glob("*.go"))
            if "\nfunc main() {" in path.read_text("utf-8")
        )
        self.words = {  # type: ignore[misc]  # this module's own
            "{main}": str(main.parent.relative_to(folder)),
            "{mainfile}": str(main.relative_to(folder)),
            "{module}": lines[0].split()[1],
            "{go}": "1.26.1",
            "{newer}": "1.26.2",
        }
        self.write("app/go.mod", "\n".join(lines) + MOD)
        for name, text in FILES.items():
            if name != "app/go.mod" and not name.startswith("app/cmd/a/") and not self.path(name).exists():
                self.write(name, text.replace("ex.org/app", self.module))
        self.write("{main}/zz_hook.go", HOOK)


@dataclass
class Figures:
    """What was done and found: rows, directions, steps; each failure in words."""

    rows: int = 0
    builds: int = 0
    compiled: int = 0
    same_bytes: int = 0
    images: int = 0
    failures: list[str] = field(default_factory=list)


class Changes:
    """A tree with a repository in it, built in place; and what a build from clean would make."""

    def __init__(self, folder: Path, repository: Repository, package: str) -> None:
        self.folder, self.repository, self.package = folder, repository, package
        self.tree = Project(repository.path("app"))
        self.figures = Figures()
        shutil.copytree(ROOT / "site_scons", self.tree.path / "site_scons")
        sconstruct = (ROOT / "SConstruct").read_text(encoding="utf-8")
        declared = 'env.GoImage("demo")'
        assert declared in sconstruct
        sconstruct = sconstruct.replace(declared, f'env.GoImage("demo", "{package}", **OVERRIDES)')
        sconstruct = sconstruct.replace("main.version=$VERSION", "main.version=v1")
        self.tree.edit("SConstruct", "OVERRIDES = {}\n" + sconstruct)
        self.tree.edit("VERSION", "v1\n")
        for platform in map(Platform.parse, PLATFORMS):
            name = "demo.exe" if platform.os == "windows" else "demo"
            recipe = platform.dockerfiles()[0]
            self.tree.edit(recipe, DOCKERFILE.format(platform.directory, name))
        self.environment = {"GOENV": str(repository.path("goenv"))}

    def build(self, row: Row | None = None) -> Run:
        """Run SCons in place."""
        if row is not None and row.declared:
            names = {"tags": "GOTAGS", "ldflags": "GOLDFLAGS", "flags": "GOFLAGS", "env": "GOENV", "debug": "debug"}
            values = {names[key]: dict(value) if key == "env" else value for key, value in row.declared.items()}
            self.repository.replace("app/SConstruct", "OVERRIDES = {}", f"OVERRIDES = {values!r}")
        self.figures.builds += 1
        base = dict(row.base) if row else {}
        return self.tree.scons(
            "-k", "images", f"PLATFORMS={','.join(PLATFORMS)}", check=False, env=self.environment | base
        )

    def clean(self, row: Row | None) -> dict[str, str]:
        """Compile a fresh copy by `go build` alone; the digest of each program, "" where it fails.

        Go's build cache does not know all headers: a remark at the end of what includes them makes it compile anew.
        """
        copy = self.folder / "clean"
        ignore = shutil.ignore_patterns("_output", ".multiarch", "site_scons")
        shutil.copytree(self.repository.folder, copy, symlinks=True, ignore=ignore)
        for source in (copy / "app/asm").glob("*.s"):
            if not source.is_symlink():
                source.write_text(source.read_text(encoding="utf-8") + f"\n// {time.time_ns()}\n", encoding="utf-8")
        try:
            return {name: self._compile(copy, name, row) for name in PLATFORMS}
        finally:
            shutil.rmtree(copy)

    def _compile(self, copy: Path, name: str, row: Row | None) -> str:
        platform = Platform.parse(name)
        base = dict(row.base) if row else {}
        declared = dict(row.declared) if row else {}
        variant = {"GOARM": "7"} if platform.architecture == "arm" else {}
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GO") or key in KEPT}
        environment |= {"GODEBUG": "goindex=0", **self.environment, **base, **variant}
        environment |= {
            "GOOS": platform.os,
            "GOARCH": platform.architecture,
            "CGO_ENABLED": "0",
            "GOTOOLCHAIN": "local",
        }
        environment |= {"GOENV": str(copy / "goenv"), "PWD": str(copy / "app"), **dict(declared.get("env", ()))}
        environment.pop("GOROOT", None)
        flags = [*FLAGS, *(("-tags=" + ",".join(declared["tags"]),) if "tags" in declared else ())]
        if "ldflags" in declared:
            flags[2] = f"-ldflags=-s -w -buildid= {declared['ldflags']}"
        if declared.get("debug"):
            flags[2:] = ["-gcflags=all=-N -l", "-ldflags=-buildid= -X main.version=v1"]
        output = self.folder / "program"
        output.unlink(missing_ok=True)
        subprocess.run(
            ["go", "build", *flags, *declared.get("flags", ()), "-o", output, self.package],
            cwd=copy / "app", env=environment, capture_output=True, check=False,
        )  # fmt: skip
        if not output.exists() or output.read_bytes().startswith(b"!<arch>"):
            return ""
        return hashlib.sha256(output.read_bytes()).hexdigest()

    def programs(self) -> dict[str, str]:
        found = {}
        for name in PLATFORMS:
            platform = Platform.parse(name)
            path = (
                self.tree.path
                / "_output/bin"
                / platform.directory
                / ("demo.exe" if platform.os == "windows" else "demo")
            )
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
        return found

    def begin(self) -> None:
        """Build everything for the first time."""
        run = self.build()
        assert run.status == 0, run.text
        assert self.programs() == self.clean(None), "the first build is not the clean one"

    def apply(self, row: Row) -> None:
        """Make a change and take it back; note what is wrong."""
        self.figures.rows += 1
        with self.repository.edited():
            if row.prepare is not nothing:
                row.prepare(self.repository)
                prepared = self.build()
                if prepared.status:
                    self.wrong(row, "prepared", "does not build", prepared)
                    return
            before = self.programs()
            with self.repository.edited():
                row.change(self.repository)
                run = self.build(row)
                wanted = self.clean(row)
                self.judge(row, "forth", before, run, wanted)
            now = self.programs()
            self.judge(row, "back", now, self.build(), before)
        if row.prepare is not nothing:
            self.build()

    def judge(self, row: Row, way: str, before: dict[str, str], run: Run, wanted: dict[str, str]) -> None:
        fails = [name for name, digest in wanted.items() if not digest]
        if bool(fails) != (run.status != 0):
            self.wrong(row, way, f"exit {run.status}, from clean {len(fails)} fail", run)
            return
        mine = self.programs()
        placed = "-trimpath=false" in dict(row.declared).get("flags", ())  # the program names the folder it is built in
        stale = [
            name
            for name in PLATFORMS
            if wanted[name] and mine[name] != wanted[name] and not (placed and way == "forth")
        ]
        if stale:
            self.wrong(row, way, f"not as from clean: {stale}", run)
        compiled = {name for name in PLATFORMS if f"Compile _output/bin/{Platform.parse(name).directory}/" in run.text}
        self.figures.compiled += len(compiled)
        self.figures.same_bytes += sum(before[name] == mine[name] for name in compiled)
        if way == "forth" and compiled - set(row.touched):
            self.wrong(row, way, f"compiled without need: {sorted(compiled - set(row.touched))}", run)
        for name in PLATFORMS:
            imaged = f"Image _output/images/demo-{Platform.parse(name).slug}.tar" in run.text
            self.figures.images += imaged
            if imaged != (before[name] != mine[name]) and not run.status:
                self.wrong(row, way, f"{name}: image made again: {imaged}, program differs: {not imaged}", run)
        if (
            way == "forth"
            and row.why
            and not row.why.startswith("go list")
            and compiled
            and ", and " not in run.text  # a line names three reasons
            and row.why.split()[0].rstrip(":") not in run.text
        ):
            self.wrong(row, way, f"the reason is not told: {row.why}", run)
        again = self.build(row if way == "forth" and not row.declared else None)
        if again.steps and not run.status:
            self.wrong(row, way, "the run after is no no-op", again)

    def wrong(self, row: Row, way: str, what: str, run: Run) -> None:
        text = "\n".join(run.text.splitlines()[-14:])
        self.figures.failures.append(f"{row.words} ({way}): {what}")
        alone.say(f"FAILED {row.words} ({way}): {what}\n{text}")


def together(rows: list[Row]) -> list[Row]:
    """Rows that touch nothing can be one row: whatever is compiled then is wrong."""
    plain = [
        row
        for row in rows
        if not row.touched and not (row.base or row.declared) and row.prepare is nothing and alone_in(row)
    ]
    one = Row(f"{len(plain)} changes that touch nothing", lambda r: [row.change(r) for row in plain], NONE)
    return [one, *(row for row in rows if row not in plain)]


def alone_in(row: Row) -> bool:
    """Whether a change can be made beside the others."""
    return "swapped" not in row.words and "again" not in row.words


def table() -> list[Row]:
    """Both tables; that of 39 has no reasons, and allows what its platforms have in common with ours."""
    found = [Row(words, change, NONE if not touched else ALL) for words, change, touched in test_golang.ROWS]
    found += [Row(words, change, ALL, fails=said) for words, change, said in test_golang.ERRORS]
    return [*found, *golang_rows.ROWS]


@contextlib.contextmanager
def foreign(folder: Path, module: str, program: str, *, vendor: bool) -> Iterator[Repository]:
    """Fetch a module from the proxy, and plant our packages in it."""
    told = subprocess.run(["go", "mod", "download", "-json", module], capture_output=True, text=True, check=True)
    repository = Foreign(folder / "repo", Path(json.loads(told.stdout)["Dir"]), program)
    if vendor:
        subprocess.run(["go", "mod", "vendor"], cwd=repository.path("app"), check=True)
    yield repository


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--module", default="")
    parser.add_argument("--program", default="./cmd/a")
    parser.add_argument("--vendor", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--not", default="", dest="without", help="comma-separated parts of the words of rows")
    parser.add_argument("--part", default="1/1", help="2/3: of three rows the second")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0, help="shuffle the rows")
    told = parser.parse_args()
    modules = subprocess.run(["go", "env", "GOMODCACHE"], capture_output=True, text=True, check=True).stdout.strip()
    enough = alone.limit(told.minutes * 60)
    with alone.surroundings() as folder:
        os.environ["GOMODCACHE"] = modules
        if told.module:
            with foreign(folder, told.module, told.program, vendor=told.vendor) as repository:
                changes = Changes(folder, repository, told.program)
        else:
            changes = Changes(folder, Repository(folder / "repo"), told.program)
        changes.begin()
        rows = [row for row in table() if told.only in row.words]
        without = [words for words in told.without.split(",") if words]
        rows = [row for row in rows if not any(words in row.words for words in without)]
        rows = together(rows)
        number, parts = map(int, told.part.split("/"))
        rows = rows[number - 1 :: parts]
        if told.seed:
            Random(told.seed).shuffle(rows)  # noqa: S311  # which rows a short run takes
        for row in rows:
            if enough():
                break
            began = time.monotonic()
            changes.apply(row)
            alone.say(f"{changes.figures.rows}: {row.words} ({time.monotonic() - began:.1f} s)")
    figures = changes.figures
    alone.say(
        f"{figures.rows} rows, {figures.builds} builds, {figures.compiled} programs compiled"
        f" ({figures.same_bytes} to the same bytes), {figures.images} images, {len(figures.failures)} failures"
    )
    return 1 if figures.failures else 0


if __name__ == "__main__":
    sys.exit(main())
