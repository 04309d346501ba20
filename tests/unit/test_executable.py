"""What a file's head says, judged by programs that Go made for each platform, and by heads made by hand."""

from __future__ import annotations

import base64
import io
import json
import struct
from pathlib import Path

import pytest

from multiarch_oci.executable import (
    HEAD,
    Format,
    Machine,
    WrongMachine,
    agrees,
    check,
    identify,
    is_executable_head,
    read_head,
)
from multiarch_oci.platform import Platform

HEADS = {
    platform: base64.b64decode(head)
    for platform, head in json.loads(
        (Path(__file__).parent.parent / "data" / "executable_heads.json").read_text(encoding="utf-8")
    ).items()
}
OTHER_FORMATS = ("aix", "plan9", "js", "wasip1")
PROGRAMS = [platform for platform in HEADS if not platform.startswith(OTHER_FORMATS)]


def elf(machine: int, *, bits: int = 64, order: str = "<", kind: int = 2, flags: int = 0, abi: int = 0) -> bytes:
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1, abi]) + bytes(8)
    addresses = struct.pack(order + ("QQQ" if bits == 64 else "III"), 0, 0, 0)
    return ident + struct.pack(order + "HHI", kind, machine, 1) + addresses + struct.pack(order + "I", flags)


def pe(machine: int, *, subsystem: int = 3, clr: bool = False, magic: int = 0x20B) -> bytes:
    coff = struct.pack("<HHIIIHH", machine, 1, 0, 0, 0, 240, 0x22)
    before = 112 if magic == 0x20B else 96
    optional = bytearray(before + 16 * 8)
    struct.pack_into("<H", optional, 0, magic)
    struct.pack_into("<H", optional, 68, subsystem)
    struct.pack_into("<I", optional, before - 4, 16)
    if clr:
        struct.pack_into("<II", optional, before + 14 * 8, 0x2008, 72)
    return b"MZ" + bytes(0x3A) + struct.pack("<I", 0x80) + bytes(0x40) + b"PE\0\0" + coff + bytes(optional)


def fat(*machines: int, step: int = 20) -> bytes:
    magic = b"\xca\xfe\xba\xbe" if step == 20 else b"\xca\xfe\xba\xbf"
    return (
        magic + struct.pack(">I", len(machines)) + b"".join(struct.pack(">I", m).ljust(step, b"\0") for m in machines)
    )


@pytest.mark.parametrize("platform", PROGRAMS)
def test_a_go_program_agrees_with_its_platform(platform: str) -> None:
    machine = identify(HEADS[platform])
    assert machine is not None
    assert agrees(machine, Platform.parse(platform))
    check(machine, Platform.parse(platform), where="demo")
    assert is_executable_head(HEADS[platform])


@pytest.mark.parametrize("platform", PROGRAMS)
def test_a_go_program_agrees_with_no_platform_of_another_architecture(platform: str) -> None:
    machine = identify(HEADS[platform])
    assert machine is not None
    system, architecture = platform.split("/")
    for other in {name.split("/")[1] for name in PROGRAMS} - {architecture}:
        fine = (architecture, other) == ("386", "amd64")
        assert agrees(machine, Platform(system, other)) is fine, other


def test_the_golden_heads_hold_every_platform_that_images_are_made_for() -> None:
    wanted = {
        f"linux/{a}"
        for a in [
            "386",
            "amd64",
            "arm",
            "arm64",
            "loong64",
            "mips",
            "mips64",
            "mips64le",
            "mipsle",
            "ppc64",
            "ppc64le",
            "riscv64",
            "s390x",
        ]
    }
    assert wanted | {"windows/386", "windows/amd64", "windows/arm64", "darwin/amd64", "freebsd/amd64"} <= set(PROGRAMS)


@pytest.mark.parametrize("platform", [platform for platform in HEADS if platform.startswith(OTHER_FORMATS)])
def test_formats_that_no_image_runs_are_not_identified(platform: str) -> None:
    assert identify(HEADS[platform]) is None


