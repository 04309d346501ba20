"""Executables: for which machine and system a program was made, as its first bytes say.

ELF (System V ABI, gABI chapter 4), PE (Microsoft's "PE Format") and Mach-O (Apple's `mach-o/loader.h`, `fat.h`). Only
the first `HEAD` bytes are ever looked at; what does not stand in them is not known, and not known is no contradiction.
"""

from __future__ import annotations

import enum
import re
import struct
from collections.abc import Callable
from types import MappingProxyType
from typing import BinaryIO

import msgspec

from multiarch_oci.errors import MultiarchError
from multiarch_oci.platform import Platform

HEAD = 4096
"""As many bytes from the beginning as `identify` and `is_executable_head` ever look at."""
_SCRIPT = re.compile(rb"#![ \t]*/")
_ELF, _MZ, _PE = b"\x7fELF", b"MZ", b"PE\0\0"
_ELF_EXECUTABLE, _ELF_SHARED = 2, 3
_ELF_ARM, _ARM_HARD_FLOAT = 40, 0x400
_MIPS, _MIPS_N32 = 8, 0x20
_PT_INTERP, _SEGMENTS = 3, 64
_SCRIPT_HEAD = 256  # bytes of a script that Linux looks at (BINPRM_BUF_SIZE)
_ELF_HEAD = 64
_ELF_MACHINES = MappingProxyType(
    {
        # e_machine, bits, little-endian: Go's name
        (2, 32, False): "sparc",
        (3, 32, True): "386",
        (8, 32, False): "mips",
        (8, 32, True): "mipsle",
        (8, 64, False): "mips64",
        (8, 64, True): "mips64le",
        (20, 32, False): "ppc",
        (21, 64, False): "ppc64",
        (21, 64, True): "ppc64le",
        (22, 32, False): "s390",
        (22, 64, False): "s390x",
        (40, 32, False): "armbe",
        (40, 32, True): "arm",
        (43, 64, False): "sparc64",
        (62, 32, True): "amd64p32",
        (62, 64, True): "amd64",
        (183, 64, False): "arm64be",
        (183, 64, True): "arm64",
        (243, 32, True): "riscv",
        (243, 64, True): "riscv64",
        (258, 64, True): "loong64",
    }
)
_ELF_SYSTEMS = MappingProxyType({2: "netbsd", 3: "linux", 6: "solaris", 9: "freebsd", 12: "openbsd"})
_PE_MACHINES = MappingProxyType({
    0x14C: "386", 0x1C0: "arm", 0x1C4: "arm", 0x5064: "riscv64", 0x6264: "loong64", 0x8664: "amd64", 0xAA64: "arm64",
})  # fmt: skip
_PE_OPTIONAL = MappingProxyType({0x10B: 96, 0x20B: 112})
_PE_FIRMWARE = range(10, 14)
_MACH_THIN = MappingProxyType({
    b"\xce\xfa\xed\xfe": "<", b"\xcf\xfa\xed\xfe": "<", b"\xfe\xed\xfa\xce": ">", b"\xfe\xed\xfa\xcf": ">",
})  # fmt: skip
_MACH_FAT = MappingProxyType({b"\xca\xfe\xba\xbe": 20, b"\xca\xfe\xba\xbf": 32})
_MACH_MACHINES = MappingProxyType({
    7: "386", 12: "arm", 18: "ppc", 0x01000007: "amd64", 0x0100000C: "arm64", 0x01000012: "ppc64",
})  # fmt: skip
_MACH_LOADED = (2, 6, 8)
_FAT_MOST = 30  # the number of machines; a Java class begins like a fat file, and its version stands here: 45 or more
_NAMES = MappingProxyType({
    "386": "i386", "amd64": "x86-64", "amd64p32": "x32", "arm": "ARM", "armbe": "big-endian ARM", "arm64": "ARM64",
    "arm64be": "big-endian ARM64", "loong64": "LoongArch64", "mips": "MIPS", "mipsle": "little-endian MIPS",
    "mips64": "MIPS64", "mips64le": "little-endian MIPS64", "mips64p32": "MIPS64 (n32)",
    "mips64p32le": "little-endian MIPS64 (n32)", "ppc": "PowerPC", "ppc64": "big-endian PowerPC64",
    "ppc64le": "little-endian PowerPC64", "riscv": "RISC-V 32", "riscv64": "RISC-V 64", "sparc": "SPARC",
    "sparc64": "SPARC64",
})  # fmt: skip
_ELF_CANNOT = frozenset({"windows", "darwin", "ios", "aix", "plan9", "js", "wasip1"})
_ALSO_RUNS = MappingProxyType({"android": "linux", "illumos": "solaris", "ios": "darwin"})


class WrongMachine(MultiarchError):
    """A program that the image's platform cannot run."""


