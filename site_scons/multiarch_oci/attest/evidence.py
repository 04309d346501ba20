"""What is signed about an image in its repository, and whether that is what a rule of the trust file demands.

Read are bundles, listed as referrers or by the fallback tag, and the older tags `sha256-….sig` with what cosign calls
simple signing (sigstore/cosign, specs/SIGNATURE_SPEC.md). All of it is a stranger's until it was verified.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import msgspec

from multiarch_oci.artifact import Artifact
from multiarch_oci.attest.dsse import LONGEST, InvalidEnvelope, decoded, strict
from multiarch_oci.attest.statement import COSIGN_SIGNATURE
from multiarch_oci.attest.trust import Rule, Untrusted
from multiarch_oci.attest.verifying import AboutAnother, NotVerified, Verifier
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest, DigestMismatch, InvalidDigest
from multiarch_oci.document import InvalidDocument
from multiarch_oci.errors import MultiarchError, one_line, quoted
from multiarch_oci.index import Index
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import BUNDLE, SIMPLE_SIGNING, is_index, is_manifest
from multiarch_oci.store import BlobMissing, ManifestTooLarge, read
from multiarch_oci.store.layout import Layout
from multiarch_oci.store.referrers import NoList, artifact, listing
from multiarch_oci.store.registry import Registry

Store: TypeAlias = "Registry | Layout"

_MOST = 64
"""Referrers, or signatures of one tag, that are looked at, those first that say they are bundles."""

_LONGEST_SIMPLE = 1 << 20
_SIGNATURE = "dev.cosignproject.cosign/signature"
_SIMPLE = ("cosign container image signature", COSIGN_SIGNATURE)
"""What the payload of a simple signing says it is; cosign's own newer ones name the predicate type."""

_SHOWN = 3
_DAMAGED = (BlobMissing, ManifestTooLarge, DigestMismatch, InvalidDigest, InvalidDocument, InvalidEnvelope)
"""Errors of what lies there, not of asking for it: the next one may be whole."""


class Evidence(msgspec.Struct, frozen=True):
    """One thing that somebody signed about a subject: the predicate type, and by whom."""

    predicate_type: str
    signer: str


class OlderSignature(msgspec.Struct, frozen=True):
    """One signature of an older tag, read and not believed; `fault` in the place of the rest where it cannot be read.

    `about` is the digest that the payload names, as it stands there.
    """

    where: str
    payload: bytes = b""
    signature: bytes = b""
    annotations: Mapping[str, str] = {}
    about: str = ""
    fault: MultiarchError | None = None

    def moved(self, subject: Digest) -> AboutAnother | None:
        """Why it is none of this subject, whoever signed it; None when it is."""
        if self.about == str(subject):
            return None
        return AboutAnother(f"is about {quoted(self.about or 'nothing', 80)}, not {subject}", where=self.where)


def judge(rule: Rule, store: Store, subjects: Iterable[Digest]) -> str:
    """Who signed what a rule demands, about one of the subjects; raises Untrusted, which says what was found.

    Subjects are the manifest of an image and the indexes that name it, of which the next is taken only when it is
    needed. What the place raises when it is asked is raised: that nothing can be known is not that nothing is there.
    """
    demanded = set(rule.predicates or (COSIGN_SIGNATURE,))
    signers: dict[str, str] = {}
    remarks: list[str] = []
    for subject in subjects if rule.verifiers else ():
        for evidence in _evidence(rule.verifiers, store, subject, remarks):
            signers.setdefault(evidence.predicate_type, evidence.signer)
            if demanded <= set(signers):
                return signers[min(demanded)]
    raise Untrusted(_outcome(signers, remarks))


def is_signed(store: Store, subject: Digest, verifier: Verifier) -> bool:
    """Whether there is a signature of a subject by one who is believed. Raises what the place raises."""
    signed = _evidence((verifier,), store, subject, [])
    return any(evidence.predicate_type == COSIGN_SIGNATURE for evidence in signed)


def names(store: Store, index: Descriptor, image: Digest) -> bool:
    """Whether an index is there and names an image. Raises what the place raises when it is asked."""
    if not is_index(index.media_type):
        return False
    try:
        members = Index.from_json(read(store, index), where=str(index.digest), media_type=index.media_type).manifests
    except _DAMAGED:
        return False
    return any(member.digest == image for member in members)


