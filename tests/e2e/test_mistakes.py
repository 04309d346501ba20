"""What is wrong on the user's side is one error in words before anything is overwritten; odd names are none at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from machines import bases
from machines.project import Project
from machines.registry import Registry

SCONSTRUCT = """\
DefaultEnvironment(tools=[])
env = Environment(
    tools=["oci_settings", "go_binary", "oci_image", "oci_push", "oci_pin", "oci_index", "oci_targets"],
    DEFAULTS={"PLATFORMS": "linux/amd64"},
)
images, pushes = [], []
for platform in env["PLATFORMS"]:
    image = env.Image(
        f"_output/images/{platform.slug}.tar", dockerfile=platform.dockerfiles(), platform=platform
    )
    images += image
    pushes += env.Push(image, f"$REPOSITORY:$VERSION-{platform.tag_suffix}")
made = env.Command("made.txt", "made.in", Copy("$TARGET", "$SOURCE"))
pins = [env.Pin(reference, platform=platform) for platform, reference in env["EXTERNAL"]]
index = env.Index(
    "_output/manifest/index.json",
    [images, pins],
    platforms=[*env["PLATFORMS"], *(platform for platform, _ in env["EXTERNAL"])],
)
published = env.Push(index, "$REPOSITORY:$VERSION", children=[pushes, pins], also=env["TAGS"])
env.Targets(images=images, push=pushes, manifest=index, push_manifest=published)
"""


@pytest.fixture
def tree(tmp_path: Path, clean_environment: Path) -> Project:  # noqa: ARG001
    files = {
        "SConstruct": SCONSTRUCT,
        "made.in": "one\n",
        "Dockerfile": "FROM scratch\nCOPY made.txt /\n",
    }
    return Project.of(tmp_path / "tree", files)


def test_a_further_tag_that_is_a_platform_tag_is_an_error(tree: Project) -> None:
    ran = tree.scons("push-manifest", "TAGS=latest,1.0-amd64", check=False)
    assert (ran.status, ran.steps) == (2, [])
    assert "_output/registry/demo:1.0-amd64: is pushed twice in this build" in ran.text


def test_a_further_tag_that_is_the_main_tag_is_none(tree: Project) -> None:
    tree.scons("push-manifest", "TAGS=1.0,latest")
    assert tree.scons("push-manifest", "TAGS=1.0,latest").up_to_date


def test_an_external_image_is_not_copied_over_a_tag_of_this_build(tree: Project) -> None:
    ran = tree.scons("push-manifest", "EXTERNAL=linux/amd64=_output/registry/other:1", check=False)
    assert (ran.status, ran.steps) == (2, [])
    assert (
        "_output/registry/other:1: would be copied to _output/registry/demo:1.0-amd64, which this build pushes itself\n"
        "  hint: linux/amd64 may stand in PLATFORMS or in EXTERNAL, once\n"
    ) in ran.text


def test_an_external_image_that_would_only_run_there_is_not_of_the_platform(tree: Project) -> None:
    tree.scons("push", "PLATFORMS=linux/386", "IMAGE=other")
    ran = tree.scons(
        "push-manifest", "PLATFORMS=linux/arm64", "EXTERNAL=linux/amd64=_output/registry/other:1.0-386", check=False
    )
    assert ran.status == 2
    assert "_output/registry/other:1.0-386: is linux/386, not linux/amd64\n" in ran.text


def test_what_is_said_of_a_folder_names_the_folder(tree: Project) -> None:
    tree.scons("push")
    tree.edit("made.in", "two\n")
    ran = tree.scons("push", "IMMUTABLE=yes", check=False)
    assert ran.status == 2
    assert "] _output/registry/demo:1.0-amd64: exists with other content (" in ran.text
    tree.remove("_output/receipts")
    assert (
        "  _output/registry/demo:1.0-amd64 was pushed by somebody else, it is overwritten: " in tree.scons("push").text
    )


def test_what_another_builder_makes_is_foretold_too(tree: Project) -> None:
    tree.scons("push")
    assert "linux-amd64.tar: unchanged\n" in tree.scons("plan", "push").text
    tree.edit("made.in", "two\n")
    assert "image _output/images/linux-amd64.tar: perhaps made again, if made.txt changes\n" in tree.scons("plan").text
    assert "Image _output/images/linux-amd64.tar: if made.txt changes\n" in tree.scons("why").text


@pytest.mark.parametrize(
    ("file", "words"),
    [("VERSION", "VERSION: '\ufffd' is not a valid tag"), ("images.lock", "images.lock:1: holds 1 words, not 3")],
)
def test_a_file_that_is_no_utf_8_is_an_error_in_words(file: str, words: str, tree: Project) -> None:
    tree.edit("Dockerfile", "FROM localhost:1/base\n")
    tree.path.joinpath(file).write_bytes(b"\xe9\n")
    ran = tree.scons("images", check=False)
    assert ran.status == 2
    assert words in ran.text
    assert "Traceback" not in ran.text


def test_a_mark_of_byte_order_is_no_part_of_the_version(tree: Project) -> None:
    tree.path.joinpath("VERSION").write_bytes(b"\xef\xbb\xbf1.0\r\n")
    assert "Push _output/registry/demo:1.0-amd64" in tree.scons("push").steps


@pytest.mark.parametrize("words", [("images", "REPORT=folder"), ("plan", "PLAN=folder")], ids=["REPORT", "PLAN"])
def test_a_folder_where_a_file_is_to_be_written_is_an_error_in_words(words: tuple[str, str], tree: Project) -> None:
    tree.path.joinpath("folder").mkdir()
    ran = tree.scons(*words, check=False)
    assert ran.status == 2
    assert "folder" in ran.text
    assert "Traceback" not in ran.text


@pytest.mark.skipif(sys.platform != "linux", reason="file systems elsewhere take no such name")
def test_a_file_whose_name_is_no_utf_8_is_copied_and_told(tree: Project) -> None:
    tree.edit("Dockerfile", "FROM scratch\nCOPY folder /\n")
    tree.path.joinpath("folder").mkdir()
    name = os.fsencode(tree.path) + b"/folder/caf\xe9"
    for content in (b"one", b"two"):
        with open(name, "wb") as file:  # noqa: PTH123  # bytes are no Path
            file.write(content)
        ran = tree.scons("images")
        assert ran.steps == ["Image _output/images/linux-amd64.tar"]
        assert tree.scons("images").up_to_date
    assert "changed" in ran.text


def test_a_terminal_that_knows_few_letters_ends_no_build(tree: Project) -> None:
    tree.scons("images", "LABELS=a=b")
    ran = tree.scons("images", "LABELS=a=c", env={"PYTHONIOENCODING": "cp1252"})
    assert "label a: 'b' \\u2192 'c'\n" in ran.text


def test_one_name_for_two_programs_is_an_error(tree: Project) -> None:
    twice = "".join(
        f"env.GoBinary('program', '{package}', platform='linux/amd64')\n" for package in ("./a", "./a", "./b")
    )
    tree.edit("SConstruct", SCONSTRUCT + twice)
    ran = tree.scons("images", check=False)
    assert ran.status == 2
    lines = len((SCONSTRUCT + twice).splitlines())
    assert f"SConstruct:{lines}: program: is declared twice, and not as the same program\n" in ran.text


def test_a_platform_of_a_program_that_go_does_not_know_is_our_error(tree: Project) -> None:
    tree.edit("SConstruct", f"{SCONSTRUCT}env.GoBinary('program', platform='linux/amd65')\n")
    ran = tree.scons("images", check=False)
    assert ran.status == 2
    line = len(SCONSTRUCT.splitlines()) + 1
    told = f"SConstruct:{line}: platform 'linux/amd65' is not known\n  hint: did you mean linux/amd64?\n"
    assert told in ran.text


def test_two_environments_of_one_build_share_its_run(tree: Project) -> None:
    second = """
