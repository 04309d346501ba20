from __future__ import annotations

import pytest

from multiarch_oci.architectures import KNOWN
from multiarch_oci.platform import Platform


@pytest.mark.parametrize(
    ("found", "meant"),
    [
        (("linux", "arm64", "armv8"), "linux/arm64"),
        (("linux", "arm64", "armv8-a"), "linux/arm64"),
        (("linux", "arm64", "UNKNOWN"), "linux/arm64"),
        (("linux", "arm64", "v8.2"), "linux/arm64/v8.2"),
        (("linux", "arm64", "armv9"), "linux/arm64/v9"),
        (("linux", "arm64v8", ""), "linux/arm64"),
        (("linux", "arm64v8", "v8"), "linux/arm64"),
        (("linux", "armv8l", ""), "linux/arm64"),
        (("linux", "arm32v5", ""), "linux/arm/v5"),
        (("linux", "armv7l", ""), "linux/arm/v7"),
        (("linux", "arm", "armv6l"), "linux/arm/v6"),
        (("linux", "arm", ""), "linux/arm/v7"),
        (("linux", "armhf", ""), "linux/arm/v7"),
        (("linux", "armel", "unknown"), "linux/arm/v6"),
        (("linux", "x64", "unknown"), "linux/amd64"),
        (("linux", "amd64", "x86-64-v3"), "linux/amd64/v3"),
        (("linux", "i686", "sse2"), "linux/386"),
        (("win", "AMD64", ""), "windows/amd64"),
        (("linux", "riscv64", "rva22u64"), "linux/riscv64/rva22u64"),
        (("linux", "sparc64", ""), "linux/sparc64"),
    ],
)
def test_what_a_config_means(found: tuple[str, str, str], meant: str):
    assert str(Platform(*found).corrected()) == meant


@pytest.mark.parametrize("wanted", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"])
def test_arm_without_a_variant_is_the_arm_that_is_asked_for(wanted: str):
    assert str(Platform("linux", "arm").corrected(like=Platform.parse(wanted))) == wanted
    assert str(Platform("linux", "arm", "unknown").corrected(like=Platform.parse(wanted))) == wanted
    assert str(Platform("linux", "arm", "v7").corrected(like=Platform.parse(wanted))) == "linux/arm/v7"


@pytest.mark.parametrize(("system", "architecture"), sorted(KNOWN))
def test_what_is_spelled_right_stays(system: str, architecture: str):
    found = Platform(system, architecture).normalized()
    assert found.corrected() == found
