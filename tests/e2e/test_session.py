"""`scons --interactive`: each build of a session knows what a new run would know, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from machines.project import ROOT, Project, Run, steps_of
from machines.registry import Registry

SCONSTRUCT = """\
DefaultEnvironment(tools=[])
env = Environment(
    tools=[
        "oci_settings", "go_binary", "oci_image", "oci_archive", "oci_push", "oci_pin", "oci_index", "oci_targets",
    ],
    DEFAULTS={"PLATFORMS": "linux/amd64"},
)
made = env.Command("made.txt", "made.in", Copy("$TARGET", "$SOURCE"))
program = env.GoBinary("_output/bin/demo", platform="linux/amd64")
image = env.Image(
    "_output/images/one.tar", program, dockerfile=["Dockerfile.linux-amd64", "Dockerfile"], platform="linux/amd64"
)
archive = env.Archive("_output/release/one.tar", image, reference="$REPOSITORY:$VERSION-amd64")
push = env.Push(image, "$REPOSITORY:$VERSION-amd64")
pins = [env.Pin(reference, platform=platform) for platform, reference in env["EXTERNAL"]]
index = env.Index(
    "_output/manifest/all.json", [image, pins], platforms=["linux/amd64", *(p for p, _ in env["EXTERNAL"])]
)
published = env.Push(index, "$REPOSITORY:$VERSION", children=[push, pins])
env.Targets(bin=program, images=image, release=archive, push=push, manifest=index, push_manifest=published)
"""
FILES = {
    "SConstruct": SCONSTRUCT,
    "VERSION": "1.0\n",
    "made.in": "one\n",
    "plain.txt": "one\n",
    "folder/first": "one\n",
    ".dockerignore": "folder/*.tmp\n",
    "Dockerfile": "FROM scratch\nCOPY _output/bin/demo /demo\nCOPY made.txt plain.txt /\nCOPY folder /folder\n",
    "main.go": 'package main\n\nimport _ "embed"\n\n//go:embed text\nvar text string\n\nfunc main() { println(text) }\n',
    "text": "one\n",
    "go.mod": "module example.com/one\n\ngo 1.21\n",
}
ALL = "build release push-manifest"
PROMPT = "scons>>> "
CHAIN = ["Image", "Archive", "Push", "Index", "Publish"]


class Session:
    """A running session; `say` gives what was printed until it asks again."""

    def __init__(self, tree: Project, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "SCons", "--interactive", *arguments],
            cwd=tree.path,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.text = self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        said = b""
        while not said.endswith(PROMPT.encode()):
            byte = os.read(self._process.stdout.fileno(), 1)
            if not byte:
                break
            said += byte
        return said.decode(errors="replace")

    def say(self, line: str) -> Run:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()
        text = self._read()
        assert text.endswith(PROMPT), text
        assert "Traceback" not in text, text
        failed = "*** [" in text or "scons: ***" in text
        return Run(steps_of(text), 2 if failed else 0, text)

    def close(self) -> None:
        if self._process.returncode is None:
            self._process.communicate(b"exit\n", timeout=60)


@pytest.fixture
def tree(tmp_path: Path, clean_environment: Path) -> Project:  # noqa: ARG001
    return plant(tmp_path / "tree")


def plant(path: Path) -> Project:
    made = Project(path)
    shutil.copytree(ROOT / "site_scons", made.path / "site_scons")
    for name, text in FILES.items():
        made.edit(name, text)
    return made


@pytest.fixture
def open_session(tree: Project) -> Iterator[Callable[..., Session]]:
    opened: list[Session] = []

    def start(*arguments: str) -> Session:
        opened.append(Session(tree, *arguments))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def verbs(ran: Run) -> list[str]:
    assert ran.status == 0, ran.text
    return sorted(step.partition(" ")[0] for step in ran.steps)


def test_the_next_build_sees_every_kind_of_edit(tree: Project, open_session: Callable[..., Session]):
    session = open_session()
    assert verbs(session.say(ALL)) == sorted(["Compile", *CHAIN])
    assert session.say(ALL).up_to_date
    edits: list[tuple[Callable[[], object], list[str], str]] = [
        (lambda: tree.replace("main.go", "println", "print"), ["Compile", *CHAIN], "main.go changed"),
        (lambda: tree.edit("text", "two\n"), ["Compile", *CHAIN], "text changed"),
        (lambda: tree.edit("more.go", "package main\n\nfunc init() { println(2) }\n"), ["Compile", *CHAIN], "more.go"),
        (lambda: tree.replace("go.mod", "1.21", "1.20"), ["Compile", *CHAIN], ""),
        (lambda: tree.edit("made.in", "two\n"), CHAIN, "made.txt changed"),
        (lambda: tree.edit("plain.txt", "two\n"), CHAIN, "plain.txt changed"),
        (lambda: tree.edit("folder/second", "one\n"), CHAIN, "folder/second added"),
        (lambda: tree.edit("folder/deep/third", "one\n"), CHAIN, "folder/deep/third added"),
        (lambda: tree.remove("folder/second"), CHAIN, "folder/second removed"),
        (lambda: tree.edit(".dockerignore", "folder/deep\n"), CHAIN, "folder/deep"),
        (lambda: tree.edit("Dockerfile", tree.read("Dockerfile") + "LABEL a=b\n"), CHAIN, ""),
        (lambda: (tree.path / "plain.txt").chmod(0o755), CHAIN, "plain.txt"),
        (lambda: tree.edit("_output/images/one.tar", "x"), ["Image"], "it is not what was built"),
        (lambda: tree.remove("_output/bin/demo"), ["Compile"], "it is not there"),
        (lambda: tree.remove("_output/manifest"), ["Index"], "it is not there"),
        (lambda: tree.remove("_output/registry/demo"), ["Publish", "Push"], "it is not in the registry"),
    ]
    if sys.platform == "win32":
        edits = [edit for edit in edits if edit[2] != "plain.txt"]
    for edit, expected, words in edits:
        edit()
        ran = session.say(ALL)
        assert verbs(ran) == sorted(expected), (words, ran.text)
        assert words in ran.text
        assert session.say(ALL).up_to_date
    session.close()
    assert tree.scons("release", "push-manifest").up_to_date


def test_a_build_of_something_else_first_hides_no_edit(tree: Project, open_session: Callable[..., Session]):
    session = open_session()
    session.say("build bin")
    session.say("build made.txt")
    tree.replace("main.go", "println", "print")
    tree.edit("made.in", "two\n")
    assert "Compile" in verbs(session.say(ALL))
    before = tree.digests("_output/bin")
    tree.replace("main.go", "print(", "println(")
    assert verbs(session.say("build images")) == ["Compile", "Image"]
    assert tree.digests("_output/bin") != before
    assert tree.scons("images").up_to_date


def test_clean_and_build_again(tree: Project, open_session: Callable[..., Session]):
    session = open_session()
    session.say(ALL)
    before = tree.digests()
    for word in ("clean", "build clean"):
        session.say(word)
        assert sorted(path.name for path in (tree.path / "_output").iterdir()) == ["registry"]
        assert "Compile" in verbs(session.say(ALL))
        assert tree.digests() == before
        assert session.say(ALL).up_to_date
    session.say("clean images")
    assert not tree.path.joinpath("_output/images/one.tar").exists()
    assert verbs(session.say(ALL)) == ["Compile", "Image"]


def test_an_error_that_was_mended_is_over(tree: Project, open_session: Callable[..., Session]):
    session = open_session()
    for name, wrong, words in (
        ("Dockerfile", "FROM scratch\nCOPPY a /b\n", "COPPY"),
        ("Dockerfile", "FROM scratch\nCOPY none /b\n", "none"),
        ("main.go", "package main\n\nfunc main() {\n", "main.go:4"),
        ("go.mod", "modul\n", "go.mod"),
    ):
        right = tree.read(name)
        tree.edit(name, wrong)
        for _ in range(2):
            failed = session.say(ALL)
            assert failed.status == 2
            assert words in failed.text, failed.text  # and not: failed for the same reason
        tree.edit(name, right)
        assert session.say(ALL).status == 0
        assert session.say(ALL).up_to_date


def test_between_two_builds_another_run_may_work_and_is_seen(tree: Project, open_session: Callable[..., Session]):
    session = open_session()
    session.say("build images")
    other = tree.scons("release", "push-manifest", timeout=60)  # no lock is held while a session waits
    assert "Image" not in other.text
    assert session.say(ALL).up_to_date
    tree.edit("plain.txt", "two\n")
    assert tree.scons("release", "push-manifest", timeout=60).steps
    assert session.say(ALL).up_to_date
    tree.edit("plain.txt", "three\n")
    assert verbs(session.say("build images")) == ["Image"]
    ran = tree.scons("release", "push-manifest", timeout=60)
    assert "Image" not in [step.partition(" ")[0] for step in ran.steps]
    assert session.say(ALL).up_to_date
    session.close()
    assert tree.scons("release", "push-manifest").up_to_date


def test_tags_that_somebody_moves_are_seen(open_session: Callable[..., Session], registry: Registry, tmp_path: Path):
    other = plant(tmp_path / "other")
    other.edit("plain.txt", "of somebody else\n")
    outside = plant(tmp_path / "outside")
    outside.replace("SConstruct", 'program = env.GoBinary("_output/bin/demo", platform="linux/amd64")', "program = []")
    outside.replace("SConstruct", 'platform="linux/amd64"\n)', 'platform="linux/arm64"\n)')
    outside.replace("SConstruct", 'platforms=["linux/amd64",', 'platforms=["linux/arm64",')
    outside.edit("Dockerfile", "FROM scratch\nCOPY plain.txt /\n")
    there = f"REGISTRY={registry.host}"
    outside.scons("push", there, "VERSION=ext")
    session = open_session(there, f"EXTERNAL=linux/arm64={registry.host}/demo:ext-amd64")
    assert "Pin" in verbs(session.say(ALL))
    assert session.say(ALL).up_to_date
    other.scons("push", there)
    moved = session.say(ALL)
    assert verbs(moved) == ["Push"]
    assert "it is not as pushed last" in moved.text
    assert session.say(ALL).up_to_date
    outside.edit("plain.txt", "two\n")
    outside.scons("push", there, "VERSION=ext")
    assert verbs(session.say(ALL)) == ["Index", "Pin", "Publish"]
    assert session.say(ALL).up_to_date


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("VERSION", "2.0\n"),
        ("SConstruct", SCONSTRUCT + "\n"),
        ("custom.py", 'LABELS = "a=b"\n'),
        ("Dockerfile.linux-amd64", "FROM scratch\n"),
        ("cache.pub", ""),
    ],
)
def test_what_a_session_reads_once_may_not_change(
    name: str, text: str, tree: Project, open_session: Callable[..., Session]
):
    shutil.copy(ROOT / "tests/data/cosign/empty.pub", tree.path / "cache.pub")
    session = open_session("CACHE=../cache", "CACHE_KEY=cache.pub")
    session.say("build images")
    before = tree.read(name) if (tree.path / name).exists() else None
    tree.edit(name, text)
    for command in ("build images", "build", "clean"):
        refused = session.say(command)
        assert refused.status == 2
        assert (
            f"scons: *** {name}: changed since this session read what there is to build\n"
            "  hint: leave by exit, and start scons --interactive again\n"
        ) in refused.text
    if before is None:
        tree.remove(name)
    else:
        tree.edit(name, before)
    assert session.say("build images").up_to_date


@pytest.mark.parametrize("key", ["cache.pub", "cache.key"])
def test_a_key_of_the_cache_that_is_lost_is_said(key: str, tree: Project, open_session: Callable[..., Session]):
    for name in ("cache.pub", "cache.key"):
        shutil.copy(ROOT / f"tests/data/cosign/empty{Path(name).suffix}", tree.path / name)
    session = open_session("CACHE=../cache", f"CACHE_KEY={key}")
    session.say("build images")
    for lost in ("cache.pub", key):  # a private key counts as its public half
        content = tree.read(lost)
        tree.remove(lost)
        refused = session.say("build images")
        assert f"scons: *** {lost}: changed since this session read" in refused.text
        (tree.path / lost).mkdir()
        assert session.say("build images").text == refused.text
        tree.remove(lost)
        tree.edit(lost, content)
        assert session.say("build images").up_to_date


def test_a_version_of_the_command_line_makes_the_file_of_no_matter(tree: Project, open_session: Callable[..., Session]):
    session = open_session("VERSION=3.0")
    session.say("build images")
    tree.edit("VERSION", "2.0\n")
    assert session.say("build images").up_to_date


def test_each_build_has_a_report_of_its_own(tree: Project, open_session: Callable[..., Session]):
    session = open_session("REPORT=report.json")
    session.say("build images")
    assert '"step": "Image"' in tree.read("report.json")
    session.say("build -n images")
    session.say("build images")
    assert '"step"' not in tree.read("report.json")
    assert '"unchanged"' in tree.read("report.json")
    tree.edit("plain.txt", "two\n")
    session.say("build -n images")
    assert '"step"' not in tree.read("report.json")
    assert session.say("build -n images").steps == ["Image _output/images/one.tar"]
    assert verbs(session.say("build images")) == ["Image"]


def test_a_cache_is_asked_by_each_build(tree: Project, open_session: Callable[..., Session], tmp_path: Path):
    cache = str(tmp_path / "cache")
    tree.replace("SConstruct", "made = env.Command", f"env.CacheDir({cache!r})\nmade = env.Command")
    session = open_session()
    session.say(ALL)
    first = tree.digests("_output/images")
    tree.edit("plain.txt", "two\n")
    assert verbs(session.say(ALL)) == sorted(CHAIN)
    tree.edit("plain.txt", "one\n")
    back = session.say(ALL)
    assert verbs(back) == ["Publish", "Push"], back.text
    assert tree.digests("_output/images") == first
    assert session.say(ALL).up_to_date


def test_settings_of_go_that_change_meanwhile_count(tree: Project, open_session: Callable[..., Session]):
    tree.edit("tagged.go", "//go:build other\n\npackage main\n\nfunc init() { println(2) }\n")
    session = open_session()
    session.say("build bin")
    before = tree.digests("_output/bin")
    subprocess.run(["go", "env", "-w", "GOFLAGS=-tags=other"], check=True)
    assert verbs(session.say("build bin")) == ["Compile"]
    assert tree.digests("_output/bin") != before
    subprocess.run(["go", "env", "-u", "GOFLAGS"], check=True)
    assert verbs(session.say("build bin")) == ["Compile"]
    assert tree.digests("_output/bin") == before
    assert tree.scons("bin").up_to_date


@pytest.mark.parametrize("folder", ['env.Dir("dist")', '"dist"'])
def test_a_made_folder_is_decided_anew(folder: str, tree: Project, open_session: Callable[..., Session]) -> None:
    """A session takes what SCons took for a file at first for the folder that it is by now."""
    tree.edit(
        "SConstruct",
        f"""\
