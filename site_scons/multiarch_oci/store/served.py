"""What a registry serves: its headers, checked; blobs, taken up again after a cut; listings, page by page.

OCI distribution spec 1.1: "Pull", "Listing Tags", "Listing Referrers".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import BinaryIO

from msgspec.structs import replace

from multiarch_oci.digest import Digest, DigestMismatch, InvalidDigest, Readable
from multiarch_oci.document import Document
from multiarch_oci.mediatype import INDEX
from multiarch_oci.reference import Reference
from multiarch_oci.store import BlobMissing
from multiarch_oci.store.http.errors import RegistryFailed, RegistryRefused, Transient
from multiarch_oci.store.http.exchange import Answer, Request
from multiarch_oci.store.http.transport import Transport

_PARTIAL, _NOT_FOUND = 206, 404
_BLOCK = 1 << 16
NOT_FOUND = (404,)
NO_REFERRERS = (400, 404, 405, 406, 501)
"""What registries answer that know no referrers API."""
_LINK = r"<([^<>]*)>\s*((?:;\s*[\w*-]+\s*=\s*(?:\"[^\"]*\"|[^\s;,\"]+)\s*)*)"
_PAGES = 10_000
_WORTH = 32 << 10  # what a connection has to bring to count as progress


def digest_of(answer: Answer) -> Digest | None:
    """Docker-Content-Digest; None when the header is absent or no digest."""
    text = answer.headers.get("Docker-Content-Digest")
    try:
        return None if text is None else Digest.parse(text.strip())
    except InvalidDigest:
        return None


def media_type_of(answer: Answer) -> str:
    """Content-Type without its parameters; empty when it is absent."""
    return answer.headers.get("Content-Type", "").partition(";")[0].strip()


def check_digest(answer: Answer, expected: Digest, *, where: str) -> None:
    """Raise DigestMismatch when the registry calls content by another digest of the same algorithm."""
    digest = digest_of(answer)
    if digest is not None and digest.algorithm == expected.algorithm and digest != expected:
        raise DigestMismatch(f"the registry calls it {digest}, but it is {expected}", where=where)


class Download(Readable):
    """A blob's bytes from a registry, not verified here; a connection that is cut is replaced, from where it ended."""

    def __init__(self, transport: Transport, request: Request, size: int) -> None:
        super().__init__()
        self._transport = transport
        self._request = request
        self._size = size
        self._position = 0
        self._cuts = 0
        self._cut_at = 0
        self._stream: BinaryIO | None = None
        self._stream = transport.patiently(self._open)

    def take(self, size: int) -> bytes:
        """As Readable says."""
        block = self._transport.patiently(lambda: self._block(size))
        self._position += len(block)
        return block

    def close(self) -> None:
        """Close the connection, or give it back when the blob was read to its end."""
        self._drop()
        super().close()

    def _block(self, size: int) -> bytes:
        if self._stream is None:
            self._stream = self._open()
        try:
            return self._stream.read(size)
        except Transient as error:
            self._drop()
            self._count_cut(error)
            raise

    def _count_cut(self, error: Transient) -> None:
        """Let no more tries be made once as many connections in a row were cut with hardly anything read.

        Each block that comes is a success, and begins to count its tries anew: by a few bytes a connection a blob would
        take for ever.
        """
        self._cuts = self._cuts + 1 if self._position - self._cut_at < _WORTH else 1
        self._cut_at = self._position
        if self._cuts >= self._transport.settings.attempts:
            error.tries = 1

    def _open(self) -> BinaryIO:
        request = self._request
        if 0 < self._position < self._size:  # behind the last byte there is no part to ask for
            request = replace(request, headers=(*request.headers, ("Range", f"bytes={self._position}-")))
        answer = self._transport.ask(request)
        if answer.status == _NOT_FOUND:
            raise BlobMissing(f"has no blob {request.url.rpartition('/')[2]}", where=request.name)
        if answer.stream is None:
            raise self._transport.refused(request, answer)
        if answer.status == _PARTIAL:
            self._check_range(answer)
        else:
            self._skip(answer.stream, self._position)
        return answer.stream

    def _check_range(self, answer: Answer) -> None:
        """Raise RegistryFailed for another part of the blob than was asked for (RFC 9110 §14.4)."""
        match = re.match(r"bytes ([0-9]{1,18})-", answer.headers.get("Content-Range", ""))
        if match is not None and int(match[1]) != self._position and answer.stream is not None:
            answer.stream.close()
            raise RegistryFailed(
                "the registry sent another part of a blob than was asked for", where=self._request.name
            )

    @staticmethod
    def _skip(stream: BinaryIO, count: int) -> None:
        while count and (block := stream.read(min(count, _BLOCK))):
            count -= len(block)

    def _drop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


def pages(
    transport: Transport,
    name: Reference,
    path: str,
    *,
    absent: tuple[int, ...] = NOT_FOUND,
    limit: float | None = None,
) -> Iterable[Document]:
    """The JSON pages of a listing, over their Link headers (RFC 8288); nothing when the first is `absent`."""
    url: str | None = f"/v2/{name.repository}/{path}"
    for _ in range(_PAGES):
        request = Request("GET", url or "", name.registry, name.repository, headers=(("Accept", INDEX),))
        answer = transport.request(request, limit=limit)
        if answer.status in absent or media_type_of(answer) == "text/html":
            return
        if not answer.fine:
            raise transport.refused(request, answer)
        yield Document.parse(answer.content, where=f"{name.name}: {path.partition('?')[0]}")
        url = answer.linked(next_page(answer.headers.get("Link")))
        if url is None:
            return
    raise RegistryRefused(f"the listing has more than {_PAGES} pages", where=name.name)


def next_page(header: str | None) -> str | None:
    """The target of the link with rel=next (RFC 8288 §3)."""
    for target, parameters in re.findall(_LINK, header or ""):
        for parameter in parameters.split(";"):
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "rel" and "next" in value.strip().strip('"').lower().split():
                return str(target)
    return None
