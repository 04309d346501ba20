"""`go build`: its output beside the target first, its failures as errors that say what to do."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from multiarch.errors import MultiarchError
from multiarch.golang.answers import run_process
from multiarch.golang.inputs import Hints
from multiarch.golang.listing import Run, without_index
from multiarch.golang.project import overlaid
from multiarch.golang.recipe import GoBuild, command, flag_value, flags_of
from multiarch.golang.toolchain import Toolchain
from multiarch.record import replace

_ARCHIVE = b"!<arch>\n"
_HEAP = frozenset(("GOGC", "GOMEMLIMIT"))
_NO_COMPILER = re.compile(r'C compiler "([^"]*)" not found|exec: "([^"]*)": executable file not found|requires cgo')
_NO_PACKAGE = re.compile(
    r"directory not found|no Go files in|is not in std|no required module provides package|cannot find module providing"
    r"|does not contain package|cannot find main module|go\.mod file not found|no such file or directory$"
)
_NOT_LOCAL = re.compile(r"go\.mod requires go >= (\S+) \(running go (\S+);")


class CompileFailed(MultiarchError):
    """`go build` refused; `what` ends with what it wrote, line by line, as an editor or a person can follow it."""


class NoMainPackage(MultiarchError):
    """The package was compiled, but is a library: there is no program."""


def build(  # all but the first four have defaults
    build: GoBuild,
    output: Path,
    toolchain: Toolchain,
    environment: Mapping[str, str],
    *,
    hints: Hints | None = None,
    again: bool = False,
    run: Run = run_process,
) -> None:
    """Write the program `output`, whole or not at all; it is not marked, signed or otherwise touched after `go`.

    `environment` is that of `go`, but for what the next two add. `hints`, from the inputs, keep Go's own caches from
    being stale; they do not change a byte of what a build from clean writes. `again`: it was built before, so mostly it
    is but linked, which is faster with less garbage collection and takes a tenth more memory then. One build at a time
    of one output: what killed ones left beside it is removed. Raises CompileFailed and NoMainPackage; an output from
    before stays as it was then.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    for left in output.parent.glob(f".{glob.escape(output.name)}.*.part"):
        left.unlink(missing_ok=True)
    beside = output.with_name(f".{output.name}.{os.getpid()}.part")
    hints = hints or Hints()
    used = without_index(environment) if hints.no_index else dict(environment)
    if again and not _HEAP & used.keys():
        used["GOGC"] = "400"
    try:
        with _overlay(build, environment, hints) as flags:
            line = command(replace(build, flags=(*build.flags, *flags)), beside, toolchain, environment)
            status, _, complaint = run(line, build.directory, used)
        if status != 0 or not beside.exists():
            raise _failure(build, complaint.strip() or f"go build ended with status {status}")
        if not flag_value(flags_of(build, environment), "buildmode") and _starts(beside, _ARCHIVE):
            raise NoMainPackage(
                f"{build.package} is not a program: its package is not called main",
                where=str(build.directory),
                hint="name the folder of a 'package main', for instance package=\"./cmd/demo\"",
            )
        beside.replace(output)
    finally:
        beside.unlink(missing_ok=True)


def _failure(build: GoBuild, complaint: str) -> CompileFailed:
    lines = [line for line in complaint.splitlines() if not line.startswith("go: downloading ")]
    text = "\n".join(lines)
    hint = None
    if found := _NO_COMPILER.search(text):
        compiler = found[1] or found[2] or "one"
        hint = f'install {compiler}, a C compiler for {build.platform}, or name another: cc="zig cc -target …"'
    elif found := _NOT_LOCAL.search(text):
        hint = f"Go {found[1]} is needed and {found[2]} is used: ./sconsw installs a newer one"
    elif _NO_PACKAGE.search(text) and "\n#" not in f"\n{text}":
        hint = f"the package is looked for from {build.directory}; `go mod tidy` adds missing modules"
    return CompileFailed(f"go build of {build.package} for {build.platform} failed\n{text}", hint=hint)


def _starts(path: Path, magic: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(magic)) == magic


@contextlib.contextmanager
def _overlay(build: GoBuild, environment: Mapping[str, str], hints: Hints) -> Iterator[tuple[str, ...]]:
    """The flag that makes Go see headers outside a package: a header inside it that holds their digest.

    Go hashes every header of a package's folder, whether or not it is included, and none outside. An overlay leaves
    the folder alone and is not recorded in the program.
    """
    if not hints.headers:
        yield ()
        return
    named = flag_value(flags_of(build, environment), "overlay")
    replaced = overlaid(build.directory / named) if named else {}
    with tempfile.TemporaryDirectory(prefix="go-headers-") as temporary:
        folder = Path(temporary)
        for number, (package, digest) in enumerate(hints.headers):
            header = folder / f"{number}.h"
            header.write_text(f"// {digest}\n", encoding="ascii")
            replaced[str(Path(package) / "zz_headers_outside.h")] = str(header)
        listed = folder / "overlay.json"
        listed.write_text(json.dumps({"Replace": replaced}), encoding="utf-8")
        yield (f"-overlay={listed}",)
