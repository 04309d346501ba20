"""`scons watch`: builds when an input of its targets changes, and only then; as right as a fresh run each time."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pytest

from machines.project import ROOT, Project, steps_of

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as a POSIX signal")

SCONSTRUCT = """\
from scons_multiarch import environment
env = environment(PLATFORMS="linux/amd64", REGISTRY="./registry")
made = env.Command("made.txt", env.Glob("parts/*.in"), "cat $SOURCES > $TARGET")
program = env.GoBinary("_output/bin/demo", platform="linux/amd64")
env.MultiarchImage("demo", program)
"""
FILES = {
    "SConstruct": SCONSTRUCT,
    "VERSION": "1.0\n",
    "parts/one.in": "one\n",
    "plain.txt": "one\n",
    "folder/first": "one\n",
    "Dockerfile": "FROM scratch\nCOPY _output/bin/demo /demo\nCOPY made.txt plain.txt /\nCOPY folder /folder\n",
    "main.go": 'package main\n\nimport "example.com/one/deep"\n\nfunc main() { println(deep.Text()) }\n',
    "deep/deep.go": 'package deep\n\nfunc Text() string { return "one" }\n',
    "go.mod": "module example.com/one\n\ngo 1.21\n",
    "unrelated.txt": "one\n",
}
WAITS = "waiting for a change"
SOON_S, QUIET_S = 30.0, 1.0


class Watch:
    """A watch that runs; `round` gives what it printed until it waits again."""

    def __init__(self, tree: Project, *words: str, stdout: BinaryIO | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "SCons", "watch", *words],
            cwd=tree.path,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.STDOUT if stdout is None else subprocess.PIPE,
            start_new_session=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        stream = self.process.stdout or self.process.stderr
        assert stream is not None
        for line in stream:
            self._lines.put(line.decode(errors="replace"))

    def round(self, until: str = WAITS) -> str:
        """All lines up to the one that says that it waits."""
        text, limit = "", time.monotonic() + SOON_S
        while until not in text:
            assert time.monotonic() < limit, f"no {until!r} in time:\n{text}"
            with suppress(queue.Empty):
                text += self._lines.get(timeout=1.0)
        assert "Traceback" not in text, text
        return text

    def is_quiet(self) -> bool:
        """Whether nothing is printed for a while."""
        time.sleep(QUIET_S)
        return self._lines.empty()

    def rest(self) -> list[str]:
        """The lines that were printed since."""
        return list(self._lines.queue)

    def interrupt(self) -> int:
        """Ctrl-C; the exit status."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(20)


@pytest.fixture
def tree(tmp_path: Path, clean_environment: Path) -> Project:  # noqa: ARG001
    return Project.linked(tmp_path / "tree", FILES)


@pytest.fixture
def watch(tree: Project) -> Iterator[Callable[..., Watch]]:
    begun: list[Watch] = []

    def begin(*words: str, stdout: BinaryIO | None = None) -> Watch:
        begun.append(Watch(tree, *words, stdout=stdout))
        return begun[-1]

    yield begin
    for running in begun:
        if running.process.poll() is None:
            os.killpg(running.process.pid, signal.SIGKILL)
            running.process.wait()


def verbs(text: str) -> set[str]:
    return {step.partition(" ")[0] for step in steps_of(text)}


def as_from_clean(tree: Project, clean: Path) -> None:
    """What lies in _output is what a build in another folder makes of the same sources."""
    shutil.copytree(tree.path, clean, symlinks=True, ignore=shutil.ignore_patterns("_output", ".multiarch", "made.txt"))
    fresh = Project(clean)
    fresh.scons()
    assert fresh.digests("_output/manifest") == tree.digests("_output/manifest")


def test_every_kind_of_edit_begins_a_round_that_makes_what_it_touches(
    tree: Project, watch: Callable[..., Watch], tmp_path: Path
):
    running = watch()
    assert verbs(running.round()) == {"Compile", "Image", "Index"}
    image = {"Image", "Index"}

    def set_back() -> None:
        times = (tree.path / "plain.txt").stat()
        tree.edit("plain.txt", "six\n")
        os.utime(tree.path / "plain.txt", ns=(times.st_atime_ns - 10**12, times.st_mtime_ns - 10**12))

    edits: list[tuple[str, Callable[[], object], set[str]]] = [
        ("main.go", lambda: tree.replace("main.go", "println", "print"), {"Compile", *image}),
        ("deep.go", lambda: tree.replace("deep/deep.go", "one", "two"), {"Compile", *image}),
        ("deep/more.go", lambda: tree.edit("deep/more.go", "package deep\n\nvar More = 1\n"), {"Compile"}),
        ("go.mod", lambda: tree.replace("go.mod", "1.21", "1.20"), {"Compile", *image}),
        ("parts/one.in", lambda: tree.edit("parts/one.in", "two\n"), image),
        ("folder/second", lambda: tree.edit("folder/second", "one\n"), image),
        ("folder/deep", lambda: tree.edit("folder/deep/er/third", "one\n"), image),
        ("Dockerfile", lambda: tree.edit("Dockerfile", tree.read("Dockerfile") + "ENV A=1\n"), image),
        (".dockerignore", lambda: tree.edit(".dockerignore", "folder/second\n"), image),
        ("folder", lambda: (tree.path / "folder/first").rename(tree.path / "folder/1st"), image),
        ("chmod", lambda: (tree.path / "folder/1st").chmod(0o755), image),
        ("plain.txt", set_back, image),
        ("_output", lambda: tree.remove("_output/images"), {"Image"}),
    ]
    for name, edit, steps in edits:
        edit()
        text = running.round()
        assert verbs(text) == steps, f"{name}:\n{text}"
        assert "changed\n" in text.partition("waiting")[0]
    as_from_clean(tree, tmp_path / "clean")
    assert running.interrupt() == 130


