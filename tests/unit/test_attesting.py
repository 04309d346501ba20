"""What is promised of a subject is made to be there, and what others attached is neither believed nor touched."""

from __future__ import annotations

import base64
import io
import json
import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from multiarch_oci.artifact import EMPTY_CONFIG, EMPTY_CONTENT, Artifact
from multiarch_oci.attest.evidence import older_tag
from multiarch_oci.attest.keys import PrivateKey
from multiarch_oci.attest.provenance import BUILDER, with_run
from multiarch_oci.attest.signing import KeySigner
from multiarch_oci.attest.statement import COSIGN_SIGNATURE, PROVENANCE, SPDX, statement
from multiarch_oci.attesting import PREDICATE_TYPE, Attestation, AttestationMoved, Outcome, attest
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.document import InvalidDocument
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import BUNDLE, MANIFEST, SIMPLE_SIGNING, SPDX_JSON
from multiarch_oci.plan.policy import Policy
from multiarch_oci.receipt import Attested
from multiarch_oci.reference import Reference
from multiarch_oci.signed import Promised, check, orphans
from multiarch_oci.store import read
from multiarch_oci.store.layout import Layout
from multiarch_oci.store.referrers import listing

TAG = Reference.parse("registry.example/team/demo:1")
SUBJECT = Descriptor.of(
    MANIFEST, b'{"config":{"mediaType":"x/y","digest":"sha256:' + b"0" * 64 + b'","size":1},"layers":[]}'
)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> KeySigner:
    return made_signer(tmp_path_factory.mktemp("key") / "key.pem")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> KeySigner:
    return made_signer(tmp_path_factory.mktemp("key") / "key.pem")


def made_signer(path: Path) -> KeySigner:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(*form))
    path.chmod(0o600)
    return KeySigner(path, path.name, lambda: None)


