from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from multiarch_oci.treelock import TreeLock

HOLDER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from multiarch_oci.treelock import TreeLock
TreeLock(Path(sys.argv[1])).acquire(print)
print("held", flush=True)
sys.stdin.read()
"""
LIBRARY = Path(__file__).resolve().parents[2] / "site_scons"


def holder(path: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), str(LIBRARY)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def test_a_free_lock_is_taken_without_a_word(tmp_path):
    said: list[str] = []
    lock = TreeLock(tmp_path / "private" / "lock")
    lock.acquire(said.append)
    lock.acquire(said.append)
    lock.release()
    lock.release()
    assert said == []


def test_the_second_build_says_who_holds_the_lock_and_waits_until_it_is_killed(tmp_path):
    child = holder(tmp_path / "lock")
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        child.kill()  # a killed holder gives the lock back

    lock = TreeLock(tmp_path / "lock")
    lock.acquire(say)
    lock.release()
    child.wait()
    assert said == [f"another build (process {child.pid}) works in this tree; waiting for it to end"]
