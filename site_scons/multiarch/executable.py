"""Executables: for which machine and system a program was made, as its first bytes say (ELF, PE, Mach-O)."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from multiarch.errors import MultiarchError
from multiarch.platform import Platform

HEAD = 4096
"""As many bytes from the beginning as `identify` and `is_executable_head` ever look at."""


class WrongMachine(MultiarchError):
    """A program that the image's platform cannot run."""


class Format(enum.Enum):
    """A format of programs; the value is its name for people."""

    ELF = "ELF"
    PE = "PE"
    MACH_O = "Mach-O"


@dataclass(frozen=True, slots=True)
class Machine:
    """What a program was made for.

    `architectures` are Go's names (`amd64`, `mips64le`), several for a universal Mach-O, or `machine N` of a number
    that Go has no name for. `os` is the system that the file itself names (`windows`, `darwin`, `freebsd`), "" when it
    names none, as Linux ELF files do. `variant` is the lowest one that can run it, "" when the head does not tell.
    """

    format: Format
    architectures: tuple[str, ...]
    os: str = ""
    variant: str = ""

    def __str__(self) -> str:
        """For people: `x86-64 ELF`, `ARM64 PE`, `x86-64 and ARM64 Mach-O`, `x86-64 ELF for freebsd`."""
        raise NotImplementedError


def identify(head: bytes) -> Machine | None:
    """What the program that begins with these bytes (`HEAD` of them, or all) was made for.

    None: no ELF, PE or Mach-O; scripts, text, object files without a machine, and heads that end too early.
    """
    raise NotImplementedError(head)


def read_head(opener: Callable[[], BinaryIO]) -> bytes:
    """The first `HEAD` bytes of a file; opens and closes it. OSError is the caller's."""
    with opener() as stream:
        return stream.read(HEAD)


def is_executable_head(head: bytes) -> bool:
    """Whether a file that begins so is to be executable: ELF, PE, Mach-O or `#!` (for hosts without an x bit)."""
    raise NotImplementedError(head)


def agrees(machine: Machine, platform: Platform) -> bool:
    """Whether an image of this platform can run the program; 386 on amd64 and lower arm variants can."""
    raise NotImplementedError(machine, platform)


def check(machine: Machine, platform: Platform, *, where: str) -> None:
    """Raise WrongMachine, naming the file `where`, found and wanted, when the two do not agree."""
    raise NotImplementedError(machine, platform, where)
