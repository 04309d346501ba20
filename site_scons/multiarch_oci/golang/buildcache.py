"""Compiled packages of the standard library and of modules, carried from one build cache of Go to another.

Go's build cache (cmd/go/internal/cache) has for each action, by the digest of all that it depends on, a line that names
its output (`xx/<action>-a`), and the output by its own sha256 (`xx/<output>-d`). What is carried is a list of both and,
in one gzip stream, the outputs in the order of the list: no names of files, no times, equal caches make equal bytes.

Go decides by the action whether it uses an output, so a list of another program is of no harm. That an output is what
its action makes is known to whoever compiled it alone: the list is to be believed as a program is.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import re
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from multiarch_oci.document import canonical
from multiarch_oci.errors import MultiarchError
from multiarch_oci.golang.inputs import Run
from multiarch_oci.golang.recipe import GoBuild, command, goenv
from multiarch_oci.golang.toolchain import Toolchain
from multiarch_oci.gzipstream import BLOCK, member

_LONGEST_LIST = 4 << 20
_MOST = 20_000
_LARGEST = 8 << 30
_HEX = re.compile(r"[0-9a-f]{64}")
_LINE = re.compile(rb"v1 ([0-9a-f]{64}) ([0-9a-f]{64}) +(\d{1,15}) +\d{1,20}\n")
_BUILD_ID = re.compile(r"([A-Za-z0-9_-]{20})/\S*")
# What was compiled of other modules than those of this tree, and the standard library.
_ASKED = (
    "{{if and .Export (or .Standard (and .Module .Module.Version (or (not .Module.Replace) .Module.Replace.Version)))}}"
    "{{.BuildID}} {{.Export}}{{end}}"
)


class BadPackages(MultiarchError):
    """A list or a stream of packages that is not what it should be."""


class Package(msgspec.Struct, frozen=True, array_like=True, order=True):
    """A compiled package: its action and its output in hexadecimal, and the output's size in bytes."""

    action: str
    output: str
    size: int

    @property
    def line(self) -> Path:
        """Where a build cache has the line of the action."""
        return Path(self.action[:2], f"{self.action}-a")

    @property
    def content(self) -> Path:
        """Where a build cache has the output."""
        return Path(self.output[:2], f"{self.output}-d")

    def is_in(self, folder: Path) -> bool:
        """Whether a build cache has the package, as Go would look for it."""
        try:
            return _read_line(folder / self.line) == self and (folder / self.content).stat().st_size == self.size
        except OSError:
            return False


def read_list(content: bytes, *, where: str) -> tuple[Package, ...]:
    """The packages that a list names. BadPackages for anything else than what `write_list` writes."""
    try:
        packages = msgspec.json.decode(content[:_LONGEST_LIST], type=tuple[Package, ...])
    except (ValueError, RecursionError):  # msgspec's own errors are ValueErrors
        raise BadPackages("is no list of packages", where=where) from None
    right = all(_HEX.fullmatch(p.action) and _HEX.fullmatch(p.output) and p.size >= 0 for p in packages)
    if not right or len(packages) > _MOST or sum(package.size for package in packages) > _LARGEST:
        raise BadPackages("is no list of packages, or of too many", where=where)
    return packages


def write_list(packages: Sequence[Package]) -> bytes:
    """The list as it is carried; equal packages are equal bytes."""
    return canonical(msgspec.to_builtins(packages))


def location(toolchain: Toolchain, environment: Mapping[str, str]) -> Path | None:
    """The folder of the build cache that Go uses with this environment; None where it has none.

    As `go env GOCACHE` says it, without starting it (cmd/go/internal/cache, DefaultDir; os.UserCacheDir).
    """
    named = environment.get("GOCACHE") or goenv(environment, toolchain).get("GOCACHE")
    if named:
        return Path(named) if Path(named).is_absolute() else None
    home = environment.get("HOME")
    if os.name == "nt":
        above = environment.get("LOCALAPPDATA")
    elif sys.platform == "darwin":
        above = home and f"{home}/Library/Caches"
    else:
        above = environment.get("XDG_CACHE_HOME") or (home and f"{home}/.cache")
    return Path(above, "go-build") if above else None


def missing(folder: Path, packages: Iterable[Package]) -> tuple[Package, ...]:
    """Those that a build cache lacks."""
    return tuple(package for package in packages if not package.is_in(folder))


