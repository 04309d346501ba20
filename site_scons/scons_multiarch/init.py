"""`multiarch init`: writes the SConstruct of a repository that has none.

Not one of `commands`, whose questions are answered when the SConscripts were read: here there are none.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from multiarch_oci.errors import MultiarchError
from multiarch_oci.scaffold.files import Clue, shown
from multiarch_oci.scaffold.proposal import NothingToDo, Proposal, propose, write

FILES = (
    *("SConstruct", "VERSION", "main.go", "go.mod", ".dockerignore", ".gitignore"),
    *("Dockerfile.amd64", "Dockerfile.arm64", "Dockerfile.linux", "Dockerfile.win"),
)
WORKFLOWS = {
    "github": ".github/workflows/images.yml",
    "github-machines": ".github/workflows/images.yml",
    "gitlab": ".gitlab-ci.yml",
    "gitlab-machines": ".gitlab-ci.yml",
}
"""The files of the folder `ci`, and where they belong."""
_OUTSIDE = """\
Usage: multiarch [options] [target …] [NAME=value …]

There is no SConstruct in this folder, which says what to build:
  multiarch init               writes one for the repository that is here
  multiarch init --dry-run     shows it
  multiarch init --template    lays out a small program to start from
  multiarch -u …               takes the SConstruct of a folder above

multiarch -H shows the options of SCons.
"""
_INSTEAD = "--dry-run shows what would be written"
_PACKAGE = Path(__file__).resolve().parent
_OF_THIS_PROJECT = "tests/SConscript"
"""What a line of the SConstruct names that is of no use to others."""


class NotEmpty(MultiarchError):
    """A folder in which files that would be written lie already."""


def lay_out(top: Path, *, dry_run: bool = False) -> tuple[str, ...]:
    """Write the files of the demo to a folder, and give their names.

    A wheel has them in `template` of this package, in place they are those at the top of the tree. Raises NotEmpty when
    one is there already, and writes none then.
    """
    origin = _PACKAGE / "template" if (_PACKAGE / "template").is_dir() else _PACKAGE.parents[1]
    present = [name for name in FILES if (top / name).exists() or (top / name).is_symlink()]
    if present:
        what = f"{', '.join(present)}: there already; nothing was changed"
        raise NotEmpty(what, hint="mkdir demo && cd demo, and there multiarch init --template")
    contents = {name: _content(origin / name) for name in FILES}
    for name, content in contents.items():
        if not dry_run:
            with (top / name).open("xb") as file:
                file.write(content)
    return FILES


def _content(path: Path) -> bytes:
    lines = path.read_bytes().splitlines(keepends=True)
    return b"".join(line for line in lines if _OF_THIS_PROJECT.encode() not in line)


def main(arguments: list[str]) -> int:
    """Answer `multiarch init …` in the current folder; the exit status, 0 also where there is an SConstruct."""
    parser = argparse.ArgumentParser(prog="multiarch init", description="Write an SConstruct for this repository.")
    parser.add_argument("--dry-run", action="store_true", help="show what would be written, and write nothing")
    parser.add_argument("--template", action="store_true", help="lay out a small program to start from")
    parser.add_argument("--ci", choices=WORKFLOWS, help="write a workflow that builds and publishes the images")
    options = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    top = Path.cwd()
    try:
        if options.ci:
            return _workflow(top, options.ci, dry_run=options.dry_run)
        if options.template:
            return _template(top, dry_run=options.dry_run)
        proposal = propose(top)
        if options.dry_run:
            _show(proposal)
        else:
            _say(proposal, write(proposal, top))
    except NothingToDo as error:
        _line(f"multiarch init: {error}")
        return 0 if error.is_done else 2
    except (MultiarchError, OSError) as error:
        _line(f"multiarch init: {error}")
        return 2
    return 0


def answer_outside(words: list[str]) -> int:
    """Answer `multiarch …` in a folder without an SConstruct, and `multiarch --version`; the exit status."""
    if words and words[0] in ("--version", "-v"):
        from scons_multiarch.installation import SCONS, installed_version

        sys.stdout.write(f"scons-multiarch {installed_version()} on SCons {SCONS}, Python {sys.version.split()[0]}\n")
        return 0
    if {"-h", "--help"} & set(words):
        sys.stdout.write(_OUTSIDE)
        return 0
    above = next((folder for folder in Path.cwd().parents if (folder / "SConstruct").is_file()), None)
    hint = "multiarch init writes one"
    if above is not None:
        hint = f"multiarch -u takes the one of {above}; {hint}"
    _line(f"\nmultiarch: {MultiarchError('there is no SConstruct in this folder', hint=hint)}")
    return 2


def _template(top: Path, *, dry_run: bool) -> int:
    files = lay_out(top, dry_run=dry_run)
    _line(f"{'would write' if dry_run else 'wrote'} {', '.join(files)}")
    _line("next: multiarch push-manifest REGISTRY=ghcr.io/<you>")
    return 0


def _workflow(top: Path, name: str, *, dry_run: bool) -> int:
    """Write the workflow of a CI, with its actions pinned by commit and this tool by version."""
    content = (_PACKAGE / "ci" / f"{name}.yml").read_text(encoding="utf-8")
    path = top / WORKFLOWS[name]
    if dry_run:
        sys.stdout.write(f"==> {WORKFLOWS[name]} <==\n{content}")
        return 0
    if not _real(path).is_relative_to(_real(top)):
        raise NotEmpty(f"{WORKFLOWS[name]}: a link leads out of this folder; nothing was changed", hint=_INSTEAD)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(content)
    except FileExistsError:
        raise NotEmpty(f"{WORKFLOWS[name]}: there already; nothing was changed", hint="--dry-run shows it") from None
    _line(f"wrote {WORKFLOWS[name]}")
    if "LOCKED=yes" in content:
        _line("next: multiarch update-bases, and commit images.lock, where a FROM or BASE_IMAGE is of a registry")
    _line("next: read it, commit it, and push a tag: git tag v0.1.0")
    return 0


def _real(path: Path) -> Path:
    """Where a path leads. Raises NotEmpty for a link to itself."""
    try:
        return path.resolve()
    except RuntimeError:  # before Python 3.13
        raise NotEmpty(f"{path.name}: a link to itself; nothing was changed", hint=_INSTEAD) from None


def _show(proposal: Proposal) -> None:
    for name, text in {"SConstruct": proposal.sconstruct, **{n: _joined(t) for n, t in proposal.lines.items()}}.items():
        sys.stdout.write(f"==> {name} <==\n{text}")
    _explain(proposal)


def _joined(lines: tuple[str, ...]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _say(proposal: Proposal, written: tuple[str, ...]) -> None:
    _explain(proposal)
    _line(f"wrote {', '.join(written)}")
    _line(f"next: multiarch push-manifest {' '.join(proposal.arguments)}".rstrip())


def _explain(proposal: Proposal) -> None:
    for word, clues in (("took", proposal.taken), ("left out", proposal.left_out), ("needs", proposal.needs)):
        for clue in clues:
            _line(f"{word} {_clue(clue)}")


def _clue(clue: Clue) -> str:
    return f"{shown(clue.text)}  ({shown(clue.where)})"


def _line(text: str) -> None:
    sys.stderr.write(f"{text}\n")
