"""What is going on, on a terminal: running steps with time, bytes and rate, below the lines that are printed.

Only loaded where somebody watches, and `rich` only when something runs longer than `_PATIENCE_S`. The cursor stays
visible, so that whatever ends the process leaves a terminal as it was.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from multiarch_oci.errors import visible
from multiarch_oci.quoting import elapsed, readable_size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from multiarch_oci.store.http.recording import RequestRecord
    from scons_multiarch.recorder import StepRecord

_PATIENCE_S = 0.3
_TICK_S = 0.15
_WINDOW_S = 4.0
"""The rate of a transfer is that of the last seconds."""
_SILENT_S = 1.0
"""A request that nothing was heard of for so long is waited for."""
_NARROWEST = 20


class Rate:
    """How fast something grows, by samples."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now: float, count: int) -> float:
        """Take a sample; returns what was added a second, 0 when nobody knows yet."""
        self._samples.append((now, count))
        while len(self._samples) > 2 and now - self._samples[0][0] > _WINDOW_S:  # noqa: PLR2004  # two make a rate
            self._samples.popleft()
        began, before = self._samples[0]
        return (count - before) / (now - began) if now > began else 0.0


class Running:
    """A step that runs, or something else that is waited for, since `began`."""

    def __init__(self, title: str, began: float, record: StepRecord | None = None) -> None:
        self.title = title
        self.began = began
        self.record = record
        self._sent, self._received = Rate(), Rate()

    def details(self, now: float) -> list[str]:
        """What it is at, a line each; the first ones matter most."""
        record = self.record
        if record is None:
            return []
        requests = list(record.requests)
        lines = [*self._transfers(record.expected, requests, now), *_waits(record, requests, now)]
        if not lines and record.doing:
            lines.append(record.doing)
        if record.log:
            lines.append(f"| {record.log[-1]}")
        return lines

    def _transfers(self, expected: int, requests: list[RequestRecord], now: float) -> Iterator[str]:
        out = [request for request in requests if request.length and _is_content(request)]
        sent, sizes = sum(request.sent for request in out), sum(request.length for request in out)
        whole = max(expected, sizes)
        rate = self._sent.add(now, sent)
        if any(request.ended is None for request in out):
            hosts = _hosts([request for request in out if request.ended is None])
            yield f"sent {readable_size(sent)} of {readable_size(whole)} to {hosts}, {readable_size(int(rate))}/s"
        received = sum(request.received for request in requests)
        rate = self._received.add(now, received)
        coming = [request for request in requests if request.ended is None and request.received]
        if coming:
            yield f"received {readable_size(received)} from {_hosts(coming)}, {readable_size(int(rate))}/s"


def _is_content(request: RequestRecord) -> bool:
    """Whether it sends what is stored: not what asks a token service for one."""
    return request.method in ("PUT", "PATCH", "POST")


def _hosts(requests: list[RequestRecord]) -> str:
    return ", ".join(dict.fromkeys(request.host for request in requests))


def _waits(record: StepRecord, requests: list[RequestRecord], now: float) -> Iterator[str]:
    """What a registry keeps a step waiting for, and since when."""
    for pause in list(record.pauses)[-1:]:
        remaining = pause.began + pause.seconds - now
        if remaining > 0:
            yield f"{pause.error}; tried again in {elapsed(remaining)}"
    for request in requests:
        since = now - request.moved
        if request.ended is None and since > _SILENT_S:
            what = "answer" if request.sent >= request.length else "connection"
            yield f"waiting for {request.host} for {elapsed(since)} ({what} to {request.method} {request.path})"
            return


