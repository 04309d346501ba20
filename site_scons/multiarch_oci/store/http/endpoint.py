"""What a run has learnt about one registry, and which URLs are its own."""

from __future__ import annotations

import threading
import urllib.parse

import msgspec

from multiarch_oci.store.http.address import Origin, UnusableUrl, origin_of, split_url
from multiarch_oci.store.http.crowd import Crowd


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
