"""`go build`: its output beside the target first, its failures as errors that say what to do.

What it is told and shown beside the files of the tree, lest its own caches be stale:

Headers outside a package. Go hashes every header of a package's folder, whether or not it is included, and none
outside: a header inside it that holds their digest stands for them, by an overlay (`-overlay`). That leaves the tree
alone and is not recorded in the program; nothing that it adds is compiled, so no path of ours reaches a program or a
message. Where a package embeds the folder of such a header, and where the temporary folder lies in one, it would embed
it: then everything is compiled again (`-a`).

A package in which an mtime was set back. Go's package index (cmd/go, internal/modindex) is keyed by the names, sizes
and mtimes of a folder's files: then Go does without it (`GODEBUG=goindex=0`), which costs a tenth of a second.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from multiarch_oci.errors import MultiarchError
from multiarch_oci.golang.answers import run_process
from multiarch_oci.golang.inputs import Hints, Run, without_index
from multiarch_oci.golang.modules import overlaid
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
    used = {**environment, "GOGC": "400"} if again and not _HEAP & environment.keys() else environment
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
    elif "go.mod file not found" in text:
        hint = f"{build.directory} and the folders above it have none: `go mod init` writes one"
    elif _NO_PACKAGE.search(text) and "\n#" not in f"\n{text}":
        hint = f"the package is looked for from {build.directory}; `go mod tidy` adds missing modules"
    return CompileFailed(f"go build of {build.package} for {build.platform} failed\n{text}", hint=hint)


def _starts(path: Path, magic: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(magic)) == magic


_HEADER = "zz_headers_outside.h"
_SPECIAL = r"[*?\[\]]|\\."


class View(msgspec.Struct, frozen=True):
    """How Go is called: further flags, and whether it may use its package index."""

    flags: tuple[str, ...]
    indexed: bool


@contextlib.contextmanager
def shown(build: GoBuild, environment: Mapping[str, str], hints: Hints) -> Iterator[View]:
    """Lay out what `hints` ask for, for as long as Go runs. OSError where no temporary file can be written.

    With an overlay of the user Go does without its index: of files in the place of others it knows no more either.
    """
    named = flag_value(flags_of(build, environment), "overlay")
    indexed = not named and not hints.no_index
    if not hints.headers:
        yield View((), indexed)
    elif _is_out_of_bounds([folder for folder, _ in hints.headers], environment, hints):
        yield View(("-a",), indexed)
    else:
        replaced = overlaid(build.directory / named) if named else {}
        with tempfile.TemporaryDirectory(prefix="go-overlay-") as temporary:
            for number, (package, digest) in enumerate(hints.headers):
                header = Path(temporary, f"{number}.h")
                header.write_text(f"// {digest}\n", encoding="ascii")
                replaced[str(Path(package, _HEADER))] = str(header)
            listed = Path(temporary, "overlay.json")
            listed.write_text(json.dumps({"Replace": replaced}), encoding="utf-8")
            yield View((f"-overlay={listed}",), indexed)


def _is_out_of_bounds(packages: Sequence[str], environment: Mapping[str, str], hints: Hints) -> bool:
    """Whether in one of these folders no header can be shown; the temporary one counts, too.

    Go takes no overlay of its module cache, and a program would hold what a package embeds: that of the folder, or one
    above it.
    """
    temporary = tempfile.gettempdir()
    folders = [temporary, os.path.realpath(temporary), *packages]
    cache = module_cache(environment)
    if any(_is_below(folder, cache) for folder in folders):
        return True
    for above, patterns in hints.embeds:
        below = [Path(folder, _HEADER).relative_to(above).as_posix() for folder in folders if _is_below(folder, above)]
        if any(may_embed(pattern, path) for pattern in patterns for path in below):
            return True
    return False


def _is_below(folder: str, above: str) -> bool:
    return folder == above or folder.startswith(above.rstrip(os.sep) + os.sep)


def module_cache(environment: Mapping[str, str]) -> str:
    """Where the environment says that it is (`go help environment`)."""
    path = environment.get("GOPATH", "").split(os.pathsep)[0]
    home = environment.get("HOME") or environment.get("USERPROFILE") or os.sep
    return environment.get("GOMODCACHE") or os.path.join(path or os.path.join(home, "go"), "pkg", "mod")  # noqa: PTH118


def may_embed(pattern: str, path: str) -> bool:
    """Whether a pattern of `//go:embed` could take this path, or a folder above it or a name below it.

    Nothing is worked out: of each name (path.Match) what stands before the first wildcard and behind the last one
    decides, in doubt for yes; and of a folder that is taken everything counts, though Go leaves out links and names
    that begin with `.` or `_`: what an overlay adds below a link makes it a folder.
    """
    parts = pattern.removeprefix("all:")
    if os.name == "nt":
        parts = parts.replace("\\", "/")
    return all(map(_may_match, parts.split("/"), path.split("/")))


def _may_match(pattern: str, name: str) -> bool:
    parts = re.split(_SPECIAL, pattern)
    return name == pattern if len(parts) == 1 else name.startswith(parts[0]) and name.endswith(parts[-1])
