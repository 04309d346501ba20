"""A repository of a registry to read from (OCI distribution spec 1.1): the Source that copies are made from."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO, TypeAlias, TypeVar

import msgspec

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest, verifying
from multiarch_oci.document import LIMIT, Document
from multiarch_oci.mediatype import INDEX, MANIFEST, MANIFESTS
from multiarch_oci.reference import Reference, check_tag
from multiarch_oci.store import BlobMissing, ManifestTooLarge
from multiarch_oci.store.entries import parse_digest
from multiarch_oci.store.http.exchange import Answer, Request
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.served import NO_REFERRERS, Download, check_digest, digest_of, media_type_of, pages
from multiarch_oci.store.visible import Written

_NOT_MODIFIED, _NOT_FOUND = 304, 404
_ACCEPT = (("Accept", ", ".join(MANIFESTS)),)

There: TypeAlias = "tuple[str, Digest]"
_T = TypeVar("_T")


class Tagged(msgspec.Struct, frozen=True):
    """What a tag names, with its bytes; `etag` is what a registry calls this state of it, where it does.

    Without bytes it is what was known (`unless` of `Repository.tagged`), and only its digest says something.
    """

    descriptor: Descriptor
    content: bytes
    etag: str | None


def referrers_tag(subject: Digest) -> str:
    """The tag that lists what refers to a manifest where the registry does not (spec: "Referrers Tag Schema")."""
    return f"{subject.algorithm}-{subject.hex[:64]}"


class Repository:
    """One repository; any number of threads may use it. Every method is patient: it fails only after several tries.

    `action` is what it is opened for, `pull` or `push`: the first question then asks for the right that the last one
    needs, and an error names it. What is in `there`, with the name of its repository, was put or seen by this run and
    is not asked for again; what is put joins it. What was `written` by this run, or else by this object, may be late:
    while it is absent, or a tag holds what it held before, it is asked for again, for as long as that has patience.

    Raises, beside what the protocol names: Unreachable, Unauthorized, TooManyRequests, RegistryFailed, RegistryRefused,
    UntrustedHost, Cancelled.
    """

    def __init__(
        self,
        transport: Transport,
        name: Reference,
        *,
        action: str = "pull",
        there: set[There] | None = None,
        written: Written | None = None,
    ) -> None:
        self._transport = transport
        self._action = action
        self._name = name.bare
        self._manifests: dict[Digest, bytes] = {}  # as put or read, since a tag is made by putting the bytes again
        self._there: set[There] = set() if there is None else there
        self._trusting = there is not None
        self._written = Written() if written is None else written
        self._named: dict[Digest, float] = {}  # by a tag, and when

    def resolve(self, name: str) -> Descriptor | None:
        """The descriptor of a tag or digest now; None = absent. One HEAD, unless the registry leaves headers out."""
        return self.look(name)

    def look(self, name: str, *, limit: float | None = None, optional: tuple[str, ...] = ()) -> Descriptor | None:
        """As `resolve`, with `limit` seconds for it and further scopes for the token that it may bring."""
        digest = parse_digest(name)
        own, written = self._name.name, self._written
        if digest is not None:
            return self._awaited(
                lambda: self._look(name, digest, limit, optional),
                lambda descriptor: None if descriptor is not None else written.late(own, digest),
                limit=limit,
            )
        check_tag(name)
        descriptor = self._awaited(
            lambda: self._look(name, None, limit, optional),
            lambda descriptor: written.late_tag(own, name, None if descriptor is None else descriptor.digest),
            what=f"{own}:{name}",
            limit=limit,
        )
        if descriptor is not None:
            written.saw(own, name, (descriptor.digest,))
            self._named[descriptor.digest] = time.monotonic()
        return descriptor

    def fetch(self, name: str, *, limit: float | None = None) -> Descriptor | None:
        """As `resolve`, by one GET: the content is kept here, and opening it asks nothing more."""
        return self._get(name, parse_digest(name), limit)

    def _look(
        self, name: str, digest: Digest | None, limit: float | None, optional: tuple[str, ...]
    ) -> Descriptor | None:
        """What the registry says now of a tag, or of a `digest`."""
        request = self._request("HEAD", f"manifests/{name}", headers=_ACCEPT, optional=optional, read_timeout=limit)
        answer = self._transport.head(request, limit=limit)
        if answer.status == _NOT_FOUND:
            return None
        if not answer.fine:
            raise self._transport.refused(request, answer)
        if digest is not None:
            check_digest(answer, digest, where=f"{self._name.name}@{digest}")
        served, size, media_type = digest_of(answer), answer.length, media_type_of(answer)
        if served is not None and size and media_type in MANIFESTS:
            return Descriptor(media_type, digest or served, size)
        return self._get(name, digest, limit)

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """The content, verified while it is read; BlobMissing when absent. A cut download goes on where it ended."""
        if descriptor.media_type in MANIFESTS:
            return io.BytesIO(self._manifest(descriptor))
        request = self._request("GET", f"blobs/{descriptor.digest}", stream=True)

        def begin() -> Download | BlobMissing:
            try:
                return Download(self._transport, request, descriptor.size)
            except BlobMissing as error:
                return error

        below = self._awaited(
            begin,
            lambda opened: (
                self._written.late(self._name.name, descriptor.digest) if isinstance(opened, BlobMissing) else None
            ),
        )
        if isinstance(below, BlobMissing):
            raise below
        return verifying(below, descriptor.digest, descriptor.size, where=self._name.name)  # type: ignore[arg-type]

    def has(self, descriptor: Descriptor) -> bool:
        """Whether this blob or manifest is there, with this size when the registry tells it.

        What a run saw there, where it sends something, is not asked for again.
        """
        own, digest = self._name.name, descriptor.digest
        if not self._trusting:
            return self._is_there(descriptor)
        with self._transport.alone((own, f"whether {digest} is there")):
            if (own, digest) not in self._there and self._is_there(descriptor):
                self._there.add((own, digest))
        return (own, digest) in self._there

    def _is_there(self, descriptor: Descriptor) -> bool:
        """What the registry says now; what is late is waited for."""
        present = self._awaited(
            lambda: self._has(descriptor),
            lambda present: None if present is not None else self._written.late(self._name.name, descriptor.digest),
        )
        return present is True

    def _has(self, descriptor: Descriptor) -> bool | None:
        """Whether the registry says that it holds this, whole; None = it is absent."""
        kind, headers = ("manifests", _ACCEPT) if descriptor.media_type in MANIFESTS else ("blobs", ())
        request = self._request("HEAD", f"{kind}/{descriptor.digest}", headers=headers)
        answer = self._transport.head(request)
        if answer.status == _NOT_FOUND:
            return None
        if not answer.fine:
            raise self._transport.refused(request, answer)
        check_digest(answer, descriptor.digest, where=f"{self._name.name}@{descriptor.digest}")
        return not answer.length or answer.length == descriptor.size

    def tags(self) -> tuple[str, ...]:
        """All tags, sorted; none when the repository is unknown (spec: "Listing Tags")."""
        listing = pages(self._transport, self._name, "tags/list?n=1000")
        return tuple(sorted({tag for page in listing for tag in page.texts("tags")}))

    def referrers_by_api(self, subject: Digest, *, limit: float | None = None) -> tuple[Descriptor, ...] | None:
        """What names a manifest as its subject, as the registry itself lists it; None where it has no such API."""
        path = f"referrers/{subject}"
        documents = list(pages(self._transport, self._name, path, absent=NO_REFERRERS, limit=limit))
        if not documents:
            return None
        items = (item for document in documents for item in document.objects("manifests"))
        return tuple(dict.fromkeys(map(Descriptor.from_json, items)))

    def tagged(self, name: str, *, limit: float | None = None, unless: Digest | None = None) -> Tagged | None:
        """What a tag names now, by one GET, with its bytes and the registry's name for this state; None = absent.

        Bytes of the digest `unless` are known and need not come (RFC 9110 §13.1.2). A tag that this run wrote may be
        late, as with `resolve`.
        """
        check_tag(name)
        own, written = self._name.name, self._written
        tagged = self._awaited(
            lambda: self._tagged(name, limit, unless),
            lambda tagged: written.late_tag(own, name, None if tagged is None else tagged.descriptor.digest),
            what=f"{own}:{name}",
            limit=limit,
        )
        if tagged is not None:
            written.saw(own, name, (tagged.descriptor.digest,))
        return tagged

    def _tagged(self, name: str, limit: float | None, unless: Digest | None) -> Tagged | None:
        known = () if unless is None else (("If-None-Match", f'"{unless}"'),)
        answer = self._answer(name, limit, known)
        if answer is None:
            return None
        if answer.status == _NOT_MODIFIED and unless is not None:
            return Tagged(Descriptor(INDEX, unless, 0), b"", None)
        return Tagged(self._served(answer, f"{self._name.name}:{name}"), answer.content, answer.headers.get("ETag"))

    @property
    def name(self) -> str:
        """`registry/repository`, as errors call it."""
        return self._name.name

    def until_visible(self, what: str, look: Callable[[], _T], *, done: Callable[[_T], bool]) -> _T:
        """What `look` finds once that is `done`, or when what was written is not waited for any longer."""
        end = time.monotonic() + self._written.patience.limit
        return self._awaited(look, lambda answer: None if done(answer) else end, what=f"{self.name}: {what}")

    def pause(self, seconds: float) -> None:
        """Wait; ends with the run."""
        self._written.pause(seconds, self._transport.check)

    def alone(self, what: str) -> AbstractContextManager[bool]:
        """Hold something of this repository, which `what` names, for one thread of the run."""
        return self._transport.alone((self.name, what))

    def _manifest(self, descriptor: Descriptor) -> bytes:
        """The verified bytes of a manifest; BlobMissing when absent."""
        content = self._manifests.get(descriptor.digest)
        if content is not None and len(content) == descriptor.size:
            return content
        if descriptor.size > LIMIT:
            raise ManifestTooLarge(f"{descriptor.digest} is {descriptor.size} bytes; the limit is {LIMIT}")
        request = self._request("GET", f"manifests/{descriptor.digest}", headers=_ACCEPT)
        answer = self._awaited(
            lambda: self._transport.request(request),
            lambda answer: self._late(descriptor.digest) if answer.status == _NOT_FOUND else None,
        )
        where = f"{self._name.name}@{descriptor.digest}"
        if answer.status == _NOT_FOUND:
            raise BlobMissing("is not in the registry", where=where)
        if not answer.fine:
            raise self._transport.refused(request, answer)
        with verifying(io.BytesIO(answer.content), descriptor.digest, descriptor.size, where=where) as stream:
            content = stream.read()
        check_digest(answer, descriptor.digest, where=where)
        self._manifests[descriptor.digest] = content
        return content

    def _get(self, name: str, expected: Digest | None, limit: float | None) -> Descriptor | None:
        """A descriptor made from the bytes themselves."""
        answer = self._answer(name, limit)
        return None if answer is None else self._served(answer, f"{self._name.name}:{name}", expected)

    def _answer(self, name: str, limit: float | None, known: tuple[tuple[str, str], ...] = ()) -> Answer | None:
        """The answer to one GET of a manifest; None = absent. `known` says which state of it need not be sent."""
        request = self._request("GET", f"manifests/{name}", headers=(*_ACCEPT, *known), read_timeout=limit)
        answer = self._transport.request(request, limit=limit)
        if answer.status == _NOT_FOUND:
            return None
        if not (answer.fine or (known and answer.status == _NOT_MODIFIED)):
            raise self._transport.refused(request, answer)
        return answer

    def _served(self, answer: Answer, where: str, expected: Digest | None = None) -> Descriptor:
        """The descriptor of a manifest's bytes, which are checked against what they are called, and kept."""
        digest = expected or Digest.of(answer.content)
        with verifying(io.BytesIO(answer.content), digest, len(answer.content), where=where) as stream:
            stream.read()
        check_digest(answer, digest, where=where)
        media_type = media_type_of(answer)
        if media_type not in MANIFESTS:
            media_type = _own_type(Document.parse(answer.content, where=where))
        self._manifests[digest] = answer.content
        return Descriptor(media_type, digest, len(answer.content))

    def _late(self, digest: Digest) -> float | None:
        """Until when a manifest that is said to be absent is but late: it was put, or a tag named it, a moment ago."""
        named = self._named.get(digest)
        ends = (self._written.late(self._name.name, digest), named and named + self._written.patience.limit)
        return max((end for end in ends if end is not None), default=None)

    def _awaited(
        self,
        look: Callable[[], _T],
        late: Callable[[_T], float | None],
        *,
        what: str = "",
        limit: float | None = None,
    ) -> _T:
        """What `look` finds once it is not late any more, or when the time is up."""
        what = what or f"a part of {self._name.name}"
        return self._written.awaited(what, look, late, self._transport.check, limit=limit)

    def _request(
        self,
        method: str,
        path: str,
        *,
        action: str = "",
        headers: tuple[tuple[str, str], ...] = (),
        body: Callable[[], BinaryIO] | None = None,
        length: int = 0,
        scopes: tuple[str, ...] = (),
        optional: tuple[str, ...] = (),
        stream: bool = False,
        read_timeout: float | None = None,
    ) -> Request:
        return Request(
            method,
            f"/v2/{self._name.repository}/{path}",
            self._name.registry,
            self._name.repository,
            action or self._action,
            headers,
            body,
            length,
            scopes,
            optional,
            stream,
            read_timeout,
        )


def _own_type(document: Document) -> str:
    """The media type of a manifest that nobody calls by one: OCI lets it be absent from the document."""
    if document.text("mediaType") is None and ("manifests" in document.members or "layers" in document.members):
        return INDEX if "manifests" in document.members else MANIFEST
    return document.required("mediaType")
