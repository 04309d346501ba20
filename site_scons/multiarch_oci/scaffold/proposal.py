"""The SConstruct for a repository, and the lines that its ignore files lack. Never overwrites, starts nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from multiarch_oci.errors import MultiarchError, quoted
from multiarch_oci.git import Repository
from multiarch_oci.reference import Destination
from multiarch_oci.scaffold import golang
from multiarch_oci.scaffold.clues import Clues, clues
from multiarch_oci.scaffold.dockerfiles import PROGRAM, Recipe, is_own, recipe
from multiarch_oci.scaffold.files import Clue, Files, mapping

SCONSTRUCTS = ("SConstruct", "Sconstruct", "sconstruct", "SConstruct.py")
_MOST_IMAGES = 6
"""Calls that an SConstruct of 15 lines has room for."""
_WIDTH = 100
_HEAD = (
    '"""Images for every platform, and one tag that picks the right one; `multiarch -h` shows what there is to do."""'
)
_IMPORT = "import scons_multiarch  # not found? start it as: multiarch"
"""A SCons of another environment prints this line, and so what helps."""
_CARGO = ("Cargo.lock", "build.rs", "rust-toolchain.toml", "rust-toolchain", ".cargo/config.toml")
"""What cargo reads beside Cargo.toml and the sources."""
_VERSION = re.compile(r'^\s*(?:var\s+)?(version|Version)\s*(?:string\s*)?=\s*"', re.MULTILINE)
_RUST = """\
def program(platform):
    machine = {{"amd64": "x86_64", "arm64": "aarch64"}}[platform.architecture]
    flags = {{"CARGO_BUILD_RUSTFLAGS": f"-Ctarget-feature=+crt-static -Clinker={{machine}}-linux-gnu-gcc"}}
    build = f"cargo build --quiet --release{locked} --target {{machine}}-unknown-linux-gnu"
    copy = Copy("$TARGET", f"target/{{machine}}-unknown-linux-gnu/release/{name}")
    return env.Command(f"_output/bin/{{platform.directory}}/{name}", {sources}, [build, copy], ENV=os.environ | flags)

