"""How `go list` is asked, and how its answer is read; loaded when an answer is not known."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from multiarch_oci.golang.inputs import Listing, Package, Run, without_index
from multiarch_oci.golang.toolchain import Toolchain

_Texts = tuple[str, ...] | None


class _Module(msgspec.Struct, rename="pascal"):
    """A module as `go list` describes it (cmd/go, modinfo.ModulePublic)."""

    path: str = ""
    version: str = ""
    dir: str = ""
    go_version: str = ""
    replace: _Module | None = None


class _Error(msgspec.Struct, rename="pascal"):
    """What is wrong with a package (cmd/go, load.PackageError)."""

    pos: str = ""
    err: str = ""


class _Entry(msgspec.Struct, rename="pascal"):
    """A package as `go list` describes it (`go help list`): the members that are asked for."""

    import_path: str
    name: str = ""
    dir: str = ""
    standard: bool = False
    match: _Texts = ()
    imports: _Texts = ()
    import_map: dict[str, str] | None = None
    module: _Module | None = None
    error: _Error | None = None
    cgo_cflags: _Texts = msgspec.field(default=(), name="CgoCFLAGS")
    cgo_cppflags: _Texts = msgspec.field(default=(), name="CgoCPPFLAGS")
    cgo_cxxflags: _Texts = msgspec.field(default=(), name="CgoCXXFLAGS")
    cgo_ldflags: _Texts = msgspec.field(default=(), name="CgoLDFLAGS")
    embed_patterns: _Texts = ()
    go_files: _Texts = ()
    cgo_files: _Texts = ()
    c_files: _Texts = ()
    cxx_files: _Texts = msgspec.field(default=(), name="CXXFiles")
    m_files: _Texts = ()
    h_files: _Texts = ()
    f_files: _Texts = ()
    s_files: _Texts = ()
    swig_files: _Texts = ()
    swig_cxx_files: _Texts = msgspec.field(default=(), name="SwigCXXFiles")
    syso_files: _Texts = ()
    embed_files: _Texts = ()


_MEMBERS = dict(zip(_Entry.__struct_encode_fields__, _Entry.__struct_fields__, strict=True))
_FILES = {name: member for name, member in _MEMBERS.items() if name.endswith("Files")}


def list_packages(  # each is one fact about the question
    patterns: Sequence[str],
    *,
    toolchain: Toolchain,
    directory: Path,
    environment: Mapping[str, str],
    flags: Sequence[str],
    no_index: bool,
    run: Run,
) -> Listing:
    """Ask `go list` once for all patterns; what is wrong with a package is part of the answer.

    `no_index` is for trees in which an mtime was set back: Go then reads every file (100 ms more).
    """
    # -pgo=off: else each program has its own copy of every package; profiles are looked for by the caller.
    line = [
        str(toolchain.go),
        "list",
        "-e",
        "-deps",
        "-pgo=off",
        f"-json={','.join(_MEMBERS)}",
        *flags,
        "--",
        *patterns,
    ]
    status, output, complaint = run(line, directory, without_index(environment) if no_index else environment)
    entries: list[_Entry] = []
    error = ""
    try:
        entries = [entry for entry in _entries(output) if entry.error or not entry.standard]
    except (ValueError, RecursionError, msgspec.ValidationError):
        error = "go list wrote something that is not JSON"
    if status != 0:
        error = complaint.strip() or f"go list failed with status {status}"
    packages = tuple(_package(entry) for entry in entries)
    return Listing(packages, _closures(patterns, entries, packages), error)


def _entries(text: str) -> Iterator[_Entry]:
    """The objects that `go list -json` writes one after the other; ValueError or ValidationError for anything else."""
    decoder = json.JSONDecoder()
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        document, position = decoder.raw_decode(text, position)
        yield msgspec.convert(document, _Entry)


def _package(entry: _Entry) -> Package:
    module = entry.module or _Module()
    source = module.replace or module
    shown = module.version
    if module.replace:
        shown += f" => {source.path} {source.version}".rstrip() if source.version else " => local"
    names = {name for files in (getattr(entry, member) for member in _FILES.values()) for name in files or ()}
    renamed = entry.import_map or {}
    below = bool(source.version) and module.dir.endswith(f"@{_escaped(source.version)}")
    return Package(
        path=entry.import_path,
        name=entry.name,
        folder=entry.dir,
        files=tuple(sorted(names)),
        imports=tuple(renamed.get(path, path) for path in entry.imports or ()),
        module=module.path,
        version=shown.strip(),
        language=module.go_version,
        fixed=below and entry.dir.startswith(module.dir),
        c_flags=(*(entry.cgo_cppflags or ()), *(entry.cgo_cflags or ()), *(entry.cgo_cxxflags or ())),
        ld_flags=entry.cgo_ldflags or (),
        embeds=entry.embed_patterns or (),
        error="" if entry.error is None else _message(entry.error),
    )


def _escaped(version: str) -> str:
    """A version as the module cache spells it: capitals as `!` and the small letter (module.EscapeVersion)."""
    return re.sub("[A-Z]", lambda letter: f"!{letter[0].lower()}", version)


def _message(error: _Error) -> str:
    return f"{error.pos}: {error.err}" if error.pos else error.err


def _closures(
    patterns: Sequence[str], entries: Sequence[_Entry], packages: Sequence[Package]
) -> dict[str, tuple[int, ...]]:
    numbers = {package.path: number for number, package in enumerate(packages)}
    closures = {}
    for pattern in patterns:
        first = [number for number, entry in enumerate(entries) if pattern in (entry.match or ())]
        seen = dict.fromkeys(first)
        pending = list(first)
        while pending:
            for path in packages[pending.pop()].imports:
                number = numbers.get(path)
                if number is not None and number not in seen:
                    seen[number] = None
                    pending.append(number)
        closures[pattern] = tuple(seen)
    return closures