other = Environment(tools=["oci_settings", "oci_image", "oci_push"], DEFAULTS={"PLATFORMS": "linux/amd64"})
again = other.Image("again.tar", dockerfile="Dockerfile", platform="linux/arm64")
other.Alias("images", again)
"""
    tree.edit("SConstruct", SCONSTRUCT + second)
    ran = tree.scons("images", timeout=60)
    assert sorted(ran.steps) == ["Image _output/images/linux-amd64.tar", "Image again.tar"]
    assert tree.scons("images").up_to_date


def test_clean_goes_alone(tree: Project) -> None:
    tree.scons("images")
    ran = tree.scons("clean", "images", check=False)
    assert ran.status == 2
    assert "clean goes alone" in ran.text
    assert tree.digests("_output/images")


def test_why_a_step_ran_is_known_after_a_silent_run(tree: Project) -> None:
    tree.scons("images")
    tree.edit("made.in", "two\n")
    tree.scons("-s", "images")
    assert "linux-amd64.tar: up to date; made last because: made.txt changed\n" in tree.scons("why", "images").text


def test_an_image_of_everything_holds_no_report(tree: Project) -> None:
    tree.edit("Dockerfile", "FROM scratch\nCOPY . /\n")
    tree.scons("images", "REPORT=report.json")
    assert tree.scons("images", "REPORT=report.json").up_to_date


@pytest.mark.skipif(sys.platform == "win32", reason="no modes")
def test_the_mode_of_a_dockerfile_that_is_copied_is_part_of_the_image(tree: Project) -> None:
    tree.edit("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")
    tree.scons("images")
    tree.path.joinpath("Dockerfile").chmod(0o755)
    assert tree.scons("images").steps == ["Image _output/images/linux-amd64.tar"]


def test_a_line_that_images_lock_lost_is_written_again_though_the_image_stands(
    tree: Project, registry: Registry
) -> None:
    bases.push_image(f"{registry.host}/base:1", "linux/amd64", {"file": b"one"})
    tree.edit("Dockerfile", f"FROM {registry.host}/base:1\nCOPY made.txt /\n")
    tree.scons("images")
    lock, image = tree.read("images.lock"), tree.digests("_output/images")
    tree.remove("images.lock")
    ran = tree.scons("images")
    assert "linux-amd64.tar: its base is not in images.lock\n" in ran.text
    assert (tree.read("images.lock"), tree.digests("_output/images")) == (lock, image)
    assert tree.scons("images").up_to_date