@pytest.mark.parametrize(
    ("machine", "platform", "fine"),
    [
        ("linux/amd64", "windows/amd64", False),
        ("windows/amd64", "linux/amd64", False),
        ("darwin/arm64", "linux/arm64", False),
        ("linux/arm64", "darwin/arm64", False),
        ("freebsd/amd64", "linux/amd64", False),
        ("netbsd/amd64", "freebsd/amd64", False),
        ("linux/amd64", "freebsd/amd64", True),  # it names no system: not known is no contradiction
        ("linux/386", "linux/amd64", True),
        ("linux/amd64", "linux/386", False),
        ("windows/386", "windows/amd64", True),
        ("linux/amd64", "linux/amd64/v3", True),
        ("linux/arm", "linux/arm/v5", True),
        ("linux/arm", "linux/arm64", False),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm64", "linux/aarch64", True),
        ("linux/mips64le", "linux/mips64", False),
    ],
)
def test_pairs_of_program_and_platform(machine: str, platform: str, fine: bool) -> None:
    found = identify(HEADS[machine])
    assert found is not None
    assert agrees(found, Platform.parse(platform)) is fine


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (elf(40, bits=32, flags=0x5000400), Machine(Format.ELF, ("arm",), variant="v6")),
        (elf(40, bits=32, flags=0x5000200), Machine(Format.ELF, ("arm",))),
        (elf(40, bits=32, order=">"), Machine(Format.ELF, ("armbe",))),
        (elf(62, bits=32), Machine(Format.ELF, ("amd64p32",))),
        (elf(62, abi=3), Machine(Format.ELF, ("amd64",), "linux")),
        (elf(62, kind=3), Machine(Format.ELF, ("amd64",))),
        (elf(8, bits=32, order=">", flags=0x20), Machine(Format.ELF, ("mips64p32",))),
        (elf(8, bits=32, flags=0x20), Machine(Format.ELF, ("mips64p32le",))),
        (elf(183, order=">"), Machine(Format.ELF, ("arm64be",))),
        (elf(9999), Machine(Format.ELF, ("machine 9999",))),
        (pe(0x8664), Machine(Format.PE, ("amd64",), "windows")),
        (pe(0x1C4, magic=0x10B), Machine(Format.PE, ("arm",), "windows")),
        (pe(0x1234), Machine(Format.PE, ("machine 0x1234",), "windows")),
        (fat(0x01000007, 0x0100000C), Machine(Format.MACH_O, ("amd64", "arm64"), "darwin")),
        (fat(0x0100000C, 0x0100000C, step=32), Machine(Format.MACH_O, ("arm64",), "darwin")),
        (b"\xfe\xed\xfa\xce" + struct.pack(">III", 18, 0, 2), Machine(Format.MACH_O, ("ppc",), "darwin")),
    ],
)
def test_heads_made_by_hand(head: bytes, expected: Machine) -> None:
    assert identify(head) == expected
    assert is_executable_head(head)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"#!/bin/sh\n",
        b"MZ",
        b"MZ is how this text begins, and it goes on for so long that there would be room for an address, but no header",
        b"\x7fELF",
        b"\x7fELF\x09\x09\x01\x00" + bytes(60),
        elf(62, kind=1),
        elf(62, kind=4),
        b"\xca\xfe\xba\xbe\x00\x00\x00\x41" + bytes(HEAD),  # a class of Java 21
        b"\xca\xfe\xba\xbe",
        b"\xcf\xfa\xed\xfe" + struct.pack("<III", 0x01000007, 3, 1),
        pe(0x8664, subsystem=10),
        pe(0x14C, clr=True, magic=0x10B),
        pe(0x8664, clr=True),
    ],
)
def test_what_is_no_program_of_one_platform_is_not_identified(head: bytes) -> None:
    assert identify(head) is None


@pytest.mark.parametrize("head", [elf(62), pe(0x8664), fat(7, 12)])
def test_a_head_that_ends_early_is_not_identified_and_no_crash(head: bytes) -> None:
    whole = identify(head)
    assert whole is not None
    for length in range(len(head)):
        assert identify(head[:length]) in (None, whole)
        is_executable_head(head[:length])


def test_an_armhf_program_runs_on_v6_and_above() -> None:
    machine = identify(elf(40, bits=32, flags=0x5000400))
    assert machine is not None
    assert [agrees(machine, Platform("linux", "arm", variant)) for variant in ("v5", "v6", "v7", "v8", "")] == [
        False, True, True, True, True,
    ]  # fmt: skip


def test_a_universal_program_agrees_with_each_of_its_machines() -> None:
    machine = identify(fat(0x01000007, 0x0100000C))
    assert machine is not None
    assert agrees(machine, Platform("darwin", "arm64"))
    assert agrees(machine, Platform("darwin", "amd64"))
    assert not agrees(machine, Platform("darwin", "386"))


@pytest.mark.parametrize(
    ("head", "platform", "found"),
    [
        (elf(62), "linux/arm64", "an x86-64 ELF"),
        (HEADS["windows/arm64"], "linux/arm64", "an ARM64 PE"),
        (HEADS["linux/mips64le"], "linux/mips64", "a little-endian MIPS64 ELF"),
        (HEADS["linux/s390x"], "linux/arm/v7", "an s390x ELF"),
        (HEADS["freebsd/amd64"], "linux/amd64", "an x86-64 ELF for freebsd"),
        (fat(0x01000007, 0x0100000C), "windows(10.0.20348.1)/amd64", "an x86-64 and ARM64 Mach-O"),
    ],
)
def test_a_contradiction_names_file_found_and_wanted(head: bytes, platform: str, found: str) -> None:
    machine = identify(head)
    assert machine is not None
    with pytest.raises(WrongMachine) as caught:
        check(machine, Platform.parse(platform), where="build/demo")
    assert str(caught.value) == (
        f"build/demo: is {found}, but the image is {platform}\n"
        f"  hint: copy the file that was built for {platform}, or build it for that platform"
    )


@pytest.mark.parametrize(
    ("head", "executable"),
    [
        (b"#!/bin/sh\n", True),
        (b"#! /usr/bin/env python3\n", True),
        (b"#![allow(dead_code)]\n", False),  # Rust, not a script
        (b"#!\n", False),
        (b"plain text", False),
        (b"", False),
        (b"MZ", False),
        (b"\xca\xfe\xba\xbe\x00\x00\x00\x41" + bytes(HEAD), False),
        (pe(0x14C, clr=True, magic=0x10B), True),
    ],
)
def test_which_heads_make_a_file_executable(head: bytes, executable: bool) -> None:
    assert is_executable_head(head) is executable


def test_only_the_head_is_read_even_in_small_pieces() -> None:
    class Pieces(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            assert size is not None
            assert 0 < size <= HEAD
            return super().read(min(size, 100))

    stream = Pieces(elf(62).ljust(HEAD, b"\0") + b"never read")
    head = read_head(lambda: stream)
    assert len(head) == HEAD
    assert stream.closed
    assert identify(head) == Machine(Format.ELF, ("amd64",))
