"""Same inputs, same bytes: in another folder, under another umask, by another user, in parallel or one after the other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from machines.project import Project, copy_template
from machines.small import Tree

TARGETS = ("manifest", "release", "push-manifest")


def build(tree: Project, *arguments: str, umask: int, env: dict[str, str]) -> None:
    """Run SCons under another umask."""
    done = subprocess.run(
        [sys.executable, "-c", f"import os, SCons.Script; os.umask({umask}); SCons.Script.main()", *arguments],
        cwd=tree.path,
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def outputs(tree: Project) -> dict[str, str]:
    """Return the digests of all outputs; the table of a folder registry is ordered by who came first."""
    return {path: digest for path, digest in tree.digests().items() if not path.endswith("demo/index.json")}


# fmt: off
CIRCUMSTANCES: dict[str, tuple[int, str, dict[str, str]]] = {
    "one job": (0o022, "-j1", {}),
    "eight jobs": (0o022, "-j8", {}),
    "a narrow umask": (0o077, "-j2", {}),
    "no umask": (0o000, "-j2", {}),
    "another time zone": (0o022, "-j2", {"TZ": "Pacific/Kiritimati"}),
    "another language": (0o022, "-j2", {"LANG": "tr_TR.UTF-8", "LC_ALL": "C", "LANGUAGE": "tr"}),
    "another user": (0o022, "-j2", {"USER": "somebody", "LOGNAME": "somebody", "HOSTNAME": "elsewhere"}),
    "another hash seed": (0o022, "-j2", {"PYTHONHASHSEED": "4711", "PYTHONUTF8": "1"}),
}
# fmt: on


@pytest.mark.parametrize("circumstance", CIRCUMSTANCES)
def test_under_other_circumstances_every_output_has_the_same_bytes(
    circumstance: str, tree: Tree, variant: Callable[[str], Tree]
):
    umask, jobs, env = CIRCUMSTANCES[circumstance]
    tree.scons("release")
    other = variant("a folder with a longer name, blanks and ümläuts")
    build(other, *TARGETS, jobs, umask=umask, env=env)
    assert outputs(other) == outputs(tree)


def test_two_clones_of_the_template_give_the_same_bytes(tmp_path: Path):
    one, two = Project(tmp_path / "one"), Project(tmp_path / "deep" / "er" / "two clones")
    for project, umask in ((one, 0o002), (two, 0o077)):
        old = os.umask(umask)
        try:
            copy_template(project.path)
        finally:
            os.umask(old)
    for path in two.path.rglob("*"):
        if path.is_file():
            path.chmod(path.stat().st_mode & 0o700)  # as `git clone` makes files under that umask
            os.utime(path, (1_000_000_000, 1_000_000_000))
    build(one, *TARGETS, "-j1", umask=0o002, env={})
    build(two, *TARGETS, "-j8", umask=0o077, env={"TZ": "Asia/Kolkata", "LC_ALL": "C"})
    assert outputs(one) == outputs(two)
    assert any("release/" in path for path in outputs(one))


def test_an_order_of_files_on_disk_is_no_matter(tree: Tree, variant: Callable[[str], Tree]):
    other = variant("other")
    names = sorted(path.name for path in (other.path / "conf").iterdir())
    kept = {name: other.read(f"conf/{name}") for name in names}
    shutil.rmtree(other.path / "conf")
    for name in [f"{number}.conf" for number in range(40)]:
        other.edit(f"conf/{name}", "soon gone\n")
    for name in reversed(names):
        other.edit(f"conf/{name}", kept[name])
    for number in range(40):
        other.remove(f"conf/{number}.conf")
    other.scons("push-manifest")
    assert outputs(other) == outputs(tree)


def test_built_in_pieces_the_bytes_are_those_of_one_go(tree: Tree, variant: Callable[[str], Tree]):
    other = variant("pieces")
    for target in ("_output/images/demo-linux-arm64.tar", "bin", "images", "manifest", "push", "push-manifest"):
        other.scons(target)
    assert outputs(other) == outputs(tree)


def test_a_finished_tree_that_moves_has_nothing_to_do(tree: Tree, tmp_path: Path):
    tree.path.rename(tmp_path / "moved")
    moved = Project(tmp_path / "moved")
    assert moved.scons("push-manifest").up_to_date


def test_the_same_epoch_gives_the_same_bytes_and_another_one_others(tree: Tree, variant: Callable[[str], Tree]):
    other = variant("other")
    other.scons("images", env={"SOURCE_DATE_EPOCH": "1700000000"})
    tree.scons("images", env={"SOURCE_DATE_EPOCH": "1700000000"})
    assert other.digests("_output/images") == tree.digests("_output/images")
    tree.scons("images", env={"SOURCE_DATE_EPOCH": "0"})
    assert not set(other.digests("_output/images").values()) & set(tree.digests("_output/images").values())
