"""Odd values, files and environments are one clear line each: no traceback, no secret, no hang (behaviour, section 6)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from machines.project import Project

SCONSTRUCT = """\
DefaultEnvironment(tools=[])
env = Environment(
    tools=["oci_settings", "oci_image", "oci_push", "oci_pin", "oci_index", "oci_targets"],
    DEFAULTS={"PLATFORMS": "linux/amd64"}, {more}
)
images = env.Image("_output/images/demo.tar", dockerfile="Dockerfile", platform="linux/amd64")
pushed = env.Push(images, "$REPOSITORY:$VERSION-amd64")
pins = [env.Pin(reference, platform=platform) for platform, reference in env["EXTERNAL"]]
index = env.Index(
    "_output/manifest/index.json", [images, pins],
    platforms=[*env["PLATFORMS"], *(platform for platform, _ in env["EXTERNAL"])],
    annotations=env["ANNOTATIONS"],
)
published = env.Push(index, "$REPOSITORY:$VERSION", children=[pushed, pins], also=env["TAGS"])
env.Targets(images=images, push=pushed, manifest=index, push_manifest=published)
"""
PASSWORD = "correct-horse"  # noqa: S105  # of nobody
posix = pytest.mark.skipif(sys.platform == "win32", reason="names, pipes and links as POSIX has them")


@pytest.fixture
def tree(tmp_path: Path, clean_environment: Path) -> Project:  # noqa: ARG001
    texts = {"one.txt": "one\n", "Dockerfile": "FROM scratch\nCOPY one.txt /\n"}
    return Project.of(tmp_path / "tree", {**texts, "SConstruct": SCONSTRUCT.replace("{more}", "")})


def fails(tree: Project, *words: str, env: dict[str, str] | None = None) -> str:
    """Run with something odd; return what is said."""
    ran = tree.scons(*words, check=False, env=env, timeout=60)
    assert ran.status == 2, ran.text
    assert "Traceback" not in ran.text
    assert PASSWORD not in ran.text
    assert 'File "' not in ran.text
    assert max(map(len, ran.text.splitlines())) < 500, "one line, and not all that was given"
    return ran.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("253402300800", "'253402300800' is beyond the year 9999"),
        ("9" * 5000, "is beyond the year 9999"),
        ("-1", "'-1' is not a number of seconds"),
        ("1e9", "'1e9' is not a number of seconds"),
        ("x" * 5000, "is not a number of seconds"),
    ],
    ids=lambda text: text[:20],
)
def test_a_time_that_no_image_can_have(text: str, words: str, tree: Project) -> None:
    said = fails(tree, "images", env={"SOURCE_DATE_EPOCH": text})
    assert "scons: *** SOURCE_DATE_EPOCH: " in said
    assert f"{words}\n  hint: seconds since 1970, for example 1700000000\n" in said


def test_the_last_second_that_an_image_can_have(tree: Project) -> None:
    tree.scons("images", env={"SOURCE_DATE_EPOCH": "0" * 5000 + "253402300799"})
    image = next(tree.path.joinpath("_output/images").glob("*.tar"))
    assert b'"created":"9999-12-31T23:59:59Z"' in image.read_bytes()


def _nothing(path: Path) -> None:
    path.unlink()


@posix
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_nothing, "the file is missing"),
        (lambda path: path.write_text(""), "the file is empty"),
        (lambda path: path.write_bytes(os.urandom(50 << 20)), "the file is larger than 65536 bytes"),
        (lambda path: path.write_bytes(bytes(range(256)) * 200), "has"),
        (lambda path: path.write_bytes(b"1.0\0"), "'1.0\\x00' is not a valid tag"),
        (lambda path: (path.unlink(), path.mkdir()), "the file is a folder, not a file"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "the file is a pipe or device, not a file"),
        (lambda path: (path.unlink(), path.symlink_to("/dev/zero")), "the file is a pipe or device, not a file"),
        (lambda path: (path.unlink(), path.symlink_to(path.name)), "the file cannot be read: "),
    ],
    ids=["missing", "empty", "large", "binary", "zero byte", "folder", "pipe", "device", "circle"],
)
def test_a_version_file_that_holds_no_version(make: object, words: str, tree: Project) -> None:
    assert callable(make)
    make(tree.path / "VERSION")
    assert words in (said := fails(tree, "images"))
    assert "scons: *** VERSION: " in said
    assert "\n  hint: " in said
    tree.scons("images", "VERSION=2.0")


@posix
@pytest.mark.parametrize(
    "name", ["IMAGE", "VERSION", "TAGS", "LABELS", "ANNOTATIONS", "BUILD_ARGS", "INSECURE", "DRIFT"]
)
def test_a_value_that_is_no_utf_8(name: str, tree: Project) -> None:
    value = os.fsdecode(b"a=\xff")
    assert f"scons: *** {name}: 'a=\\udcff' is not UTF-8\n  hint: " in fails(tree, "images", f"{name}={value}")


@posix
def test_words_files_and_folders_that_are_no_utf_8(tree: Project) -> None:
    odd = os.fsdecode(b"\xff")
    assert "there is no target \\udcff\n" in fails(tree, odd)
    assert "there is no variable \\udcff\n" in fails(tree, f"{odd}=1")
    tree.scons("push-manifest", f"REGISTRY=./{odd}", f"REPORT={odd}.json")
    assert tree.scons("push-manifest", f"REGISTRY=./{odd}", f"REPORT={odd}.json").up_to_date
    for verb in ("why", "plan"):
        tree.scons(verb, odd)


@posix
@pytest.mark.parametrize("damage", ["deep", "other", "empty", "pipe", "folder"])
def test_what_is_remembered_may_be_damaged(damage: str, tree: Project) -> None:
    tree.scons("push-manifest")
    remembered = sorted(tree.path.glob(".multiarch/**/*.json"))
    assert len(remembered) > 3
    for path in remembered:
        path.unlink()
        if damage == "pipe" and path.parent.name == ".multiarch":
            os.mkfifo(path)
        elif damage == "folder":
            path.mkdir()
        else:
            path.write_text({"deep": "[" * 200_000, "other": '{"format": 1, "values": []}'}.get(damage, ""))
    for words in (["why"], ["plan"], ["push-manifest"], ["push-manifest"]):
        ran = tree.scons(*words, timeout=60)
        assert words != ["push-manifest"] or ran.steps == []
        assert "Traceback" not in ran.text


@posix
@pytest.mark.parametrize("name", ["sconsign.dblite", "sconsign.tmp"])
@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_something_else_in_the_place_of_the_records(name: str, kind: str, tree: Project) -> None:
    path, victim = tree.path / ".multiarch" / name, tree.path / "victim.txt"
    path.parent.mkdir()
    victim.write_text("keep me\n")
    {"folder": path.mkdir, "link": lambda: path.symlink_to(victim), "pipe": lambda: os.mkfifo(path)}[kind]()
    assert f"{path}: is no file of this tool\n  hint: remove it, and build again\n" in fails(tree, "images")
    assert victim.read_text() == "keep me\n"


@pytest.mark.parametrize("login", [f"http://u:{PASSWORD}@host", f"u:{PASSWORD}@host.io/x", f"https://{PASSWORD}@host"])
@pytest.mark.parametrize(
    "variable",
    [
        "REGISTRY={}", "EXTERNAL=linux/arm64={}/a:1", "EXTERNAL={}/a:1-arm64", "IMAGE={}", "PLATFORMS={}", "PLATFORM={}",
        "VERSION={}", "TAGS={}", "ENGINE={}", "DRIFT={}", "LABELS={}", "{}=1", "BUILD_ARGS=BASE={}/a:1", "{}",
        "REPORT={}/x", "REGISTRY=a,{}",
    ],
)  # fmt: skip
def test_no_password_is_repeated(variable: str, login: str, tree: Project) -> None:
    if "BASE" in variable:
        tree.edit("Dockerfile", "ARG BASE\nFROM ${BASE}\n")
    word = variable.format(login)
    if variable.startswith("REPORT") and "://" not in login:
        pytest.skip("a file's name as any")
    if variable == "{}=1" and "://" in login:
        word = word.replace("://", ":")
    fails(tree, "push-manifest", word)
    for path in tree.path.glob(".multiarch/**/*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path


def test_a_password_in_a_build_argument_is_not_told_nor_kept(tree: Project) -> None:
    tree.edit("Dockerfile", "FROM scratch\nARG HTTP_PROXY\nCOPY one.txt /\n")
    tree.scons("images")
    for number in ("1", "2"):
        proxy = f"HTTP_PROXY=http://me:{PASSWORD}{number}@proxy:3128"
        told = tree.scons("why", "images", f"BUILD_ARGS={proxy}").text + tree.scons("-h", f"BUILD_ARGS={proxy}").text
        ran = tree.scons("images", f"BUILD_ARGS={proxy}")
        assert PASSWORD not in told + ran.text
        assert "http://***@proxy:3128" in told
        assert len(ran.steps) == 1
        for path in tree.path.glob(".multiarch/facts/**/*"):
            assert not path.is_file() or PASSWORD not in path.read_text()


TEXT = {"description": "small, fast", "path": "C:\\dir\\", "plain": "x"}


def annotations(tree: Project) -> object:
    import json

    return json.loads(tree.read("_output/manifest/index.json")).get("annotations")


@pytest.mark.parametrize("where", ["command line", "custom.py", "SConstruct"])
def test_a_value_may_hold_a_comma(where: str, tree: Project) -> None:
    words = []
    if where == "command line":
        words = ["ANNOTATIONS=description=small\\, fast,path=C:\\dir\\\\,plain=x"]
    elif where == "custom.py":
        tree.edit("custom.py", f"ANNOTATIONS = {TEXT!r}\nPLATFORMS = ['linux/amd64']\n")
    else:
        defaults = f'"PLATFORMS": ["linux/amd64"], "ANNOTATIONS": {TEXT!r}'
        tree.edit("SConstruct", SCONSTRUCT.replace("{more}", "").replace('"PLATFORMS": "linux/amd64"', defaults))
    tree.scons("manifest", *words)
    assert annotations(tree) == TEXT
    assert "ANNOTATIONS=description=small\\, fast,path=C:\\dir\\\\,plain=x" in tree.scons("-h", *words).text
    tree.scons("manifest", "ANNOTATIONS=description=small\\, fast,path=C:\\dir\\\\,plain=x")
    assert annotations(tree) == TEXT


def test_a_list_holds_one_pair_each(tree: Project) -> None:
    for brackets in ("[]", "()"):
        items = ", ".join(repr(f"{name}={value}") for name, value in TEXT.items())
        tree.edit("custom.py", f"ANNOTATIONS = {brackets[0]}{items}{brackets[1]}\nLABELS = ['a=b, c', 'd=e']\n")
        tree.scons("manifest")
        assert annotations(tree) == TEXT
        assert "ANNOTATIONS=description=small\\, fast,path=C:\\dir\\\\,plain=x" in tree.scons("-h").text
    assert tree.scons("manifest", "LABELS=a=b\\, c,d=e").up_to_date
    tree.edit("custom.py", "LABELS = ['a=b', 'c']\n")
    assert "LABELS: 'c' is not name=value\n  hint: for example LABELS=team=blue,tier=web\n" in fails(tree, "manifest")


def test_a_value_that_a_comma_ended_says_how_to_write_one(tree: Project) -> None:
    said = fails(tree, "manifest", "LABELS=a=small, fast")
    assert "LABELS: 'fast' is not name=value\n" in said
    assert "; a comma in a value is \\,\n" in said


def test_the_image_has_the_name_of_the_program(tree: Project) -> None:
    tree.edit("SConstruct", SCONSTRUCT.replace("{more}", 'PROGRAM="Whoami",'))
    assert "Push _output/registry/whoami:1.0-amd64" in tree.scons("push").steps
    assert "Push _output/registry/other:1.0-amd64" in tree.scons("push", "IMAGE=other").steps


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("team", "write ./team or docker.io/team"),
        ("team/sub/", "write ./team/sub or docker.io/team/sub"),
        ("My Folder", "write ./My Folder"),
        ("~me/x", "write ./~me/x"),
    ],
)
def test_a_word_that_is_neither_host_nor_folder_is_an_error(text: str, hint: str, tree: Project) -> None:
    said = fails(tree, "push", f"REGISTRY={text}")
    assert f"REGISTRY: {text!r} is neither a registry nor a folder\n  hint: {hint}\n" in said


def test_a_folder_that_holds_a_layout_of_an_earlier_version_is_one(tree: Project) -> None:
    tree.scons("push-manifest", "REGISTRY=./team")
    assert tree.scons("push-manifest", "REGISTRY=team").status == 0
    assert tree.scons("push-manifest", "REGISTRY=team").up_to_date


def test_a_folder_with_a_layout_is_one_also_where_it_could_be_a_host(tree: Project) -> None:
    tree.scons("push-manifest", "REGISTRY=./team.d")
    assert tree.scons("push-manifest", "REGISTRY=team.d").up_to_date
    assert "Push ./team.d/demo:2.0-amd64" in tree.scons("push", "REGISTRY=team.d", "VERSION=2.0").steps


@posix
def test_a_dollar_is_itself_in_what_the_command_line_says(tree: Project) -> None:
    tree.scons("push-manifest", "REGISTRY=./a$b", "ANNOTATIONS=price=$cheap $$ ${x}", "LABELS=price=$cheap")
    assert (tree.path / "a$b/demo/oci-layout").is_file()
    assert not (tree.path / "a").exists()
    assert annotations(tree) == {"price": "$cheap $$ ${x}"}
    assert tree.scons(
        "push-manifest", "REGISTRY=./a$b", "ANNOTATIONS=price=$cheap $$ ${x}", "LABELS=price=$cheap"
    ).up_to_date


@posix
def test_a_dollar_is_itself_in_the_names_of_all_that_one_call_makes_and_of_the_tree(tree: Project) -> None:
    chain = "import scons_multiarch\nenv = scons_multiarch.environment(PLATFORMS='linux/amd64')\n"
    other = Project.of(tree.path.parent / "of $b", {"SConstruct": f'{chain}env.MultiarchImage("demo")\n'})
    for name in ("one.txt", "Dockerfile"):
        other.edit(name, (tree.path / name).read_text(encoding="utf-8"))
    words = ["push-manifest", "release", "REGISTRY=./a$b", "VERSION=v1"]
    other.scons(*words)
    assert (other.path / "a$b/demo/oci-layout").is_file()
    assert other.scons(*words).up_to_date
    assert (other.path / ".multiarch/sconsign.dblite").is_file()
    assert not (tree.path.parent / "of ").exists()


@posix
def test_a_registry_may_lie_below_the_home_of_the_user(tree: Project) -> None:
    home = tree.path.parent / "home"
    home.mkdir()
    tree.scons("push-manifest", "REGISTRY=~/registry", env={"HOME": str(home)})
    assert (home / "registry/demo/oci-layout").is_file()


def test_further_tags_that_a_pre_release_leaves_alone_are_told(tree: Project) -> None:
    import json

    words = ["push-manifest", "VERSION=v1.1.0-rc1", "TAGS=latest,{major}", "REPORT=report.json"]
    line = "_output/registry/demo:latest"
    plan = tree.scons("plan", *words, "PLAN=plan.json").text
    assert f"tag {line}: not moved, v1.1.0-rc1 is a pre-release\n" in plan
    assert "2 not moved" in plan
    told = [tag["reference"] for tag in json.loads(tree.read("plan.json"))["tags"] if tag["action"] == "not moved"]
    assert told == [line, "_output/registry/demo:1"]
    for _ in range(2):
        assert tree.scons(*words).text.count(f"  {line} is not moved: v1.1.0-rc1 is a pre-release\n") == 1
        assert json.loads(tree.read("report.json"))["not_moved"] == [
            {"reference": reference, "because": "v1.1.0-rc1 is a pre-release"} for reference in told
        ]
    assert "not moved" not in tree.scons("push-manifest", "VERSION=v1.1.0", "TAGS=latest").text


def test_an_image_of_everything_says_that_it_holds_files_of_the_build(tree: Project) -> None:
    for name in ("sconsw", "requirements.lock"):
        tree.edit(name, "#\n")
    tree.edit("Dockerfile", "FROM scratch\nCOPY . /\n")
    words = "  warning: the image holds files of the build itself: "
    assert f"{words}site_scons, sconsw, requirements.lock; leave them out by .dockerignore" in tree.scons("images").text
    tree.edit("Dockerfile", "FROM scratch\nCOPY one.txt site_scons /\n")
    assert words not in tree.scons("images").text
    tree.edit("_output/bin/amd64/x", "x\n")
    tree.edit("_output/other/x", "x\n")
    tree.edit("Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY _output/bin/${TARGETARCH}/x one.txt /\n")
    assert words not in tree.scons("images").text
    tree.edit("Dockerfile", "FROM scratch\nCOPY _output/bin/amd64/x /x\nCOPY _outpu? /\n")
    assert f"{words}_output; " in tree.scons("images").text
    tree.edit(".dockerignore", "site_scons\nsconsw*\nrequirements*\n_output\n")
    tree.edit("Dockerfile", "FROM scratch\nCOPY . /\n")
    assert words not in tree.scons("images").text


def test_an_image_of_everything_is_the_same_after_the_first_run_of_a_clone(tree: Project) -> None:
    for folder in [*(tree.path / "site_scons").rglob("__pycache__")]:
        shutil.rmtree(folder)
    tree.edit("Dockerfile", "FROM scratch\nCOPY . /\n")
    tree.edit("helper.py", "NAME = 'helper'\n")
    tree.edit("SConstruct", "import sys\nsys.path.insert(0, '.')\nimport helper\n" + tree.read("SConstruct"))
    env = {"PYTHONDONTWRITEBYTECODE": ""}
    assert tree.scons("images", env=env).steps == ["Image _output/images/demo.tar"]
    assert tree.scons("plan", env=env).status == 0
    assert tree.scons("manifest", env=env).steps == ["Index _output/manifest/index.json"]
    assert tree.scons("images", "manifest", env=env).up_to_date
    assert not [path for path in tree.path.rglob("__pycache__") if ".multiarch" not in path.parts]


def test_reasons_are_for_people(tree: Project) -> None:
    for number in range(40):
        tree.edit(f"data/{number}/x.txt", "x\n")
    tree.edit("Dockerfile", "FROM scratch\nCOPY . /\n")
    tree.scons("images", "VERSION=1.0")
    tree.edit("Dockerfile", "FROM scratch\nCOPY one.txt big.bin /\n")
    said = tree.scons("images", check=False).text
    assert "demo.tar: Dockerfile changed, big.bin is missing, " in said
    assert " files no longer used (" in said
    tree.edit("big.bin", "big\n")
    tree.edit("Dockerfile", "FROM scratch\nCOPY one.txt big.bin /\n")
    told = tree.scons("why", "images").text
    assert "''" not in said + told
    assert ".git" not in said
    tree.scons("images")
    tree.remove("big.bin")
    assert "demo.tar: it would fail: " in (told := tree.scons("why", "images").text) or "big.bin" in told


@posix
@pytest.mark.parametrize("module", ["SCons.Util", "SCons.Node.FS", "SCons.Environment"])
def test_ctrl_c_while_scons_is_imported_is_one_line(module: str, tree: Project) -> None:
    launcher = tree.path / "site_scons/scons_multiarch/__main__.py"
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", str(launcher), "./sconsw", "-n", "images"],
        cwd=tree.path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.endswith(f" {module}\n"):
                process.send_signal(signal.SIGINT)
                break
        said = [line for line in process.stderr if not line.startswith("import time:")]
    assert process.returncode == 2
    assert [line for line in said if line.strip()] == ["scons: Build interrupted.\n"]


@posix
def test_a_build_that_sconsw_starts_is_one_as_any(tree: Project) -> None:
    launcher = tree.path / "site_scons/scons_multiarch/__main__.py"
    command = [sys.executable, str(launcher), "./sconsw", "-Q", "images"]
    ran = subprocess.run(command, cwd=tree.path, check=True, capture_output=True, text=True)
    assert ran.stdout == "Image _output/images/demo.tar\n"
    assert tree.scons("images").up_to_date
