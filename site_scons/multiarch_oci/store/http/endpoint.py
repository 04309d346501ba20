"""What a run has learnt about one registry: its scheme, which URLs are its own, how many requests are under way.

Some hosts (their firewalls, mostly) refuse by 403 what comes with several others at once, and take it alone.
"""

from __future__ import annotations

import contextlib
import threading
import time
import urllib.parse
from collections.abc import Callable, Hashable, Iterator

import msgspec

from multiarch_oci.store.http.hosts import Origin, UnusableUrl, origin_of, split_url

_POLL_S = 0.2
_LONGEST_S = 10.0
"""How long one that is to go alone waits for the others; an upload may take longer, and then goes on beside it."""


class Crowd:
    """The requests to one host; any number of threads. `check` raises when the run is to end."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way = 0
        self._begun = 0
        self._one_alone = False
        self._in_vain: set[Hashable] = set()

    @contextlib.contextmanager
    def among(self, check: Callable[[], object]) -> Iterator[Callable[[], bool]]:
        """Hold a place for one request; yields whether others have been under way since it began."""
        with self._changed:
            while self._one_alone:
                self._changed.wait(_POLL_S)
                check()
            accompanied = self._under_way > 0
            self._under_way += 1
            self._begun += 1
            mine = self._begun
        try:
            yield lambda: accompanied or self._begun > mine
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self, kind: Hashable, check: Callable[[], object]) -> Iterator[bool]:
        """Wait for a turn alone; yields False where a request of this `kind` was refused alone, too: it is in vain."""
        with self._changed:
            while self._one_alone:
                self._changed.wait(_POLL_S)
                check()
            self._one_alone = True
            end = time.monotonic() + _LONGEST_S
            try:
                while self._under_way and kind not in self._in_vain and time.monotonic() < end:
                    self._changed.wait(_POLL_S)
                    check()
            except BaseException:
                self._free()
                raise
        try:
            yield kind not in self._in_vain
        finally:
            with self._changed:
                self._free()

    def refused(self, kind: Hashable) -> None:
        """Remember that a request of this kind was refused alone, too."""
        self._in_vain.add(kind)

    def _free(self) -> None:
        self._one_alone = False
        self._changed.notify_all()


class Endpoint(msgspec.Struct):
    """A registry at `host[:port]`; `scheme` is None until it is known whether an insecure one speaks TLS.

    The first request has been `asked`; `known` is set once its answer showed how the others have to ask.
    """

    netloc: str
    insecure: bool
    uploads: threading.BoundedSemaphore
    scheme: str | None
    asked: bool = False
    known: threading.Event = msgspec.field(default_factory=threading.Event)
    crowd: Crowd = msgspec.field(default_factory=Crowd)

    @property
    def root(self) -> str:
        """The URL of the host, with a slash at its end."""
        return f"{self.scheme or 'https'}://{self.netloc}/"

    def absolute(self, url: str) -> str:
        """What a path, or a URL from an answer, means here."""
        if url.startswith("/") and not url.startswith("//"):
            return self.root + url[1:]
        # A registry behind a proxy that ends TLS often calls its own uploads by http.
        own = f"http://{self.netloc}/"
        return self.root + url.removeprefix(own) if url.startswith(own) else urllib.parse.urljoin(self.root, url)

    def owns(self, url: str) -> bool:
        """Whether a URL has the registry's own origin (RFC 6454 §4); most have, and are seen to at a glance."""
        return url.startswith(self.root) or same_origin(url, self.root)


def same_origin(one: str, other: str) -> bool:
    """Whether two URLs have the same origin; one that no request can be sent to has none."""
    try:
        return _origin(one) == _origin(other)
    except UnusableUrl:
        return False


def _origin(url: str) -> Origin:
    scheme, netloc, _ = split_url(url)
    return origin_of(scheme, netloc)
