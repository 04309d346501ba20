"""One timed start of a program: wall time, CPU time, memory, what the registry was asked."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Sample:
    """One run. Seconds; bytes of the largest process; requests to the registry, bytes of their bodies and answers."""

    wall: float
    cpu: float
    daemons: float
    memory: int
    requests: int
    uploaded: int
    downloaded: int = 0


class Failed(Exception):
    """A command that was measured ended with another status than 0."""


def timed(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    counted: Callable[[], tuple[int, int, int]] = lambda: (0, 0, 0),
    daemons: Callable[[], float] = lambda: 0.0,
) -> Sample:
    """Run a command to its end; what it prints is kept in `folder`/../output. Raises Failed with its last lines."""
    log = folder.parent / "output"
    counted()
    busy = daemons()
    with log.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"{' '.join(command)}: exit {process.returncode}\n{log.read_text(errors='replace')[-2000:]}")
    cpu = usage.ru_utime + usage.ru_stime
    return Sample(wall, cpu, daemons() - busy, usage.ru_maxrss * 1024, *counted())


def session_cpu(leader: int) -> float:
    """CPU seconds so far of all living processes of a session (a daemon and what it started)."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has just ended
            if int(fields[3]) == leader:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def middle(samples: Sequence[Sample]) -> Sample:
    """The median of each figure by itself."""
    return Sample(
        wall=median(s.wall for s in samples),
        cpu=median(s.cpu for s in samples),
        daemons=median(s.daemons for s in samples),
        memory=int(median(s.memory for s in samples)),
        requests=int(median(s.requests for s in samples)),
        uploaded=int(median(s.uploaded for s in samples)),
        downloaded=int(median(s.downloaded for s in samples)),
    )


def pairwise(ours: Sequence[Sample], other: Sequence[Sample]) -> tuple[float, float, float]:
    """Our wall time by the other's, run beside run: the median, the least, the greatest."""
    ratios = [a.wall / b.wall for a, b in zip(ours, other, strict=False)]
    return median(ratios), min(ratios), max(ratios)
