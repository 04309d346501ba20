"""How a build is ended in the middle: when, and by which signal."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from faults import FaultProxy

_POLL_S = 0.005
_LONGEST_S = 120
WAYS = ("KILL", "KILL", "KILL all", "KILL all", "TERM", "INT all", "INT all", "INT all twice")
"""A signal to SCons alone, so that what it started goes on, or to all that it started, as Ctrl-C in a terminal."""


@dataclass
class Spans:
    """How long builds took, by what was asked for, and how many requests each of them sent through a proxy.

    Those that began with nothing, as those are ended that are to be met alive. `build` is what such a one is until
    one was seen.
    """

    seen: dict[tuple[str, ...], tuple[float, int]] = field(default_factory=dict)
    build: tuple[float, int] = (5.0, 50)

    def note(self, targets: tuple[str, ...], seconds: float, requests: int) -> None:
        """Note a build that ran to its end, beside nobody else."""
        self.seen[targets] = (seconds, requests)

    def moment(self, targets: tuple[str, ...], random: Random) -> tuple[float, int]:
        """Draw after how many seconds, or requests, such a build is to be ended; the one that counts is not 0."""
        seconds, requests = self.seen.get(targets, self.build)
        if random.random() < 0.5:
            return random.uniform(0.05, 1) * seconds, 0
        return 0.0, random.randint(1, max(1, requests))


def end(process: subprocess.Popen[bytes], proxy: FaultProxy, moment: tuple[float, int], way: str) -> bool:
    """Wait until the moment, end a process group, wait until it has ended; whether it was still alive. The group leads.

    The requests of the moment are those that the proxy has seen by now, and so many more.
    """
    before, began = len(proxy.seen), time.monotonic()
    while process.poll() is None and not _is_due(time.monotonic() - began, len(proxy.seen) - before, moment):
        time.sleep(_POLL_S)
    alive = process.poll() is None
    name, *more = way.split()
    for _ in range(2 if "twice" in more else 1):
        with suppress(ProcessLookupError):
            (os.killpg if more else os.kill)(process.pid, getattr(signal, f"SIG{name}"))
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.3)
    return alive


def _is_due(seconds: float, requests: int, moment: tuple[float, int]) -> bool:
    return requests >= moment[1] if moment[1] else seconds >= moment[0]
