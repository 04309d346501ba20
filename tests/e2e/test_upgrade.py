"""A tree that an earlier revision built and published is up to date for this one, or it says why not, once.

tests/data/upgrade.tar.gz holds two such trees; tests/data/upgrade.py makes it from a checkout of that revision.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from machines.project import ROOT, Project

OLD = ROOT / "tests" / "data" / "upgrade.tar.gz"


def unpack(name: str, folder: Path) -> Project:
    shutil.unpack_archive(OLD, folder)
    shutil.copytree(ROOT / "site_scons", folder / name / "site_scons")
    return Project(folder / name)


@pytest.mark.usefixtures("clean_environment")
def test_nothing_is_built_and_nothing_sent(tmp_path: Path) -> None:
    tree = unpack("top", tmp_path)
    before = tree.digests()
    assert "tags: 4 unchanged; 0 bytes to upload" in tree.scons("plan").text
    assert tree.scons("DRIFT=fail", "IMMUTABLE=yes", "release", "push-manifest").up_to_date
    assert tree.scons("release", "push-manifest").up_to_date
    assert tree.digests() == before
    tree.edit("one.txt", "two\n")
    assert len(tree.scons("push-manifest", "DRIFT=fail").steps) == 6  # the receipts are of this tree


@pytest.mark.usefixtures("clean_environment")
def test_receipts_of_a_lower_sconscript_move_once_and_nothing_is_sent(tmp_path: Path) -> None:
    tree = unpack("below", tmp_path)
    before = tree.digests("_output/registry"), tree.digests("cmd/worker/out")
    assert "0 bytes to upload" in tree.scons("plan").text
    ran = tree.scons("DRIFT=fail", "IMMUTABLE=yes", "release", "push-manifest")
    assert sorted(ran.steps) == [
        "Publish _output/registry/old:1.0",
        "Push _output/registry/old:1.0-amd64",
        "Push _output/registry/old:1.0-arm64",
    ]
    assert ran.text.count("its receipt moves here from cmd/worker/_output/receipts/") == 3
    assert (tree.digests("_output/registry"), tree.digests("cmd/worker/out")) == before
    assert not (tree.path / "cmd/worker/_output").exists()
    assert tree.scons("DRIFT=fail", "IMMUTABLE=yes", "release", "push-manifest").up_to_date
    tree.edit("one.txt", "two\n")
    assert len(tree.scons("push-manifest", "DRIFT=fail").steps) == 6


@pytest.mark.usefixtures("clean_environment")
def test_what_is_made_again_has_the_bytes_that_the_earlier_revision_made(tmp_path: Path) -> None:
    tree = unpack("top", tmp_path)
    before = tree.digests("out")
    tree.remove("out")
    assert len(tree.scons("release", "manifest").steps) == 5
    assert tree.digests("out") == before
