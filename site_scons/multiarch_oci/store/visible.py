"""What this run wrote to registries, and how long it is waited for until it can be read there.

A registry that spreads its answers over replicas and caches shows a tag, a manifest or a blob some seconds after it
took it; until then it says that there is nothing, or what was there before. Distribution spec 1.1 is silent about it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from multiarch_oci.digest import Digest

_T = TypeVar("_T")
_POLL_S = 0.1


class Patience(msgspec.Struct, frozen=True):
    """How long what was written is waited for; all in seconds.

    `limit` after it was written, what a registry says counts as it is; after `silent` the user is told what is waited
    for. A tag that had to be written once more, as somebody else writes it too, is waited for `rival` seconds. A blob
    that is absent `lost` seconds after its upload is sent again where a manifest needs it. Pauses between two questions
    begin at `first` and double up to `longest`.
    """

    limit: float = 30.0
    silent: float = 2.0
    rival: float = 3.0
    lost: float = 5.0
    first: float = 0.1
    longest: float = 1.0


class _Tag(msgspec.Struct):
    """A tag that this run wrote: what it is to hold, what it held before, and when it was written last."""

    digest: Digest
    before: frozenset[Digest]
    at: float
    limit: float


class Written:
    """The tags, manifests and blobs that this run wrote, for all who read them again; any number of threads.

    `name` is everywhere a repository's `registry/repository`. What the user must see goes to `say`.
    """

    def __init__(self, patience: Patience | None = None, say: Callable[[str], object] = str) -> None:
        self.patience = Patience() if patience is None else patience
        self._say = say
        self._lock = threading.Lock()
        self._reported: set[str] = set()
        self._seen: dict[tuple[str, str], set[Digest]] = {}
        self._tags: dict[tuple[str, str], _Tag] = {}
        self._content: dict[tuple[str, Digest], float] = {}
        self._manifests: dict[tuple[str, Digest], tuple[str, bytes]] = {}

    def saw(self, name: str, tag: str, digests: Iterable[Digest]) -> None:
        """Remember what a tag holds, or held when it was looked at last: after the next writing it is out of date."""
        with self._lock:
            self._seen.setdefault((name, tag), set()).update(digests)

    def wrote_tag(self, name: str, tag: str, digest: Digest) -> None:
        """Remember that the registry took a tag just now."""
        key, now = (name, tag), time.monotonic()
        with self._lock:
            last = self._tags.get(key)
            seen = self._seen.setdefault(key, set())
            again = last is not None and last.digest == digest and now - last.at < self.patience.limit
            limit = self.patience.rival if again else self.patience.limit
            self._tags[key] = _Tag(digest, frozenset(seen - {digest}), now, limit)
            seen.add(digest)

    def wrote(self, name: str, digest: Digest, manifest: tuple[str, bytes] | None = None) -> None:
        """Remember that the registry took a blob just now, or a `manifest` of this media type and with these bytes."""
        with self._lock:
            self._content[name, digest] = time.monotonic()
            if manifest is not None:
                self._manifests[name, digest] = manifest

    def manifest(self, name: str, digest: Digest) -> tuple[str, bytes] | None:
        """Media type and bytes of a manifest that this run wrote."""
        with self._lock:
            return self._manifests.get((name, digest))

    def age(self, name: str, digest: Digest) -> float | None:
        """For how many seconds the registry has had a blob or manifest from this run; None when it has not."""
        with self._lock:
            at = self._content.get((name, digest))
        return None if at is None else time.monotonic() - at

    def late_tag(self, name: str, tag: str, digest: Digest | None) -> float | None:
        """Until when (`time.monotonic`) this answer for a tag is but late; None when it counts as it is."""
        with self._lock:
            written = self._tags.get((name, tag))
        if written is None or (digest is not None and digest not in written.before):
            return None
        return written.at + written.limit

    def late(self, name: str, digest: Digest) -> float | None:
        """Until when (`time.monotonic`) a blob or manifest that is said to be absent is but late; None: it is not."""
        with self._lock:
            at = self._content.get((name, digest))
        return None if at is None else at + self.patience.limit

    def awaited(
        self,
        what: str,
        look: Callable[[], _T],
        late: Callable[[_T], float | None],
        check: Callable[[], object],
        *,
        limit: float | None = None,
    ) -> _T:
        """What `look` finds once that is not late, or when time is up: by `late`, or after `limit` seconds.

        `what` is what the user calls it. `check` raises when the run is to end. Raises what `look` and `check` raise.
        """
        end = None if limit is None else time.monotonic() + limit
        began, pause = None, self.patience.first
        while True:
            answer = look()
            until = late(answer)
            now = time.monotonic()
            if until is None or now >= until or (end is not None and now >= end):
                return answer
            began = now if began is None else began
            self.report_late(what, now - began)
            self.pause(min(pause, until - now, max(_POLL_S, began + self.patience.silent - now)), check)
            pause = min(2 * pause, self.patience.longest)

    def report_late(self, what: str, waited: float) -> None:
        """Say, once, what has been waited for so long that somebody may wonder."""
        self._report(f"{what} was pushed and cannot be read yet", waited)

    def report_refused(self, what: str, refusal: str, waited: float) -> None:
        """Say, once, that a manifest is not taken, though all that it names was pushed."""
        self._report(f"{what} is not taken yet ({refusal}), though all that it names was pushed", waited)

    def _report(self, words: str, waited: float) -> None:
        if waited < self.patience.silent:
            return
        with self._lock:
            reported = words in self._reported
            self._reported.add(words)
        if not reported:
            self._say(f"{words}; the registry is waited for, up to {self.patience.limit:g} s")

    @staticmethod
    def pause(seconds: float, check: Callable[[], object]) -> None:
        """Sleep; `check` raises when the run is to end."""
        end = time.monotonic() + seconds
        while True:
            check()
            remaining = end - time.monotonic()
            if remaining <= 0:
                return
            time.sleep(min(remaining, _POLL_S))
