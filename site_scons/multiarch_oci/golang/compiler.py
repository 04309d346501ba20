"""`go build`: its output beside the target first, its failures as errors that say what to do."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from multiarch_oci.errors import MultiarchError
from multiarch_oci.golang.answers import run_process
from multiarch_oci.golang.inputs import Hints
from multiarch_oci.golang.listing import Run, without_index
from multiarch_oci.golang.overlay import shown
from multiarch_oci.golang.recipe import GoBuild, command, flag_value, flags_of
from multiarch_oci.golang.toolchain import Toolchain

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
    for remnant in output.parent.glob(f".{glob.escape(output.name)}.*.part"):
        remnant.unlink(missing_ok=True)
    beside = output.with_name(f".{output.name}.{os.getpid()}.part")
    hints = hints or Hints()
    used = dict(environment)
    if again and not _HEAP & used.keys():
        used["GOGC"] = "400"
    try:
        with shown(build, environment, hints) as view:
            line = command(replace(build, flags=(*build.flags, *view.flags)), beside, toolchain, environment)
            status, _, complaint = run(line, build.directory, used if view.indexed else without_index(used))
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
    if match := _NO_COMPILER.search(text):
        compiler = match[1] or match[2] or "one"
        hint = f'install {compiler}, a C compiler for {build.platform}, or name another: cc="zig cc -target …"'
    elif match := _NOT_LOCAL.search(text):
        hint = f"Go {match[1]} is needed and {match[2]} is used: https://go.dev/dl has a newer one"
    elif _NO_PACKAGE.search(text) and "\n#" not in f"\n{text}":
        hint = f"the package is looked for from {build.directory}; `go mod tidy` adds missing modules"
    return CompileFailed(f"go build of {build.package} for {build.platform} failed\n{text}", hint=hint)


def _starts(path: Path, magic: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(magic)) == magic
