"""Jobs of SCons that wait for another machine, and are free for other tasks meanwhile.

SCons has `-j` threads, each of which performs one task after another. One whose task is at work elsewhere has nothing
to do here, and eight machines would be idle behind two threads. So its pool gets one thread more while it waits, and
no task begins here while `-j` others are at work. What comes back goes on at once: others may wait for what it holds.

What this leans on: a thread of the pool is a `NewParallel.Worker` with the pool as its `owner`. `jobs` counts the tasks
that were handed out and not taken back, `results_queue` holds those that have ended. With `-j1`, and with the scheduler
that was before, there is no such pool, and no job is released.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import SCons.Errors
import SCons.Script.Main

_POLL_S = 0.02
_PATIENCE_S = 0.5


class Jobs:
    """The jobs of one pool that are released; any thread."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._limit = pool.max_workers
        self._lock = threading.Lock()
        self._released = 0
        self._waiting = 0

    def release(self, most: int) -> bool:
        """Release a job, unless so many are; whether it was."""
        with self._lock:
            if self._released >= most:
                return False
            self._released += 1
            self._pool.max_workers += 1
        # Who holds it for long looks for tasks, and starts the thread himself when there is one.
        if self._pool.tm_lock.acquire(timeout=_PATIENCE_S):
            try:
                self._pool._maybe_start_worker()  # noqa: SLF001  # see above
            finally:
                self._pool.tm_lock.release()
        return True

    def acquire_again(self) -> None:
        """End what `release` began; threads that are there stay, and begin nothing."""
        with self._lock:
            self._released -= 1
            self._pool.max_workers -= 1

    def wait_for_job(self, task: Any) -> None:
        """Return when a task that was handed to this thread may begin. Raises BuildError at Ctrl-C."""
        with self._lock:
            if self._at_work() <= self._limit:
                return
            self._waiting += 1
        while True:
            time.sleep(_POLL_S)
            interrupted = self._pool.interrupted()
            with self._lock:
                if interrupted or self._at_work() < self._limit:
                    self._waiting -= 1
                    break
        if interrupted:
            raise SCons.Errors.BuildError(task.targets[0], errstr="Build interrupted.")

    def _at_work(self) -> int:
        """How many tasks are at work on this machine."""
        return int(self._pool.jobs) - len(self._pool.results_queue) - self._released - self._waiting


@contextmanager
def elsewhere(most: int) -> Iterator[None]:
    """While the block lasts the task of this thread is at work on another machine, which takes so many at once.

    As many again may wait for it.
    """
    pool: Any = getattr(threading.current_thread(), "owner", None)
    if not hasattr(pool, "results_queue"):
        yield
        return
    _begin_in_turn()
    # Of two threads that come first both find the one that was set.
    jobs: Jobs = vars(pool).setdefault("jobs_elsewhere", Jobs(pool))
    if not jobs.release(2 * most):
        yield
        return
    try:
        yield
    finally:
        jobs.acquire_again()


def _begin_in_turn() -> None:
    """Let tasks begin one after another where jobs are released. A second call changes nothing."""
    execute = SCons.Script.Main.BuildTask.execute
    if hasattr(execute, "in_turn"):
        return

    def execute_in_turn(task: Any) -> None:
        jobs = getattr(getattr(threading.current_thread(), "owner", None), "jobs_elsewhere", None)
        if jobs is not None:
            jobs.wait_for_job(task)
        execute(task)

    execute_in_turn.in_turn = True  # type: ignore[attr-defined]
    SCons.Script.Main.BuildTask.execute = execute_in_turn
