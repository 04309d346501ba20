"""What is said of an image that was published: its provenance, who signed that, and what its platforms are."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from multiarch_oci.attest.provenance import BUILD_TYPE
from multiarch_oci.attest.recorded import Irreproducible
from multiarch_oci.attest.statement import PROVENANCE, Statement
from multiarch_oci.attest.stored import stored
from multiarch_oci.attest.verifying import NotVerified
from multiarch_oci.errors import MultiarchError
from multiarch_oci.index import Index
from multiarch_oci.mediatype import BUNDLE, IN_TOTO, is_index
from multiarch_oci.store import read
from multiarch_oci.store.referrers import listing
from scons_multiarch.signatures import words_of

if TYPE_CHECKING:
    from multiarch_oci.attest.verifying import Verifier
    from multiarch_oci.descriptor import Descriptor
    from multiarch_oci.digest import Digest
    from multiarch_oci.reference import Reference
    from multiarch_oci.store.layout import Layout
    from multiarch_oci.store.registry import Registry
    from scons_multiarch.session import Run

MOST = 200
"""How many referrers of one subject are read: anybody who may write to a repository can attach some."""


class NotPublished(MultiarchError):
    """A reference that names nothing."""


class Published(NamedTuple):
    """What a reference names: images by platform; `content` is the exact bytes of an index, None for an image alone."""

    store: Registry | Layout
    root: Descriptor
    images: Mapping[str, Descriptor]
    content: bytes | None


class Attested(NamedTuple):
    """A provenance, and in words what is known of its signature."""

    predicate: Mapping[str, object]
    signature: str


def published(run: Run, reference: Reference, folder: str | None) -> Published:
    """What a reference names now. Raises NotPublished, InvalidDocument, and what the registry raises."""
    store = run.build.registries.store(reference, folder)
    name = str(reference.digest) if reference.digest is not None else reference.tag or "latest"
    root = store.resolve(name)
    where = str(reference)
    if root is None:
        raise NotPublished("is not in the registry", where=where, hint="name a published tag: host/repository:tag")
    if not is_index(root.media_type):
        return Published(store, root, {"": root}, None)
    content = read(store, root)
    index = Index.from_json(content, where=where, media_type=root.media_type)
    images = {str(entry.platform or "an entry without a platform"): entry for entry in index.manifests}
    return Published(store, root, images, content)


def provenance_of(env: Any, store: Registry | Layout, subject: Digest) -> Attested | None:
    """The provenance of a subject, one of ours before others'; a signed one before one that is not.

    Where SIGN_KEY or SIGN_IDENTITY says who has to have signed it, no other one counts. Raises Irreproducible where
    there are only others, and what the registry raises.
    """
    from multiarch_oci.attest.signing import Asked, verifier_of

    verifier = verifier_of(Asked(*words_of(env)), env["MULTIARCH_RUN"].tree.root)
    attested, refused = [], ""
    known = islice(stored(store, subject, listing(store, subject).referrers, kinds=(BUNDLE, IN_TOTO)), MOST)
    readable = [attached for attached in known if attached.content]
    for attached in sorted(readable, key=lambda attached: attached.kind != BUNDLE):
        try:
            statement, words = _statement(attached.kind, attached.content, subject, verifier)
        except MultiarchError as error:
            refused = refused or f"a {'bundle' if attached.kind == BUNDLE else 'statement'} {error.what}"
            continue
        if statement.predicate_type == PROVENANCE and statement.names(subject):
            attested.append(Attested(statement.predicate, words))
    attested.sort(key=lambda known: _build_type(known.predicate) != BUILD_TYPE)
    if not attested and refused and verifier is not None:
        raise Irreproducible(f"its provenance is not signed by {verifier.identity}: {refused}")
    return attested[0] if attested else None


def _statement(kind: str, content: bytes, subject: Digest, verifier: Verifier | None) -> tuple[Statement, str]:
    """What a referrer says, and what is known of its signature. Raises MultiarchError for what does not count."""
    where = str(subject)
    if kind == IN_TOTO:
        statement = Statement.parse(content, where=where)
        if verifier is not None and statement.predicate_type == PROVENANCE:
            raise NotVerified("has no signature", where=where)
        return statement, "unsigned"
    if verifier is not None:
        verified = verifier.verify(content, subject=subject, where=where)
        return verified.statement, f"signed by {verified.signer}"
    from multiarch_oci.attest.bundle import Bundle

    payload = Bundle.from_json(content, where=where).envelope.payload
    words = "signed, which was not verified: SIGN_KEY or SIGN_IDENTITY says by whom it has to be"
    return Statement.parse(payload, where=where), words


def _build_type(predicate: Mapping[str, object]) -> object:
    definition = predicate.get("buildDefinition")
    return definition.get("buildType") if isinstance(definition, Mapping) else None
