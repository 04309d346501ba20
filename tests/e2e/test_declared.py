"""What a target is, is known by how it was declared: not by its name, and not by who declares it once more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from machines.project import GO_MODULE, Project

HEAD = """\
DefaultEnvironment(tools=[])
env = Environment(
    tools=[
        "oci_settings", "go_binary", "oci_image", "oci_archive", "oci_load", "oci_push", "oci_pin", "oci_index",
        "oci_targets",
    ],
    DEFAULTS={"PLATFORMS": "linux/amd64"},
)
"""
TAIL = "\nenv.Targets()\n"
PIPELINE = """
image = env.Image("out/app%(image)s", dockerfile="Dockerfile", platform="linux/amd64")
archive = env.Archive("out/release%(archive)s", image, reference="$REPOSITORY:$VERSION-amd64")
push = env.Push(image, "$REPOSITORY:$VERSION-amd64")
index = env.Index("out/all%(index)s", image, platforms=["linux/amd64"])
published = env.Push(index, "$REPOSITORY:$VERSION", children=push)
"""
TARGETS = "env.Targets(images=image, release=archive, push=push, manifest=index, push_manifest=published)"
ALL = ["Image", "Archive", "Push", "Index", "Publish"]


@pytest.fixture
def tree(tmp_path: Path, clean_environment: Path) -> Project:  # noqa: ARG001
    files = {
        "made.txt": "one\n",
        "Dockerfile": "FROM scratch\nCOPY made.txt /\n",
        "other.Dockerfile": "FROM scratch\n",
        **GO_MODULE,
    }
    return Project.of(tmp_path / "tree", files)


def declare(tree: Project, text: str) -> None:
    tree.edit("SConstruct", HEAD + text)


def verbs(steps: list[str]) -> list[str]:
    return [step.partition(" ")[0] for step in steps]


@pytest.mark.parametrize(
    "names",
    [
        {"image": ".tar", "archive": ".tar", "index": ".index"},
        {"image": "", "archive": "", "index": ""},
        {"image": ".json", "archive": ".json", "index": ".tar"},
        {"image": ".digest", "archive": ".exe", "index": ".json.txt"},
    ],
    ids=lambda names: " ".join(names.values()) or "none",
)
def test_what_a_file_is_called_says_nothing(names: dict[str, str], tree: Project):
    declare(tree, PIPELINE % names + TARGETS)
    built = tree.scons("release", "push-manifest", "REPORT=report.json")
    assert sorted(verbs(built.steps)) == sorted(ALL), built.text
    assert tree.scons("release", "push-manifest").up_to_date
    first = {each["subject"]: each.get("digest") for each in json.loads(tree.read("report.json"))["steps"]}
    again = tree.scons("release", "push-manifest", "REPORT=report.json")
    assert again.up_to_date
    unchanged = {each["subject"]: each.get("digest") for each in json.loads(tree.read("report.json"))["unchanged"]}
    archive = f"out/release{names['archive']}"
    assert {k: v for k, v in unchanged.items() if k != archive} == {k: v for k, v in first.items() if k != archive}
    assert first[f"out/all{names['index']}"] == first["_output/registry/demo:1.0"]
    assert "everything is there: 2 tags checked" in tree.scons("verify").text
    told = tree.scons("plan").text
    assert "error" not in told
    tree.edit("made.txt", "two\n")
    assert "out/app" in tree.scons("plan").text
    edited = tree.scons("release", "push-manifest", "IMMUTABLE=yes", "VERSION=2.0")
    assert sorted(verbs(edited.steps)) == sorted(ALL)
    assert tree.scons("release", "push-manifest", "VERSION=2.0").up_to_date


def test_a_name_of_an_index_tells_nothing_of_who_is_asked_first_under_immutable(tree: Project):
    declare(tree, PIPELINE % {"image": ".json", "archive": ".json", "index": ".index"} + TARGETS)
    tree.scons("push-manifest")
    tree.edit("made.txt", "two\n")
    ran = tree.scons("push-manifest", "IMMUTABLE=yes", check=False)
    assert ran.status == 2
    assert "_output/registry/demo:1.0" in ran.text
    assert "Traceback" not in ran.text


def test_what_another_builder_copies_is_what_it_holds(tree: Project):
    text = PIPELINE % {"image": ".tar", "archive": ".tar", "index": ".json"}
    text += """
