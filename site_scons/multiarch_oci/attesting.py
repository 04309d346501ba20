"""The verb of attestations: what is promised of an image or index is made to be in its registry (behaviour, section 8).

What is there and right is taken as it is, whoever put it there: a signature counts by what it signs and by whom, not by
its bytes. Signed statements are bundles (`cosign/sign/v1` is the one that says nothing but "signed"); an SBOM stands
beside its bundle as it is, too, since scanners read the one and verifiers the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from multiarch_oci.artifact import Artifact
from multiarch_oci.attest.provenance import without_run
from multiarch_oci.attest.statement import COSIGN_SIGNATURE, LIMIT, PROVENANCE, UNSIGNED_TYPE, Statement, statement
from multiarch_oci.attest.stored import PLAIN, Stored, document_type, maker, predicate_of, stored
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.document import Document, InvalidDocument
from multiarch_oci.errors import MultiarchError
from multiarch_oci.mediatype import BUNDLE, CYCLONEDX_JSON, IN_TOTO, SPDX_JSON
from multiarch_oci.plan.policy import Policy
from multiarch_oci.receipt import Attested
from multiarch_oci.reference import Reference
from multiarch_oci.store import Copied
from multiarch_oci.store.attaching import Attachment, attach
from multiarch_oci.store.referrers import Listing, listing

if TYPE_CHECKING:
    from multiarch_oci.attest.signing import Signer
    from multiarch_oci.attest.verifying import Verified, Verifier
    from multiarch_oci.store.layout import Layout
    from multiarch_oci.store.registry import Registry

PREDICATE_TYPE = "dev.sigstore.bundle.predicateType"
_CONTENT = "dev.sigstore.bundle.content"
_TITLE = "org.opencontainers.image.title"
_FILES = {SPDX_JSON: "sbom.spdx.json", CYCLONEDX_JSON: "sbom.cdx.json"}
"""What SBOMs are called: `oras pull` takes no layer that has no name."""


class AttestationMoved(MultiarchError):
    """An attestation of ours that another run wrote, where that is declared to be an error."""


class Attestation(msgspec.Struct, frozen=True, dict=True):
    """What is attestation of a subject: a statement, and the SBOM that it was made of, as it is."""

    predicate_type: str
    statement: bytes
    plain: bytes | None = None

    @classmethod
    def of(cls, content: bytes, subject: Digest, name: str, *, where: str) -> Attestation:
        """Read a file: an SBOM (SPDX or CycloneDX, JSON), or a whole in-toto statement. Raises InvalidDocument."""
        document = Document.parse(content, where=where, limit=LIMIT)
        predicate_type = document_type(document)
        if predicate_type:
            return cls(predicate_type, statement(subject, name, predicate_type, document.members), content)
        read = Statement.of(document)
        if not read.names(subject):
            raise InvalidDocument(f"is a statement about something else than {subject}", where=where)
        return cls(read.predicate_type, content)

    @property
    def maker(self) -> str | None:
        """What made it, as it says itself."""
        return maker(self.predicate_type, self.predicate)

    @cached_property
    def predicate(self) -> Mapping[str, object]:
        """What it says."""
        return Statement.parse(self.statement, where=self.predicate_type).predicate


class Outcome(msgspec.Struct, frozen=True):
    """What attesting left and did: the receipt; `remarks` are lines that the user must see."""

    receipt: Attested
    copied: Copied
    remarks: tuple[str, ...] = ()


def attest(
    store: Registry | Layout,
    subject: Descriptor,
    reference: Reference,
    attestations: Sequence[Attestation],
    signer: Signer | None,
    *,
    previous: Attested | None,
    policy: Policy,
    of_run: Attestation | None = None,
) -> Outcome:
    """Make what is promised of a subject be there, which itself is there by digest: `reference` is its tag to be.

    Idempotent: what is there, and verifies where it has to, is taken as it is; the key is opened only when something is
    to be signed. An older one of the same type by the same maker goes, if it is ours: signed by us, or by nobody. What
    others attached stays. With `policy` as for tags: AttestationMoved where another run than the `previous` one of this
    tree wrote the older one, and nothing may be repaired. Raises what signer and place raise.

    `of_run` is one of the provenances with the times and the id of a run. One that says else the same is as good; it is
    not in the receipt, so nobody misses it, and what it says contradicts nothing.
    """
    before = listing(store, subject.digest)
    there = _There(store, subject, before, signer)
    ours, attachments = _signed_or_plain(there, subject, reference, attestations, signer)
    ours += [made.descriptor() for made, _ in attachments]
    stays = frozenset(descriptor.digest for descriptor in ours) | there.of_a_run(attestations)
    if of_run is not None and not there.of_a_run([of_run]):
        attachments += _plain(subject, [of_run], signed=False) if signer is None else [_signed(subject, of_run, signer)]
    gone, equal = there.replaced(attestations, stays)
    mine = frozenset() if previous is None else frozenset(referrer.digest for referrer in previous.referrers)
    mine |= there.untracked() if gone else frozenset()
    _check(reference, gone - equal - mine, policy)
    done = attach(store, subject.digest, attachments, before=before, gone=gone)
    remarks = (*done.remarks, *_remarks(reference, done.kept, gone - mine - set(done.kept)))
    identity = "" if signer is None else signer.verifier().identity
    receipt = Attested(reference, subject.bare(), done.by.value, identity, tuple(sorted(ours, key=_order)))
    return Outcome(receipt, Copied(sent=done.sent), remarks)


def _signed_or_plain(
    there: _There, subject: Descriptor, reference: Reference, attestations: Sequence[Attestation], signer: Signer | None
) -> tuple[list[Descriptor], list[Attachment]]:
    """The bundles that are there already, and what is to be attached: other bundles, and what stands there unsigned."""
    name = reference.repository.rpartition("/")[2]
    ours: list[Descriptor] = []
    attachments: list[Attachment] = list(_plain(subject, attestations, signed=signer is not None))
    if signer is not None:
        plain_signature = Attestation(COSIGN_SIGNATURE, statement(subject.digest, name, COSIGN_SIGNATURE, {}))
        for attestation in (plain_signature, *attestations):
            known = there.bundle(attestation)
            if known is not None:
                ours.append(known)
            else:
                attachments.append(_signed(subject, attestation, signer))
    return ours, attachments


def _remarks(reference: Reference, kept: Iterable[Digest], foreign: Iterable[Digest]) -> Iterable[str]:
    """What is said of older ones: those that stay, and those of other runs that went."""
    yield from (f"{digest} is out of date and cannot be removed: the registry deletes nothing" for digest in kept)
    yield from (f"{reference}: {digest} is of another run, and is replaced" for digest in sorted(foreign))


def _check(reference: Reference, contradicting: frozenset[Digest], policy: Policy) -> None:
    foreign = sorted(contradicting)
    if foreign and (policy.immutable or not policy.repair):
        because = "IMMUTABLE=yes" if policy.immutable else "DRIFT=fail"
        raise AttestationMoved(
            f"has an attestation by another run, {foreign[0]}, that says something else, and {because}",
            where=str(reference),
            hint="look at what it says; without that it is replaced",
        )


def _plain(subject: Descriptor, attestations: Iterable[Attestation], *, signed: bool) -> Iterable[Attachment]:
    """What stands there unsigned: SBOMs as they are, and statements that nobody signs."""
    for attestation in attestations:
        if attestation.plain is not None:
            media_type = PLAIN[attestation.predicate_type]
            layer = _noted(Descriptor.of(media_type, attestation.plain), {_TITLE: _FILES[media_type]})
            yield Artifact.of(media_type, subject, layer), attestation.plain
        elif not signed:
            noted = {UNSIGNED_TYPE: attestation.predicate_type}
            layer = _noted(Descriptor.of(IN_TOTO, attestation.statement), noted)
            yield Artifact.of(IN_TOTO, subject, layer, noted), attestation.statement


def _noted(layer: Descriptor, annotations: Mapping[str, str]) -> Descriptor:
    return msgspec.structs.replace(layer, annotations=tuple(annotations.items()))


def _signed(subject: Descriptor, attestation: Attestation, signer: Signer) -> Attachment:
    bundle = signer.sign(IN_TOTO, attestation.statement)
    noted = {_CONTENT: "dsse-envelope", PREDICATE_TYPE: attestation.predicate_type}
    return Artifact.of(BUNDLE, subject, Descriptor.of(BUNDLE, bundle), noted), bundle


_Said: TypeAlias = "tuple[Digest, str, Mapping[str, object]]"
"""A referrer, the type of its predicate, and that."""


class _There:
    """What refers to the subject already, read where something is to be compared with it."""

    def __init__(self, store: Registry | Layout, subject: Descriptor, before: Listing, signer: Signer | None) -> None:
        self._store = store
        self._subject = subject
        self._before = before
        self._signer = signer

    @cached_property
    def _stored(self) -> tuple[Stored, ...]:
        return tuple(stored(self._store, self._subject.digest, self._before.referrers))

    @cached_property
    def _ours(self) -> list[tuple[Descriptor, Verified]]:
        """The bundles that verify as by our signer; all others are somebody else's."""
        bundles = [known for known in self._stored if known.kind == BUNDLE]
        verifier = self._signer.verifier() if self._signer is not None and bundles else None
        return [] if verifier is None else list(self._verify(bundles, verifier))

    def _verify(self, bundles: list[Stored], verifier: Verifier) -> Iterable[tuple[Descriptor, Verified]]:
        from multiarch_oci.attest.dsse import InvalidEnvelope
        from multiarch_oci.attest.verifying import NotVerified

        for known in bundles:
            try:
                verified = verifier.verify(
                    known.content, subject=self._subject.digest, where=str(known.descriptor.digest)
                )
            except (NotVerified, InvalidEnvelope):
                continue
            if known.artifact is not None:
                yield known.artifact.descriptor(), verified

    def bundle(self, attestation: Attestation) -> Descriptor | None:
        """A bundle by our signer that says this; None when there is none."""
        predicate = attestation.predicate
        for descriptor, verified in self._ours:
            if verified.predicate_type == attestation.predicate_type and verified.statement.predicate == predicate:
                return descriptor
        return None

    @cached_property
    def _signed(self) -> list[_Said]:
        """What our signer says."""
        return [(descriptor.digest, v.predicate_type, v.statement.predicate) for descriptor, v in self._ours]

    @cached_property
    def _unsigned(self) -> list[_Said]:
        """What nobody signed."""
        predicates = ((known.descriptor.digest, predicate_of(known)) for known in self._stored)
        return [(digest, *predicate) for digest, predicate in predicates if predicate is not None]

    def untracked(self) -> frozenset[Digest]:
        """What says of which run it is: no receipt holds it."""
        return frozenset(
            digest for digest, _, says in (*self._signed, *self._unsigned) if without_run(says) is not None
        )

    def of_a_run(self, attestations: Sequence[Attestation]) -> frozenset[Digest]:
        """What says the same as a provenance among these, and of which run it is: one of them, signed where we sign."""
        predicates = [without_run(a.predicate) or a.predicate for a in attestations if a.predicate_type == PROVENANCE]
        if not predicates:
            return frozenset()
        statements = self._unsigned if self._signer is None else self._signed
        return frozenset(sorted(digest for digest, _, says in statements if without_run(says) in predicates)[:1])

    def replaced(
        self, attestations: Sequence[Attestation], ours: frozenset[Digest]
    ) -> tuple[frozenset[Digest], frozenset[Digest]]:
        """What is ours, by a maker of one of these of the same type, and is not among `ours`; what of it says the same.

        The latter is no contradiction: it is not signed yet, or another time.
        """
        makers = {
            (attestation.predicate_type, of) for attestation in attestations if (of := attestation.maker) is not None
        }
        if not makers:
            return frozenset(), frozenset()
        gone = {
            digest: (of, says)
            for digest, of, says in (*self._signed, *self._unsigned)
            if (of, maker(of, says)) in makers and digest not in ours
        }
        promised_statements = [(promised.predicate_type, promised.predicate) for promised in attestations]
        return frozenset(gone), frozenset(
            digest for digest, statement_of in gone.items() if statement_of in promised_statements
        )


def _order(descriptor: Descriptor) -> tuple[str, str, Digest]:
    predicate = descriptor.annotation(PREDICATE_TYPE) or descriptor.annotation(UNSIGNED_TYPE) or ""
    return predicate, descriptor.artifact_type or "", descriptor.digest
