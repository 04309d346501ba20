"""What is printed of steps: a line each when it ends, what it had to say below; where it failed, its log, and why.

One `Lines` a build, made by its first step. On a terminal `progress` shows below what is going on meanwhile.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import SCons.Script

from multiarch_oci.errors import visible
from scons_multiarch.targets import ProgramTarget, target_of

if TYPE_CHECKING:
    from scons_multiarch.progress import Progress
    from scons_multiarch.recorder import StepRecord

_LONG_S = 0.5
"""A step of at least this long says on a terminal how long it took."""


class Lines:
    """Prints what becomes of steps; any thread."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._lock = threading.RLock()
        self._running: list[StepRecord] = []
        self._to_fail = 0  # compilers' steps that failed, and were not said yet why
        self._failures: dict[tuple[str, str], list[tuple[str, str]]] = {}  # by text: names and platforms
        self._reported: dict[tuple[str, str], str] = {}  # the platforms of errors that were printed
        self._progress: Progress | None = None
        self._questions = 0
        self._postponed: list[StepRecord] = []  # steps that ended while the user was asked something

    def tell(self, record: StepRecord) -> None:
        """Be told by the recorder that a step began, or ended."""
        with self._lock:
            if record.ended is None:
                self._running.append(record)
                progress = self._shown()
                if progress is not None:
                    progress.begin(record)
                return
            if record not in self._running:  # a cache had it, which SCons says
                return
            self._running.remove(record)
            if self._progress is not None:
                self._progress.end(record)
            if self._questions:
                self._postponed.append(record)
            else:
                self._print(record)
            if record.outcome == "failed" and _is_compiler(record.target):
                self._to_fail += 1
            self._print_failures()

    @contextmanager
    def waiting(self, text: str, since: float) -> Iterator[None]:
        """Show on a terminal what this thread waits for, which is no step; `since` as `time.monotonic()`."""
        progress = self._shown()
        if progress is None:
            yield
            return
        with progress.waiting(text, since):
            yield

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let a program that this thread starts have the terminal for itself."""
        progress = self._shown()
        if progress is None:
            yield
            return
        with progress.hidden():
            yield

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Let this thread ask the user something: nothing is shown meanwhile, lines of steps that end come after it."""
        with self._lock:
            self._questions += 1
        try:
            with self.aside():
                yield
        finally:
            with self._lock:
                self._questions -= 1
                while self._postponed and not self._questions:
                    self._print(self._postponed.pop(0))

    def close(self) -> None:
        """Print what was held back, and show nothing any more."""
        with self._lock:
            self._print_failures(at_last=True)
            progress, self._progress = self._progress, None
        if progress is not None:
            progress.close()

    def _shown(self) -> Progress | None:
        """What shows steps while they run, one a build; None where nobody watches."""
        with self._lock:
            if self._progress is None and is_watched(self._environment):
                from scons_multiarch.progress import Progress

                self._progress = Progress(self._environment)
            return self._progress

    def _print(self, record: StepRecord) -> None:
        if record.outcome == "interrupted":  # which SCons says
            return
        failed, silent = record.outcome == "failed", bool(SCons.Script.GetOption("silent"))
        if silent and not failed:
            return
        line = line_of(record)
        if self._progress is not None:
            line += _measured(record)
        text = "".join(f"{visible(part)}\n" for part in (line, *record.remarks))
        log = "".join(f"  | {visible(part)}\n" for part in record.log)
        if log and (start := _group(self._environment, line)) is not None:
            text, log = f"{start[0]}{log}{start[1]}" if not failed else text + start[0] + log + start[1], ""
        sys.stdout.write(text)
        sys.stdout.flush()
        if failed and log:
            sys.stderr.write(log)
            sys.stderr.flush()

    def fail(self, names: str, target: Any, words: str) -> None:
        """Print that a step failed; equal errors of a compiler for several platforms once, when all have ended."""
        if not _is_compiler(target):
            sys.stderr.write(f"scons: *** [{visible(names)}] {visible(words)}\n")
            return
        platform = str(target_of(target).platform)
        first, newline, rest = words.partition("\n")
        with self._lock:
            key = (first.replace(platform, "\0"), newline + rest)
            self._failures.setdefault(key, []).append((names, platform))
            self._to_fail -= 1
            self._print_failures()

    def _print_failures(self, *, at_last: bool = False) -> None:
        if not at_last and (self._to_fail or any(_is_compiler(record.target) for record in self._running)):
            return
        for (first, rest), which in self._failures.items():
            names, platforms = (", ".join(dict.fromkeys(part)) for part in zip(*sorted(which), strict=True))
            words = first.replace("\0", platforms)
            if (first, rest) in self._reported:
                words += f": the same error as for {self._reported[first, rest]}"
            else:
                words += rest
            self._reported.setdefault((first, rest), platforms)
            sys.stderr.write(f"scons: *** [{visible(names)}] {visible(words)}\n")
        self._failures.clear()


def _is_compiler(target: Any) -> bool:
    return isinstance(target_of(target), ProgramTarget)


def line_of(record: StepRecord) -> str:
    """`Verb subject: reason`."""
    return f"{record.verb} {record.target.attributes.state.subject}" + (f": {record.reason}" if record.reason else "")


def _measured(record: StepRecord) -> str:
    """How long a step took and what it moved, for its line on a terminal; nothing for a short one."""
    from multiarch_oci.quoting import elapsed, readable_size

    seconds = (record.ended or time.monotonic()) - record.began
    if seconds < _LONG_S:
        return ""
    counts = ((record.sent, "sent"), (record.received, "received"))
    moved = [f"{readable_size(count)} {word}" for count, word in counts if count]
    return f"  ({', '.join([elapsed(seconds), *moved])})"


def is_watched(environment: Mapping[str, str]) -> bool:
    """Whether somebody sees on a terminal what is printed, one that can move its cursor."""
    if SCons.Script.GetOption("silent") or environment.get("TERM") in ("dumb", "unknown"):
        return False
    try:
        return sys.stdout.isatty()
    except (OSError, ValueError):  # closed
        return False


def _group(environment: Mapping[str, str], title: str) -> tuple[str, str] | None:
    """What a CI shows folded begins and ends with; None where none is known to read this."""
    if environment.get("GITHUB_ACTIONS") == "true":
        return f"::group::{visible(title)}\n", "::endgroup::\n"
    if environment.get("GITLAB_CI") == "true":
        name, now = re.sub(r"[^A-Za-z0-9_.-]+", "_", title)[:100], int(time.time())
        start = f"\x1b[0Ksection_start:{now}:{name}[collapsed=true]\r\x1b[0K{visible(title)}\n"
        return start, f"\x1b[0Ksection_end:{now}:{name}\r\x1b[0K\n"
    return None
