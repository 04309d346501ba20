"""A full disk: one clear error, nothing half-written, and the next run ends as if nothing had been."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from machines import required
from machines.project import Project


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Mount a file system of `size` at a folder, for root on Linux."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("folder", "step"),
    [
        ("_output/bin", None),
        ("_output/images", "_output/images/demo-linux-amd64.tar"),
        ("_output/registry", "_output/receipts/"),
    ],
    ids=["programs", "images", "folder registry"],
)
def test_a_full_disk_is_one_clear_error_and_leaves_nothing_behind(project: Project, folder: str, step: str | None):
    if sys.platform != "linux" or os.geteuid() != 0:
        required.missing("mount", "only root on Linux can make a small disk")
    whole = project.scons("push-manifest", "-j1")
    assert whole.status == 0
    wanted = project.digests("_output/images") | project.digests("_output/manifest")
    project.scons("clean")
    with small_disk(project.path / folder, "300k"):
        full = project.scons("push-manifest", "-j1", check=False)
        assert full.status == 2
        assert "Traceback" not in full.text
        assert "o space left on device" in full.text
        if step is not None:
            assert f"*** [{step}" in full.text
            assert "hint: free some space and run the same command again; nothing half-written was left" in full.text
        left = [path for path in (project.path / folder).rglob("*") if path.is_file() and path.stat().st_size > 4096]
        assert left == []
    project.scons("push-manifest", "-j1")
    assert project.digests("_output/images") | project.digests("_output/manifest") == wanted
