"""The wheel: made of this very tree, the same bytes from two folders, its version from git's tags."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from machines import wheels
from machines.project import ROOT, Project
from machines.required import required
from scons_multiarch import RELEASE
from scons_multiarch.init import FILES

PACKAGES = ("multiarch_oci", "scons_multiarch")


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a repository with this tree as its one commit, which has the tag v1.2.3."""
    wheels.hatchling()
    return Project(wheels.checkout(tmp_path_factory.mktemp("tagged") / "tree", "v1.2.3"))


def made(project: Project, *arguments: str) -> Path:
    """Return the one wheel that the target `wheel` leaves."""
    project.scons("wheel", *arguments)
    (wheel,) = (project.path / "_output" / "dist").iterdir()
    return wheel


def clone(origin: Project, target: Path) -> Project:
    subprocess.run([required("git"), "clone", "-q", str(origin.path), str(target)], check=True)
    return Project(target)


def git(project: Project, *arguments: str) -> None:
    subprocess.run([required("git"), *wheels.AUTHOR, *arguments], cwd=project.path, check=True, capture_output=True)


def metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def test_two_clones_make_the_same_wheel_and_the_second_time_nothing_is_done(tagged: Project, tmp_path: Path) -> None:
    wheel = made(tagged)
    assert wheel.name == "scons_multiarch-1.2.3-py3-none-any.whl"
    other = clone(tagged, tmp_path / "quite" / "another" / "folder")
    assert made(other).read_bytes() == wheel.read_bytes()
    assert "`wheel' is up to date" in other.scons("wheel").text
    wheel.unlink()
    assert made(tagged).read_bytes() == made(other).read_bytes()


def test_the_wheel_holds_the_packages_of_the_tree_and_no_file_twice(tagged: Project) -> None:
    with zipfile.ZipFile(made(tagged)) as archive:
        names = archive.namelist()
        content = {name: archive.read(name) for name in names if ".dist-info/" not in name}
    site = tagged.path / "site_scons"
    files = [file for package in PACKAGES for file in (site / package).rglob("*") if file.is_file()]
    packed = {file.relative_to(site).as_posix(): file.read_bytes() for file in files if file.suffix != ".pyc"}
    assert content == packed | {f"scons_multiarch/template/{name}": (tagged.path / name).read_bytes() for name in FILES}
    assert len(names) == len(set(names))
    assert {f"{package}/py.typed" for package in PACKAGES} <= content.keys()


def test_scons_is_pinned_and_what_decides_bytes_too(tagged: Project) -> None:
    told = metadata(made(tagged))
    needed = told.get_all("Requires-Dist") or []
    declared = (ROOT / "requirements.in").read_text(encoding="utf-8").splitlines()
    pins = {line for line in declared if "==" in line.partition(";")[0]}
    assert {"scons==4.11.1", "deflate==0.9.0"} <= pins <= set(needed)
    assert len([line for line in needed if "extra ==" not in line]) == len(
        [line for line in declared if not line.startswith("#")]
    )
    assert (told["Name"], told["Requires-Python"]) == ("scons-multiarch", ">=3.10")
    texts = [
        ROOT / "README.md",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("site_scons/**/*.py"),
        *ROOT.glob("**/ci/*.yml"),
    ]
    named = {
        name for path in texts for name in re.findall(r"scons-multiarch\[([a-z,]+)\]", path.read_text(encoding="utf-8"))
    }
    assert {"go", "cgo", "zoneinfo", "sign", "keyless"} | named == set(told.get_all("Provides-Extra") or [])
    signing = (ROOT / "requirements-sign.in").read_text(encoding="utf-8").splitlines()
    extra = [line.partition(";")[0].strip() for line in needed if re.search(r"extra == .sign\b", line)]
    assert extra == [line for line in signing if not line.startswith("#")]


