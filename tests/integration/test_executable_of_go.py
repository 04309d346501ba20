"""Programs that the Go compiler at hand makes now are identified, whole and not only by their golden heads."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from machines.required import required
from multiarch_oci.executable import agrees, identify, read_head
from multiarch_oci.platform import Platform

PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm", "linux/s390x", "windows/amd64", "darwin/arm64", "freebsd/amd64")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_program_made_for_a_platform_agrees_with_it_alone(platform: str, tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module demo\n\ngo 1.21\n", encoding="utf-8")
    (tmp_path / "main.go").write_text('package main\n\nfunc main() { println("demo") }\n', encoding="utf-8")
    system, architecture = platform.split("/")
    environment = {**os.environ, "GOOS": system, "GOARCH": architecture, "CGO_ENABLED": "0"}
    subprocess.run([required("go"), "build", "-o", "demo", "."], cwd=tmp_path, env=environment, check=True)
    machine = identify(read_head(lambda: (tmp_path / "demo").open("rb")))
    assert machine is not None
    assert [other for other in PLATFORMS if agrees(machine, Platform.parse(other))] == (
        # An ELF file of Linux names no system, so it is no contradiction to FreeBSD's.
        ["linux/amd64", "freebsd/amd64"] if platform == "linux/amd64" else [platform]
    )