env.MultiarchImage({image!r}, program)"""
_RUST_NEEDS = (
    "rustup target add x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu (Debian: libstd-rust-dev of both)",
    "x86_64-linux-gnu-gcc and aarch64-linux-gnu-gcc (Debian: gcc-x86-64-linux-gnu gcc-aarch64-linux-gnu)",
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


class _Draft(msgspec.Struct):
    """An SConstruct that is being put together."""

    files: Files
    variables: dict[str, str] = msgspec.field(default_factory=dict)  # keywords of environment(), as Python
    imports: list[str] = msgspec.field(default_factory=lambda: [_IMPORT])
    body: list[str] = msgspec.field(default_factory=list)
    taken: list[Clue] = msgspec.field(default_factory=list)
    left_out: list[Clue] = msgspec.field(default_factory=list)
    needs: list[Clue] = msgspec.field(default_factory=list)
    recipes: list[Recipe] = msgspec.field(default_factory=list)


def propose(top: Path) -> Proposal:
    """What a repository needs. Raises NothingToDo when it has an SConstruct, or no program that is known."""
    files = Files(top)
    present = files.first(*SCONSTRUCTS)
    if present:
        hint = "multiarch -h shows what it can do; multiarch init --dry-run in a copy without it shows a new one"
        raise AlreadyThere(f"there is an {present} already; nothing was changed", hint=hint)
    draft = _Draft(files)
    hints = clues(files)
    draft.left_out += hints.left_out
    if not any(write(draft, hints) for write in (_go, _rust, _node, _python, _c, _other)):
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


def _go(draft: _Draft, hints: Clues) -> bool:
    everything = golang.programs(draft.files)
    programs, beside = golang.chosen(everything)
    named = {named: golang.program_at(everything, named.folder, named.package) for named in hints.programs}
    if any(named.values()):
        programs = [
            msgspec.structs.replace(program, name=_name(draft, other.name, other.where) if other.name else program.name)
            for other, program in named.items()
            if program is not None
        ]
        programs = list({program.folder: program for program in programs}.values())
        beside = [program for program in everything if program.folder not in [chosen.folder for chosen in programs]]
    draft.left_out += [
        Clue(f"the program {program.name}, which is beside the others", program.folder) for program in beside
    ]
    safe = [program for program in programs if re.fullmatch(r"[\w./-]+", program.folder, re.ASCII)]
    draft.left_out += [
        Clue("a program, as SCons would read its path otherwise", p.folder) for p in programs if p not in safe
    ]
    calls = [_go_call(draft, program, hints, only=len(safe) == 1) for program in safe]
    draft.left_out += [Clue("a program, as six are enough to begin with", p.folder) for p in safe[_MOST_IMAGES:]]
    draft.body += calls[:_MOST_IMAGES]
    flags = [flag.text for flag in hints.linked] or _version_flag(draft.files, safe)
    if flags and safe:
        draft.variables["GOLDFLAGS"] = repr(" ".join(flags))
        draft.taken += hints.linked or [Clue(flags[0], safe[0].folder)]
    return bool(calls)


def _go_call(draft: _Draft, program: golang.GoProgram, hints: Clues, *, only: bool) -> str:
    name = _name(draft, program.name, program.folder)
    words = [repr(name)]
    if program.package != ".":
        words.append(repr(program.package))
    if program.module != ".":
        words.append(f"GODIR={program.module!r}")
    if only and hints.repository and hints.repository.text != name:
        words.append(f"repository={hints.repository.text!r}")
        draft.taken.append(hints.repository)
    draft.taken.append(Clue(f"the Go program {name}", program.folder))
    dockerfile = recipe(draft.files, program.name, program.folder)
    if dockerfile is None:
        return f"env.GoImage({', '.join(words)})"
    if not only and _is_of_several(dockerfile, program):
        clue = Clue("a Dockerfile that compiles several programs; each image is made without it", dockerfile.path)
        draft.left_out += [clue] if clue not in draft.left_out else []
        return f"env.GoImage({', '.join(words)}, dockerfile=None)"
    if dockerfile.stages:
        words.append(f"stages={{{', '.join(map(_stage, dockerfile.stages))}}}")
        names = ", ".join(name for name, _ in dockerfile.stages)
        draft.taken.append(Clue(f"{name} in the place of what is compiled in stage {names}", dockerfile.path))
    elif dockerfile.compiles:
        draft.recipes.append(dockerfile)
        draft.taken.append(Clue(f"{dockerfile.path} compiles {name} by itself; an engine runs it", dockerfile.path))
        own = is_own(dockerfile.path)
        return f"env.MultiarchImage({name!r}{'' if own else f', dockerfile={dockerfile.path!r}'})"
    elif not any("_output/bin" in source for source in dockerfile.copied):
        draft.left_out.append(
            Clue("a Dockerfile that copies no program of _output/bin; the image is made without it", dockerfile.path)
        )
        return f"env.GoImage({', '.join(words)}, dockerfile=None)"
    draft.recipes.append(dockerfile)
    if not is_own(dockerfile.path, program.folder if program.module == "." else "."):
        words.append(f"dockerfile={dockerfile.path!r}")
    draft.taken.append(Clue(f"the Dockerfile of {name}", dockerfile.path))
    return f"env.GoImage({', '.join(words)})"


def _is_of_several(dockerfile: Recipe, program: golang.GoProgram) -> bool:
    """Whether a Dockerfile compiles what nobody but its author can tell apart, for one of several programs."""
    inside = program.folder != "." and dockerfile.path.startswith(f"{program.folder}/")
    return dockerfile.compiles and not inside and program.name not in dockerfile.path


def _stage(stage: tuple[str, tuple[tuple[str, str], ...]]) -> str:
    """A stage and what stands for it, as Python: the program alone is its path."""
    name, taken = stage
    if [meaning for _, meaning in taken] == [PROGRAM]:
        return f"{name!r}: {taken[0][0]!r}"
    return f"{name!r}: {{{', '.join(f'{path!r}: {meaning}' for path, meaning in taken)}}}"


def _version_flag(files: Files, programs: Iterable[golang.GoProgram]) -> list[str]:
    for program in programs:
        for path in files.named("" if program.folder == "." else program.folder):
            if path.endswith(".go") and not path.endswith("_test.go") and (match := _VERSION.search(files.text(path))):
                return [f"-X main.{match[1]}=$VERSION"]
    return []


def _rust(draft: _Draft, _hints: Clues) -> bool:
    if not draft.files.text("Cargo.toml"):
        return False
    cargo = draft.files.toml("Cargo.toml")
    binaries = [mapping(binary).get("name") for binary in _tables(cargo.get("bin"))]
    package = mapping(cargo.get("package")).get("name")
    named = [name for name in (*binaries, package) if isinstance(name, str) and re.fullmatch(r"[\w-]+", name, re.ASCII)]
    if not named:
        draft.left_out.append(Clue("a workspace: say which package is the program", "Cargo.toml"))
        return False
    name = _name(draft, named[0], "Cargo.toml")
    draft.taken.append(Clue(f"the Rust program {named[0]}", "Cargo.toml"))
    if _by_dockerfile(draft, name):
        return True
    sources = ["Cargo.toml", *(path for path in _CARGO if draft.files.first(path))]
    listing = f"[{', '.join(map(repr, sources))}, Dir('src')]"
    locked = " --locked" if "Cargo.lock" in sources else ""
    draft.imports.insert(0, "import os")
    draft.needs += [Clue(need, "Cargo.toml") for need in _RUST_NEEDS]
    draft.body.append(_RUST.format(locked=locked, name=named[0], sources=listing, image=name))
    return True


def _c(draft: _Draft, _hints: Clues) -> bool:
    for folder in ("", "src"):
        sources = [path for path in draft.files.named(folder) if path.endswith(".c")]
        if any(re.search(r"\bmain\s*\(", draft.files.text(path)) for path in sources):
            break
    else:
        return False
    name = _name(draft, draft.files.top.resolve().name, sources[0])
    draft.taken.append(Clue(f"the C program {name}", sources[0]))
    if _by_dockerfile(draft, name):
        return True
    draft.variables |= {"tools": "['gcc', 'gnulink']", "CCFLAGS": "'-O2'", "LINKFLAGS": "'-static'"}
    draft.body.append(_C.format(pattern=f"{folder}/*.c" if folder else "*.c", name=name))
    return True


def _node(draft: _Draft, _hints: Clues) -> bool:
    if not draft.files.text("package.json"):
        return False
    named = draft.files.json("package.json").get("name")
    return _interpreted(draft, "Node", named if isinstance(named, str) else "", "package.json")


def _python(draft: _Draft, _hints: Clues) -> bool:
    path = draft.files.first("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "main.py", "app.py")
    if not path:
        return False
    project = draft.files.toml(path) if path == "pyproject.toml" else {}
    poetry = mapping(mapping(project.get("tool")).get("poetry"))
    named = mapping(project.get("project")).get("name") or poetry.get("name")
    return _interpreted(draft, "Python", named if isinstance(named, str) else "", path)


def _interpreted(draft: _Draft, language: str, named: str, path: str) -> bool:
    name = _name(draft, named.rpartition("/")[2] or draft.files.top.resolve().name, path)
    draft.taken.append(Clue(f"the {language} program {name}", path))
    if not _by_dockerfile(draft, name):
        example = _DOCKERFILES[language]
        draft.left_out.append(Clue(f'a Dockerfile, which it needs: printf "{example}\\n" > Dockerfile', path))
        draft.body.append(f"env.MultiarchImage({name!r})")
    return True


def _other(draft: _Draft, _hints: Clues) -> bool:
    return _by_dockerfile(draft, _name(draft, draft.files.top.resolve().name, "the folder's name"))


def _by_dockerfile(draft: _Draft, name: str) -> bool:
    """Declare an image of the Dockerfile that is there, as it is; whether there is one."""
    dockerfile = recipe(draft.files, name)
    if dockerfile is None:
        return False
    draft.recipes.append(dockerfile)
    draft.taken.append(Clue(f"the Dockerfile of {name}", dockerfile.path))
    own = is_own(dockerfile.path)
    draft.body.append(f"env.MultiarchImage({name!r}{'' if own else f', dockerfile={dockerfile.path!r}'})")
    return True


def _variables(draft: _Draft, hints: Clues) -> None:
    if hints.platforms:
        draft.variables["PLATFORMS"] = repr(",".join(clue.text for clue in hints.platforms))
        draft.taken.append(
            Clue(f"PLATFORMS {', '.join(clue.text for clue in hints.platforms)}", hints.platforms[0].where)
        )
    if hints.registry:
        draft.variables["REGISTRY"] = repr(hints.registry.text)
        draft.taken.append(Clue(f"REGISTRY {hints.registry.text}", hints.registry.where))


def _name(draft: _Draft, text: str, where: str) -> str:
    """A name for an image, and its program; what is no repository's is left out and said."""
    name = text.lower()
    try:
        Destination(None, "out").reference(name)
    except MultiarchError:
        draft.left_out.append(Clue(f"the name {quoted(text)}: it is no repository's; the image is called app", where))
        return "app"
    return name


def _text(draft: _Draft) -> str:
    words = [f"{name}={value}" for name, value in sorted(draft.variables.items())]
    line = f"env = scons_multiarch.environment({', '.join(words)})"
    if len(line) > _WIDTH:
        line = "env = scons_multiarch.environment(\n" + "".join(f"    {word},\n" for word in words) + ")"
    body = "\n".join(draft.body)
    gap = "\n\n" if body.startswith("def ") else "\n"
    return f"{_HEAD}\n\n" + "\n".join(draft.imports) + f"\n\n{line}{gap}{body}\n"


def _ignored(draft: _Draft) -> dict[str, tuple[str, ...]]:
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


def _is_link(draft: _Draft, name: str) -> bool:
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


def _tables(value: object) -> list[object]:
    return value if isinstance(value, list) else []
