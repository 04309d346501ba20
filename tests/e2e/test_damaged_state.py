"""What a run left below `.multiarch` for the next one is damaged: it costs time, and lets nothing pass that would not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from machines.bases import push_image
from machines.damage import DAMAGE, spoil
from machines.project import Run
from machines.registry import Registry
from machines.signing import Key
from machines.small import Tree
from machines.suppliers import Keys


class Case:
    """A build that leaves much: a trusted base, a version control, signatures, a shared cache, a report."""

    def __init__(self, tree: Tree, registry: Registry, folder: Path) -> None:
        self.tree, self.registry = tree, registry
        self.good = Key(tree.path / "keys", "good")
        self.base = f"{registry.host}/bases/base:1"
        push_image(self.base, "linux/amd64", {"base": b"base"})
        self.good.sign(self.base)
        tree.edit("trust.json", json.dumps({f"{registry.host}/*": {"keys": ["keys/good.pub"]}, "*": "deny"}))
        tree.replace("Dockerfile.amd64", "FROM scratch", f"FROM {self.base}")
        tree.remove("VERSION")
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"], ["tag", "v1.0"]):
            identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
            subprocess.run(["git", *identity, *command], cwd=tree.path, check=True)
        keys = Keys.make(folder)
        self.words = [
            *(f"REGISTRY={registry.host}", "PLATFORMS=linux/amd64", f"SIGN={keys.private}", "ATTEST=sbom,provenance"),
            *(f"CACHE={registry.host}/cache", "CACHE_MODE=readwrite", "REPORT=report.json"),
        ]
        self.run()

    def run(self, *words: str, check: bool = True) -> Run:
        ran = self.tree.scons("push-manifest", *self.words, *words, check=check)
        assert "Traceback" not in ran.text, ran.text
        return ran

    def published(self) -> dict[str, str | None]:
        return {tag: self.registry.digest("demo", tag) for tag in self.registry.tags("demo")}


@pytest.fixture
def case(fresh: Tree, registry: Registry, tmp_path: Path) -> Case:
    return Case(fresh, registry, tmp_path)


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_a_run_left_is_damaged(case: Case, damage: str):
    before = case.published()
    spoil(case.tree, damage, records=False)
    ran = case.run(check=False)
    if damage == "a folder":  # what is in the way of a file is said
        assert (ran.status, "move it aside" in ran.text) == (2, True), ran.text
        return
    assert ran.status == 0, ran.text
    assert case.published() == before
    assert case.run().steps == []
    check_moved(case, damage, records=False)
    signed = case.registry.digest("bases/base", "1")
    assert signed is not None
    case.registry.delete_tag("bases/base", signed.replace(":", "-"))
    spoil(case.tree, damage, records=False)
    ran = case.run(check=False)
    assert ran.status == 2, ran.text
    assert "is not trusted" in ran.text


@pytest.mark.parametrize("damage", ["gone", "empty", "cut in half", "a list", "not readable", "a folder"])
def test_what_scons_left_is_damaged(case: Case, damage: str):
    before = case.published()
    spoil(case.tree, damage, records=True)
    ran = case.run(check=False)
    if damage == "a folder":
        assert (ran.status, "hint: remove it" in ran.text) == (2, True), ran.text
        return
    assert ran.status == 0, ran.text
    assert case.published() == before
    check_moved(case, damage, records=True)


def check_moved(case: Case, damage: str, *, records: bool) -> None:
    """A tag that somebody moved is found, and not overwritten, with DRIFT=fail."""
    theirs = case.registry.move_tag("demo", "v1.0", case.registry.digest("demo", "v1.0-amd64") or "")
    spoil(case.tree, damage, records=records)
    ran = case.run("DRIFT=fail", check=False)
    assert ran.status == 2, ran.text
    assert "v1.0" in ran.text
    assert case.registry.digest("demo", "v1.0") == theirs
