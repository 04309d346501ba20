"""What SCons can do with any target it can do with ours, though ours are decided and recorded in a way of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from machines.project import Project

SCONSTRUCT = """\
import os

DefaultEnvironment(tools=[])
env = Environment(
    tools=["oci_settings", "oci_image", "oci_push", "oci_index", "oci_targets"],
    DEFAULTS={"PLATFORMS": "linux/amd64"},
)
image = env.Image("_output/images/one.tar", dockerfile=%s, platform="linux/amd64")
%s
pushes = env.Push(image, "$REPOSITORY:$VERSION")
env.Targets(images=image, push=pushes, manifest=image)
"""
IMAGE, PUSH = "Image _output/images/one.tar", "Push _output/registry/demo:1.0"


@pytest.fixture
def tree(tmp_path: Path, clean_environment: Path) -> Project:  # noqa: ARG001
    files = {
        "made.txt": "one\n",
        "Dockerfile": "FROM scratch\nCOPY made.txt /\n",
    }
    made = Project.of(tmp_path / "tree", files)
    declare(made)
    return made


def declare(tree: Project, *lines: str, dockerfile: str = "Dockerfile") -> None:
    tree.edit("SConstruct", SCONSTRUCT % (repr(dockerfile), "\n".join(lines)))


def in_the_tree(tree: Project) -> dict[str, tuple[int, int]]:
    """Return every file but the lock, which says who is at work, with its inode and the time of its last change."""
    found = {}
    for folder, _, names in os.walk(tree.path):
        for name in names:
            path = Path(folder, name)
            if path.suffix != ".pyc" and path.relative_to(tree.path).as_posix() != ".multiarch/lock":
                found[str(path)] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def test_a_run_with_nothing_to_do_writes_no_file(tree: Project):
    tree.scons("push")
    tree.grow_old()
    tree.scons("push")
    before = in_the_tree(tree)
    assert tree.scons("push").up_to_date
    assert in_the_tree(tree) == before


def test_what_other_builders_make_is_recorded_when_it_is_another_and_by_no_question(tree: Project):
    tree.edit("given.txt", "one\n")
    declare(tree, 'made = env.Command("made.txt", "given.txt", Copy("$TARGET", "$SOURCE"))', "env.Depends(image, made)")
    tree.scons("images")
    tree.grow_old()
    tree.scons("images")
    before = in_the_tree(tree)
    assert tree.scons("images").up_to_date
    assert in_the_tree(tree) == before
    tree.edit("given.txt", "two\n")
    before = in_the_tree(tree)
    assert tree.scons("-q", "images", check=False).status == 1
    assert in_the_tree(tree) == before, "it holds no lock: what it read may be old by then"
    assert "changed" in tree.scons("images").text
    assert tree.scons("images").up_to_date


def test_what_is_recorded_holds_the_facts_that_are_found_when_a_target_is_decided(tree: Project):
    """Without Tracked.make_ready every step runs in every run, and for no reason."""
    assert tree.scons("push").steps
    assert tree.scons("push").up_to_date
    ran = tree.scons("images", "LABELS=team=blue")
    assert "label team: 'blue' is new" in ran.text
    assert tree.scons("images", "LABELS=team=blue").up_to_date


@pytest.mark.parametrize(
    "line",
    [
        'env.Depends(image, env.Value(open("other.txt").read()))',
        'env.Depends(image, "other.txt")',
        'env.Depends(image, env.Alias("others", "other.txt"))',
    ],
    ids=["value", "file", "alias"],
)
def test_a_dependency_that_is_declared_is_one(line: str, tree: Project):
    declare(tree, line)
    tree.edit("other.txt", "one\n")
    assert tree.scons().steps == [IMAGE]
    assert tree.scons().up_to_date
    tree.edit("other.txt", "two\n")
    assert tree.scons().steps == [IMAGE]
    assert tree.scons().up_to_date


def test_a_dependency_that_is_gone_is_a_change(tree: Project):
    declare(tree, 'env.Depends(image, "other.txt")')
    tree.edit("other.txt", "one\n")
    tree.scons()
    declare(tree)
    assert tree.scons().steps == [IMAGE]
    assert tree.scons().up_to_date


def test_a_target_that_is_always_to_be_built_is(tree: Project):
    declare(tree, "env.AlwaysBuild(image)")
    assert tree.scons("push").steps == [IMAGE, PUSH]
    assert tree.scons("push").steps == [IMAGE]


def test_actions_before_and_after_ours_run_with_it_alone(tree: Project):
    declare(
        tree,
        'env.AddPreAction(image, Touch("before"))',
        'env.AddPostAction(image, Copy("copy.tar", "$TARGET"))',
    )
    assert tree.scons().steps == [IMAGE]
    assert tree.path.joinpath("before").exists()
    assert tree.path.joinpath("copy.tar").read_bytes() == tree.path.joinpath("_output/images/one.tar").read_bytes()
    tree.remove("copy.tar")
    assert tree.scons().up_to_date
    assert not tree.path.joinpath("copy.tar").exists()


@pytest.mark.parametrize("decider", ["content", "timestamp-match", "timestamp-newer", "content-timestamp"])
def test_what_another_builder_makes_of_an_image_is_decided_as_its_environment_says(decider: str, tree: Project):
    declare(
        tree,
        "other = Environment(tools=[])",
        f"other.Decider({decider!r})",
        'env.Default(other.Command("copy.tar", image, [Copy("$TARGET", "$SOURCE"), Touch("ran")]))',
    )
    tree.scons()
    tree.remove("copy.tar")
    tree.scons()
    tree.remove("ran")
    tree.scons()
    assert not tree.path.joinpath("ran").exists()
    tree.edit("made.txt", "two\n")
    future = tree.path.joinpath("_output/images/one.tar").stat().st_mtime + 5
    assert tree.scons("images").steps == [IMAGE]
    os.utime(tree.path / "_output/images/one.tar", (future, future))  # timestamps of SCons are whole seconds
    tree.scons("copy.tar")
    assert tree.path.joinpath("ran").exists()
    assert tree.path.joinpath("copy.tar").read_bytes() == tree.path.joinpath("_output/images/one.tar").read_bytes()


def test_what_lies_in_a_variant_folder_is_put_there_and_seen_to_change(tree: Project):
    declare(tree, dockerfile="variant/Dockerfile")
    tree.replace("SConstruct", "image = env.Image", 'env.VariantDir("variant", "source")\nimage = env.Image')
    tree.replace("SConstruct", "/one.tar", '/one.tar", ["variant/more.txt"], engine="embedded')
    tree.edit("source/Dockerfile", "FROM scratch\nCOPY variant/more.txt /\n")
    tree.edit("source/more.txt", "one\n")
    assert tree.scons().steps == [IMAGE]
    assert tree.scons().up_to_date
    for name, text in (("Dockerfile", "FROM scratch\nCOPY variant/more.txt /other\n"), ("more.txt", "two\n")):
        tree.edit(f"source/{name}", text)
        assert tree.scons().steps == [IMAGE]
        assert tree.scons().up_to_date


def test_a_cache_folder_gives_back_the_image_of_these_inputs_and_of_no_others(tree: Project):
    declare(tree)
    tree.replace("SConstruct", "image = env.Image", 'env.CacheDir("cached")\nimage = env.Image')
    tree.scons()
    first = tree.path.joinpath("_output/images/one.tar").read_bytes()
    tree.edit("made.txt", "two\n")  # no File node of SCons: only the inputs know it
    assert tree.scons().steps == [IMAGE]
    assert tree.path.joinpath("_output/images/one.tar").read_bytes() != first
    tree.edit("made.txt", "one\n")
    ran = tree.scons()
    assert "Retrieved" in ran.text
    assert ran.steps == []
    assert tree.path.joinpath("_output/images/one.tar").read_bytes() == first
    assert tree.scons().up_to_date


@pytest.mark.skipif(sys.platform == "win32", reason="files have no mode there")
def test_what_a_step_before_the_image_changes_without_saying_so_is_seen_in_the_same_run(tree: Project):
    action = 'lambda target, source, env: os.chmod("made.txt", 0o755 if os.path.exists("wanted") else 0o644) or 0'
    declare(tree, f'env.Depends(image, env.AlwaysBuild(env.Alias("prepared", [], {action})))')
    assert tree.scons().steps == [IMAGE]
    assert tree.scons().steps == []
    tree.edit("wanted", "")
    assert tree.scons().steps == [IMAGE]
    assert tree.scons().steps == []


def test_images_with_one_side_effect_are_made_one_after_the_other(tree: Project):
    """What both write meanwhile (here a folder that must not be there yet) is the user's, who says so to SCons."""
    declare(
        tree,
        'other = env.Image("_output/images/two.tar", dockerfile="Dockerfile", platform="linux/amd64")',
        'env.SideEffect("busy", [image, other])',
        'env.AddPreAction([image, other], lambda target, source, env: os.mkdir("busy"))',
        "def end(target, source, env):",
        "    import time",
        "    time.sleep(0.5)  # so that another one would meet it",
        '    os.rmdir("busy")',
        "env.AddPostAction([image, other], end)",
    )
    targets = ("_output/images/one.tar", "_output/images/two.tar")
    assert sorted(tree.scons("-j2", *targets).steps) == [IMAGE, IMAGE.replace("one", "two")]
    assert tree.scons("-j2", *targets).up_to_date


