"""The linters have the last word on style: ruff with every rule, mypy strict."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from machines import required

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "command", [["ruff", "check", "."], ["mypy", "--no-incremental"]], ids=lambda command: str(command[0])
)
def test_the_linter_finds_nothing(command: list[str]):
    if importlib.util.find_spec(command[0]) is None:
        required.missing(command[0])
    run = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