def _outcome(signers: dict[str, str], remarks: list[str]) -> str:
    """What was found, in words."""
    good = [f"{kind} by {signer}" for kind, signer in sorted(signers.items())]
    shown = [*good, *dict.fromkeys(remarks)]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ("; ".join(shown[:_SHOWN]) + more) or "nothing is attached to it"


def _evidence(verifiers: tuple[Verifier, ...], store: Store, subject: Digest, remarks: list[str]) -> Iterator[Evidence]:
    """What these signed about a subject; why the rest does not count joins the remarks."""
    for descriptor, content in _bundles(store, subject, remarks):
        where = f"bundle {descriptor.digest}"
        for verifier in verifiers:
            try:
                verified = verifier.verify(content, subject=subject, where=where)
            except (NotVerified, InvalidEnvelope) as error:
                remarks.append(one_line(error))
                continue
            yield Evidence(verified.predicate_type, verified.signer)
            break
    yield from _simple(verifiers, store, subject, remarks)


def _bundles(store: Store, subject: Digest, remarks: list[str]) -> Iterator[tuple[Descriptor, bytes]]:
    """The bundles that refer to a subject, whatever a list says of their types."""
    try:
        referrers = listing(store, subject).referrers
    except (NoList, *_DAMAGED) as error:
        remarks.append(one_line(error))
        return
    likely = sorted(referrers, key=lambda referrer: referrer.artifact_type != BUNDLE)
    for referrer in likely[:_MOST]:
        try:
            made: Artifact = artifact(store, referrer, subject)
            layers = [layer for layer in made.layers if layer.media_type == BUNDLE]
            if made.artifact_type == BUNDLE and not layers:
                layers = list(made.layers)
            for layer in layers[:1]:
                yield layer, _content(store, layer, LONGEST)
        except _DAMAGED as error:  # noqa: PERF203  # the next one may be whole
            remarks.append(one_line(error))


def _simple(verifiers: tuple[Verifier, ...], store: Store, subject: Digest, remarks: list[str]) -> Iterator[Evidence]:
    """The signatures of the older tag of a subject."""
    for older in older_signatures(store, subject):
        fault = older.fault or older.moved(subject)
        if fault is not None:
            remarks.append(one_line(fault))
            continue
        refusals = []
        for verifier in verifiers:
            refusal = verifier.refusal(older.payload, older.signature, older.annotations)
            if refusal is None:
                yield Evidence(COSIGN_SIGNATURE, verifier.identity)
                break
            refusals.append(f"{older.where[:19]}….sig: {refusal}")
        else:
            remarks += refusals


def older_tag(subject: Digest) -> str:
    """The tag that cosign before 3 keeps signatures of a subject under."""
    return f"{subject.algorithm}-{subject.hex}.sig"


def older_signatures(store: Store, subject: Digest) -> Iterator[OlderSignature]:
    """Read the signatures of the older tag of a subject, the first of them; none where there is no such tag."""
    tag = older_tag(subject)
    descriptor = store.resolve(tag)
    if descriptor is None or not is_manifest(descriptor.media_type):
        return
    try:
        manifest = Manifest.from_json(read(store, descriptor), where=tag, media_type=descriptor.media_type)
    except _DAMAGED as error:
        yield OlderSignature(tag, fault=error)
        return
    for layer in [layer for layer in manifest.layers if layer.media_type == SIMPLE_SIGNING][:_MOST]:
        try:
            payload = _content(store, layer, _LONGEST_SIMPLE)
            signature = decoded(layer.annotation(_SIGNATURE) or "", where=tag)
            yield OlderSignature(tag, payload, signature, dict(layer.annotations), _subject_of_simple(payload, tag))
        except _DAMAGED as error:  # noqa: PERF203  # the next one may be whole
            yield OlderSignature(tag, fault=error)


def _subject_of_simple(payload: bytes, tag: str) -> str:
    """The digest that a payload says it is about; InvalidEnvelope, InvalidDocument where it is no signature."""
    critical = strict(payload, where=tag).nested("critical")
    image = None if critical is None else critical.nested("image")
    if critical is None or image is None or critical.text("type") not in _SIMPLE:
        raise InvalidEnvelope("is no signature of an image", where=tag)
    return image.text("docker-manifest-digest") or ""


def _content(store: Store, descriptor: Descriptor, limit: int) -> bytes:
    if descriptor.size > limit:
        raise InvalidEnvelope(f"is {descriptor.size} bytes, the limit is {limit}", where=str(descriptor.digest))
    with store.open(descriptor.bare()) as stream:
        return stream.read()
