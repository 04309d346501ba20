"""A repository of a registry (OCI distribution spec 1.1), as the Store that copies are made from and to."""

from __future__ import annotations

import io
import re
import urllib.parse
from collections.abc import Callable, Iterable
from typing import BinaryIO, TypeAlias

from multiarch.descriptor import Descriptor
from multiarch.digest import Digest, verifying
from multiarch.document import LIMIT, Document
from multiarch.errors import MultiarchError
from multiarch.index import Index
from multiarch.mediatype import INDEX, MANIFEST, MANIFESTS, is_index
from multiarch.record import replace
from multiarch.reference import Reference, check_tag
from multiarch.store import BlobMissing, ManifestTooLarge, read
from multiarch.store.entries import parse_digest
from multiarch.store.http import Answer, Forbidden, RegistryRefused, Request, Transport, Unauthorized
from multiarch.store.http.challenge import repository_scope
from multiarch.store.served import Download, check_digest, digest_of

_CREATED, _NOT_FOUND = 201, 404
_NO_HEAD = (400, 403, 405, 501)
_NO_REFERRERS = (400, _NOT_FOUND, 405, 406, 501)
_ACCEPT = (("Accept", ", ".join(MANIFESTS)),)
_LINK = r"<([^<>]*)>\s*((?:;\s*[\w*-]+\s*=\s*(?:\"[^\"]*\"|[^\s;,\"]+)\s*)*)"
_PAGES = 10_000

There: TypeAlias = "tuple[str, Digest]"


