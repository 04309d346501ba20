"""What a build does while it does it: each step, in which thread, since when, what it sends and fetches.

One recorder a build, made by the first step that is performed, or before it where REPORT or a terminal asks for one:
a build with nothing to do has none. Progress lines, reports and traces read it, and measure nothing of their own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from multiarch_oci.descriptor import Descriptor
    from multiarch_oci.store import Copied
    from multiarch_oci.store.http.recording import RequestRecord

RUNNING, MADE, CACHED, REPAIRED, FAILED, INTERRUPTED = "running", "made", "cached", "repaired", "failed", "interrupted"
"""The outcomes of a step. REPAIRED: what was published by this tree had been moved or removed by somebody."""


class Pause(msgspec.Struct, frozen=True):
    """A wait between two tries of a request that failed; `began` as `time.monotonic()`, `error` is one line."""

    began: float
    seconds: float
    error: str


class StepRecord(msgspec.Struct, eq=False):
    """One step, while it is performed and afterwards; written by the thread that performs it, read by any.

    Times are those of `time.monotonic()`. `reason` is why it runs, as was known when it began, `doing` what it is at,
    in a word or two. `requests` are those made for it, by whatever thread; `copied` is what a push found, mounted and
    sent, also where it went to a folder. `expected` are the bytes of blobs that were sent or are to be, as far as
    that is known. `remarks` are lines for the user, `log` is what a program that the step ran has printed.
    """

    verb: str
    target: Any  # the first node of the step
    thread: str
    began: float
    ended: float | None = None
    outcome: str = RUNNING
    error: str | None = None
    reason: str | None = None
    doing: str = ""
    requests: list[RequestRecord] = msgspec.field(default_factory=list)
    pauses: list[Pause] = msgspec.field(default_factory=list)
    copied: Copied | None = None
    spared: int = 0  # bytes of what came out of a shared cache, and was not fetched
    expected: int = 0
    remarks: list[str] = msgspec.field(default_factory=list)
    log: list[str] = msgspec.field(default_factory=list)

    def request(self, record: RequestRecord) -> None:
        """As a Watch of a transport: a request is made for this step."""
        self.requests.append(record)

    def sending(self, blob: Descriptor) -> None:
        """Be told of a blob that is about to be sent."""
        self.expected += blob.size

    def pause(self, seconds: float, error: str) -> None:
        """As a Watch of a transport: a request failed, and is tried again after so many seconds."""
        self.pauses.append(Pause(time.monotonic(), seconds, error))

    @property
    def sent(self) -> int:
        """The bytes of bodies sent to registries so far."""
        return sum(record.sent for record in list(self.requests))

    @property
    def not_sent(self) -> int:
        """The bytes that a push had no need to send: they were there, or were mounted."""
        return 0 if self.copied is None else sum(blob.size for blob in (*self.copied.mounted, *self.copied.present))

    @property
    def received(self) -> int:
        """The bytes of bodies that came from registries so far."""
        return sum(record.received for record in list(self.requests))


class Recorder:
    """The steps of one build in the order in which they began, and the requests that belong to none; any thread.

    `began` and `wall` are the same moment, on the clock of `time.monotonic()` and in seconds since 1970.
    """

    def __init__(self) -> None:
        self.began, self.wall = time.monotonic(), time.time()
        self.steps: list[StepRecord] = []
        self.requests: list[RequestRecord] = []  # of no step: the questions for tags, before anything is decided
        self.pauses: list[Pause] = []
        self.listeners: list[Callable[[StepRecord], object]] = []  # called when a step began, and when it ended
        self._performing = threading.local()

    @contextmanager
    def step(self, verb: str, target: Any) -> Iterator[StepRecord]:
        """Perform a step in this thread. Who performs it may say another outcome than MADE, and why it failed."""
        record = StepRecord(verb, target, threading.current_thread().name, time.monotonic())
        self._performing.step = record
        self.steps.append(record)
        self._tell(record)
        try:
            yield record
        except BaseException as error:
            if record.outcome == RUNNING:
                record.outcome = FAILED if isinstance(error, Exception) else INTERRUPTED
            raise
        finally:
            self._performing.step = None
            record.ended = time.monotonic()
            if record.outcome == RUNNING:
                record.outcome = MADE
            self._tell(record)

    def retrieved(self, verb: str, target: Any) -> None:
        """Note a target whose file came out of a cache: no step was performed."""
        now = time.monotonic()
        record = StepRecord(verb, target, threading.current_thread().name, now, now, CACHED)
        self.steps.append(record)
        self._tell(record)

    @contextmanager
    def command(self, target: Any) -> Iterator[None]:
        """Note the making of a target by a builder of others, which prints for itself: no listener is told."""
        record = StepRecord("Make", target, threading.current_thread().name, time.monotonic(), outcome=FAILED)
        try:
            yield
            record.outcome = CACHED if getattr(target, "cached", 0) else MADE
        finally:
            record.ended = time.monotonic()
            self.steps.append(record)

    def current(self) -> StepRecord | None:
        """The step that this thread performs; None when it performs none."""
        step: StepRecord | None = getattr(self._performing, "step", None)
        return step

    def request(self, record: RequestRecord) -> None:
        """As a Watch of a transport: a request of this thread's step, or of none."""
        (self.current() or self).requests.append(record)

    def pause(self, seconds: float, error: str) -> None:
        """As a Watch of a transport: a request of this thread's step, or of none, is tried again later."""
        (self.current() or self).pauses.append(Pause(time.monotonic(), seconds, error))

    def _tell(self, record: StepRecord) -> None:
        for listener in self.listeners:
            listener(record)