class Progress:
    """Shows steps while they run; any thread."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._lock = threading.RLock()
        self._running: list[Running] = []
        self._hidden = 0
        self._console: Console | None = None
        self._live: Live | None = None
        self._streams: tuple[TextIO, TextIO] | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True, name="progress")
        self._thread.start()

    def begin(self, record: StepRecord) -> None:
        """Show a step from now on."""
        title = f"{record.verb} {record.target.attributes.state.subject}"
        with self._lock:
            self._running.append(Running(title, record.began, record))

    def end(self, record: StepRecord) -> None:
        """Show a step no longer."""
        with self._lock:
            self._running = [running for running in self._running if running.record is not record]
            self._draw()

    @contextmanager
    def waiting(self, text: str, since: float) -> Iterator[None]:
        """Show something else that is waited for."""
        running = Running(text, since)
        with self._lock:
            self._running.append(running)
        try:
            yield
        finally:
            with self._lock:
                self._running.remove(running)
                self._draw()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Show nothing meanwhile: a program has the terminal."""
        with self._lock:
            self._hidden += 1
            self._stop()
        try:
            yield
        finally:
            with self._lock:
                self._hidden -= 1

    def close(self) -> None:
        """Show nothing any more."""
        self._closed.set()
        with self._lock:
            self._stop()
        self._thread.join(1.0)

    def _show(self) -> None:
        while not self._closed.wait(_TICK_S):
            with self._lock:
                old = any(time.monotonic() - running.began > _PATIENCE_S for running in self._running)
                if old and not self._hidden and self._live is None and not self._closed.is_set():
                    self._start()
                self._draw()

    def _start(self) -> None:
        """Begin to draw: what is written to the streams of the process stands above it from now on."""
        from rich.live import Live

        if self._console is None:
            self._console = _console(self._environment)
        self._live = Live(
            self._picture(),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,  # rich's own would wrap lines, which nobody could copy
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._live.start()
        self._streams = (sys.stdout, sys.stderr)
        sys.stdout = Above(sys.stdout, self)
        if sys.stderr.isatty():
            sys.stderr = Above(sys.stderr, self)

    def _stop(self) -> None:
        if self._live is not None and self._streams is not None:
            sys.stdout, sys.stderr = self._streams
            self._live.stop()
            self._live = None

    def _draw(self) -> None:
        if self._live is not None:
            self._live.update(self._picture(), refresh=True)

    def write(self, stream: TextIO, text: str) -> None:
        """Write whole lines above what is shown; to the stream itself where nothing is."""
        with self._lock:
            if self._live is None or self._console is None:
                stream.write(text)
                stream.flush()
            else:
                from rich.text import Text

                self._console.print(Text(text), soft_wrap=True, end="")

    def _picture(self) -> Text:
        """All that runs, in as many lines as the window has room for."""
        from rich.text import Text

        now, picture = time.monotonic(), Text(no_wrap=True, end="")
        size = self._console.size if self._console is not None else None
        width, height = (size.width - 1, size.height - 2) if size is not None else (79, 22)
        width = max(width, _NARROWEST)
        lines: list[tuple[str, str]] = []
        for running in self._running:
            if now - running.began > _PATIENCE_S:
                clock = elapsed(now - running.began)
                room = width - len(clock) - 2
                lines.append((f"{_cut(visible(running.title), room)}  {clock}", "bold"))
                lines += [(f"    {_cut(visible(line), width - 4)}", "cyan") for line in running.details(now)]
        if len(lines) > height:
            lines = [*lines[: max(height - 1, 1)], ("…", "")]
        for number, (line, style) in enumerate(lines):
            picture.append(f"{line}\n" if number < len(lines) - 1 else line, style=style)
        return picture


class Above:
    """In the place of a stream of the process while something is shown: writes whole lines above it."""

    def __init__(self, stream: TextIO, progress: Progress) -> None:
        self._stream = stream
        self._progress = progress
        self._begun = ""

    def write(self, text: str) -> int:
        """Write; a line that is not whole waits for its end."""
        whole, newline, self._begun = (self._begun + text).rpartition("\n")
        if newline:
            self._progress.write(self._stream, whole + newline)
        return len(text)

    def flush(self) -> None:
        """Nothing: what is whole was written at once."""

    def __getattr__(self, name: str) -> Any:
        """What else a stream has."""
        return getattr(self._stream, name)


def _cut(text: str, width: int) -> str:
    """A text of at most so many columns, cut in its middle."""
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    kept = max(width - 1, 2)
    head_width = kept // 2
    while cell_len(text[:head_width] + text[len(text) - (kept - head_width) :]) > kept > 2:  # noqa: PLR2004  # wide ones
        kept -= 1
        head_width = kept // 2
    return f"{text[:head_width]}…{text[len(text) - (kept - head_width) :]}"


def _console(environment: Mapping[str, str]) -> Console:
    from rich.console import Console

    class Plain(Console):
        """A console that hides no cursor: a killed process would leave none."""

        def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002, FBT001, FBT002  # as in rich
            return False

    return Plain(file=sys.stdout, highlight=False, markup=False, emoji=False, _environ=environment)
