from __future__ import annotations

import os
import sys

import pytest

from multiarch_oci.engine.handing.calling import EngineFailed, Programs

SCRIPT = "import sys\nfor n in range(30): print('line', n, flush=True)\nprint('wrong', file=sys.stderr)\nsys.exit(3)"


def test_every_line_is_told_and_the_last_ones_stand_in_the_error():
    said: list[str] = []
    with pytest.raises(EngineFailed) as caught:
        Programs(os.environ, said.append).run([sys.executable, "-c", SCRIPT], where="Dockerfile", doing="the build")
    assert len(said) == 31
    lines = str(caught.value).splitlines()
    assert lines[0] == "Dockerfile: the build failed (status 3)"
    assert lines[1:] == [*[f"  | line {n}" for n in range(11, 30)], "  | wrong"]


def test_a_program_that_cannot_be_started_is_an_error():
    with pytest.raises(EngineFailed) as caught:
        Programs({}, print).run(["/nowhere/podman"], where="Dockerfile", doing="x")
    assert str(caught.value) == "Dockerfile: /nowhere/podman cannot be started: No such file or directory"


def test_the_environment_is_the_one_that_is_given():
    said: list[str] = []
    programs = Programs({"ONE": "1", "PATH": "/nowhere"}, said.append)
    script = "import os; print(os.environ['ONE'], os.environ.get('TWO'), os.environ.get('HOME'))"
    programs.run([sys.executable, "-c", script], where="x", doing="x", more={"TWO": "2"})
    assert said == ["1 2 None"]
    assert programs.find("sh") is None


def test_a_question_is_answered_in_one_line_and_never_fails():
    programs = Programs(os.environ, print)
    assert programs.ask([sys.executable, "-c", "print('a'); print('b')"]) == (True, "a b")
    assert programs.ask([sys.executable, "-c", "raise SystemExit('no')"]) == (False, "no")
    assert programs.ask(["/nowhere"])[0] is False