def test_two_environments_that_declare_one_image_alike_make_it_once(tree: Project):
    again = 'env.Clone().Image("_output/images/one.tar", dockerfile="Dockerfile", platform="linux/amd64")'
    declare(tree, 'env.Command("made.txt", "made.in", Copy("$TARGET", "$SOURCE"))', again)
    tree.edit("made.in", "one\n")
    assert tree.scons().steps == [IMAGE]
    assert tree.scons().up_to_date
    tree.edit("made.in", "two\n")
    assert tree.scons().steps == [IMAGE]
    assert tree.scons().up_to_date


def test_no_more_modules_are_loaded_than_the_last_time_somebody_counted(tree: Project):
    """A start is most of a run with nothing to do in a small tree; 60 modules of ours cost as much as SCons itself."""
    tree.scons("push")
    listed = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "SCons", "images"],
        cwd=tree.path,
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    names = {line.rpartition("|")[2].strip() for line in listed.splitlines() if line.startswith("import time:")}
    assert not {name for name in names if name.startswith(("urllib3", "docker", "deflate", "http.", "email", "ssl"))}
    assert not {name for name in names if name.startswith("multiarch_oci.dockerfile")}  # its answers are kept
    # Of these `heldfiles`, `held`, `signatures` and `trusted` came with attestations and the shared cache: whether
    # a build uses them is seen from its words and files, in every run.
    assert len({name for name in names if name.startswith(("multiarch_oci", "scons_multiarch"))}) <= 53


LOOP = """\
class Loop:
    def __init__(self): self.me = self
    def __del__(self): os.write(1, b"looked through once more\\n")
Loop()
"""


def test_what_is_left_at_the_end_is_not_looked_through_for_garbage(tree: Project) -> None:
    declare(tree, LOOP)
    assert "looked through" not in tree.scons().text
