"""A published revision built anew in a clean folder: its files, its toolchain, its bases, by what its provenance says.

The build that runs there is that revision's own, so who names a repository trusts it. The provenance is a stranger's
word: it says what to look for, never where, nor what to run (`attest/recorded`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from multiarch_oci.attest.recorded import Irreproducible, Recorded
from multiarch_oci.checkout import CannotCheckOut, Clone, is_address
from multiarch_oci.errors import quoted
from scons_multiarch.process import say

if TYPE_CHECKING:
    from multiarch_oci.golang.toolchain import Toolchain
    from scons_multiarch.session import Run

_HOME = Path(__file__).resolve().parents[1]
_START = "scons_multiarch/__main__.py"
_LIMIT_S = 1800
_PASSED = ("GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOINSECURE")
"""What Go is told of where things are; all else of its settings is the provenance's."""


class Source:
    """Where the revision is taken from: FROM, a path of a repository's folder or an address."""

    def __init__(self, run: Run, given: str) -> None:
        from multiarch_oci.git import Repository

        self.name = given
        self.address, self.prefix = given, self._prefix(Repository.around(run.tree.root), run.tree.root)
        if not is_address(given) and "://" not in given:
            folder = (run.tree.root / given).resolve()
            repository = Repository.around(folder)
            if repository is None:
                hint = "FROM names a clone: a path, https://… or ssh://…"
                raise CannotCheckOut(f"{quoted(given)} is in no repository of git", where="FROM", hint=hint)
            self.address, self.prefix = str(repository.worktree), self._prefix(repository, folder)

    @staticmethod
    def _prefix(repository: object, folder: Path) -> str:
        """The way from the top of a repository to the folder of the SConstruct, with `/` at its end; "" for none."""
        worktree = getattr(repository, "worktree", folder)
        below = folder.relative_to(worktree).as_posix() if folder.is_relative_to(worktree) else "."
        return "" if below == "." else f"{below}/"


def revisions(run: Run, source: Source, recorded: Recorded, folder: Path) -> Iterator[tuple[Path, str]]:
    """Lay out the revision: the folder of its SConstruct, and the commit. Raises Irreproducible.

    Where no commit is named there may be several that hold the files, each with another SConstruct: one after the other
    is laid out, in the same folder, for as long as another one is asked for.
    """
    clone = Clone(folder, run.settings.environment)
    clone.fetch(source.address)
    commit = ""
    for commit in _commits(clone, source, recorded):
        clone.checkout(commit)
        top = folder / source.prefix
        _check_files(top, recorded)
        if recorded.lock:
            _lock(top, recorded.lock)
        yield top, commit
    if not commit:
        differing = quoted(clone.differing[1])
        raise Irreproducible(f"no commit of {quoted(source.name)} has the files that it was made from: {differing}")


def _commits(clone: Clone, source: Source, recorded: Recorded) -> Iterator[str]:
    if recorded.revision:
        commit = clone.commit(recorded.revision)
        if commit is None:
            raise Irreproducible(f"{quoted(source.name)} has no commit {recorded.revision}")
        yield commit
        return
    names = [name for name in (recorded.variables.get("VERSION", ""), "HEAD") if name and not name.startswith("-")]
    yield from clone.holding(recorded.files, names, source.prefix)


def _check_files(top: Path, recorded: Recorded) -> None:
    """Raise Irreproducible where the commit that is named has other files: it was made from more than that."""
    from multiarch_oci.digest import Digest

    for name, digest in recorded.files.items():
        path = top / name
        if ".." in Path(name).parts or Path(name).is_absolute() or path.is_symlink():
            continue
        if not path.is_file():
            raise Irreproducible(f"{quoted(name)}, from which it was made, is not in the commit")
        if Digest.of_file(path).hex != digest:
            raise Irreproducible(f"{quoted(name)} is another one in the commit than that from which it was made")


