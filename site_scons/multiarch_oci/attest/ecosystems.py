"""Packages of other languages, as their own files name them: Rust, Node, Python.

Each file is somebody else's: bounded, of any shape, and what of it cannot be read counts for nothing.
"""

from __future__ import annotations

import email.parser
import email.policy
import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from multiarch_oci.attest.bom import APPLICATION, LIBRARY, File, Package, Part, purl
from multiarch_oci.attest.licences import expression
from multiarch_oci.attest.sections import inflated, read_section, sections

_MOST = 64 << 20
_AUDITABLE = (".dep-v0",)
_LOCKS = ("package-lock.json", "npm-shrinkwrap.json", ".package-lock.json")
_CRATES = "registry+https://github.com/rust-lang/crates.io-index"
_TEXT = re.compile(r"[^\x00-\x1f\x7f]{1,400}\Z")


def _small(content: BinaryIO) -> bytes:
    content.seek(0)
    read = content.read(_MOST + 1)
    return read if len(read) <= _MOST else b""


def _json(content: bytes) -> dict[str, object]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    """A name or version; "" for what can be none."""
    return value if isinstance(value, str) and _TEXT.match(value) else ""


def auditable(file: File, content: BinaryIO) -> tuple[Part, ...]:
    """What `cargo auditable` wrote into a program: the crates that are linked in (rust-secure-code, .dep-v0)."""
    for section in sections(content):
        if section.name not in _AUDITABLE:
            continue
        listed = _json(inflated(read_section(content, section), _MOST) or b"").get("packages")
        crates = [crate for crate in listed if isinstance(crate, dict)] if isinstance(listed, list) else []
        linked = [crate for crate in crates if crate.get("kind", "runtime") == "runtime"]
        main = next((_crate(crate, APPLICATION) for crate in crates if crate.get("root") is True), None)
        packages = {_crate(crate, LIBRARY) for crate in linked if crate.get("root") is not True}
        own = tuple(sorted(filter(None, packages)))
        return (Part(file.path, main, own),) if own or main is not None else ()
    return ()


def _crate(crate: dict[str, object], kind: str) -> Package | None:
    name, version = _text(crate.get("name")), _text(crate.get("version"))
    source = _text(crate.get("source"))
    if not name:
        return None
    known = source in ("crates.io", "", _CRATES)
    return Package(kind, name, version, purl("cargo", name, version), properties=() if known else (("source", source),))


def locked(file: File, packages: tuple[Package, ...], version: str) -> tuple[Part, ...]:
    """A program that says nothing of itself, made by a lock file: what that names, all of it."""
    if not packages:
        return ()
    main = Package(APPLICATION, file.path.rpartition("/")[2], version)
    return (Part(file.path, main, packages),)


def is_cargo_lock(path: str, _head: bytes) -> bool:
    """Whether this is a Cargo.lock."""
    return path.rpartition("/")[2] == "Cargo.lock"


def cargo(file: File, content: BinaryIO) -> tuple[Part, ...]:
    """The crates of a Cargo.lock that lies in the image."""
    packages = cargo_lock(_small(content))
    return (Part(file.path, None, packages),) if packages else ()


def cargo_lock(content: bytes) -> tuple[Package, ...]:
    """The crates that a Cargo.lock takes from elsewhere; those without a source are the project's own."""
    packages = set()
    for block in content.decode("utf-8", "replace").split("[[package]]")[1:]:
        fields = dict(re.findall(r'^(name|version|source|checksum) = "([^"\\]*)"\s*$', block, re.MULTILINE))
        if fields.get("source") and (crate := _crate(dict(fields), LIBRARY)):
            packages.add(crate)
    return tuple(sorted(packages))


def is_node(path: str, _head: bytes) -> bool:
    """Whether this is a lock file of npm, or the list that npm keeps of what it installed."""
    return path.rpartition("/")[2] in _LOCKS


def node(file: File, content: BinaryIO) -> tuple[Part, ...]:
    """The packages of a package-lock.json; those for development alone are in no image that npm installed for use."""
    packages = package_lock(_small(content))
    return (Part(file.path, None, packages),) if packages else ()


def package_lock(content: bytes) -> tuple[Package, ...]:
    """The packages of a lock file of npm, of any of its three versions, but those for development alone."""
    document = _json(content)
    listed = document.get("packages")
    if not isinstance(listed, dict):
        return tuple(sorted(set(_older(document.get("dependencies"), 0))))
    packages = set()
    for path, entry in listed.items():
        if not isinstance(entry, dict) or "node_modules/" not in path or entry.get("link") is True:
            continue
        name = _text(entry.get("name")) or _text(path.rpartition("node_modules/")[2])
        if entry.get("dev") is not True and name:
            packages.add(_npm(name, entry))
    return tuple(sorted(packages))


def _older(dependencies: object, depth: int) -> Iterator[Package]:
    """Those of the first version, one within the other."""
    if not isinstance(dependencies, dict) or depth > 100:  # noqa: PLR2004  # folders within folders
        return
    for name, entry in dependencies.items():
        if isinstance(entry, dict) and entry.get("dev") is not True and _text(name):
            yield _npm(name, entry)
            yield from _older(entry.get("dependencies"), depth + 1)


def _npm(name: str, entry: dict[str, object]) -> Package:
    version = _text(entry.get("version"))
    integrity = _text(entry.get("integrity"))
    properties = (("npm:integrity", integrity),) if integrity else ()
    licence = expression(_text(entry.get("license")))
    return Package(LIBRARY, name, version, purl("npm", name, version), licence, "", properties)


def is_python(path: str, _head: bytes) -> bool:
    """Whether this is the METADATA of an installed package of Python."""
    folder, _, name = path.rpartition("/")
    return name == "METADATA" and folder.endswith(".dist-info")


def python(file: File, content: BinaryIO) -> tuple[Part, ...]:
    """The package whose METADATA this is (packaging.python.org, "Core metadata specifications")."""
    policy = email.policy.compat32
    message = email.parser.HeaderParser(policy=policy).parsestr(_small(content).decode("utf-8", "replace"))
    name, version = _text(message.get("Name")), _text(message.get("Version"))
    if not name:
        return ()
    licence = expression(_text(message.get("License-Expression"))) or expression(_text(message.get("License")))
    normal = re.sub(r"[-_.]+", "-", name).lower()
    return (Part(file.path, Package(LIBRARY, name, version, purl("pypi", normal, version), licence)),)
