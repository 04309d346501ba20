"""The linters have the last word on style: ruff with every rule, mypy strict. What they do not count is counted here."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from machines import required

ROOT = Path(__file__).resolve().parents[2]
LONGEST, LONGEST_MODULE = 40, 400
INTERFACES = {"site_scons/scons_multiarch/tools/oci_image.py": "image"}
"""Functions whose arguments and docstring are a page of the reference by themselves; what they do has the same limit."""


@pytest.mark.parametrize(
    "command", [["ruff", "check", "."], ["mypy", "--no-incremental"]], ids=lambda command: str(command[0])
)
def test_the_linter_finds_nothing(command: list[str]):
    if importlib.util.find_spec(command[0]) is None:
        required.missing(command[0])
    run = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_no_module_is_too_long_to_be_read_at_once():
    lengths = {
        file.relative_to(ROOT).as_posix(): len(file.read_text("utf-8").splitlines())
        for file in (ROOT / "site_scons").rglob("*.py")
    }
    assert not {name: length for name, length in lengths.items() if length > LONGEST_MODULE}


def test_no_function_is_too_long_to_be_seen_at_once():
    long = []
    for file in (ROOT / "site_scons").rglob("*.py"):
        name = file.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                start = node.body[1].lineno if INTERFACES.get(name) == node.name else node.lineno
                lines = (node.end_lineno or 0) - start + 1
                long += [f"{name}:{node.lineno} {node.name}: {lines} lines"] if lines > LONGEST else []
    assert not long


def test_no_case_is_called_by_bytes_that_are_no_text(request: pytest.FixtureRequest):
    """Packed ones hold the time: the workers of one run would collect other tests, and none would run."""
    assert not [item.nodeid for item in request.session.items if "\\x1f\\x8b\\x08" in item.nodeid]
