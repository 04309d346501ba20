"""A repository of a registry (OCI distribution spec 1.1), as the Store that copies are made from and to."""

from __future__ import annotations

import io
import re
import time
import urllib.parse
from collections.abc import Callable
from enum import Enum
from typing import BinaryIO

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest, verifying
from multiarch_oci.document import LIMIT
from multiarch_oci.errors import MultiarchError
from multiarch_oci.index import Index
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import MANIFESTS, is_foreign, is_index
from multiarch_oci.reference import Reference, check_tag
from multiarch_oci.store import ManifestTooLarge, PartsMissing
from multiarch_oci.store.entries import parse_digest
from multiarch_oci.store.http.errors import (
    Cancelled,
    Forbidden,
    Interrupted,
    RegistryFailed,
    RegistryRefused,
    Unauthorized,
)
from multiarch_oci.store.http.exchange import Answer, Request, repository_scope
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.repository import Repository, There
from multiarch_oci.store.served import check_digest
from multiarch_oci.store.visible import Written

_CREATED, _NOT_FOUND, _PRECONDITION_FAILED = 201, 404, 412
_CLIENT_ERRORS = range(400, 500)
_MOUNT_TRIES = 2
"""How often at most a registry is asked for a mount at which it fails."""
_CANCEL_S = 10.0
_UNKNOWN = re.compile(rb"(?:BLOB|MANIFEST)[_ ]UNKNOWN|UNKNOWN[_ ](?:BLOB|MANIFEST)", re.IGNORECASE)
"""Distribution spec 1.1, "Error Codes": BLOB_UNKNOWN, MANIFEST_BLOB_UNKNOWN, MANIFEST_UNKNOWN. Where all was sent, the
registry shows late what it took, or lost it."""
_LOST = "the registry lost what it took, or somebody deleted it; run the same command again: what is there stays"


class Superseded(MultiarchError):
    """A tag that is not any more what it was when it was read."""


class Mounts(Enum):
    """What became of mounts from one repository to another: what is to be expected of the next."""

    DONE = 1
    DOUBTFUL = 2
    """The registry offered an upload instead, or did not know that blob: it may mount others, or none at all."""
    REFUSED = 3


