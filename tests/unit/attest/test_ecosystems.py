"""What files of other languages say that they are made of; whatever else they hold counts for nothing."""

from __future__ import annotations

import io
import json
import struct
import zlib

import pytest

from multiarch_oci.attest import readers
from multiarch_oci.attest.bom import APPLICATION, LIBRARY, File, Package
from multiarch_oci.attest.ecosystems import cargo_lock, package_lock
from multiarch_oci.attest.gobuild import read_build_info
from multiarch_oci.attest.readers import Known, parts_of, wants

CARGO = """\
version = 3

[[package]]
name = "demo"
version = "0.1.0"
dependencies = ["serde"]

[[package]]
name = "serde"
version = "1.0.200"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "ddc6f9cc94d67c0e21aaf7eda3a010fd3af78ebf6e096aa6e2e13c79749cce4f"

[[package]]
name = "forked"
version = "2.0.0"
source = "git+https://example.org/forked#0123"
"""
PACKAGE_LOCK = {
    "lockfileVersion": 3,
    "packages": {
        "": {"name": "app", "version": "1.0.0"},
        "node_modules/left-pad": {"version": "1.3.0", "license": "WTFPL", "integrity": "sha512-xyz"},
        "node_modules/@scope/x/node_modules/y": {"version": "2.0.0", "license": "mit"},
        "node_modules/tester": {"version": "3.0.0", "dev": True},
        "node_modules/linked": {"resolved": "packages/linked", "link": True},
    },
}
OLDER_LOCK = {"dependencies": {"a": {"version": "1", "dependencies": {"b": {"version": "2"}}}, "c": {"dev": True}}}
METADATA = """\
Metadata-Version: 2.4
Name: Some.Package
Version: 1.2
License-Expression: Apache-2.0 OR MIT
"""


def elf(name: str, content: bytes) -> bytes:
    """Return a little ELF program with one section of this name."""
    names = b"\0" + name.encode() + b"\0.shstrtab\0"
    head = 64
    table = head + len(content) + len(names)
    header = (
        b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 2)
    )
    sections = [(0, 0, 0, 0), (1, 1, head, len(content)), (len(name) + 2, 3, head + len(content), len(names))]
    rows = b"".join(struct.pack("<IIQQQQIIQQ", n, kind, 0, 0, at, size, 0, 0, 1, 0) for n, kind, at, size in sections)
    return header + content + names + rows


def packages(path: str, content: bytes, known: Known = Known()) -> list[tuple[str, str, str, str]]:  # noqa: B008  # frozen
    """Return kind, name, version and licence of all that a file says, its own package first."""
    assert wants(path, content[:4096])
    parts = parts_of(File(path, "", "sum"), io.BytesIO(content), known)
    listed = [package for part in parts for package in (part.main, *part.packages) if package is not None]
    return [(package.kind, package.name, package.version, package.licence) for package in listed]


def audited(document: object) -> bytes:
    return elf(".dep-v0", zlib.compress(json.dumps(document).encode()))


def test_a_rust_program_says_what_is_linked_in():
    document = {
        "packages": [
            {"name": "demo", "version": "0.1.0", "source": "local", "root": True, "dependencies": [1]},
            {"name": "serde", "version": "1.0.200", "source": "crates.io"},
            {"name": "cc", "version": "1.0.0", "source": "crates.io", "kind": "build"},
        ]
    }
    assert packages("usr/bin/demo", audited(document)) == [
        (APPLICATION, "demo", "0.1.0", ""),
        (LIBRARY, "serde", "1.0.200", ""),
    ]


def test_a_program_that_says_nothing_is_what_its_lock_file_says():
    serde = Package(LIBRARY, "serde", "1.0.200")
    known = Known("2.0", locks={"sum": (serde,)})
    assert packages("usr/bin/demo", elf(".text", b"x"), known) == [
        (APPLICATION, "demo", "2.0", ""),
        (LIBRARY, "serde", "1.0.200", ""),
    ]
    assert packages("usr/bin/demo", elf(".text", b"x")) == []


