"""Whether what is promised of subjects is in their registry: by whom each signature is, what each statement is about.

What is there is read whole: a bundle counts as a signature only by the type of what it says, and only by the signer
that counts. Others' are named, and not judged. Nothing is changed.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from multiarch_oci.attest.evidence import is_signed, names, older_signatures
from multiarch_oci.attest.statement import COSIGN_SIGNATURE, CYCLONEDX, PROVENANCE, SPDX, UNSIGNED_TYPE
from multiarch_oci.attest.stored import MOST, PREDICATES, Stored, predicate_of, stored
from multiarch_oci.attest.verifying import CERTIFICATE
from multiarch_oci.attesting import PREDICATE_TYPE
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest, InvalidDigest
from multiarch_oci.errors import MultiarchError, one_line, quoted
from multiarch_oci.mediatype import BUNDLE, IN_TOTO
from multiarch_oci.receipt import Attested
from multiarch_oci.reference import Reference
from multiarch_oci.store.layout import Layout
from multiarch_oci.store.referrers import Listing, listing
from multiarch_oci.verify import Finding, Problem

if TYPE_CHECKING:
    from multiarch_oci.attest.evidence import OlderSignature
    from multiarch_oci.attest.verifying import Verifier
    from multiarch_oci.store.registry import Registry

NAMES = {
    COSIGN_SIGNATURE: "signature",
    PROVENANCE: "SLSA provenance",
    SPDX: "SPDX",
    CYCLONEDX: "CycloneDX",
}
"""What predicates are called in a line for people; others by their type."""

_MEMBERS = {PROVENANCE: ("buildDefinition", "runDetails"), SPDX: ("spdxVersion",), CYCLONEDX: ("bomFormat",)}
"""What a predicate of a type has to have."""

_TAG = re.compile(r"sha256-([0-9a-f]{64})(\.sig|\.att|\.sbom)?\Z")
"""A tag that is about another manifest: the list of its referrers, or one of cosign before 3.

