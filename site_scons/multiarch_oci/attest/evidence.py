"""What is signed about an image in its repository, and whether that is what a rule of the trust file demands.

Read are bundles, listed as referrers or by the fallback tag, and the older tags `sha256-….sig` with what cosign calls
simple signing (sigstore/cosign, specs/SIGNATURE_SPEC.md). All of it is a stranger's until it was verified.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import msgspec

from multiarch_oci.artifact import Artifact
from multiarch_oci.attest.dsse import LONGEST, InvalidEnvelope, decoded, strict
from multiarch_oci.attest.statement import COSIGN_SIGNATURE
from multiarch_oci.attest.trust import Rule, Untrusted
from multiarch_oci.attest.verifying import NotVerified, Verifier
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest, DigestMismatch, InvalidDigest
from multiarch_oci.document import InvalidDocument
from multiarch_oci.errors import one_line
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import BUNDLE, SIMPLE_SIGNING, is_manifest
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
    tag = f"{subject.algorithm}-{subject.hex}.sig"
    descriptor = store.resolve(tag)
    if descriptor is None or not is_manifest(descriptor.media_type):
        return
    try:
        manifest = Manifest.from_json(read(store, descriptor), where=tag, media_type=descriptor.media_type)
        layers = [layer for layer in manifest.layers if layer.media_type == SIMPLE_SIGNING]
    except _DAMAGED as error:
        remarks.append(one_line(error))
        return
    for layer in layers[:_MOST]:
        try:
            payload = _content(store, layer, _LONGEST_SIMPLE)
            signature = decoded(layer.annotation(_SIGNATURE) or "", where=tag)
            _check_simple(payload, subject, tag)
        except (*_DAMAGED, NotVerified) as error:
            remarks.append(one_line(error))
            continue
        refusals = []
        for verifier in verifiers:
            refusal = verifier.refusal(payload, signature, dict(layer.annotations))
            if refusal is None:
                yield Evidence(COSIGN_SIGNATURE, verifier.identity)
                break
            refusals.append(f"{tag[:19]}….sig: {refusal}")
        else:
            remarks += refusals


def _check_simple(payload: bytes, subject: Digest, tag: str) -> None:
    """Raise NotVerified, InvalidEnvelope or InvalidDocument unless a payload is about this subject."""
    critical = strict(payload, where=tag).nested("critical")
    image = None if critical is None else critical.nested("image")
    if critical is None or image is None or critical.text("type") not in _SIMPLE:
        raise InvalidEnvelope("is no signature of an image", where=tag)
    named = image.text("docker-manifest-digest")
    if named != str(subject):
        raise NotVerified(f"is about {(named or 'nothing')[:80]!r}, not {subject}", where=tag)


def _content(store: Store, descriptor: Descriptor, limit: int) -> bytes:
    if descriptor.size > limit:
        raise InvalidEnvelope(f"is {descriptor.size} bytes, the limit is {limit}", where=str(descriptor.digest))
    with store.open(descriptor.bare()) as stream:
        return stream.read()