def test_cargo_lock():
    found = cargo_lock(CARGO.encode())
    assert [(package.name, package.purl) for package in found] == [
        ("forked", "pkg:cargo/forked@2.0.0"),
        ("serde", "pkg:cargo/serde@1.0.200"),
    ]
    assert packages("app/Cargo.lock", CARGO.encode())[1][1:3] == ("serde", "1.0.200")


def test_package_lock():
    found = package_lock(json.dumps(PACKAGE_LOCK).encode())
    assert [(package.purl, package.licence) for package in found] == [
        ("pkg:npm/left-pad@1.3.0", "WTFPL"),
        ("pkg:npm/y@2.0.0", "MIT"),
    ]
    assert [package.name for package in package_lock(json.dumps(OLDER_LOCK).encode())] == ["a", "b"]
    scoped = {"packages": {"node_modules/@scope/x": {"version": "1"}}}
    assert package_lock(json.dumps(scoped).encode())[0].purl == "pkg:npm/%40scope/x@1"
    assert packages("app/node_modules/.package-lock.json", json.dumps(PACKAGE_LOCK).encode())[0][1] == "left-pad"


def test_metadata_of_python():
    path = "app/some_package-1.2.dist-info/METADATA"
    assert packages(path, METADATA.encode()) == [(LIBRARY, "Some.Package", "1.2", "Apache-2.0 OR MIT")]
    (part,) = parts_of(File(path, "", ""), io.BytesIO(METADATA.encode()), Known())
    assert part.main is not None
    assert part.main.purl == "pkg:pypi/some-package@1.2"
    guess = METADATA.replace("License-Expression: Apache-2.0 OR MIT", "License: BSD or so")
    assert packages(path, guess.encode())[0][3] == ""
    assert not wants("app/METADATA", b"")


DEEP = b'{"dependencies": {"a": ' * 5000
HOSTILE = {
    "app/package-lock.json": [
        b"[" * 100_000,
        b"{}",
        b'{"packages": [1]}',
        b'{"packages": {"node_modules/x": 1}}',
        DEEP,
    ],
    "app/Cargo.lock": [b"[[package]]\n" * 1000, b'[[package]]\nname = "\xff"\n', b"\0" * 100],
    "x.dist-info/METADATA": [b"", b"Name: a\x00b\n", b"\xff" * 1000, b"Name: " + b"x" * 100_000],
    "usr/bin/x": [
        b"\x7fELF",
        b"\x7fELF\x02\x01" + b"\xff" * 100,
        audited([1]),
        audited({"packages": {"name": 1}}),
        elf(".dep-v0", zlib.compress(b"x" * (80 << 20))),
        elf(".dep-v0", b"no zlib"),
        elf(".go.buildinfo", b"\xff Go buildinf:\x08\x02" + bytes(16) + b"\xff" * 10),
        b"MZ" + b"\xff" * 200,
        b"\xca\xfe\xba\xbe\x00\x00\x00\x10" + b"\xff" * 400,
        b"\xcf\xfa\xed\xfe" + b"\xff" * 100,
    ],
}


@pytest.mark.parametrize("path", HOSTILE)
def test_what_is_damaged_counts_for_nothing(path: str):
    for content in HOSTILE[path]:
        assert not parts_of(File(path, "", ""), io.BytesIO(content), Known()), content[:40]


def test_every_prefix_and_many_changes_of_a_program_are_read_without_an_error():
    whole = elf(".go.buildinfo", b"\xff Go buildinf:\x08\x02" + bytes(16) + b"\x06go1.26\x00" + bytes(16))
    assert read_build_info(io.BytesIO(whole)) is not None
    for end in range(len(whole)):
        read_build_info(io.BytesIO(whole[:end]))
        for value in (0, 0x7F, 0xFF):
            read_build_info(io.BytesIO(whole[:end] + bytes([value]) + whole[end + 1 :]))


def test_a_reader_is_asked_only_for_its_files():
    assert not wants("etc/passwd", b"root:x:0:0\n")
    assert not wants("usr/bin/script", b"#!/bin/sh\n")
    assert len(readers._READERS) == 5
