"""What a soak needs when it runs by hand and not under pytest: a clean environment, a folder, limits."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Arguments:
    """The command line: where randomness begins, how much to do, and whether the time is over."""

    seed: int
    count: int
    enough: Callable[[], bool]


def arguments(noun: str, default: int) -> Arguments:
    """Read --seed, --minutes and the number of whatever is counted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(f"--{noun}", type=int, default=default, dest="count")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    told = parser.parse_args()
    return Arguments(told.seed, told.count, limit(told.minutes * 60))


def limit(seconds: float) -> Callable[[], bool]:
    """Return what says whether so many seconds from now are over."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextmanager
def surroundings() -> Iterator[Path]:
    """Give an empty folder, and the environment that tests have: an empty HOME, no settings of the developer."""
    import conftest

    # A shell lets what it starts in the background ignore Ctrl-C, and what that starts would ignore it, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    caches = conftest._shared_caches()
    with tempfile.TemporaryDirectory(prefix="soak", ignore_cleanup_errors=True) as name:
        for variable in conftest.INFLUENCES:
            os.environ.pop(variable, None)
        home = Path(name) / "home"
        home.mkdir()
        os.environ.update(caches | {"HOME": str(home), "USERPROFILE": str(home)})
        yield Path(name)