def _lock(top: Path, text: str) -> None:
    """Have the bases of the provenance in images.lock, and the commit's own for others."""
    from multiarch_oci.baselock import FILE, BaseLock, InvalidLock
    from scons_multiarch.step import write

    try:
        lock = BaseLock.parse(text, where="images.lock of the provenance")
        path = top / FILE
        own = BaseLock.parse(path.read_text("utf-8")) if path.is_file() and not path.is_symlink() else BaseLock()
    except (InvalidLock, UnicodeDecodeError) as error:
        raise Irreproducible(f"its bases are not known: {error}") from None
    known = {(entry.name, entry.platform) for entry in lock.entries}
    others = tuple(entry for entry in own.entries if (entry.name, entry.platform) not in known)
    write(path, str(BaseLock(tuple(sorted((*lock.entries, *others))))).encode())


def toolchain(run: Run, recorded: Recorded, folder: Path) -> Toolchain | None:
    """The Go that is named; None where none is. Raises Irreproducible where it cannot be had."""
    if not recorded.go:
        return None
    from multiarch_oci.golang.toolchain import GoNotFound, toolchain_at

    try:
        own = run.build.need_go()
    except GoNotFound as error:
        raise Irreproducible(f"Go {recorded.go} cannot be had: {error.what}") from None
    if own.release == recorded.go:
        return own
    environment = dict(run.settings.environment) | {"GOTOOLCHAIN": f"go{recorded.go}", "GOFLAGS": ""}
    done = subprocess.run(
        [str(own.go), "env", "GOROOT"],
        cwd=folder,
        env=environment,
        capture_output=True,
        check=False,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=_LIMIT_S,
    )
    named = toolchain_at(Path(done.stdout.strip())) if not done.returncode and done.stdout.strip() else None
    if named is None or named.release != recorded.go:
        words = " ".join(done.stderr.split()) or "go says no reason"
        raise Irreproducible(f"Go {recorded.go} cannot be had: {quoted(words, 300)}")
    return named


def build(run: Run, recorded: Recorded, top: Path, go: Toolchain | None, words: list[str]) -> None:
    """Run the build of that revision with these words, too, its lines behind `|`. Raises Irreproducible if it fails."""
    variables = recorded.variables | ({"LOCKED": "yes"} if recorded.lock else {})
    held = (top / "site_scons" / _START).is_file()  # the tool that the revision holds, else this one
    home = top / "site_scons" if held else _HOME
    given = [f"{name}={value}" for name, value in variables.items()]
    process = subprocess.Popen(
        [sys.executable, str(home / _START), "scons", "-Q", *_without_caches(home), *words, *given],
        cwd=top,
        env=_environment(run, recorded, go) | ({} if held else {"PYTHONPATH": str(_HOME)}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    last = ""
    with process.stdout or open(os.devnull, encoding="utf-8") as lines:  # noqa: PTH123
        for line in lines:
            last = line.rstrip() or last
            say(f"  | {line.rstrip()}")
    if process.wait():
        raise Irreproducible(f"its build failed with status {process.returncode}: {quoted(last, 200)}")


def _without_caches(home: Path) -> Iterator[str]:
    """Words by which the tool in a folder takes nothing from a cache that an SConstruct names: that proves nothing."""
    yield "--cache-disable"
    try:
        text = (home / "scons_multiarch" / "variables.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    if '("CACHE", ' in text:  # to a version before there was one, it is an unknown variable
        yield "CACHE="


def _environment(run: Run, recorded: Recorded, go: Toolchain | None) -> dict[str, str]:
    """This process's environment without what decides bytes, and with what did when it was made."""
    from multiarch_oci.golang.recipe import goenv

    given = run.settings.environment
    kept = {name: value for name, value in given.items() if not name.startswith(("GO", "CGO_", "SCONS"))}
    for name in ("SOURCE_DATE_EPOCH", "PYTHONPATH"):
        kept.pop(name, None)
    of_file = goenv(given, go) if go is not None else {}
    kept |= {name: value for name in _PASSED if (value := given.get(name) or of_file.get(name, ""))}
    kept |= {"GOENV": "off", **recorded.environment}
    if go is not None:
        kept["PATH"] = f"{go.go.parent}{os.pathsep}{given.get('PATH', os.defpath)}"
    return kept
