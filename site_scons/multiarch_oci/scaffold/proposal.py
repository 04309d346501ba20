"""The SConstruct for a repository, and the lines that its ignore files lack. Never overwrites, starts nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from multiarch_oci.document import mapping
from multiarch_oci.errors import MultiarchError
from multiarch_oci.git import Repository
from multiarch_oci.scaffold.cargo import rust
from multiarch_oci.scaffold.clues import Clues, clues
from multiarch_oci.scaffold.dockerfiles import Recipe
from multiarch_oci.scaffold.draft import Draft, by_dockerfile, image_name, is_plain, literal
from multiarch_oci.scaffold.files import Clue, Files
from multiarch_oci.scaffold.goimages import go

SCONSTRUCTS = ("SConstruct", "Sconstruct", "sconstruct", "SConstruct.py")
_WIDTH = 100
_MOST_LINES = 15
_COMPILED = ("linux/amd64", "linux/arm64")
"""The platforms that `program` of C and Rust has a compiler of."""
_HEAD = (
    '"""Images for every platform, and one tag that picks the right one; `multiarch -h` shows what there is to do."""'
)
_C = """\
def program(platform):
    compilers = {{"amd64": "x86_64-linux-gnu-gcc", "arm64": "aarch64-linux-gnu-gcc"}}
    own = env.Clone(CC=compilers[platform.architecture])
    objects = [own.Object(f"_output/obj/{{platform.slug}}/{{file.name}}.o", file) for file in Glob("{pattern}")]
    return own.Program(f"_output/bin/{{platform.directory}}/{name}", objects)


