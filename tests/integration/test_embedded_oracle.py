"""The embedded engine against BuildKit (recorded) and buildah (asked now): the same Dockerfile, the same image."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from dockerfile_cases import CASES, EVERY, STAGES, make_base, make_context
from machines import required
from machines.engine import Tool
from multiarch_oci.manifest import Manifest
from multiarch_oci.store.archive import Archive
from unpacked import Found, merged, of_tar
from workshop import Workshop

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "data" / "buildkit_images.json").read_text(encoding="utf-8")
)
# Where buildah 1.28 does otherwise than BuildKit, whose way is ours.
BUILDAH_DIFFERS = {
    "the destination is a link to a file",
    "a glob",
    "odd names escaped by a class",
    "chown root",
    "chmod of a file",
    "add with chown",
    "a destination that ends in /.",
}


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    folder = tmp_path / "context"
    folder.mkdir()
    return Workshop(make_context(folder))


def test_every_case_is_recorded():
    assert list(RECORDED) == list(EVERY)


@pytest.mark.parametrize("case", EVERY)
def test_files_and_config_are_those_of_buildkit(shop, case):
    make_base(shop)
    image = shop.build(EVERY[case])
    lower = [of_tar(io.BytesIO(shop.store.open(layer).read())) for layer in image.missing]
    archive = Archive(shop.output)
    own = [of_tar(io.BytesIO(archive.open(layer).read())) for layer in image.layers if layer not in image.missing]
    wanted = {path: Found(*found) for path, found in RECORDED[case]["files"].items()}
    assert merged([*lower, *own]) == wanted
    config = json.loads(image.config.to_json())
    config["layers"] = len(config.pop("rootfs")["diff_ids"])
    assert config == RECORDED[case]["config"]


@pytest.mark.parametrize("case", [case for case in (*CASES, *STAGES) if case not in BUILDAH_DIFFERS])
def test_files_are_those_of_buildah(shop, tmp_path, case):
    if os.name != "posix" or os.geteuid() != 0:
        required.missing("buildah", "needs root to keep owners")
    out = tmp_path / "buildah.tar"
    buildah = Tool(
        required.required("buildah"),
        "--root",
        str(tmp_path / "r"),
        "--runroot",
        str(tmp_path / "rr"),
        "--storage-driver=vfs",
    )
    shop.build(EVERY[case])
    flags = ("--isolation=chroot", "--quiet", "--layers=false", "--no-cache", "--platform=linux/amd64")
    buildah.run("bud", *flags, "-t", f"oci-archive:{out}", "-f", shop.folder / "Dockerfile.test", shop.folder)
    archive = Archive(out)
    manifest = Manifest.from_json(archive.open(archive.roots[0]).read(), where="buildah")
    found = merged(of_tar(io.BytesIO(archive.open(layer).read())) for layer in manifest.layers)
    image = Archive(shop.output).image()
    ours = merged(of_tar(io.BytesIO(Archive(shop.output).open(layer).read())) for layer in image.layers)
    assert ours == found