def test_what_is_no_input_of_the_targets_begins_none(tree: Project, watch: Callable[..., Watch]):
    running = watch("_output/bin/demo")
    assert verbs(running.round()) == {"Compile"}
    tree.edit("unrelated.txt", "two\n")
    tree.edit("plain.txt", "two\n")
    tree.edit("Dockerfile", "FROM scratch\n")
    tree.edit("folder/.main.go.swp", "x")
    tree.edit("other/other.go", "package other\n")
    assert running.is_quiet()
    tree.replace("deep/deep.go", "one", "two")
    assert verbs(running.round()) == {"Compile"}


def test_an_error_stays_until_it_is_mended(tree: Project, watch: Callable[..., Watch]):
    running = watch()
    running.round()
    tree.replace("main.go", "println(", "printl(")
    failed = running.round()
    assert "undefined: printl" in failed
    assert "watch: failed after" in failed
    assert running.is_quiet()
    tree.edit("Dockerfile", "FROM scratch\nCOPY nowhere /\n")
    tree.replace("main.go", "printl(", "print(")
    assert "nowhere" in running.round()
    tree.edit("nowhere", "here\n")
    assert "Image" in verbs(running.round())


def test_a_trust_file_counts_from_when_it_is_written(tree: Project, watch: Callable[..., Watch]):
    running = watch()
    running.round()
    tree.edit("trust.json", '{"*": "maybe"}')
    assert "trust.json: '*': is not" in running.round()
    tree.edit("trust.json", '{"*": "allow"}')
    assert "is not" not in running.round()


def test_what_was_read_is_read_anew_in_a_new_process(tree: Project, watch: Callable[..., Watch]):
    running = watch()
    running.round()
    tree.edit("SConstruct", SCONSTRUCT + 'env.Command("more.txt", "plain.txt", Copy("$TARGET", "$SOURCE"))\n')
    assert "everything is read anew" in running.round()
    tree.edit("SConstruct", "this is no Python\n")
    assert "SyntaxError" in running.round()
    assert running.process.poll() is None
    tree.edit("SConstruct", SCONSTRUCT.replace('"linux/amd64", REG', '"linux/amd64,linux/arm64", REG'))
    assert "linux-arm64" in running.round()
    tree.edit("VERSION", "1.1\n")
    assert "Index _output/manifest/demo-1.1.json" in running.round()
    tree.edit("parts/two.in", "two\n")  # which a Glob of the SConstruct finds
    assert "Image" in verbs(running.round())
    assert running.interrupt() == 130


def test_a_key_of_the_cache_that_is_lost_is_said_and_waited_for(tree: Project, watch: Callable[..., Watch]):
    shutil.copy(ROOT / "tests/data/cosign/empty.pub", tree.path / "cache.pub")
    running = watch("CACHE=../cache", "CACHE_KEY=cache.pub")
    running.round()
    key = tree.read("cache.pub")
    tree.remove("cache.pub")
    assert "scons: *** CACHE_KEY: there is no file cache.pub\n  hint: " in running.round()
    tree.edit("cache.pub", key)
    running.round()
    tree.edit("plain.txt", "two\n")
    assert "Image" in verbs(running.round())
    assert running.interrupt() == 130


def test_it_holds_no_lock_while_it_waits_and_sees_that_another_run_wrote(tree: Project, watch: Callable[..., Watch]):
    running = watch()
    running.round()
    tree.replace("deep/deep.go", "one", "two")
    running.round()
    beside = tree.scons("release", timeout=60)
    assert "waiting for it to end" not in beside.text
    assert beside.status == 0
    tree.replace("deep/deep.go", "two", "three")
    text = running.round()
    assert "another build" in text
    assert "Compile" in verbs(text)