class Format(enum.Enum):
    """A format of programs; the value is its name for people."""

    ELF = "ELF"
    PE = "PE"
    MACH_O = "Mach-O"


class Machine(msgspec.Struct, frozen=True):
    """What a program was made for.

    `architectures` are Go's names (`amd64`, `mips64le`), several for a universal Mach-O, or `machine N` of a number
    that Go has no name for. `os` is the system that the file itself names (`windows`, `darwin`, `freebsd`), "" when it
    names none, as most Linux programs do. `variant` is the lowest one that can run it, "" when the head does not tell.
    """

    format: Format
    architectures: tuple[str, ...]
    os: str = ""
    variant: str = ""

    def __str__(self) -> str:
        """For people: `x86-64 ELF`, `ARM64 PE`, `x86-64 and ARM64 Mach-O`, `x86-64 ELF for freebsd`."""
        names = " and ".join(_NAMES.get(name, name) for name in self.architectures)
        system = f" for {self.os}" if self.format is Format.ELF and self.os not in ("", "linux") else ""
        return f"{names} {self.format.value}{system}"


def identify(head: bytes) -> Machine | None:
    """What the program or shared library that begins with these bytes (`HEAD` of them, or all) was made for.

    None: no ELF, PE or Mach-O (scripts, text), nothing that is loaded as it is (object files, cores), programs of no
    one system (.NET assemblies of any machine, UEFI), and heads that end before they tell.
    """
    head = head[:HEAD]
    try:
        if head.startswith(_ELF):
            return _elf(head)
        if head.startswith(_MZ):
            return _pe(head)
        if head[:4] in _MACH_THIN:
            return _thin(head)
        if head[:4] in _MACH_FAT:
            return _fat(head)
    except struct.error:  # the head ends early: nothing is known
        return None
    return None


def read_head(opener: Callable[[], BinaryIO]) -> bytes:
    """The first `HEAD` bytes of a file; opens and closes it. OSError is the caller's."""
    with opener() as stream:
        head = b""
        while len(head) < HEAD and (part := stream.read(HEAD - len(head))):  # a raw stream may give less than asked
            head += part
        return head


def interpreter(head: bytes) -> tuple[str, ...]:
    """What the system starts for a file that begins so: the words behind `#!`, or the loader of a dynamic ELF program.

    One or two words (the kernel takes all behind the first blank as one); () for others, and where the head ends early.
    """
    if head.startswith(b"#!"):
        line = head[2:HEAD].split(b"\n", 1)[0].strip(b" \t\r").decode("utf-8", "surrogateescape")
        return tuple(re.split(r"[ \t]+", line, maxsplit=1)) if line else ()
    try:
        return _loader(head[:HEAD]) if head.startswith(_ELF) else ()
    except struct.error:
        return ()


def essential(head: bytes) -> bytes:
    """As much of a head as `identify` and `interpreter` need to say the same; b"" for neither program nor script.

    So many thousand programs can be remembered: of a Linux one that is under a kilobyte.
    """
    if head.startswith(b"#!"):
        return head[:_SCRIPT_HEAD]
    if identify(head) is None:
        return b""
    if not head.startswith(_ELF):
        return head[:HEAD]
    behind = interpreter(head)
    end = head.find(behind[0].encode("utf-8", "surrogateescape") + b"\0") + len(behind[0]) + 1 if behind else 0
    short = head[: max(end, _ELF_HEAD)]
    return short if (identify(short), interpreter(short)) == (identify(head), behind) else head[:HEAD]


def is_executable_head(head: bytes) -> bool:
    """Whether a file that begins so is to be executable: ELF, PE, Mach-O or `#!` (for hosts without an x bit)."""
    if head.startswith(_ELF) or head[:4] in _MACH_THIN or _SCRIPT.match(head):
        return True
    try:
        return (head.startswith(_MZ) and _signature(head[:HEAD]) is not None) or _fat(head[:HEAD]) is not None
    except struct.error:
        return False


def agrees(machine: Machine, platform: Platform) -> bool:
    """Whether an image of this platform can run the program.

    386 on amd64 and lower arm variants can; a system that the program does not name agrees with every one that loads
    its format. 32-bit ARM on arm64 does not agree: many of these processors cannot run it.
    """
    target = platform.normalized()
    if not _loads(machine, target.os):
        return False
    if target.architecture == "amd64" and "386" in machine.architectures:
        return True
    if target.architecture not in machine.architectures:
        return False
    return not (machine.variant and target.variant) or machine.variant <= target.variant


def check(machine: Machine, platform: Platform, *, where: str, also: str = "") -> None:
    """Raise WrongMachine, naming the file `where`, found and wanted, when they do not agree; `also` ends the hint."""
    if agrees(machine, platform):
        return
    description = str(machine)
    article = "an" if description[0] in "aeioxsA" else "a"  # an x86-64, an s390x, an ARM64; a MIPS, a SPARC
    raise WrongMachine(
        f"is {article} {description}, but the image is {platform}",
        where=where,
        hint=f"copy the file that was built for {platform}, or build it for that platform{f'; {also}' if also else ''}",
    )


