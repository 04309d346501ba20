"""What is asked and answered, and how patiently."""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from multiarch_oci.errors import MultiarchError
from multiarch_oci.store.http.hosts import LOOPBACK, is_listed

if TYPE_CHECKING:
    from multiarch_oci.store.http.recording import RequestRecord

SUCCESS = range(200, 300)  # RFC 9110 §15.3
CERTS_DIRS = (Path("/etc/docker/certs.d"), Path("/etc/containers/certs.d"))
"""Where Docker and podman look for the certificates of single hosts."""


class Settings(msgspec.Struct, frozen=True):
    """How to talk to registries; times in seconds, sizes in bytes.

    `insecure`: hosts, `host:port`s or CIDR ranges that may speak plain HTTP or show an unknown certificate; to all
    others HTTPS is spoken, and proven. `environment` is where HTTP_PROXY, HTTPS_PROXY and NO_PROXY are looked up, and
    MULTIARCH_CA or SSL_CERT_FILE when `ca_file`, which adds authorities for every host, is None. `certs_dirs` are
    folders as Docker's /etc/docker/certs.d. `attempts` counts the first try; pauses between tries start at `backoff`,
    double up to `longest_pause`, and are jittered; a Retry-After above `longest_pause` ends the tries. `read_timeout`
    is the time for the head of an answer, for the body of a short one, and for each silence in a long one; a transfer
    below `low_speed_limit` bytes a second for `low_speed_time` seconds is a cut connection. Blobs above
    `chunk` go up in chunks of that size, and where `sessions` names a folder, an upload cut off with the process is
    taken up again. `uploads` and `heads` limit what is under way at once a host. With `silence` a host that is silent
    for so long, before it connects or answers a question, is given up by whoever asks so (`Transport.impatient`).
    """

    insecure: tuple[str, ...] = LOOPBACK
    environment: Mapping[str, str] = msgspec.field(default_factory=dict)
    certs_dirs: tuple[Path, ...] = CERTS_DIRS
    ca_file: Path | None = None
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    silence: float | None = None
    low_speed_limit: int = 1024
    low_speed_time: float = 30.0
    attempts: int = 5
    backoff: float = 0.5
    longest_pause: float = 60.0
    uploads: int = 4
    heads: int = 16
    chunk: int = 16 << 20
    sessions: Path | None = None

    def may_be_plain(self, netloc: str) -> bool:
        """Whether plain HTTP or an unknown certificate will do for `host[:port]`."""
        return is_listed(netloc, self.insecure)

    def authorities(self) -> Path | None:
        """The file of further certificate authorities, if one is named."""
        named = self.environment.get("MULTIARCH_CA") or self.environment.get("SSL_CERT_FILE")
        return self.ca_file or (Path(named) if named else None)


def repository_scope(repository: str, actions: str) -> str:
    """The scope of a repository (token.md, "scope"): actions are `pull` or `pull,push`."""
    return f"repository:{repository}:{actions}"


def join_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes with the actions of equal resources united, each once, in a fixed order: fit to be a key."""
    actions: dict[str, set[str]] = {}
    for scope in scopes:
        resource, colon, listed = scope.rpartition(":")
        if colon:
            actions.setdefault(resource, set()).update(action for action in listed.split(",") if action)
    return tuple(f"{resource}:{','.join(sorted(actions[resource]))}" for resource in sorted(actions))


class Request(msgspec.Struct, frozen=True):
    """One request to a repository's API; `url` is a path below the registry's root or absolute.

    `body` is called anew for each try, from its beginning, and yields exactly `length` bytes. `scopes` are wanted
    beside those of `action` (pull or push), `optional` are taken along where the token service grants them.
    """

    method: str
    url: str
    registry: str
    repository: str
    action: str = "pull"
    headers: tuple[tuple[str, str], ...] = ()
    body: Callable[[], BinaryIO] | None = None
    length: int = 0
    scopes: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    stream: bool = False
    read_timeout: float | None = None

    @property
    def required(self) -> tuple[str, ...]:
        """The scopes that a token for this has to have, where the registry wants one."""
        own = repository_scope(self.repository, "pull,push" if self.action == "push" else "pull")
        return join_scopes((own, *self.scopes))

    @property
    def name(self) -> str:
        """`registry/repository`, as errors call it."""
        return f"{self.registry}/{self.repository}"


class UnreadableContent(MultiarchError):
    """Local content that could not be read while it was sent, or that is shorter than it was said to be."""


class Outgoing:
    """A request's body of exactly `length` bytes, stopped between blocks by `check`."""

    def __init__(self, content: Callable[[], BinaryIO], length: int, check: Callable[[], None]) -> None:
        self.length = length
        self._content = content
        self._check = check
        self._remaining = length
        self._record: RequestRecord | None = None
        self._stream: BinaryIO

    @contextlib.contextmanager
    def opened(self, record: RequestRecord | None) -> Iterator[Outgoing]:
        """Open the content before the request begins, and close it when that was sent, noted in `record`.

        UnreadableContent.

        It may come from the very registry it goes to; some are locked from the first byte of an upload to the last.
        """
        self._record = record
        with _reading():
            self._stream = self._content()
        with contextlib.closing(self._stream):
            yield self

    def read(self, size: int) -> bytes:
        """The next block; UnreadableContent when the content fails or ends too early."""
        self._check()
        size = min(size, self._remaining)
        if not size:
            return b""
        with _reading():
            block = self._stream.read(size)
        if not block:
            raise UnreadableContent(f"the content ended {self._remaining} bytes too early")
        self._remaining -= len(block)
        if self._record is not None:
            self._record.went(len(block))
        return block


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Have a failure of local content not be taken for one of the connection."""
    try:
        yield
    except OSError as error:
        raise UnreadableContent(f"cannot be read: {error.strerror or error}", where=error.filename) from None


class Headers(Mapping[str, str]):
    """The headers of an answer; the case of a name is nothing, and several of one name are a list (RFC 9110 §5.3)."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            key = name.lower()
            held = self._values.get(key)
            self._values[key] = value if held is None else f"{held}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Answer(msgspec.Struct, frozen=True):
    """What came back from `url`: `content` is the whole body, or `stream` holds it, to be closed by the caller."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    url: str
    challenges: tuple[str, ...] = ()
    stream: BinaryIO | None = None

    @property
    def fine(self) -> bool:
        """Whether the status is one of success."""
        return self.status in SUCCESS

    def linked(self, target: str | None) -> str | None:
        """An address that this answer holds, made absolute; None when there is none or it is no URL."""
        if target is None:
            return None
        try:
            url = urllib.parse.urljoin(self.url, target)
            port = urllib.parse.urlsplit(url).port
        except ValueError:
            return None
        return url if port != 0 else None

    @property
    def length(self) -> int | None:
        """Content-Length as the size of the content; None where it is absent or that of a compressed form."""
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isdecimal() and "Content-Encoding" not in self.headers else None

    @property
    def location(self) -> str | None:
        """The Location header, made absolute; None when there is none or it is no URL."""
        return self.linked(self.headers.get("Location"))


def decoded(headers: Mapping[str, str], content: bytes, bound: int) -> bytes:
    """A short body without the compression that some servers add unasked; at most one byte above `bound`."""
    if headers.get("Content-Encoding", "").strip().lower() not in ("gzip", "x-gzip"):
        return content
    import zlib

    try:
        return zlib.decompressobj(31).decompress(content, bound + 1)
    except zlib.error:
        return content
