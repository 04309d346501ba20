"""What files of an image say that it is made of: one reader a kind of file, all with the same two questions.

A reader says by the path and the first bytes whether it wants a file, and gives its parts. What it cannot read it gives
nothing of: an SBOM never guesses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

import msgspec

from multiarch_oci.attest import ecosystems
from multiarch_oci.attest.bom import APPLICATION, LIBRARY, File, Package, Part, golang
from multiarch_oci.attest.gobuild import BuildInfo, Module, read_build_info
from multiarch_oci.executable import is_executable_head

_DEVEL = "(devel)"
_STANDARD = "stdlib"
"""What scanners call Go's own packages, whose version is that of Go."""


class Known(msgspec.Struct, frozen=True):
    """What a build knows of files beside what stands in them; files by the sha256 of their content.

    `version` is that of the `programs`, which this build made. `licences` are those of Go modules, by path and version.
    `locks` are the packages of lock files that programs were made by.
    """

    version: str = ""
    programs: frozenset[str] = frozenset()
    licences: Mapping[tuple[str, str], str] = MappingProxyType({})
    locks: Mapping[str, tuple[Package, ...]] = MappingProxyType({})


def wants(path: str, head: bytes) -> bool:
    """Whether a reader wants to look into this file of an image."""
    return any(reader.wants(path, head) for reader in _READERS)


def parts_of(file: File, content: BinaryIO, known: Known) -> tuple[Part, ...]:
    """What a file says; `content` is seekable. What it is damaged in is left out."""
    content.seek(0)
    head = content.read(4096)
    parts: list[Part] = []
    for reader in _READERS:
        if not parts and reader.wants(file.path, head):
            parts += reader.read(file, content, known)
    return tuple(parts)


def _is_program(_path: str, head: bytes) -> bool:
    return is_executable_head(head) and not head.startswith(b"#!")


def _of_go(file: File, content: BinaryIO, known: Known) -> tuple[Part, ...]:
    info = read_build_info(content)
    return () if info is None else (go_part(file, info, known),)


def go_part(file: File, info: BuildInfo, known: Known) -> Part:
    """A Go program: its main module with the version that this build gives it, and every module that is linked in.

    A module that is replaced is what replaces it; what it stands for is a property of it. The sum of go.sum is a
    property: it is no SHA-256 of anything that could be fetched.
    """
    main = info.main or Module(info.path or file.path.rpartition("/")[2])
    version = known.version if file.sha256 in known.programs else ("" if main.version == _DEVEL else main.version)
    settings = [("go:version", info.go), ("go:package", info.path)]
    settings += [(f"go:build:{name}", value) for name, value in info.settings]
    program = Package(
        APPLICATION,
        main.path,
        version,
        golang(main.path, version),
        known.licences.get((main.path, main.version), ""),
        "",
        (*((name, value) for name, value in settings if value), *_sum(main)),
    )
    standard = info.go.partition(" ")[0].removeprefix("go")
    modules = [_module(module, known) for module in info.modules]
    if standard[:1].isdigit():
        modules.append(Package(LIBRARY, _STANDARD, f"go{standard}", golang(_STANDARD, standard), "BSD-3-Clause"))
    return Part(file.path, program, tuple(sorted(modules)))


def named(module: Module) -> Module:
    """A module as an SBOM names it: by what replaces it; a folder that does is called as what it stands for."""
    actual = module.replace or module
    return Module(module.path, module.version) if actual.version in ("", _DEVEL) else actual


def _module(module: Module, known: Known) -> Package:
    actual = named(module)
    properties: tuple[tuple[str, str], ...] = _sum(actual)
    if module.replace is not None:
        properties += (("go:replaces", " ".join(filter(None, (module.path, module.version)))),)
        if actual.path != module.replace.path:
            properties += (("go:folder", module.replace.path),)
    licence = known.licences.get((actual.path, actual.version), "")
    version = "" if actual.version == _DEVEL else actual.version
    return Package(LIBRARY, actual.path, version, golang(actual.path, version), licence, "", properties)


def _sum(module: Module) -> tuple[tuple[str, str], ...]:
    return (("go:sum", module.sum),) if module.sum else ()


def _of_rust(file: File, content: BinaryIO, known: Known) -> tuple[Part, ...]:
    audited = ecosystems.auditable(file, content)
    return audited or ecosystems.locked(file, known.locks.get(file.sha256, ()), known.version)


class _Reader(NamedTuple):
    """A kind of file: whether a path with these first bytes is one, and what one of them is made of."""

    wants: Callable[[str, bytes], bool]
    read: Callable[[File, BinaryIO, Known], tuple[Part, ...]]


_READERS = (
    _Reader(_is_program, _of_go),
    _Reader(_is_program, _of_rust),
    _Reader(ecosystems.is_node, lambda file, content, _: ecosystems.node(file, content)),
    _Reader(ecosystems.is_python, lambda file, content, _: ecosystems.python(file, content)),
    _Reader(ecosystems.is_cargo_lock, lambda file, content, _: ecosystems.cargo(file, content)),
)
