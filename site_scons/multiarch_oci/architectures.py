"""The words that platforms are written with: which there are, how they are spelled, and what a machine runs.

As containerd has them (github.com/containerd/platforms v1, database.go and compare.go).
"""

from __future__ import annotations

import re

_NEWEST_ARM64_MINOR = {8: 9, 9: 7}

KNOWN: frozenset[tuple[str, str]] = frozenset(
    (system, architecture)
    for system, architectures in {
        "linux": "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x",
        "windows": "386 amd64 arm arm64",
        "aix": "ppc64",
        "android": "386 amd64 arm arm64",
        "darwin": "amd64 arm64",
        "dragonfly": "amd64",
        "freebsd": "386 amd64 arm arm64 riscv64",
        "illumos": "amd64",
        "ios": "amd64 arm64",
        "js": "wasm",
        "netbsd": "386 amd64 arm arm64",
        "openbsd": "386 amd64 arm arm64 ppc64 riscv64",
        "plan9": "386 amd64 arm",
        "solaris": "amd64",
        "wasip1": "wasm",
    }.items()
    for architecture in architectures.split()
)
"""(os, architecture) of `go tool dist list`, of every Go release since 1.21."""
SYSTEMS = {system for system, _ in KNOWN} - {"wasip1"} | {"hurd", "nacl", "zos"}
"""The operating systems that containerd takes as a lone word; a longer specifier may hold any word."""
ARCHITECTURES = {architecture for _, architecture in KNOWN} | {
    *("amd64p32", "armbe", "arm64be", "mips64p32", "mips64p32le", "ppc", "riscv", "s390", "sparc", "sparc64"),
}
"""The architectures that it takes as a lone word."""
VARIANTS = {
    "amd64": ("", "v2", "v3", "v4"),
    "arm": ("v5", "v6", "v7", "v8"),
    "arm64": ("", *(f"v8.{n}" for n in range(1, 10)), "v9", *(f"v9.{n}" for n in range(1, 8))),
}
"""The variants that an architecture has, "" for none; of others they are not known."""
MEANT = {
    "x64": "amd64",
    **dict.fromkeys(("x86", "i486", "i586", "i686", "ia32"), "386"),
    **dict.fromkeys(("armv8", "armv8l", "arm64v8"), "arm64"),
    **dict.fromkeys(("armv7", "armv7l", "arm32v7"), "arm/v7"),
    **dict.fromkeys(("armv6", "armv6l", "arm32v6"), "arm/v6"),
    **dict.fromkeys(("armv5", "armv5l", "arm32v5"), "arm/v5"),
    "loongarch64": "loong64",
    **dict.fromkeys(("win", "win32", "win64"), "windows"),
    **dict.fromkeys(("mac", "osx"), "darwin"),
}
"""Words that people and `uname -m` use and containerd does not know, and what they mean."""
NO_VARIANT = frozenset(["unknown", "none", "null", "any", "generic", "default", "<no value>"])
"""Variants in the configs of other people's images that say nothing."""
_ARM_VARIANT = r"(?:arm(?:32|64)?)?[-_]?v?([5-9](?:\.[0-9])?)(?:-?[alh]|hf)?"
_AMD64_VARIANT = r"(?:x86[-_]64)?[-_]?v?([1-4])"
SPELLED_VARIANTS = {"arm": _ARM_VARIANT, "arm64": _ARM_VARIANT, "amd64": _AMD64_VARIANT}
"""How such configs spell the variants of an architecture; the group is the number of `v8`."""


def normal_system(system: str) -> str:
    """An operating system in its one spelling (containerd, database.go, `normalizeOS`)."""
    return "darwin" if system.lower() == "macos" else system.lower()


def normal_architecture(architecture: str, variant: str) -> tuple[str, str]:
    """Architecture and variant in their one spelling (containerd, database.go, `normalizeArch`)."""
    architecture, variant = architecture.lower(), variant.lower()
    if architecture == "i386":
        return "386", ""
    if architecture in ("x86_64", "x86-64", "amd64"):
        return "amd64", "" if variant == "v1" else variant
    if architecture in ("aarch64", "arm64"):
        return "arm64", {"8": "", "v8": "", "v8.0": "", "9": "v9", "9.0": "v9", "v9.0": "v9"}.get(variant, variant)
    if architecture in ("armhf", "armel"):
        return "arm", "v7" if architecture == "armhf" else "v6"
    if architecture == "arm":
        return "arm", {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"}.get(variant, variant)
    return architecture, variant


def same_windows(image: str, target: str) -> bool:
    """Whether two os.versions name one Windows release: three equal parts, the fourth is the update of the day."""
    return not image or not target or image.split(".")[:3] == target.split(".")[:3]


def runs_on(architecture: str, variant: str) -> tuple[tuple[str, str], ...]:
    """What a machine runs, the nearest first (containerd, compare.go, `platformVector`, without arm on arm64)."""
    number = re.fullmatch(r"v?([0-9]{1,2})(?:\.([0-9]))?", variant) if variant else None
    major, minor = (int(number[1]), int(number[2] or 0)) if number else (0, 0)
    lower: list[str] = []
    if architecture == "amd64":
        lower = [*(f"v{n}" for n in range(major - 1, 1, -1)), *([""] if major > 1 else [])]
        return (*((architecture, name) for name in (variant, *lower)), ("386", ""))
    if architecture == "arm":
        lower = [f"v{n}" for n in range(major - 1, 4, -1)]
    if architecture == "arm64" and major in _NEWEST_ARM64_MINOR:
        eight = minor
        if major == 9:  # noqa: PLR2004  # Armv9.n holds all of Armv8.(n+5)
            lower = [*(f"v9.{n}" for n in range(minor - 1, 0, -1)), *(["v9"] if minor else [])]
            eight = min(minor + 6, _NEWEST_ARM64_MINOR[8] + 1)
        lower += [*(f"v8.{n}" for n in range(eight - 1, 0, -1)), ""]
    return tuple((architecture, name) for name in (variant, *lower))
