"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from multiarch_oci.store.atomic import clear_abandoned, clear_unfinished, is_unfinished, locked, replacing


def test_what_go_is_writing_is_unfinished_too():
    assert is_unfinished(".demo.4711.part")
    assert not is_unfinished(".demo.part")
    assert not is_unfinished("demo.4711.part")


def test_the_file_appears_when_the_block_ends(tmp_path: Path):
    path = tmp_path / "new" / "file"
    with replacing(path, durable=True) as stream:
        stream.write(b"whole")
        assert not path.exists()
        assert [is_unfinished(each.name) for each in path.parent.iterdir()] == [True]
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]
    assert not is_unfinished(path.name)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file(tmp_path: Path, error: type[BaseException]):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(error), replacing(path) as stream:  # noqa: PT012  # the block is what is tested
        stream.write(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_longest_name_can_be_replaced(tmp_path: Path):
    path = tmp_path / ("n" * 255)
    with replacing(path) as stream:
        stream.write(b"x")
    assert path.read_bytes() == b"x"


def test_one_thread_at_a_time_holds_the_lock(tmp_path: Path):
    inside, most = [0], [0]

    def work() -> None:
        for _ in range(20):
            with locked(tmp_path / "lock"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                tmp_path.stat()  # lets another thread in
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX's")
def test_the_lock_of_a_killed_process_is_free(tmp_path: Path):
    program = (
        "import sys, time; from pathlib import Path; from multiarch_oci.store.atomic import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "site_scons")}
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "lock")], env=environment, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        entered = threading.Event()

        def enter() -> None:
            with locked(tmp_path / "lock"):
                entered.set()

        waiting = threading.Thread(target=enter)
        waiting.start()
        assert not entered.wait(0.2)
        process.send_signal(signal.SIGKILL)
        assert entered.wait(10)
        waiting.join()


def test_what_a_killed_process_left_is_cleared_for_one_file_alone(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"whole")
    (tmp_path / f".{path.name}.part-0123456789abcdef").write_bytes(b"half")
    other = tmp_path / ".file2.part-0123456789abcdef"
    other.write_bytes(b"of somebody else")
    clear_unfinished(path)
    assert sorted(tmp_path.iterdir()) == [other, path]
    clear_unfinished(tmp_path / "nowhere" / "file")


def test_what_is_being_made_is_not_taken_for_abandoned(tmp_path: Path):
    left = tmp_path / ".file.part-0123456789abcdef"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    (tmp_path / "whole").write_bytes(b"whole")
    with replacing(tmp_path / "other") as stream:
        stream.write(b"made")
        clear_abandoned(tmp_path)
        assert not left.exists()
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"whole": b"whole", "other": b"made"}
    clear_abandoned(tmp_path / "nowhere")


def test_making_and_clearing_at_once_lose_nothing(tmp_path: Path):
    made = threading.Event()

    def clear() -> None:
        while not made.is_set():
            clear_abandoned(tmp_path)

    clearing = [threading.Thread(target=clear) for _ in range(2)]
    for thread in clearing:
        thread.start()
    try:
        for number in range(200):
            with replacing(tmp_path / str(number)) as stream:
                stream.write(b"made")
    finally:
        made.set()
        for thread in clearing:
            thread.join()
    assert sorted(int(entry.name) for entry in tmp_path.iterdir()) == list(range(200))
