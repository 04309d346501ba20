"""An archive of very many members does not fill the memory, whoever reads it. More by hand: `tests/many_names.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import multiarch_oci

MEMBERS = 40_000
MOST = 40
"""In MiB. With an object for each name it was 48 to 84, and grew with their number."""
TESTS = Path(__file__).parents[3]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="/proc says what was used")
@pytest.mark.parametrize("kind", ["all", "add", "names", "rebase"])
def test_memory_does_not_grow_with_the_members_of_an_archive(tmp_path: Path, kind: str) -> None:
    paths = [str(TESTS), str(Path(multiarch_oci.__path__[0]).parent)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, str(TESTS / "many_names.py"), kind, str(MEMBERS), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < MOST