DefaultEnvironment(tools=[])
env = Environment(tools=["oci_settings", "oci_image", "oci_targets"])
def make(target, source, env):
    print("made", target[0])
    os.makedirs("dist/deep", exist_ok=True)
    for name in ("dist/0.txt", "dist/deep/0.txt"):
        with open(name, "w") as file:
            file.write(open("made.in").read())
import os
env.Command({folder}, "made.in", make)
env.Targets(images=env.Image("i.tar", dockerfile="Dockerfile"))
""",
    )
    tree.edit("Dockerfile", "FROM scratch\nCOPY dist /dist\n")
    session = open_session()
    assert "made dist" in session.say("build images").text
    edits: list[tuple[Callable[[], None], list[str]]] = [
        (lambda: tree.edit("made.in", "two\n"), ["Image i.tar"]),
        (lambda: tree.remove("dist/0.txt"), []),
        (lambda: tree.edit("dist/deep/0.txt", "edited\n"), []),
        (lambda: tree.edit("made.in", "one\n"), ["Image i.tar"]),
        (lambda: tree.remove("dist"), []),
    ]
    for edit, steps in edits:
        edit()
        ran = session.say("build images")
        assert (ran.text.count("made dist"), ran.steps) == (1, steps)
        assert session.say("build images").up_to_date
    assert tree.read("dist/deep/0.txt") == "one\n"