copied = env.Command("out/copied", image, Copy("$TARGET", "$SOURCE"))
listed = env.Command("out/listed", index, Copy("$TARGET", "$SOURCE"))
pushed = env.Push(copied, "$REPOSITORY:copied")
both = env.Push(listed, "$REPOSITORY:listed", children=push)
second = env.Index("out/second", copied, platforms=["linux/amd64"])
archived = env.Archive("out/archived", copied, reference="$REPOSITORY:copied")
env.Alias("all", [pushed, both, second, archived])
"""
    declare(tree, text + TARGETS)
    ran = tree.scons("all")
    assert sorted(verbs(ran.steps)) == sorted(["Image", "Index", "Index", "Archive", "Push", "Push", "Publish"])
    assert tree.path.joinpath("out/second").read_bytes() == tree.path.joinpath("out/all.json").read_bytes()
    assert tree.scons("all").up_to_date
    assert "everything is there" in tree.scons("verify", "all").text


WRONG = {
    "push of a program": ('env.Push(program, "$REPOSITORY:x")', "is a program; env.Push takes an image or an index"),
    "push of a push": ('env.Push(push, "$REPOSITORY:x")', "is a push; env.Push takes an image or an index"),
    "push of an archive": ('env.Push(archive, "$REPOSITORY:x")', "is an archive; env.Push takes an image or an index"),
    "archive of an index": ('env.Archive("x", index, reference="a:b")', "is an index; env.Archive takes an image"),
    "load of an index": ('env.Load(index, "$REPOSITORY:x")', "is an index; env.Load takes an image"),
    "index of pushes": (
        'env.Index("x", push, platforms=["linux/amd64"])',
        "is a push; env.Index takes an image or a pin",
    ),
    "index of an index": (
        'env.Index("x", index, platforms=["linux/amd64"])',
        "is an index; env.Index takes an image or a pin",
    ),
    "push of two": ('env.Push([image, index], "$REPOSITORY:x")', "env.Push takes one source, and has 2"),
    "archive of none": ('env.Archive("x", [], reference="a:b")', "env.Archive takes one source, and has 0"),
}


@pytest.mark.parametrize(("line", "words"), WRONG.values(), ids=WRONG)
def test_a_target_of_another_kind_is_an_error_where_it_is_declared(line: str, words: str, tree: Project):
    text = 'program = env.GoBinary("out/demo", platform="linux/amd64")' + PIPELINE
    declare(tree, text % {"image": ".tar", "archive": ".tar", "index": ".json"} + line)
    ran = tree.scons("-n", check=False)
    assert ran.status == 2
    assert f"scons: *** SConstruct:{len(tree.read('SConstruct').splitlines())}: " in ran.text
    assert words in ran.text
    assert "Traceback" not in ran.text


TWICE = {
    "GoBinary": (
        'env.GoBinary("x", platform="linux/amd64")',
        ['env.GoBinary("x", platform="linux/arm64")', 'env.GoBinary("x", platform="linux/amd64", GOTAGS="a")'],
        "x: is declared twice, and not as the same program",
    ),
    "Image": (
        'env.Image("x", dockerfile="Dockerfile", platform="linux/amd64")',
        [
            'env.Image("x", dockerfile="other.Dockerfile", platform="linux/amd64")',
            'env.Image("x", dockerfile="Dockerfile", platform="linux/arm64")',
            'env.Image("x", "made.txt", dockerfile="Dockerfile", platform="linux/amd64")',
            'env.Image("x", dockerfile="Dockerfile", platform="linux/amd64", labels={"a": "b"})',
            'env.Image("x", dockerfile="Dockerfile", platform="linux/amd64", build_args={"a": "b"})',
            'env.Image("x", dockerfile="Dockerfile", platform="linux/amd64", engine="podman")',
            'env.Image("x", dockerfile="Dockerfile", platform="linux/amd64", stage="one")',
            'env.Image("x", dockerfile="Dockerfile", platform="linux/amd64", endpoint="tcp://h:1")',
            'env.Image("x", dockerfile="Dockerfile", platform="linux/amd64", builder="b")',
            'env.Image("x", dockerfile="Dockerfile", platform="linux/amd64", secrets="id=a,src=made.txt")',
            'env.Image("x", dockerfile="Dockerfile", platform="linux/amd64", network="none")',
            'env.Image("x", dockerfile="Dockerfile", platform="linux/amd64", foreign=["*"])',
            'env.Image("x", dockerfile="Dockerfile", platform="linux/amd64", rebase=False)',
            'env.Image("x", dockerfile="Dockerfile", platform="linux/amd64", contexts={"a": "site_scons"})',
            'env.Clone(LABELS=[("a", "b")]).Image("x", dockerfile="Dockerfile", platform="linux/amd64")',
            'env.GoBinary("x", platform="linux/amd64")',
            'env.Archive("x", image, reference="a:b")',
            'env.Index("x", image, platforms=["linux/amd64"])',
        ],
        "x: is declared twice, and not as the same ",
    ),
    "Archive": (
        'env.Archive("x", image, reference="a:b")',
        ['env.Archive("x", image, reference="a:c")', 'env.Archive("x", other, reference="a:b")'],
        "x: is declared twice, and not as the same archive",
    ),
    "Index": (
        'env.Index("x", image, platforms=["linux/amd64"])',
        [
            'env.Index("x", image, platforms=["linux/arm64"])',
            'env.Index("x", other, platforms=["linux/amd64"])',
            'env.Index("x", image, platforms=["linux/amd64"], annotations={"a": "b"})',
            'env.Image("x.digest", dockerfile="Dockerfile", platform="linux/amd64")',
            'env.Index("x.json", image, platforms=["linux/amd64"])',
        ],
        "is declared twice, and not as the same ",
    ),
    "Load": (
        'env.Load(image, "$REPOSITORY:x")',
        [
            'env.Load(other, "$REPOSITORY:x")',
            'env.Load(image, "$REPOSITORY:x", main="$REPOSITORY:y")',
        ],
        "is declared twice, and not as the same load",
    ),
    "Push": (
        'env.Push(image, "$REPOSITORY:x")',
        [
            'env.Push(other, "$REPOSITORY:x")',
            'env.Push(image, "$REPOSITORY:x", also=["y"])',
            'env.Push(image, "$REPOSITORY:x", children=env.Push(other, "$REPOSITORY:z"))',
        ],
        "demo:x: is pushed twice in this build",
    ),
    "Pin": (
        'env.Pin("127.0.0.1:1/a/b:c", platform="linux/arm64")',
        ['env.Pin("127.0.0.1:1/a/b:c@sha256:' + "0" * 64 + '", platform="linux/arm64")'],
        "is declared twice, and not as the same pin",
    ),
}
CASES = [(first, second, words) for first, others, words in TWICE.values() for second in others]
IMAGES = """
image = env.Image("out/one", dockerfile="Dockerfile", platform="linux/amd64")
other = env.Image("out/two", dockerfile="Dockerfile", platform="linux/amd64")
"""


@pytest.mark.parametrize(("first", "second", "words"), CASES, ids=[second for _, second, _ in CASES])
def test_a_target_that_is_declared_otherwise_once_more_is_an_error(first: str, second: str, words: str, tree: Project):
    declare(tree, f"{IMAGES}{first}\n{second}{TAIL}")
    ran = tree.scons("-h", check=False)
    assert ran.status == 2, ran.text
    assert words in ran.text
    assert f"scons: *** SConstruct:{len(tree.read('SConstruct').splitlines()) - 1}: " in ran.text
    assert "hint: " in ran.text
    assert "Traceback" not in ran.text


def test_a_target_of_ours_over_one_of_another_builder_is_an_error(tree: Project):
    taken = 'env.Command("x", "made.txt", Copy("$TARGET", "$SOURCE"))'
    declare(tree, f'{taken}\nenv.Image("x", dockerfile="Dockerfile", platform="linux/amd64"){TAIL}')
    ran = tree.scons("-h", check=False)
    assert ran.status == 2
    assert "x: is declared twice, and not as the same image" in ran.text


@pytest.mark.parametrize("first", [first for first, _, _ in TWICE.values()], ids=TWICE)
def test_a_target_that_is_declared_alike_once_more_is_one(first: str, tree: Project):
    again = "\n".join(f"{name} = {first}" for name in ("a", "b"))
    clone = first.replace("env.", "env.Clone().", 1)
    declare(tree, f"{IMAGES}{again}\nc = {clone}\nassert list(a) == list(b) == list(c), (a, b, c){TAIL}")
    tree.scons("-h")
