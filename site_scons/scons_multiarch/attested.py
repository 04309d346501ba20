"""What is said of an image that was published: its provenance, who signed that, and what its platforms are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from multiarch_oci.attest.provenance import BUILD_TYPE
from multiarch_oci.attest.recorded import Irreproducible
from multiarch_oci.attest.statement import LIMIT, PROVENANCE, Statement
from multiarch_oci.document import InvalidDocument
from multiarch_oci.errors import MultiarchError
from multiarch_oci.index import Index
from multiarch_oci.mediatype import BUNDLE, IN_TOTO, is_index
from multiarch_oci.store import BlobMissing, Store, read

if TYPE_CHECKING:
    from multiarch_oci.artifact import Artifact
    from multiarch_oci.attest.verifying import Verifier
    from multiarch_oci.descriptor import Descriptor
    from multiarch_oci.digest import Digest
    from multiarch_oci.reference import Reference
    from scons_multiarch.session import Run

MOST = 200
"""How many referrers of one subject are read: anybody who may write to a repository can attach some."""


class NotPublished(MultiarchError):
    """A reference that names nothing."""


class Published(NamedTuple):
    """What a reference names: images by platform; `content` is the exact bytes of an index, None for an image alone."""

    store: Store
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


def provenance_of(env: Any, store: Store, subject: Digest) -> Attested | None:
    """The provenance of a subject, one of ours before others'; a signed one before one that is not.

    Where SIGN_KEY or SIGN_IDENTITY says who has to have signed it, no other one counts. Raises Irreproducible where
    there are only others, and what the registry raises.
    """
    from multiarch_oci.attest.signing import Asked, verifier_of

    given = Asked(*(str(env[name]) for name in ("SIGN", "SIGN_KEY", "SIGN_IDENTITY", "SIGN_ROOT")))
    verifier = verifier_of(given, env["MULTIARCH_RUN"].tree.root)
    attested, refused = [], ""
    for kind, content in sorted(_attached(store, subject), key=lambda pair: pair[0] != BUNDLE):
        try:
            statement, words = _statement(kind, content, subject, verifier)
        except MultiarchError as error:
            refused = refused or error.what
            continue
        if statement.predicate_type == PROVENANCE and statement.names(subject):
            attested.append(Attested(statement.predicate, words))
    attested.sort(key=lambda known: _build_type(known.predicate) != BUILD_TYPE)
    if not attested and refused and verifier is not None:
        raise Irreproducible(f"its provenance is not signed by {verifier.identity}: a bundle {refused}")
    return attested[0] if attested else None


def _statement(kind: str, content: bytes, subject: Digest, verifier: Verifier | None) -> tuple[Statement, str]:
    """What a referrer says, and what is known of its signature. Raises MultiarchError for what does not count."""
    where = str(subject)
    if kind == IN_TOTO:
        return Statement.parse(content, where=where), "unsigned"
    if verifier is not None:
        verified = verifier.verify(content, subject=subject, where=where)
        return verified.statement, f"signed by {verified.signer}"
    from multiarch_oci.attest.bundle import Bundle

    payload = Bundle.from_json(content, where=where).envelope.payload
    words = "signed, which was not verified: SIGN_KEY or SIGN_IDENTITY says by whom it has to be"
    return Statement.parse(payload, where=where), words


def _attached(store: Any, subject: Digest) -> Iterator[tuple[str, bytes]]:
    """Bundles and statements that refer to a subject, each with its kind; what cannot be read is left out."""
    from multiarch_oci.store.referrers import artifact, listing

    known = listing(store, subject).referrers
    for referrer in list(dict.fromkeys(descriptor.bare() for descriptor in known))[:MOST]:
        try:
            made = artifact(store, referrer, subject)
            content = _content(store, made)
        except (BlobMissing, InvalidDocument):
            continue
        if content:
            yield made.artifact_type, content


def _content(store: Store, made: Artifact) -> bytes:
    if made.artifact_type not in (BUNDLE, IN_TOTO) or len(made.layers) != 1 or made.layers[0].size > LIMIT:
        return b""
    with store.open(made.layers[0].bare()) as stream:
        return stream.read()


def _build_type(predicate: Mapping[str, object]) -> object:
    definition = predicate.get("buildDefinition")
    return definition.get("buildType") if isinstance(definition, Mapping) else None