class Registry(Repository):
    """One repository to read from and to write to; what a Repository promises holds here, too.

    `mounts` is what the run has found out about them, by the names of both repositories.
    """

    def __init__(
        self,
        transport: Transport,
        name: Reference,
        *,
        action: str = "pull",
        there: set[There] | None = None,
        written: Written | None = None,
        mounts: dict[tuple[str, str], Mounts] | None = None,
    ) -> None:
        super().__init__(transport, name, action=action, there=there, written=written)
        self._mounts: dict[tuple[str, str], Mounts] = {} if mounts is None else mounts
        self._not_mounted: set[tuple[str, Digest]] = set()  # from the repository of that name
        self._offered: dict[Digest, str] = {}  # sessions, in place of mounts
        self._indexed: set[Digest] = set()  # put here, and listed by the registry itself as a referrer
        self._leaves_tags: bool | None = None  # whether tags stay when the registry deletes their manifest

    def has(self, descriptor: Descriptor) -> bool:
        """Whether this is there, as a Repository says it; the session that a mount opened for it is cancelled then."""
        there = super().has(descriptor)
        if there:
            self._cancel(descriptor.digest)
        return there

    def put(self, descriptor: Descriptor, content: Callable[[], BinaryIO]) -> None:
        """Make the content be there; verified before the registry gets its last bytes. Idempotent."""
        if descriptor.media_type in MANIFESTS:
            self._put_manifest(str(descriptor.digest), descriptor, _bytes(descriptor, content))
            return
        # One repository takes one blob once: whoever comes second waits, and finds it.
        with self._transport.alone((self._name.name, str(descriptor.digest))) as waited:
            if waited and self.has(descriptor):
                return
            from multiarch_oci.store.upload import Upload  # start-up; who only asks for tags has no use for it

            offered = self._offered.pop(descriptor.digest, None)
            Upload(self._transport, self._name, descriptor, content, offered).run()
            self._took(descriptor.digest)

    def mount(self, descriptor: Descriptor, origin: Reference, *, unasked: bool = False) -> bool:
        """Take a blob over from another repository of this registry; False: not possible, `put` it.

        What this run mounted or put before is not asked for again, nor what was refused. The session that a registry
        opens when it cannot mount is used by the next `put` of this blob, which needs no other: so a mount is tried
        also where it is doubtful, but for an `unasked` blob.
        """
        if origin.registry != self._name.registry or descriptor.media_type in MANIFESTS:
            return False
        own, digest = self._name.name, descriptor.digest
        with self._transport.alone((own, str(digest))):
            if (own, digest) in self._there:
                return True
            known = self._mounts.get((origin.name, own))
            if known is Mounts.REFUSED or (known is Mounts.DOUBTFUL and unasked):
                return False
            return (origin.name, digest) not in self._not_mounted and self._mount(digest, origin)

    def _mount(self, digest: Digest, origin: Reference) -> bool:
        """One request; whether the registry holds the blob here then. What it means for other blobs is kept."""
        query = urllib.parse.urlencode({"mount": str(digest), "from": origin.repository})
        request = self._request(
            "POST",
            f"blobs/uploads/?{query}",
            action="push",
            scopes=(repository_scope(origin.repository, "pull"),),
        )
        answer, ways = self._ask_to_mount(request), (origin.name, self._name.name)
        if answer is not None and answer.status == _CREATED:
            check_digest(answer, digest, where=self._name.name)
            self._took(digest)
            self._mounts[ways] = Mounts.DONE
            self._cancel(digest)
            return True
        self._not_mounted.add((origin.name, digest))
        known = self._mounts.get(ways)
        if known is not Mounts.DONE:
            unknown = answer is not None and answer.status == _NOT_FOUND and known is None
            offered = answer is not None and answer.fine
            self._mounts[ways] = Mounts.DOUBTFUL if offered or unknown else Mounts.REFUSED
        if answer is not None and answer.fine and answer.location is not None:
            self._cancel(digest)
            self._offered[digest] = answer.location
        return False

    def _cancel(self, digest: Digest) -> None:
        """End the session that a registry opened in place of a mount and nobody uses: some keep them for ever.

        Docker Registry HTTP API V2, "Canceling an Upload"; one that does not do it, or not for us, forgets it some day.
        """
        location = self._offered.pop(digest, None)
        if location is None:
            return
        own, scopes = self._name, (repository_scope(self._name.repository, "delete"),)
        request = Request(
            "DELETE", location, own.registry, own.repository, "push", scopes=scopes, read_timeout=_CANCEL_S
        )
        try:
            self._transport.ask(request)
        except Cancelled:
            raise
        except MultiarchError:
            pass

    def _ask_to_mount(self, request: Request) -> Answer | None:
        """The answer; None where a put will do, or tell what is wrong.

        The other repository may be closed to us, and some registries fail at mounts alone; what is only a short failure
        would cost a large layer's upload. Who asks too often (429), or reaches nobody, can put nothing either.
        """

        def attempt() -> Answer:
            try:
                return self._transport.ask(request)
            except (RegistryFailed, Interrupted) as error:
                error.tries = min(error.tries or _MOUNT_TRIES, _MOUNT_TRIES)
                raise

        try:
            return self._transport.patiently(attempt)
        except (Unauthorized, RegistryFailed, Interrupted):
            return None

    def tag(self, name: str, descriptor: Descriptor, content: Callable[[], BinaryIO] | None = None) -> None:
        """Let a tag name a manifest: its bytes, read here unless they are given, are put under the tag."""
        check_tag(name)
        bytes_ = self._manifest(descriptor) if content is None else _bytes(descriptor, content)
        self._put_manifest(name, descriptor, bytes_)

    def replace(self, name: str, descriptor: Descriptor, content: bytes, etag: str | None) -> None:
        """Let a tag name these bytes, where it still is what `etag` says; else Superseded, where the registry can tell.

        PartsMissing as `tag`.
        """
        self._put_manifest(name, descriptor, content, () if etag is None else (("If-Match", etag),))

    def indexed(self, referrer: Digest) -> bool:
        """Whether the registry said of a manifest put here that it lists it by itself (spec: OCI-Subject)."""
        return referrer in self._indexed

    def delete(self, digest: Digest, *tags: str) -> bool:
        """Remove a manifest (spec: "Deleting Manifests"); False where the registry does not do that, or not for us.

        Its tags go along; of those that are named here also where the registry leaves them, as the first one shows.
        One that somebody let name something else meanwhile stays, as does one whose deletion is refused.
        """
        if not self._deleted(str(digest)):
            return False
        self._there.discard((self._name.name, digest))
        for tag in tags:
            if self._leaves_tags is False:
                break
            held = self._look(tag, None, None, ())
            if held is None:
                self._leaves_tags = bool(self._leaves_tags)
            elif held.digest == digest:
                self._leaves_tags = True
                self._deleted(tag)
        return True

    def _deleted(self, name: str) -> bool:
        scopes = (repository_scope(self._name.repository, "delete"),)
        try:
            answer = self._transport.request(self._request("DELETE", f"manifests/{name}", action="push", scopes=scopes))
        except Unauthorized:
            return False
        return answer.fine or answer.status == _NOT_FOUND

    def _put_manifest(
        self, name: str, descriptor: Descriptor, content: bytes, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """PUT the exact bytes (spec: "Pushing Manifests"); what the registry then calls them is checked."""
        own, digest = self._name.name, descriptor.digest
        by_digest = parse_digest(name) is not None
        _insist(
            lambda: self._offer(name, descriptor, content, headers),
            lambda: self._missing(descriptor, content),
            self._written,
            f"{own}@{digest}" if by_digest else f"{own}:{name}",
            self._transport.check,
        )
        self._manifests[digest] = content
        self._there.add((own, digest))
        self._written.wrote(own, digest, (descriptor.media_type, content))
        if not by_digest:
            self._written.wrote_tag(own, name, digest)

    def _offer(
        self, name: str, descriptor: Descriptor, content: bytes, headers: tuple[tuple[str, str], ...]
    ) -> MultiarchError | None:
        """One PUT; the refusal of a registry that says that it lacks what the manifest names, None once it took it."""
        request = self._request(
            "PUT",
            f"manifests/{name}",
            action="push",
            headers=(("Content-Type", descriptor.media_type), *headers),
            body=lambda: io.BytesIO(content),
            length=len(content),
        )
        tries = 0

        def attempt() -> Answer:
            nonlocal tries
            tries += 1
            return self._transport.ask(request)

        try:
            answer = self._transport.patiently(attempt)
            if not answer.fine:
                refusal = self._transport.refused(request, answer)
                if _lacks_parts(answer):
                    return refusal
                if headers and answer.status == _PRECONDITION_FAILED:
                    raise Superseded(refusal.what, where=refusal.where)
                raise refusal
        except (Forbidden, RegistryRefused):
            # A tag that must not move is refused again when only the answer to the first try was lost.
            if parse_digest(name) is not None or not self._holds(name, descriptor.digest, took=tries > 1):
                raise
        else:
            check_digest(answer, descriptor.digest, where=f"{self._name.name}:{name}")
            if "OCI-Subject" in answer.headers:
                self._indexed.add(descriptor.digest)
        return None

    def _missing(self, descriptor: Descriptor, content: bytes) -> tuple[Descriptor, ...]:
        """What a manifest names and the registry does not hold: not merely what it got so recently that it is late.

        Manifests that this run wrote are put again.
        """
        own, written = self._name.name, self._written
        lost = []
        for part in _parts(descriptor, content):
            age = written.age(own, part.digest)
            if self._has(part) is True or (age is not None and age < written.patience.lost):
                continue
            self._there.discard((own, part.digest))
            known = written.manifest(own, part.digest)
            if known is None:
                lost.append(part)
            else:
                self._put_manifest(str(part.digest), part, known[1])
        return tuple(lost)

    def _took(self, digest: Digest) -> None:
        """Note that the registry took a blob."""
        self._written.wrote(self._name.name, digest)
        if self._trusting:
            self._there.add((self._name.name, digest))

    def _holds(self, name: str, digest: Digest, *, took: bool) -> bool:
        """Whether a tag holds this; where an earlier try may have done that, it may be late."""
        if took:
            self._written.wrote_tag(self._name.name, name, digest)
        try:
            held = self.resolve(name)
        except MultiarchError:
            return False
        return held is not None and held.digest == digest


def _lacks_parts(answer: Answer) -> bool:
    """Whether a manifest was refused because something that it names is not known there."""
    return answer.status in _CLIENT_ERRORS and _UNKNOWN.search(answer.content) is not None


def _parts(descriptor: Descriptor, content: bytes) -> tuple[Descriptor, ...]:
    """What a manifest or index names and a registry has to hold before it, each once; InvalidDocument."""
    where = str(descriptor.digest)
    if is_index(descriptor.media_type):
        entries = Index.from_json(content, where=where, media_type=descriptor.media_type).manifests
        return tuple(dict.fromkeys(entry.bare() for entry in entries))
    manifest = Manifest.from_json(content, where=where, media_type=descriptor.media_type)
    return tuple(dict.fromkeys(blob.bare() for blob in manifest.blobs() if not is_foreign(blob.media_type)))


def _insist(
    offer: Callable[[], MultiarchError | None],
    missing: Callable[[], tuple[Descriptor, ...]],
    written: Written,
    name: str,
    check: Callable[[], object],
) -> None:
    """Offer a manifest called `name` until it is taken; `offer` returns the refusal for want of its parts, else None.

    After each refusal the parts are asked for: PartsMissing at once with those that are `missing` for good, or the
    refusal itself when none is, and the time of the patience is over.
    """
    began, pause = None, written.patience.first
    while (refusal := offer()) is not None:
        began = time.monotonic() if began is None else began
        lost = missing()
        if lost:
            why = f"{refusal.what}; it lacks {', '.join(str(part.digest) for part in lost)}"
            raise PartsMissing(why, where=name, hint=_LOST, missing=lost)
        waited = time.monotonic() - began
        remaining = written.patience.limit - waited
        if remaining <= 0:
            raise refusal
        written.report_refused(name, refusal.what, waited)
        written.pause(min(pause, remaining), check)
        pause = min(2 * pause, written.patience.longest)


def _bytes(descriptor: Descriptor, content: Callable[[], BinaryIO]) -> bytes:
    """The verified bytes of a manifest that is to be sent."""
    if descriptor.size > LIMIT:
        raise ManifestTooLarge(f"{descriptor.digest} is {descriptor.size} bytes; the limit is {LIMIT}")
    with verifying(content(), descriptor.digest, descriptor.size, where="the manifest to be sent") as stream:
        return stream.read()
