"""The images of a repository's Go programs: `env.GoImage` for each, or the Dockerfile that compiles it by itself."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

import msgspec

from multiarch_oci.scaffold import golang
from multiarch_oci.scaffold.clues import Clues
from multiarch_oci.scaffold.dockerfiles import PROGRAM, Recipe, is_own, names_of, recipe
from multiarch_oci.scaffold.draft import Draft, image_name, is_plain, literal
from multiarch_oci.scaffold.files import Clue, Files
from multiarch_oci.scaffold.golang import GoProgram

_MOST_IMAGES = 6
"""Calls that an SConstruct of 15 lines has room for."""
_VERSION = re.compile(r'(version|Version)[ \t]*(?:(?:string[ \t]*)?=[ \t]*"|string[ \t]*(?://|$))')


def go(draft: Draft, hints: Clues) -> bool:
    """Declare the images of Go programs; whether there are any."""
    everything = golang.programs(draft.files)
    programs, beside = _chosen(everything, hints)
    draft.left_out += [
        Clue(f"the program {program.name}, which is beside the others", program.folder) for program in beside
    ]
    safe = [program for program in programs if is_plain(program.folder) and " " not in program.package]
    draft.left_out += [
        Clue("a program, as SCons would read its path otherwise", p.folder) for p in programs if p not in safe
    ]
    draft.left_out += [Clue("a program, as six are enough to begin with", p.folder) for p in safe[_MOST_IMAGES:]]
    alone = len(everything) == 1
    calls = [_call(draft, program, hints, only=len(safe) == 1, alone=alone) for program in safe[:_MOST_IMAGES]]
    draft.body += calls
    flags = [flag.text for flag in hints.linked] or _version_flag(draft.files, safe)
    if flags and safe:
        draft.variables["GOLDFLAGS"] = literal(" ".join(flags))
        draft.taken += hints.linked or [Clue(flags[0], safe[0].folder)]
    if hints.tags and calls:
        draft.variables["GOTAGS"] = literal(hints.tags.text)
        draft.taken.append(Clue(f"GOTAGS {hints.tags.text}", hints.tags.where))
    return bool(calls)


def _chosen(everything: list[GoProgram], hints: Clues) -> tuple[list[GoProgram], list[GoProgram]]:
    """The programs that another tool's file names, else those a repository is about; and those that are left."""
    programs: dict[str, GoProgram] = {}
    for named in hints.programs:
        program = golang.program_at(everything, named.folder, named.package)
        if program is not None:
            name = named.name if re.fullmatch(r"[\w.-]+", named.name, re.ASCII) else program.name
            programs.setdefault(program.folder, msgspec.structs.replace(program, name=name))
    if not programs:
        return golang.chosen(everything)
    return list(programs.values()), [program for program in everything if program.folder not in programs]


def _call(draft: Draft, program: GoProgram, hints: Clues, *, only: bool, alone: bool) -> str:
    name = image_name(draft, program.name, program.folder)
    words = [literal(name)]
    if program.package != ".":
        words.append(literal(program.package))
    if program.module != ".":
        words.append(f"GODIR={literal(program.module)}")
    if only and hints.repository and hints.repository.text != name:
        words.append(f"repository={literal(hints.repository.text)}")
        draft.taken.append(hints.repository)
    draft.taken.append(Clue(f"the Go program {name}", program.folder))
    dockerfile = recipe(draft.files, program.name, program, alone=alone)
    if dockerfile is None:
        return f"env.GoImage({', '.join(words)})"
    reason = _unfit(dockerfile, program, only=only)
    if reason:
        clue = Clue(reason, dockerfile.path)
        draft.left_out += [clue] if clue not in draft.left_out else []
        return f"env.GoImage({', '.join(words)}, dockerfile=None)"
    draft.recipes.append(dockerfile)
    if dockerfile.stages:
        if dockerfile.linked and not hints.linked:
            draft.left_out.append(Clue("-X of its go build: GOLDFLAGS takes such, with ${VERSION}", dockerfile.path))
        words.append(f"stages={{{', '.join(map(_stage, dockerfile.stages))}}}")
        names = ", ".join(name for name, _ in dockerfile.stages)
        draft.taken.append(Clue(f"{name} in the place of what is compiled in stage {names}", dockerfile.path))
    elif dockerfile.compiles:
        draft.taken.append(Clue(f"{dockerfile.path} compiles {name} by itself; an engine runs it", dockerfile.path))
        own = is_own(dockerfile.path)
        return f"env.MultiarchImage({literal(name)}{'' if own else f', dockerfile={literal(dockerfile.path)}'})"
    if not is_own(dockerfile.path, program.folder if program.module == "." else "."):
        words.append(f"dockerfile={literal(dockerfile.path)}")
    draft.taken.append(Clue(f"the Dockerfile of {name}", dockerfile.path))
    return f"env.GoImage({', '.join(words)})"


def _unfit(dockerfile: Recipe, program: GoProgram, *, only: bool) -> str:
    """Why the image is made without a Dockerfile that is there; "" where it takes it."""
    inside = program.folder != "." and dockerfile.path.startswith(f"{program.folder}/")
    if dockerfile.compiles and not only and not inside and dockerfile.path not in names_of(program.name):
        return "a Dockerfile that compiles several programs; each image is made without it"
    folder = posixpath.dirname(dockerfile.path)
    nested = program.module != "." and f"{folder}/".startswith(f"{program.module}/")
    if nested and any(not source.lstrip("./").startswith("_output/") for source in dockerfile.copied):
        return "a Dockerfile that copies files of its own folder, where the context is the folder of the SConstruct"
    takes = dockerfile.stages or dockerfile.compiles or any("_output/bin" in source for source in dockerfile.copied)
    return "" if takes else "a Dockerfile that copies no program of _output/bin; the image is made without it"


def _stage(stage: tuple[str, tuple[tuple[str, str], ...]]) -> str:
    """A stage and what stands for it, as Python: the program alone is its path."""
    name, taken = stage
    if [meaning for _, meaning in taken] == [PROGRAM]:
        return f"{literal(name)}: {literal(taken[0][0])}"
    return f"{literal(name)}: {{{', '.join(f'{literal(path)}: {meaning}' for path, meaning in taken)}}}"


def _version_flag(files: Files, programs: Iterable[GoProgram]) -> list[str]:
    for program in programs:
        for path in files.named("" if program.folder == "." else program.folder):
            if path.endswith(".go") and not path.endswith("_test.go") and (name := _version(files.text(path))):
                return [f"-X main.{name}=${{VERSION}}"]
    return []


def _version(text: str) -> str:
    """The variable of a Go file that is called as its version is; the linker sets no constant, and no local one."""
    block = False
    for line in text.splitlines():
        if re.match(r"var[ \t]*\(", line):
            block = True
        elif line.startswith(")"):
            block = False
        declared = line.lstrip() if block else line[3:].lstrip() if re.match(r"var[ \t]", line) else ""
        if match := _VERSION.match(declared):
            return match[1]
    return ""
