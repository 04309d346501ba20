"""A repository of a registry to read from (OCI distribution spec 1.1): the Source that copies are made from."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import BinaryIO, TypeAlias, TypeVar

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest, verifying
from multiarch_oci.document import LIMIT, Document
from multiarch_oci.index import Index
from multiarch_oci.mediatype import INDEX, MANIFEST, MANIFESTS, is_index
from multiarch_oci.reference import Reference, check_tag
from multiarch_oci.store import BlobMissing, ManifestTooLarge, read
from multiarch_oci.store.entries import parse_digest
from multiarch_oci.store.http.exchange import Request
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.served import NO_REFERRERS, Download, check_digest, digest_of, media_type_of, pages
from multiarch_oci.store.visible import Written

_CREATED, _NOT_FOUND = 201, 404
_ACCEPT = (("Accept", ", ".join(MANIFESTS)),)

There: TypeAlias = "tuple[str, Digest]"
_T = TypeVar("_T")


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
        self._offered: dict[Digest, str] = {}
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
        """Whether this blob or manifest is there, with this size when the registry tells it."""
        own, digest = self._name.name, descriptor.digest
        if (own, digest) in self._there:
            return True
        present = self._awaited(
            lambda: self._has(descriptor),
            lambda present: None if present is not None else self._written.late(own, digest),
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

    def referrers(self, descriptor: Descriptor) -> tuple[Descriptor, ...]:
        """What names this manifest as its subject: by the referrers API, else by the tag `<algorithm>-<hex>`."""
        digest = descriptor.digest
        referrers: dict[Descriptor, None] = {}
        listed_there = list(pages(self._transport, self._name, f"referrers/{digest}", absent=NO_REFERRERS))
        for document in listed_there:
            referrers.update(dict.fromkeys(Descriptor.from_json(item) for item in document.objects("manifests")))
        if listed_there:
            return tuple(referrers)
        listed = self.resolve(f"{digest.algorithm}-{digest.hex}"[:128])
        if listed is None or not is_index(listed.media_type):
            return ()
        content = read(self, listed)
        return Index.from_json(content, where=str(listed.digest), media_type=listed.media_type).manifests

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
        request = self._request("GET", f"manifests/{name}", headers=_ACCEPT, read_timeout=limit)
        answer = self._transport.request(request, limit=limit)
        if answer.status == _NOT_FOUND:
            return None
        if not answer.fine:
            raise self._transport.refused(request, answer)
        where = f"{self._name.name}:{name}"
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