class Registry:
    """One repository; any number of threads may use it. Every method is patient: it fails only after several tries.

    `action` is what it is opened for, `pull` or `push`: the first question then asks for the right that the last one
    needs, and an error names it. The manifests in `there`, with the name of their repository, were put or seen by this
    run and are not asked for again; what is put joins them.

    Raises, beside what the protocol names: Unreachable, Unauthorized, TooManyRequests, RegistryFailed, RegistryRefused,
    UntrustedHost, Cancelled.
    """

    def __init__(
        self, transport: Transport, name: Reference, *, action: str = "pull", there: set[There] | None = None
    ) -> None:
        self._transport = transport
        self._action = action
        self._name = name.bare
        self._manifests: dict[Digest, bytes] = {}  # as put or read, since a tag is made by putting the bytes again
        self._offered: dict[Digest, str] = {}
        self._there: set[There] = set() if there is None else there

    def resolve(self, name: str) -> Descriptor | None:
        """The descriptor of a tag or digest now; None = absent. One HEAD, unless the registry leaves headers out."""
        return self.look(name)

    def look(self, name: str, *, limit: float | None = None, likes: tuple[str, ...] = ()) -> Descriptor | None:
        """As `resolve`, with `limit` seconds for it and further scopes for the token that it may bring."""
        wanted = parse_digest(name)
        if wanted is None:
            check_tag(name)
        request = self._request("HEAD", f"manifests/{name}", headers=_ACCEPT, likes=likes, read_timeout=limit)
        try:
            answer = self._transport.request(request, limit=limit)
        except Forbidden:  # some do not know HEAD and say so; all others say why in the body of a GET
            return self._get(name, wanted, limit)
        if answer.status == _NOT_FOUND:
            return None
        if answer.fine:
            found = digest_of(answer)
            size = answer.length
            media_type = _media_type(answer)
            if wanted is not None:
                check_digest(answer, wanted, where=f"{self._name.name}@{wanted}")
            if found is not None and size and media_type in MANIFESTS:
                return Descriptor(media_type, wanted or found, size)
        elif answer.status not in _NO_HEAD:
            raise self._transport.refused(request, answer)
        return self._get(name, wanted, limit)

    def greet(self, name: str) -> None:
        """Ask for a tag once and drop the answer: what the first question costs is paid then, while nobody waits.

        One try, and a host that does not answer is not given up for it. Raises as the other methods.
        """
        self._transport.ask(self._request("HEAD", f"manifests/{name}", headers=_ACCEPT))

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """The content, verified while it is read; BlobMissing when absent. A cut download goes on where it ended."""
        if descriptor.media_type in MANIFESTS:
            return io.BytesIO(self._manifest(descriptor))
        request = self._request("GET", f"blobs/{descriptor.digest}", stream=True)
        below = Download(self._transport, request, descriptor.size)
        return verifying(below, descriptor.digest, descriptor.size, where=self._name.name)  # type: ignore[arg-type]

    def has(self, descriptor: Descriptor) -> bool:
        """Whether this blob or manifest is there, with this size when the registry tells it."""
        manifest = descriptor.media_type in MANIFESTS
        if manifest and (self._name.name, descriptor.digest) in self._there:
            return True
        kind, headers = ("manifests", _ACCEPT) if manifest else ("blobs", ())
        request = self._request("HEAD", f"{kind}/{descriptor.digest}", headers=headers)
        answer = self._transport.request(request)
        if answer.status in _NO_HEAD:
            # Some know no HEAD; and a storage that a registry sends us to may take its signature for a GET only.
            request = replace(request, method="GET", stream=True)
            answer = self._transport.request(request)
            if answer.stream is not None:
                answer.stream.close()
        if answer.status == _NOT_FOUND:
            return False
        if not answer.fine:
            raise self._transport.refused(request, answer)
        check_digest(answer, descriptor.digest, where=f"{self._name.name}@{descriptor.digest}")
        return not answer.length or answer.length == descriptor.size

    def put(self, descriptor: Descriptor, content: Callable[[], BinaryIO]) -> None:
        """Make the content be there; verified before the registry gets its last bytes. Idempotent."""
        if descriptor.media_type in MANIFESTS:
            self._put_manifest(str(descriptor.digest), descriptor, _bytes(descriptor, content))
            return
        # One repository takes one blob once: whoever comes second waits, and finds it.
        with self._transport.alone((self._name.name, str(descriptor.digest))) as waited:
            if waited and self.has(descriptor):
                return
            from multiarch.store.upload import Upload  # start-up; who only asks for tags has no use for it

            offered = self._offered.pop(descriptor.digest, None)
            Upload(self._transport, self._name, descriptor, content, offered).run()

    def mount(self, descriptor: Descriptor, origin: Reference) -> bool:
        """Take a blob over from another repository of this registry; False: not possible, `put` it.

        The session that a registry opens when it cannot mount is used by the next `put` of this blob.
        """
        if origin.registry != self._name.registry or descriptor.media_type in MANIFESTS:
            return False
        query = urllib.parse.urlencode({"mount": str(descriptor.digest), "from": origin.repository})
        request = self._request(
            "POST",
            f"blobs/uploads/?{query}",
            action="push",
            scopes=(repository_scope(origin.repository, "pull"),),
        )
        try:
            answer = self._transport.request(request)
        except Unauthorized:
            return False  # it may be the other repository that is closed to us; a put will tell
        if answer.status == _CREATED:
            check_digest(answer, descriptor.digest, where=self._name.name)
            return True
        if answer.fine and answer.location is not None:
            self._offered[descriptor.digest] = answer.location
        return False

    def tag(self, name: str, descriptor: Descriptor, content: Callable[[], BinaryIO] | None = None) -> None:
        """Let a tag name a manifest: its bytes, read here unless they are given, are put under the tag."""
        check_tag(name)
        bytes_ = self._manifest(descriptor) if content is None else _bytes(descriptor, content)
        self._put_manifest(name, descriptor, bytes_)

    def tags(self) -> tuple[str, ...]:
        """All tags, sorted; none when the repository is unknown (spec: "Listing Tags")."""
        return tuple(sorted({tag for page in self._pages("tags/list?n=1000") for tag in page.texts("tags")}))

    def referrers(self, descriptor: Descriptor) -> tuple[Descriptor, ...]:
        """What names this manifest as its subject: by the referrers API, else by the tag `<algorithm>-<hex>`."""
        digest = descriptor.digest
        found: dict[Descriptor, None] = {}
        pages = list(self._pages(f"referrers/{digest}", absent=_NO_REFERRERS))
        for document in pages:
            found.update(dict.fromkeys(Descriptor.from_json(item) for item in document.objects("manifests")))
        if pages:
            return tuple(found)
        listed = self.resolve(f"{digest.algorithm}-{digest.hex}"[:128])
        if listed is None or not is_index(listed.media_type):
            return ()
        content = read(self, listed)
        return Index.from_json(content, where=str(listed.digest), media_type=listed.media_type).manifests

    def _pages(self, path: str, absent: tuple[int, ...] = (_NOT_FOUND,)) -> Iterable[Document]:
        """The JSON pages of a listing, over their Link headers (RFC 8288); nothing when the first is `absent`."""
        url: str | None = f"/v2/{self._name.repository}/{path}"
        for _ in range(_PAGES):
            request = Request(
                "GET", url or "", self._name.registry, self._name.repository, headers=(("Accept", INDEX),)
            )
            answer = self._transport.request(request)
            if answer.status in absent or _media_type(answer) == "text/html":
                return
            if not answer.fine:
                raise self._transport.refused(request, answer)
            yield Document.parse(answer.content, where=f"{self._name.name}: {path.partition('?')[0]}")
            url = answer.linked(_next_page(answer.headers.get("Link")))
            if url is None:
                return
        raise RegistryRefused(f"the listing has more than {_PAGES} pages", where=self._name.name)

    def _manifest(self, descriptor: Descriptor) -> bytes:
        """The verified bytes of a manifest; BlobMissing when absent."""
        content = self._manifests.get(descriptor.digest)
        if content is not None and len(content) == descriptor.size:
            return content
        if descriptor.size > LIMIT:
            raise ManifestTooLarge(f"{descriptor.digest} is {descriptor.size} bytes; the limit is {LIMIT}")
        request = self._request("GET", f"manifests/{descriptor.digest}", headers=_ACCEPT)
        answer = self._transport.request(request)
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

    def _get(self, name: str, wanted: Digest | None, limit: float | None) -> Descriptor | None:
        """A descriptor made from the bytes themselves."""
        request = self._request("GET", f"manifests/{name}", headers=_ACCEPT, read_timeout=limit)
        answer = self._transport.request(request, limit=limit)
        if answer.status == _NOT_FOUND:
            return None
        if not answer.fine:
            raise self._transport.refused(request, answer)
        where = f"{self._name.name}:{name}"
        digest = wanted or Digest.of(answer.content)
        with verifying(io.BytesIO(answer.content), digest, len(answer.content), where=where) as stream:
            stream.read()
        check_digest(answer, digest, where=where)
        media_type = _media_type(answer)
        if media_type not in MANIFESTS:
            media_type = _own_type(Document.parse(answer.content, where=where))
        self._manifests[digest] = answer.content
        return Descriptor(media_type, digest, len(answer.content))

    def _put_manifest(self, name: str, descriptor: Descriptor, content: bytes) -> None:
        """PUT the exact bytes (spec: "Pushing Manifests"); what the registry then calls them is checked."""
        request = self._request(
            "PUT",
            f"manifests/{name}",
            action="push",
            headers=(("Content-Type", descriptor.media_type),),
            body=lambda: io.BytesIO(content),
            length=len(content),
        )
        try:
            answer = self._transport.request(request)
            if not answer.fine:
                raise self._transport.refused(request, answer)
        except (Forbidden, RegistryRefused):
            # A tag that must not move is refused again when only the answer to the first try was lost.
            if parse_digest(name) is not None or not self._holds(name, descriptor.digest):
                raise
        else:
            check_digest(answer, descriptor.digest, where=f"{self._name.name}:{name}")
        self._manifests[descriptor.digest] = content
        self._there.add((self._name.name, descriptor.digest))

    def _holds(self, name: str, digest: Digest) -> bool:
        try:
            held = self.resolve(name)
        except MultiarchError:
            return False
        return held is not None and held.digest == digest

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
        likes: tuple[str, ...] = (),
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
            likes,
            stream,
            read_timeout,
        )


def _media_type(answer: Answer) -> str:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip()


def _own_type(document: Document) -> str:
    """The media type of a manifest that nobody calls by one: OCI lets it be absent from the document."""
    if document.text("mediaType") is None and ("manifests" in document.members or "layers" in document.members):
        return INDEX if "manifests" in document.members else MANIFEST
    return document.required("mediaType")


def _bytes(descriptor: Descriptor, content: Callable[[], BinaryIO]) -> bytes:
    """The verified bytes of a manifest that is to be sent."""
    if descriptor.size > LIMIT:
        raise ManifestTooLarge(f"{descriptor.digest} is {descriptor.size} bytes; the limit is {LIMIT}")
    with verifying(content(), descriptor.digest, descriptor.size, where="the manifest to be sent") as stream:
        return stream.read()


def _next_page(header: str | None) -> str | None:
    """The target of the link with rel=next (RFC 8288 §3)."""
    for target, parameters in re.findall(_LINK, header or ""):
        for parameter in parameters.split(";"):
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "rel" and "next" in value.strip().strip('"').lower().split():
                return str(target)
    return None