@pytest.mark.parametrize(
    "path", ["main.go", "README.md", "requirements.in", "site_scons/scons_multiarch/ci/gitlab.yml"]
)
def test_what_is_packed_is_what_the_target_depends_on(path: str, tagged: Project, tmp_path: Path) -> None:
    tree = clone(tagged, tmp_path / "tree")
    before = made(tree).read_bytes()
    tree.edit(path, tree.read(path) + ("pip\n" if path == "requirements.in" else "\n"))
    git(tree, "commit", "-qam", "an edit")
    git(tree, "tag", "-f", "v1.2.3")  # the version, and so the name of the target, is the same
    assert made(tree).read_bytes() != before
    assert "`wheel' is up to date" in tree.scons("wheel").text


def test_a_wheel_of_the_source_distribution_is_the_same(tagged: Project, tmp_path: Path) -> None:
    wheel = made(tagged)
    tree = clone(tagged, tmp_path / "tree")
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(tmp_path), "--target"]
    time = {"SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run([*build, "sdist"], cwd=tree.path, env=os.environ | time, check=True, capture_output=True)
    shutil.unpack_archive(tmp_path / "scons_multiarch-1.2.3.tar.gz", tmp_path)
    unpacked = tmp_path / "scons_multiarch-1.2.3"
    subprocess.run([*build, "wheel"], cwd=unpacked, env=os.environ | time, check=True, capture_output=True)
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_between_tags_and_without_them_it_is_a_development_version(tagged: Project, tmp_path: Path) -> None:
    after = clone(tagged, tmp_path / "after")
    after.edit("README.md", after.read("README.md") + "\nmore\n")
    changed = made(after).name
    assert re.fullmatch(r"scons_multiarch-1\.2\.4\.dev0\+g[0-9a-f]{9}\.d20231114-py3-none-any\.whl", changed)
    git(after, "commit", "-qam", "more")
    assert re.fullmatch(r"scons_multiarch-1\.2\.4\.dev1\+g[0-9a-f]{9}-py3-none-any\.whl", made(after).name)
    git(after, "tag", "-d", "v1.2.3")
    git(after, "tag", "release-of-something-else-7")
    assert re.fullmatch(r"scons_multiarch-0\.1\.dev2\+g[0-9a-f]{9}-py3-none-any\.whl", made(after).name)
    git(after, "tag", "v2.0rc1")
    assert made(after).name == "scons_multiarch-2.0rc1-py3-none-any.whl"


def test_a_tree_without_gits_records_makes_a_development_version(tagged: Project, tmp_path: Path) -> None:
    unpacked = clone(tagged, tmp_path / "unpacked")
    unpacked.remove(".git")
    assert made(unpacked).name == "scons_multiarch-0.1.dev0-py3-none-any.whl"


def test_the_changelog_has_releases_and_the_code_says_the_newest() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(\S+)\](?: - (\S+))?$", text, re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    releases = headings[1:]
    assert releases[0][0] == RELEASE
    for version, day in releases:
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", day)


@pytest.mark.parametrize("word", ["test", "wheel"])
def test_the_words_of_this_project_are_in_nobodys_way(word: str, project: Project) -> None:
    absent = project.scons(word, check=False)
    assert (absent.status, f"there is no target {word}\n" in absent.text) == (2, True)
    assert f"\n  {word} " not in project.scons("-h").text
    project.edit("SConstruct", project.read("SConstruct") + '\nenv.Command("done", [], "echo theirs > $TARGET")\n')
    project.edit("SConstruct", project.read("SConstruct") + f'env.Alias("{word}", "done")\n')
    project.scons(word)
    assert project.read("done") == "theirs\n"
    assert f"`{word}' is up to date" in project.scons(word).text


def test_without_the_builder_of_wheels_one_line_says_who_brings_it(tagged: Project) -> None:
    hidden = "import sys; sys.modules['hatchling'] = None; import runpy; runpy.run_module('SCons')"
    command = [sys.executable, "-c", hidden, "wheel"]
    ran = subprocess.run(command, cwd=tagged.path, check=False, capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stderr.endswith("./sconsw test and ./sconsw wheel install what they need\n")
    assert "Traceback" not in ran.stderr