def compiled(
    builds: Iterable[GoBuild], toolchain: Toolchain, environment: Mapping[str, str], run: Run
) -> list[Package]:
    """What programs that were just built are made of, sorted: packages of the standard library and of modules.

    `environment` is that of the builds. Starts `go list -export`, once for all of a folder with the same flags, which
    compiles what is not in Go's cache. What cannot be told is left out.
    """
    together: dict[tuple[Path, tuple[str, ...], str], dict[str, None]] = {}
    for build in builds:
        words = command(build, Path("output"), toolchain, environment)[2:-3]
        listing = tuple(flag for flag in words if not flag.startswith("-ldflags="))  # of which packages know nothing
        alone = build.package if build.package.endswith(".go") else ""  # Go takes no files beside packages
        together.setdefault((build.directory, listing, alone), {})[build.package] = None
    packages: set[Package] = set()
    for (directory, flags, _), names in together.items():
        line = [str(toolchain.go), "list", "-e", "-export", "-deps", "-f", _ASKED, *flags, "--", *names]
        status, answer, _ = run(line, directory, {**environment, "PWD": str(directory)})
        for text in answer.splitlines() if status == 0 else ():
            known, _, path = text.partition(" ")
            packages.update(_exported(known, Path(path)))
    return sorted(packages)


def pack(folder: Path, packages: Iterable[Package], sink: BinaryIO) -> None:
    """Write the outputs of packages one after the other, compressed, by this thread. BadPackages for a damaged one."""
    for package in packages:
        digest = hashlib.sha256()
        with (folder / package.content).open("rb") as stream:
            while block := stream.read(BLOCK):
                digest.update(block)
                sink.write(member(block))
        if digest.hexdigest() != package.output:
            raise BadPackages(f"{package.content} is damaged", where=str(folder))


def unpack(
    stream: BinaryIO, packages: Sequence[Package], folder: Path, go_on: Callable[[int], bool] = lambda _done: True
) -> bool:
    """Put packages into a build cache, each verified and whole or not at all; what is there already stays.

    `go_on` is asked now and then, with the bytes that were unpacked so far; False ends it, and is returned. What was
    put until then stays: it is right. BadPackages for a stream that holds other bytes; raises what the stream raises.
    """
    done = 0
    unpacked = gzip.GzipFile(fileobj=stream)
    try:
        for package in packages:
            if not go_on(done):
                return False
            _put(unpacked, package, folder)
            done += package.size
        if unpacked.read(1):
            raise BadPackages("holds more than its packages")
    except (zlib.error, EOFError, gzip.BadGzipFile):
        raise BadPackages("is damaged, or ends too early") from None
    return True


def _put(stream: gzip.GzipFile, package: Package, folder: Path) -> None:
    path = folder / package.content
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    digest, rest = hashlib.sha256(), package.size
    try:
        with beside.open("wb") as sink:
            while rest:
                block = stream.read(min(rest, BLOCK))
                if not block:
                    raise EOFError
                digest.update(block)
                sink.write(block)
                rest -= len(block)
        if digest.hexdigest() != package.output:
            raise BadPackages(f"holds other bytes than those of the output {package.output}")
        if not package.is_in(folder):
            beside.replace(path)
            line = folder / package.line
            line.parent.mkdir(exist_ok=True)
            # As Go writes it: the numbers in 20 columns, the time in nanoseconds.
            text = f"v1 {package.action} {package.output} {package.size:20d} {time.time_ns():20d}\n"
            line.write_text(text, encoding="ascii", newline="\n")
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _exported(known: str, path: Path) -> Iterable[Package]:
    """The package whose build ID and output `go list` said; none where Go's cache has not both."""
    match = _BUILD_ID.fullmatch(known)
    if match is None or not path.name.endswith("-d"):
        return
    # The first half of a build ID are the first 15 bytes of the action (cmd/go/internal/work, buildid.go).
    start = base64.urlsafe_b64decode(match[1]).hex()
    folder = path.parent.parent
    with suppress(OSError):
        for line in (folder / start[:2]).glob(f"{start}*-a"):
            package = _read_line(line)
            if package is not None and package.content.name == path.name and package.is_in(folder):
                yield package


def _read_line(path: Path) -> Package | None:
    """What the line of an action says; None for one that Go would pass over. OSError."""
    with path.open("rb") as stream:
        match = _LINE.fullmatch(stream.read(256))
    if match is None or not path.name.startswith(match[1].decode()):
        return None
    return Package(match[1].decode(), match[2].decode(), int(match[3]))