env.MultiarchImage({name!r}, program)"""
_DOCKERFILES = {
    "Node": 'FROM node:22-slim\\nWORKDIR /app\\nCOPY . .\\nCMD [\\"node\\", \\"index.js\\"]',
    "Python": 'FROM python:3.13-slim\\nWORKDIR /app\\nCOPY . .\\nCMD [\\"python\\", \\"main.py\\"]',
}


class NothingToDo(MultiarchError):
    """A repository that has an SConstruct (`is_done`), or of which nobody knows what it should hold."""

    is_done = False


class AlreadyThere(NothingToDo):
    """A repository that has an SConstruct."""

    is_done = True


class Proposal(msgspec.Struct, frozen=True):
    """What `init` would write: the SConstruct, and lines for the end of other files, by their names.

    `taken` says what was taken from where, `left_out` what was not and why, `needs` what has to be installed,
    `arguments` is what the next command needs.
    """

    sconstruct: str
    lines: Mapping[str, tuple[str, ...]]
    taken: tuple[Clue, ...]
    left_out: tuple[Clue, ...]
    needs: tuple[Clue, ...]
    arguments: tuple[str, ...]


def propose(top: Path) -> Proposal:
    """What a repository needs. Raises NothingToDo when it has an SConstruct, or no program that is known."""
    files = Files(top)
    present = files.first(*SCONSTRUCTS)
    if present:
        hint = "multiarch -h shows what it can do; multiarch init --dry-run in a copy without it shows a new one"
        raise AlreadyThere(f"there is an {present} already; nothing was changed", hint=hint)
    draft = Draft(files)
    hints = clues(files)
    draft.left_out += hints.left_out
    if not any(write(draft, hints) for write in (go, rust, _node, _python, _c, _other)):
        hint = "multiarch init --template lays out a small one to start from"
        raise NothingToDo(
            "there is no program here that init knows: Go, Rust, Node, Python, C, or a Dockerfile", hint=hint
        )
    _variables(draft, hints)
    draft.left_out += [Clue(f"{path} was not read: {why}", path) for path, why in files.unread.items()]
    arguments = [] if _has_version(top) else ["VERSION=v0.1.0"]
    if "REGISTRY" not in draft.variables:
        arguments.append("REGISTRY=ghcr.io/<you>")
    return Proposal(
        _text(draft), _ignored(draft), tuple(draft.taken), tuple(draft.left_out), tuple(draft.needs), tuple(arguments)
    )


def write(proposal: Proposal, top: Path) -> tuple[str, ...]:
    """Write what is proposed; the names of the files, with how many lines each was given. Nothing is overwritten."""
    try:
        with (top / "SConstruct").open("x", encoding="utf-8", newline="\n") as file:
            file.write(proposal.sconstruct)
    except FileExistsError:
        raise AlreadyThere("there is an SConstruct already; nothing was changed") from None
    written = [f"SConstruct ({_count(proposal.sconstruct.count(chr(10)))})"]
    for name, lines in proposal.lines.items():
        path = top / name
        content = path.read_bytes() if path.exists() else b""
        end = b"" if not content or content.endswith(b"\n") else b"\n"
        with path.open("ab") as file:
            file.write(end + "".join(f"{line}\n" for line in lines).encode())
        written.append(f"{name} ({_count(len(lines))}{' more' if content else ''})")
    return tuple(written)


def _count(lines: int) -> str:
    return "1 line" if lines == 1 else f"{lines} lines"


def _c(draft: Draft, _hints: Clues) -> bool:
    for folder in ("", "src"):
        sources = [path for path in draft.files.named(folder) if path.endswith(".c")]
        if any(re.search(r"\bmain\s*\(", draft.files.text(path)) for path in sources):
            break
    else:
        return False
    if not all(map(is_plain, sources)):
        draft.left_out.append(Clue("a C program, as SCons would read the name of a file otherwise", folder or "."))
        return False
    name = image_name(draft, draft.files.top.resolve().name, sources[0])
    draft.taken.append(Clue(f"the C program {name}", sources[0]))
    if by_dockerfile(draft, name):
        return True
    draft.variables |= {"tools": "['gcc', 'gnulink']", "CCFLAGS": "'-O2'", "LINKFLAGS": "'-static'"}
    draft.body.append(_C.format(pattern=f"{folder}/*.c" if folder else "*.c", name=name))
    return True


def _node(draft: Draft, _hints: Clues) -> bool:
    if not draft.files.text("package.json"):
        return False
    named = draft.files.json("package.json").get("name")
    return _interpreted(draft, "Node", named if isinstance(named, str) else "", "package.json")


def _python(draft: Draft, _hints: Clues) -> bool:
    path = draft.files.first("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "main.py", "app.py")
    if not path:
        return False
    project = draft.files.toml(path) if path == "pyproject.toml" else {}
    poetry = mapping(mapping(project.get("tool")).get("poetry"))
    named = mapping(project.get("project")).get("name") or poetry.get("name")
    return _interpreted(draft, "Python", named if isinstance(named, str) else "", path)


def _interpreted(draft: Draft, language: str, named: str, path: str) -> bool:
    name = image_name(draft, named.rpartition("/")[2] or draft.files.top.resolve().name, path)
    draft.taken.append(Clue(f"the {language} program {name}", path))
    if not by_dockerfile(draft, name):
        example = _DOCKERFILES[language]
        draft.left_out.append(Clue(f'a Dockerfile, which it needs: printf "{example}\\n" > Dockerfile', path))
        draft.body.append(f"env.MultiarchImage({literal(name)})")
        draft.recipes.append(Recipe("Dockerfile", compiles=False))
    return True


def _other(draft: Draft, _hints: Clues) -> bool:
    return by_dockerfile(draft, image_name(draft, draft.files.top.resolve().name, "the folder's name"))


def _variables(draft: Draft, hints: Clues) -> None:
    platforms = hints.platforms
    if any(line.startswith("def program(") for line in draft.body):
        platforms = tuple(clue for clue in platforms if clue.text in _COMPILED)
        unknown = [clue for clue in hints.platforms if clue not in platforms]
        draft.left_out += [Clue(f"{clue.text}: give program() a compiler of it", clue.where) for clue in unknown]
    if platforms:
        named = [clue.text for clue in platforms]
        draft.variables["PLATFORMS"] = literal(",".join(named))
        draft.taken.append(Clue(f"PLATFORMS {', '.join(named)}", platforms[0].where))
    if hints.registry:
        draft.variables["REGISTRY"] = literal(hints.registry.text)
        draft.taken.append(Clue(f"REGISTRY {hints.registry.text}", hints.registry.where))


def _text(draft: Draft) -> str:
    """The SConstruct: a word a line where `environment` has many, as long as there is room for that."""
    words = [f"{name}={value}" for name, value in sorted(draft.variables.items())]
    short = f"env = scons_multiarch.environment({', '.join(words)})"
    long = "env = scons_multiarch.environment(\n" + "".join(f"    {word},\n" for word in words) + ")"
    body = "\n".join(draft.body)
    gap = "\n\n" if body.startswith("def ") else "\n"
    before, after = f"{_HEAD}\n\n" + "\n".join(draft.imports) + "\n\n", f"{gap}{body}\n"
    wide = len(short) > _WIDTH and f"{before}{long}{after}".count("\n") <= _MOST_LINES
    return f"{before}{long if wide else short}{after}"


def _ignored(draft: Draft) -> dict[str, tuple[str, ...]]:
    """The lines that ignore files lack: for git what the build makes, for images what they have no use for."""
    lines: dict[str, tuple[str, ...]] = {}
    known = {line.strip().strip("/") for line in draft.files.text(".gitignore").splitlines()}
    missing = tuple(f"/{name}/" for name in ("_output", ".multiarch") if name not in known)
    if missing and not _is_link(draft, ".gitignore"):
        lines[".gitignore"] = missing
    if draft.recipes and not draft.files.first(".dockerignore"):
        programs = any("_output/bin" in source for recipe in draft.recipes for source in recipe.copied)
        git = () if any(recipe.asks_git for recipe in draft.recipes) else (".git",)
        output = ("_output/*", "!_output/bin") if programs else ("_output",)
        lines[".dockerignore"] = (*git, ".multiarch", *output, "SConstruct")
    return lines


def _is_link(draft: Draft, name: str) -> bool:
    link = (draft.files.top / name).is_symlink()
    if link:
        draft.left_out.append(Clue(f"{name}, which is a link", name))
    return link


def _has_version(top: Path) -> bool:
    """Whether the tree says a version, by the file or by a tag of git, of which only the files are looked at."""
    if os.path.lexists(top / "VERSION"):
        return True
    repository = Repository.around(top)
    return repository is not None and repository.has_tags()