def _loads(machine: Machine, system: str) -> bool:
    if machine.os:
        return machine.os in (system, _ALSO_RUNS.get(system))
    return machine.format is not Format.ELF or system not in _ELF_CANNOT


def _elf(head: bytes) -> Machine | None:
    bits = {1: 32, 2: 64}.get(head[4]) if len(head) > 7 else None  # noqa: PLR2004  # e_ident up to EI_OSABI
    order = {1: "<", 2: ">"}.get(head[5]) if bits else None
    if bits is None or order is None:
        return None
    kind, number = struct.unpack_from(order + "HH", head, 16)
    (flags,) = struct.unpack_from(order + "I", head, 36 if bits == 32 else 48)  # noqa: PLR2004  # e_flags
    if kind not in (_ELF_EXECUTABLE, _ELF_SHARED):
        return None
    name = _ELF_MACHINES.get((number, bits, order == "<"), f"machine {number}")
    if number == _MIPS and flags & _MIPS_N32 and bits == 32:  # noqa: PLR2004  # n32: 64-bit registers, 32-bit pointers
        name = "mips64p32" if order == ">" else "mips64p32le"
    # Debian's armhf sets the flag and wants v7, Raspberry Pi OS sets it and wants v6: the lower one is what is sure.
    variant = "v6" if number == _ELF_ARM and flags & _ARM_HARD_FLOAT else ""
    return Machine(Format.ELF, (name,), _ELF_SYSTEMS.get(head[7], ""), variant)


def _loader(head: bytes) -> tuple[str, ...]:
    """The path of PT_INTERP (gABI chapter 5)."""
    if len(head) < 6 or head[4] not in (1, 2) or head[5] not in (1, 2):  # noqa: PLR2004  # EI_CLASS, EI_DATA
        return ()
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"  # noqa: PLR2004  # ELFCLASS64
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), head, 32 if wide else 28)
    step, count = struct.unpack_from(order + "HH", head, 54 if wide else 42)
    for number in range(min(count, _SEGMENTS)):
        at = table + number * step
        if at >= len(head):  # no more of the table is known; a damaged one may lead anywhere
            return ()
        if struct.unpack_from(order + "I", head, at)[0] != _PT_INTERP:
            continue
        word = "Q" if wide else "I"
        (begin,) = struct.unpack_from(order + word, head, at + (8 if wide else 4))
        (size,) = struct.unpack_from(order + word, head, at + (32 if wide else 16))
        path = head[begin : begin + size]
        return (path.rstrip(b"\0").decode("utf-8", "surrogateescape"),) if path.endswith(b"\0") else ()
    return ()


def _signature(head: bytes) -> int | None:
    """Where the COFF header of a PE file begins."""
    (at,) = struct.unpack_from("<I", head, 0x3C)
    return at + len(_PE) if head[at : at + len(_PE)] == _PE else None


def _pe(head: bytes) -> Machine | None:
    coff = _signature(head)
    if coff is None:
        return None
    (number,) = struct.unpack_from("<H", head, coff)
    (optional,) = struct.unpack_from("<H", head, coff + 16)
    if optional:
        (magic,) = struct.unpack_from("<H", head, coff + 20)
        (subsystem,) = struct.unpack_from("<H", head, coff + 20 + 68)
        directories = _PE_OPTIONAL.get(magic)
        if directories is None or subsystem in _PE_FIRMWARE:
            return None
        (count,) = struct.unpack_from("<I", head, coff + 20 + directories - 4)
        if count > 14 and any(struct.unpack_from("<II", head, coff + 20 + directories + 14 * 8)):  # noqa: PLR2004  # CLR
            return None
    return Machine(Format.PE, (_PE_MACHINES.get(number, f"machine {number:#x}"),), "windows")


def _thin(head: bytes) -> Machine | None:
    number, _, kind = struct.unpack_from(_MACH_THIN[head[:4]] + "III", head, 4)
    return Machine(Format.MACH_O, (_mach(number),), "darwin") if kind in _MACH_LOADED else None


def _fat(head: bytes) -> Machine | None:
    step = _MACH_FAT.get(head[:4])
    if step is None:
        return None
    (count,) = struct.unpack_from(">I", head, 4)
    if not 0 < count <= _FAT_MOST:
        return None
    names = [_mach(struct.unpack_from(">I", head, 8 + step * index)[0]) for index in range(count)]
    return Machine(Format.MACH_O, tuple(dict.fromkeys(names)), "darwin")


def _mach(number: int) -> str:
    return _MACH_MACHINES.get(number, f"machine {number:#x}")