One of SHA-512 has room for a part of the digest alone, by which no manifest is asked for."""
_TAGS = 2000
"""How many such tags of one repository are looked at for orphans."""


class Promised(msgspec.Struct, frozen=True):
    """What a subject should have: as the receipt of `env.Attest` says, None where there is none.

    `verifier` is the one whose signatures count; None where nobody said who that is. Where this build signs nothing, as
    others do it, the receipt names no referrer, and a signature of one of the `indexes` is enough where that names the
    image.
    """

    reference: Reference
    store: Registry | Layout
    receipt: Attested | None
    verifier: Verifier | None
    indexes: tuple[Descriptor, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """Who says what of one subject, in one line (empty where there is nothing to say), and what is wrong."""

    line: str
    findings: tuple[Finding, ...]


def check(promised: Sequence[Promised], *, workers: int = 8) -> tuple[Answer, ...]:
    """Read what refers to each subject; in the order given. A place that does not answer is a finding."""
    with ThreadPoolExecutor(workers) as pool:
        return tuple(pool.map(_answer, range(len(promised)), promised))


def orphans(store: Registry | Layout) -> Iterator[str]:
    """What a repository holds that refers to what is not there, one line each. Raises what the place raises."""
    if isinstance(store, Layout):
        yield from _orphans_of_folder(store)
        return
    lists = [known for tag in store.tags() if (known := _TAG.match(tag))][:_TAGS]
    with ThreadPoolExecutor(8) as pool:
        subjects = pool.map(lambda known: store.resolve(f"sha256:{known[1]}"), lists)
        for known, subject in zip(lists, subjects, strict=True):
            if subject is None:
                does = "is about" if known[2] else "lists what refers to"
                yield f"orphan: the tag {known[0]} {does} a manifest that is not there; delete the tag"


def _orphans_of_folder(layout: Layout) -> Iterator[str]:
    from multiarch_oci.artifact import Artifact
    from multiarch_oci.store import read

    for entry in layout.listed():
        try:
            made = Artifact.from_json(read(layout, entry.bare()), where=str(entry.digest))
        except MultiarchError:
            continue
        if layout.resolve(str(made.subject.digest)) is None:
            yield f"orphan: {entry.digest} refers to {made.subject.digest}, which is not there"


class _Read(msgspec.Struct):
    """What was read of one subject: who says what, each by predicate type; faults."""

    verified: list[str] = msgspec.field(default_factory=list)
    by_index: bool = False  # … and whether a signature of the index that names it stands for its own
    plain: list[str] = msgspec.field(default_factory=list)
    others: list[str] = msgspec.field(default_factory=list)
    faults: list[tuple[Problem, str, Descriptor | None]] = msgspec.field(default_factory=list)


def _answer(number: int, promised: Promised) -> Answer:
    result = _Read()
    receipt = promised.receipt
    if receipt is None:
        result.faults.append(
            (Problem.UNRECORDED, "what it holds was not attested from this tree: there is no receipt of that", None)
        )
    else:
        try:
            before = listing(promised.store, receipt.subject.digest)
            _listed(before, receipt, result)
            for known in stored(promised.store, receipt.subject.digest, before.referrers[:MOST]):
                _look(known, promised.verifier, receipt, result)
            for older in older_signatures(promised.store, receipt.subject.digest):
                _look_at_older(older, promised.verifier, receipt, result)
            _wanting(promised, receipt, result)
        except MultiarchError as error:
            result.faults.append((Problem.UNKNOWN, one_line(error), None))
    findings = [Finding(number, promised.reference, *fault) for fault in result.faults]
    return Answer(_line(promised, result), tuple(findings))


def _listed(before: Listing, receipt: Attested, result: _Read) -> None:
    """What of the receipt is not listed."""
    for referrer in receipt.referrers:
        if referrer.digest not in before.digests():
            what = f"{_named(referrer)} {referrer.digest} is not listed as what refers to it"
            result.faults.append((Problem.MISSING, what, referrer))


def _look(known: Stored, verifier: Verifier | None, receipt: Attested, result: _Read) -> None:
    """Read one referrer; what is wrong with one that nobody promised is a fault only where it is not there."""
    digest = known.descriptor.digest
    ours = digest in {referrer.digest for referrer in receipt.referrers}
    if known.fault is not None:
        result.faults.append(
            (Problem.MISSING, f"orphan: it lists {digest}, which {_reason(known.fault)}", known.descriptor)
        )
    elif known.kind == BUNDLE:
        _look_at_bundle(known, verifier, receipt, result, ours=ours)
    elif (statement := predicate_of(known)) is not None:
        result.plain.append(NAMES.get(statement[0], quoted(statement[0])))
        if (fault := _malformed(*statement)) is not None and ours:
            result.faults.append((Problem.CONTRADICTION, f"{digest} {fault}", known.descriptor))
    else:
        result.others.append(quoted(known.kind))


def _look_at_bundle(known: Stored, verifier: Verifier | None, receipt: Attested, result: _Read, *, ours: bool) -> None:
    from multiarch_oci.attest.dsse import InvalidEnvelope
    from multiarch_oci.attest.verifying import AboutAnother, NotVerified

    digest = known.descriptor.digest
    if verifier is None:
        result.others.append(f"{' by '.join(_claimed(known))}, not verified")
        return
    try:
        verified = verifier.verify(known.content, subject=receipt.subject.digest, where=str(digest))
    except (NotVerified, InvalidEnvelope) as error:
        if ours:
            result.faults.append((Problem.DAMAGED, f"{digest} {error.what}", known.descriptor))
        elif isinstance(error, AboutAnother) or _claimed(known)[-1] == verifier.identity:
            what = f"{digest} claims {' by '.join(_claimed(known))}, does not verify: {error.what}"
            result.faults.append((Problem.CONTRADICTION, what, known.descriptor))
        else:
            result.others.append(" by ".join(_claimed(known)))
        return
    result.verified.append(verified.predicate_type)
    if (fault := _malformed(verified.predicate_type, verified.statement.predicate)) is not None:
        result.faults.append((Problem.CONTRADICTION, f"{digest} {fault}", known.descriptor))


def _look_at_older(older: OlderSignature, verifier: Verifier | None, receipt: Attested, result: _Read) -> None:
    """What the tag of cosign before 3 says: that nobody promised, so it is a fault only where it was moved here."""
    if older.fault is not None:
        result.others.append("signature in the .sig tag that cannot be read")
        return
    by = "a certificate" if CERTIFICATE in older.annotations else "a key that is not named"
    if verifier is None:
        result.others.append(f"signature by {by}, not verified")
    elif verifier.refusal(older.payload, older.signature, older.annotations) is not None:
        result.others.append(f"signature by {by}")
    elif (moved := older.moved(receipt.subject.digest)) is not None:
        what = f"{older.where} holds a signature by {verifier.identity} that {moved.what}"
        result.faults.append((Problem.CONTRADICTION, what, None))
    else:
        result.verified.append(COSIGN_SIGNATURE)


def _wanting(promised: Promised, receipt: Attested, result: _Read) -> None:
    """What was promised by type, and is not there by the one who should have signed it."""
    verifier = promised.verifier
    if verifier is None:
        return
    promised_types = [d.annotation(PREDICATE_TYPE) for d in receipt.referrers if d.artifact_type == BUNDLE]
    for predicate_type in dict.fromkeys((COSIGN_SIGNATURE, *filter(None, promised_types))):
        if predicate_type in result.verified:
            continue
        store, image = promised.store, receipt.subject.digest
        if predicate_type == COSIGN_SIGNATURE and any(
            names(store, index, image) and is_signed(store, index.digest, verifier) for index in promised.indexes
        ):
            result.by_index = True
        else:
            name = NAMES.get(predicate_type, quoted(predicate_type))
            what = f"has no {name} by {verifier.identity} that verifies"
            result.faults.append((Problem.UNSIGNED, what, None))


def _malformed(predicate_type: str, predicate: Mapping[str, object]) -> str | None:
    """Why a predicate is not what its type says; None when it may be."""
    for member in _MEMBERS.get(predicate_type, ()):
        if not predicate.get(member):
            return f"says it is {NAMES[predicate_type]}, and has no {member}"
    return None


def _claimed(known: Stored) -> tuple[str, ...]:
    """What a bundle says of itself that was not verified: its type, and by whom it is where it can be read."""
    from multiarch_oci.attest.bundle import Bundle

    predicate = "" if known.artifact is None else dict(known.artifact.annotations).get(PREDICATE_TYPE, "")
    name = NAMES.get(predicate, quoted(predicate) if predicate else "something")
    try:
        hint = Bundle.from_json(known.content, where="").hint
    except MultiarchError:
        return (f"{name} that cannot be read",)
    try:
        return name, "a certificate" if hint is None else _key(hint)
    except (binascii.Error, InvalidDigest, ValueError):
        return name, "a key that is not named"


def _key(hint: str) -> str:
    return f"key {Digest('sha256', base64.b64decode(hint, validate=True).hex())}"


def _line(promised: Promised, result: _Read) -> str:
    """Who says what of a subject."""
    parts = []
    if result.verified and promised.verifier is not None:
        names = [NAMES.get(predicate, quoted(predicate)) for predicate in result.verified]
        parts.append(f"{', '.join(_distinct(names))} by {promised.verifier.identity}")
    if result.by_index and promised.verifier is not None:
        parts.append(f"its index has a signature by {promised.verifier.identity}")
    if result.plain:
        parts.append(f"unsigned: {', '.join(_distinct(result.plain))}")
    if result.others:
        parts.append(f"others: {', '.join(_distinct(result.others))}")
    return f"{promised.reference}: {'; '.join(parts)}" if parts else ""


def _distinct(words: Iterable[str]) -> list[str]:
    known = list(NAMES.values())
    return sorted(dict.fromkeys(words), key=lambda word: (known.index(word) if word in known else len(known), word))


def _named(referrer: Descriptor) -> str:
    predicate = referrer.annotation(PREDICATE_TYPE) or referrer.annotation(UNSIGNED_TYPE) or ""
    known = NAMES.get(predicate or PREDICATES.get(referrer.artifact_type or "", ""), "")
    return known or (IN_TOTO if referrer.artifact_type == IN_TOTO else "something")


def _reason(error: MultiarchError) -> str:
    return error.what