@pytest.fixture
def place(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def put(place: Layout, descriptor: Descriptor, content: bytes) -> None:
    place.put(descriptor, lambda: io.BytesIO(content))


def sbom(number: int, tool: str = "Tool: x") -> Attestation:
    members = {"spdxVersion": "SPDX-2.3", "creationInfo": {"creators": [tool]}, "number": number}
    return Attestation.of(json.dumps(members).encode(), SUBJECT.digest, "demo", where="sbom")


def provenance(number: int, builder: str = "https://example.com/builder") -> Attestation:
    predicate = {"buildDefinition": {"number": number}, "runDetails": {"builder": {"id": builder}}}
    content = statement(SUBJECT.digest, "demo", PROVENANCE, predicate)
    return Attestation.of(content, SUBJECT.digest, "demo", where="provenance")


def of_run(number: int, moment: str) -> Attestation:
    """Return the provenance of our builder with the times of a run."""
    tracked = provenance(number, BUILDER).predicate
    predicate = with_run(tracked, invocation="urn:uuid:1", started=moment, finished=moment)
    content = statement(SUBJECT.digest, "demo", PROVENANCE, predicate)
    return Attestation.of(content, SUBJECT.digest, "demo", where="provenance")


def run(
    place: Layout,
    signer: KeySigner | None,
    *attestations: Attestation,
    previous: Attested | None = None,
    policy: Policy | None = None,
    of_run: Attestation | None = None,
) -> Outcome:
    given = policy or Policy()
    return attest(place, SUBJECT, TAG, attestations, signer, previous=previous, policy=given, of_run=of_run)


def kinds(place: Layout) -> list[str]:
    """Return what is listed, each by the type that its statement has, else by its own."""
    listed = listing(place, SUBJECT.digest).referrers
    return sorted(entry.annotation(PREDICATE_TYPE) or entry.artifact_type or "" for entry in listed)


def test_equal_promises_are_equal_bytes_and_are_sent_once(place: Layout, tmp_path: Path, signer: KeySigner):
    first = run(place, signer, sbom(1), provenance(1))
    assert len(first.copied.sent) == 1 + 2 * 4  # the empty config, and a manifest and a layer each
    again = run(Layout(tmp_path / "layout"), signer, sbom(1), provenance(1))
    elsewhere = run(Layout(tmp_path / "elsewhere"), signer, sbom(1), provenance(1))
    assert again.copied.sent == ()
    assert first.receipt.to_json() == again.receipt.to_json() == elsewhere.receipt.to_json()
    assert Attested.from_json(first.receipt.to_json(), where="x") == first.receipt


def test_a_newer_one_by_the_same_maker_and_signer_takes_the_place_of_the_older(place: Layout, signer: KeySigner):
    older = run(place, signer, provenance(1))
    run(place, signer, provenance(1, builder="https://example.com/other"))
    newer = run(place, signer, provenance(2), previous=older.receipt)
    assert kinds(place).count(PROVENANCE) == 2
    assert newer.remarks == ()
    replaced = run(place, signer, provenance(3))
    assert len(replaced.remarks) == 1
    assert kinds(place).count(PROVENANCE) == 2


@pytest.mark.parametrize("signs", [True, False])
def test_the_provenance_of_a_run_stands_beside_the_tracked_one_and_is_not_tracked(
    place: Layout, signer: KeySigner, signs: bool
):
    who = signer if signs else None
    plain = run(place, who, provenance(1, BUILDER))
    first = run(place, who, provenance(1, BUILDER), of_run=of_run(1, "2026-01-01T00:00:00Z"))
    assert first.receipt == plain.receipt
    listed = kinds(place)
    assert len(listed) == len(first.receipt.referrers) + 1
    # Another day, another machine: what is there is as good, and who does not want one leaves it there.
    fail = Policy(repair=False)
    for more in (of_run(1, "2026-01-02T00:00:00Z"), None):
        again = run(place, who, provenance(1, BUILDER), of_run=more, policy=fail)
        assert (again.copied.sent, again.remarks, kinds(place)) == ((), (), listed)
    # Other contents: it takes the place of the older one, as the tracked one does.
    newer = run(place, who, provenance(2, BUILDER), previous=first.receipt, policy=fail, of_run=of_run(2, "later"))
    assert (newer.remarks, len(kinds(place))) == ((), len(listed))
    assert run(place, who, provenance(3, BUILDER), previous=newer.receipt, policy=fail).remarks == ()
    assert len(kinds(place)) == len(listed) - 1


def test_one_of_somebody_else_stays(place: Layout, signer: KeySigner, stranger: KeySigner):
    run(place, stranger, provenance(1))
    run(place, signer, provenance(2))
    assert kinds(place).count(PROVENANCE) == 2


@pytest.mark.parametrize("policy", [Policy(repair=False), Policy(immutable=True)])
def test_where_nothing_may_be_replaced_one_by_another_run_is_an_error(place: Layout, signer: KeySigner, policy: Policy):
    run(place, signer, provenance(1))
    with pytest.raises(AttestationMoved, match="has an attestation by another run"):
        run(place, signer, provenance(2), policy=policy)
    assert kinds(place).count(PROVENANCE) == 1


@pytest.mark.parametrize("policy", [Policy(repair=False), Policy(immutable=True)])
def test_what_was_unsigned_is_signed_by_another_run_where_nothing_may_be_replaced(
    place: Layout, signer: KeySigner, policy: Policy
):
    run(place, None, provenance(1), sbom(1))
    assert PROVENANCE not in kinds(place)
    run(place, signer, provenance(1), sbom(1), policy=policy)
    assert kinds(place) == sorted((COSIGN_SIGNATURE, PROVENANCE, SPDX, SPDX_JSON))
    with pytest.raises(AttestationMoved, match="has an attestation by another run"):
        run(place, signer, provenance(2), policy=policy)


def test_a_statement_about_something_else_is_an_error():
    other = statement(Descriptor.of(MANIFEST, b"other").digest, "demo", PROVENANCE, {})
    with pytest.raises(InvalidDocument, match="about something else"):
        Attestation.of(other, SUBJECT.digest, "demo", where="provenance")


def test_no_bundle_that_was_changed_is_taken_for_ours(place: Layout, signer: KeySigner):
    """Whatever a bundle says after a change of it, it is signed anew: in no case is there a traceback."""
    right = run(place, signer, provenance(1))
    (bundle,) = [r for r in right.receipt.referrers if r.annotation(PREDICATE_TYPE) == PROVENANCE]
    made = Artifact.from_json(read(place, bundle.bare()), where="x")
    content = read(place, made.layers[0])
    chance = random.Random(1)  # noqa: S311  # no secret
    put(place, EMPTY_CONFIG, EMPTY_CONTENT)
    for _ in range(150):
        changed = mutated(content, chance)
        artifact = Artifact.of(BUNDLE, SUBJECT, Descriptor.of(BUNDLE, changed), {PREDICATE_TYPE: PROVENANCE})
        put(place, artifact.layers[0], changed)
        put(place, artifact.descriptor().bare(), artifact.to_json())
        place.relist((artifact.descriptor(),), frozenset([bundle.digest]))
        again = run(place, signer, provenance(1))
        assert bundle.digest in {referrer.digest for referrer in again.receipt.referrers}
        place.relist((), frozenset([artifact.descriptor().digest]))


def mutated(content: bytes, chance: random.Random) -> bytes:
    position = chance.randrange(len(content))
    kind = chance.randrange(3)
    if kind == 0:
        return content[:position] + bytes([content[position] ^ (1 << chance.randrange(8))]) + content[position + 1 :]
    if kind == 1:
        return content[:position]
    return content[:position] + bytes([chance.randrange(256)]) + content[position:]


def test_what_lies_there_instead_of_a_manifest_is_passed_by(place: Layout, signer: KeySigner):
    for content in (b"", b"{", b"[]", b'{"config":1}', b'{"subject":{}}', b"\xff" * 9):
        descriptor = Descriptor.of(MANIFEST, content)
        put(place, descriptor, content)
        place.relist((descriptor,), frozenset())
    done = run(place, signer, sbom(1))
    assert len(done.receipt.referrers) == 3


def test_it_is_said_who_signed_what_and_what_lacks(place: Layout, signer: KeySigner, stranger: KeySigner):
    put(place, SUBJECT, content_of_subject())
    done = run(place, signer, sbom(1), provenance(1))
    run(place, stranger, provenance(2))
    (answer,) = check([Promised(TAG, place, done.receipt, signer.verifier())])
    assert answer.findings == ()
    assert answer.line.startswith(f"{TAG}: signature, SLSA provenance, SPDX by key sha256:")
    assert "signature by key sha256:" in answer.line.partition("others: ")[2]
    (answer,) = check([Promised(TAG, place, done.receipt, stranger.verifier())])
    assert any("has no SPDX by key sha256:" in str(finding) for finding in answer.findings)
    assert list(orphans(place)) == []


def test_a_bundle_that_was_moved_from_another_subject_is_a_fault_beside_right_ones(place: Layout, signer: KeySigner):
    done = run(place, signer)
    other = Descriptor.of(MANIFEST, b"other")
    (moved,) = attest(place, other, TAG, (), signer, previous=None, policy=Policy()).receipt.referrers
    content = read(place, Artifact.from_json(read(place, moved.bare()), where="x").layers[0])
    changed = content.replace(b'"signatures":[{"sig":"M', b'"signatures":[{"sig":"N')
    assert changed != content
    for bundle, why in ((content, f"is about {other.digest}, not {SUBJECT.digest}"), (changed, "its signature is not")):
        noted = {PREDICATE_TYPE: COSIGN_SIGNATURE}
        artifact = Artifact.of(BUNDLE, SUBJECT, Descriptor.of(BUNDLE, bundle), noted)
        put(place, artifact.layers[0], bundle)
        put(place, artifact.descriptor().bare(), artifact.to_json())
        place.relist((artifact.descriptor(),), frozenset())
        (answer,) = check([Promised(TAG, place, done.receipt, signer.verifier())])
        (finding,) = answer.findings
        claimed = f"claims signature by {signer.verifier().identity}, does not verify: {why}"
        assert claimed in str(finding)
        assert "others" not in answer.line
        place.relist((), frozenset([artifact.descriptor().digest]))


def test_what_refers_to_nothing_is_named(place: Layout, signer: KeySigner):
    run(place, signer)
    (line,) = orphans(place)
    assert line.endswith(f"refers to {SUBJECT.digest}, which is not there")


def content_of_subject() -> bytes:
    return b'{"config":{"mediaType":"x/y","digest":"sha256:' + b"0" * 64 + b'","size":1},"layers":[]}'


def test_the_types_of_documents_are_known_by_what_they_say():
    assert sbom(1).predicate_type == SPDX
    bom = Attestation.of(b'{"bomFormat":"CycloneDX","specVersion":"1.6"}', SUBJECT.digest, "demo", where="x")
    assert (bom.predicate_type, bom.maker) == ("https://cyclonedx.org/bom", None)


def test_the_older_tag_counts_for_its_key_and_nothing_that_was_changed_in_it_does(
    place: Layout, signer: KeySigner, stranger: KeySigner
):
    put(place, SUBJECT, content_of_subject())
    content = simply_signed(place, signer)
    promise = Attested(TAG, SUBJECT, "", "", ())
    (answer,) = check([Promised(TAG, place, promise, signer.verifier())])
    assert (answer.findings, answer.line) == ((), f"{TAG}: signature by {signer.verifier().identity}")
    chance = random.Random(1)  # noqa: S311  # no secret
    for who, verifier in ((signer, stranger.verifier()), (stranger, signer.verifier())):
        simply_signed(place, who)
        (answer,) = check([Promised(TAG, place, promise, verifier)])
        assert "others: signature by a key that is not named" in answer.line
        assert [finding.what for finding in answer.findings] == [
            f"has no signature by {verifier.identity} that verifies"
        ]
    for _ in range(150):
        simply_signed(place, signer, mutated(content, chance))
        (answer,) = check([Promised(TAG, place, promise, signer.verifier())])
        assert len(answer.findings) == 1


def simply_signed(place: Layout, signer: KeySigner, changed: bytes | None = None) -> bytes:
    """Put the tag of cosign before 3 beside the subject and return its payload; `changed` stands in its place."""
    image = {"docker-manifest-digest": str(SUBJECT.digest)}
    payload = json.dumps({"critical": {"image": image, "type": "cosign container image signature"}}).encode()
    signature = base64.b64encode(PrivateKey.read(signer._path, lambda: None).sign(payload)).decode()
    held = payload if changed is None else changed
    layer = replace(
        Descriptor.of(SIMPLE_SIGNING, held), annotations=(("dev.cosignproject.cosign/signature", signature),)
    )
    manifest = Manifest(EMPTY_CONFIG, (layer,))
    put(place, EMPTY_CONFIG, EMPTY_CONTENT)
    put(place, layer, held)
    put(place, manifest.descriptor(), manifest.to_json())
    place.tag(older_tag(SUBJECT.digest), manifest.descriptor())
    return payload