def test_a_switch_of_branches_is_one_round(tree: Project, watch: Callable[..., Watch]):
    def git(*words: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", *identity, *words], cwd=tree.path, check=True, capture_output=True)

    tree.edit(".gitignore", "_output\n.multiarch\nsite_scons\nmade.txt\n")
    git("init", "-b", "main")
    git("add", ".")
    git("commit", "-m", "one")
    git("checkout", "-b", "other")
    for number in range(200):
        tree.edit(f"folder/many/{number}", f"{number}\n")
    tree.replace("deep/deep.go", "one", "two")
    git("add", ".")
    git("commit", "-m", "two")
    git("checkout", "main")
    running = watch()
    running.round()
    git("checkout", "other")
    assert verbs(running.round()) == {"Compile", "Image", "Index"}
    assert running.is_quiet()


def test_run_starts_the_program_anew_when_it_is_another(tree: Project, watch: Callable[..., Watch]):
    tree.edit("main.go", 'package main\n\nimport "time"\n\nfunc main() { println("first"); time.Sleep(time.Hour) }\n')
    tree.edit("SConstruct", "from scons_multiarch import environment\nenv = environment()\nenv.GoImage('demo')\n")
    running = watch("run")
    running.round("first")
    tree.edit("Dockerfile", "FROM scratch\nCOPY main.go /\n")
    tree.replace("main.go", "first", "second")
    running.round("second")
    started = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text(encoding="utf-8")
    assert len(started.split()) == 1  # the first one has ended
    assert running.interrupt() == 130
    assert not Path(f"/proc/{started.strip()}").exists()


def test_run_says_that_the_program_ended_and_starts_it_with_the_next_change(tree: Project, watch: Callable[..., Watch]):
    tree.edit("main.go", 'package main\n\nimport "os"\n\nfunc main() { println("first"); os.Exit(3) }\n')
    tree.edit("SConstruct", "from scons_multiarch import environment\nenv = environment()\nenv.GoImage('demo')\n")
    running = watch("run")
    running.round("watch: demo ended, exit status 3")
    tree.replace("main.go", "main()", "main( )")  # the same program
    assert "first" in running.round("watch: demo ended, exit status 3")
    tree.edit("main.go", 'package main\n\nfunc main() { panic("crash") }\n')
    assert "panic: crash" in running.round("watch: demo ended, exit status 2")
    tree.edit("main.go", 'package main\n\nimport "time"\n\nfunc main() { println("last"); time.Sleep(time.Hour) }\n')
    running.round("last")
    assert running.interrupt() == 130
    assert "ended, " not in "".join(running.rest())


def test_what_only_asks_is_refused(tree: Project):
    for words, text in {
        ("-c", "watch"): "-c does not",
        ("-n", "watch"): "-n does not",
        ("watch", "clean"): "clean",
    }.items():
        refused = tree.scons(*words, check=False)
        assert refused.status == 2, refused.text
        assert text in refused.text


def test_a_change_of_the_library_is_read_in_a_new_process(tree: Project, watch: Callable[..., Watch]):
    tree.remove("site_scons")
    shutil.copytree(ROOT / "site_scons", tree.path / "site_scons")
    running = watch()
    running.round()
    tree.edit("site_scons/multiarch_oci/windows.py", tree.read("site_scons/multiarch_oci/windows.py") + "\n")
    assert "everything is read anew" in running.round()


def test_what_a_build_writes_beside_and_prints_begins_no_round(tree: Project, watch: Callable[..., Watch]):
    tree.edit(".dockerignore", "_output\n.multiarch\n")
    tree.edit("Dockerfile", "FROM scratch\nCOPY . /all\n")
    running = watch("REPORT=report.html,summary.md")
    running.round()
    assert running.is_quiet()
    tree.edit("Dockerfile", "FROMM scratch\n")
    assert "failed after" in running.round()
    tree.edit("unrelated.txt", "two\n")
    assert running.is_quiet()
    tree.edit("Dockerfile", "FROM scratch\nCOPY . /all\n")
    assert "Image" in verbs(running.round())


def test_digests_and_the_end_by_a_signal_after_a_restart(tree: Project, watch: Callable[..., Watch]):
    with (tree.path.parent / "digests").open("wb") as digests:
        running = watch("push-manifest", "PRINT=digest", stdout=digests)
    running.round()
    tree.edit("SConstruct", SCONSTRUCT + "# read anew\n")
    running.round()
    tree.edit("folder/second", "two\n")
    running.round()
    first = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text(encoding="utf-8").split()
    assert len(first) == 1
    running.process.terminate()
    assert running.process.wait(20) == 128 + signal.SIGTERM
    limit = time.monotonic() + SOON_S
    while Path(f"/proc/{first[0]}").exists():
        assert time.monotonic() < limit
        time.sleep(0.05)
    lines = (tree.path.parent / "digests").read_text(encoding="utf-8").splitlines()
    index = (tree.path / "_output/manifest/demo-1.0.digest").read_text(encoding="utf-8").strip()
    assert len(lines) == 3
    assert lines[-1].endswith(f"@{index}")
    assert lines[0] == lines[1] != lines[2]
