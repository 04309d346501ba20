"""Keys, envelopes and bundles: who signed what, and what is refused."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from multiarch_oci.attest.dsse import InvalidEnvelope, pae
from multiarch_oci.attest.keys import InvalidKey, PublicKey, WrongPassword
from multiarch_oci.attest.signing import Asked, KeySigner, UnknownSigner, check, public_file, signer
from multiarch_oci.attest.statement import COSIGN_SIGNATURE, statement
from multiarch_oci.attest.verifying import NotVerified
from multiarch_oci.digest import Digest
from multiarch_oci.document import UnreadableFile
from multiarch_oci.errors import MultiarchError
from multiarch_oci.mediatype import IN_TOTO

COSIGN = Path(__file__).parents[2] / "data" / "cosign"
SUBJECT = Digest.of(b"an index")
PAYLOAD = statement(SUBJECT, "registry.example/app", COSIGN_SIGNATURE, {})


def nobody() -> bytes | None:
    return None


def never() -> bytes | None:
    raise AssertionError("a password was asked for")


def make(kind: str) -> object:
    if kind == "p256":
        return ec.derive_private_key(0x1234567890ABCDEF1234567890ABCDEF, ec.SECP256R1())
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    if kind == "p384":
        return ec.derive_private_key(0x1234567890ABCDEF1234567890ABCDEF, ec.SECP384R1())
    return rsa.generate_private_key(65537, 2048)


def write(
    path: Path,
    key: object,
    *,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, form, encryption or NoEncryption()))
    path.chmod(0o600)
    return path


def write_public(path: Path, key: object) -> Path:
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def key_signer(path: Path, password: object = never, public: str = "") -> KeySigner:
    chosen = signer(Asked(path.name, public), root=path.parent, password=password, environment={})
    assert isinstance(chosen, KeySigner)
    return chosen


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_what_a_key_signed_is_what_its_public_half_verifies_and_always_the_same_bytes(tmp_path: Path, kind: str):
    path = write(tmp_path / "key.pem", make(kind))
    bundle = key_signer(path).sign(IN_TOTO, PAYLOAD)
    assert key_signer(path).sign(IN_TOTO, PAYLOAD) == bundle
    verified = key_signer(path).verifier().verify(bundle, subject=SUBJECT)
    assert (verified.payload, verified.predicate_type) == (PAYLOAD, COSIGN_SIGNATURE)
    assert verified.signer == key_signer(path).verifier().identity
    assert verified.signer.startswith("key sha256:")


def test_the_pre_authentication_encoding_is_that_of_the_specification():
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_an_ec_key_in_the_older_form_of_openssl_signs_too(tmp_path: Path):
    path = write(tmp_path / "key.pem", make("p256"), form=PrivateFormat.TraditionalOpenSSL)
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    path.write_bytes(parameters + path.read_bytes())
    assert key_signer(path).sign(IN_TOTO, PAYLOAD)


def test_the_private_key_is_not_opened_where_its_public_half_is_known(tmp_path: Path):
    """On a machine without it, too, so that the signature of another is taken."""
    key = make("p256")
    bundle = key_signer(write(tmp_path / "own.key", key)).sign(IN_TOTO, PAYLOAD)
    write_public(tmp_path / "own.pub", key)
    (tmp_path / "own.key").unlink()
    assert key_signer(tmp_path / "own.key").verifier().verify(bundle, subject=SUBJECT)
    write_public(tmp_path / "elsewhere.pem", key)
    assert key_signer(tmp_path / "absent", public="elsewhere.pem").verifier().verify(bundle, subject=SUBJECT)
    with pytest.raises(UnreadableFile, match="no such file"):
        key_signer(tmp_path / "own.key").sign(IN_TOTO, PAYLOAD)


def test_a_public_half_that_is_another_keys_is_an_error(tmp_path: Path):
    path = write(tmp_path / "own.key", make("p256"))
    write_public(tmp_path / "own.pub", make("ed25519"))
    with pytest.raises(InvalidKey, match=r"is not the public half of own\.key"):
        key_signer(path).sign(IN_TOTO, PAYLOAD)


@pytest.mark.parametrize(
    ("kind", "words"), [("rsa", "is an RSA key"), ("p384", "is an ECDSA key over secp384r1")], ids=["RSA", "P-384"]
)
def test_keys_of_other_kinds_are_one_line(tmp_path: Path, kind: str, words: str):
    key = make(kind)
    with pytest.raises(InvalidKey, match=words) as private:
        key_signer(write(tmp_path / "key.pem", key)).sign(IN_TOTO, PAYLOAD)
    assert "P-256" in str(private.value.hint)
    with pytest.raises(InvalidKey, match=words):
        PublicKey.read(write_public(tmp_path / "key.pub", key))


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_a_key_that_others_can_read_is_an_error(tmp_path: Path):
    path = write(tmp_path / "key.pem", make("p256"))
    path.chmod(0o640)
    with pytest.raises(InvalidKey) as raised:
        key_signer(path).sign(IN_TOTO, PAYLOAD)
    assert str(raised.value) == (
        "key.pem: others can read this private key (mode 0640)\n  hint: make it readable by you alone: chmod 600"
    )


def test_a_public_key_cannot_sign_and_a_private_one_does_not_verify(tmp_path: Path):
    public = write_public(tmp_path / "key.pub", make("p256"))
    with pytest.raises(InvalidKey, match="is a public key, which cannot sign"):
        key_signer(public).sign(IN_TOTO, PAYLOAD)
    private = write(tmp_path / "key.pem", make("p256"))
    with pytest.raises(InvalidKey, match="is a private key"):
        PublicKey.read(private)


def test_a_key_with_a_password_asks_for_it_once_and_says_when_it_is_wrong(tmp_path: Path):
    locked = write(tmp_path / "key.pem", make("p256"), encryption=BestAvailableEncryption(b"correct horse"))
    passwords = iter([b"correct horse"])
    chosen = key_signer(locked, lambda: next(passwords))
    assert chosen.sign(IN_TOTO, PAYLOAD) == chosen.sign(IN_TOTO, PAYLOAD)
    for password, words in ((lambda: b"battery", "the password is not the one"), (nobody, "none was given")):
        with pytest.raises(WrongPassword, match=words) as raised:
            key_signer(locked, password).sign(IN_TOTO, PAYLOAD)
        assert "battery" not in str(raised.value)


def test_what_is_no_key_is_an_error(tmp_path: Path):
    path = tmp_path / "key.pem"
    with pytest.raises(UnreadableFile, match="no such file"):
        key_signer(path).sign(IN_TOTO, PAYLOAD)
    good = write(path, make("p256")).read_bytes()
    for content in (b"", b"hello", good * 2, good.replace(b"M", b"!", 1), good[:60], b"\0" * 100, b"a" * 100_000):
        path.write_bytes(content)
        with pytest.raises((InvalidKey, UnreadableFile)):
            key_signer(path).sign(IN_TOTO, PAYLOAD)
    with pytest.raises(UnknownSigner):
        signer(Asked("awskms://alias/key"), root=tmp_path, password=nobody, environment={})


def test_another_key_another_subject_and_another_type_are_refused(tmp_path: Path):
    mine = key_signer(write(tmp_path / "mine.pem", make("p256")))
    other = key_signer(write(tmp_path / "other.pem", make("ed25519")))
    bundle = mine.sign(IN_TOTO, PAYLOAD)
    with pytest.raises(NotVerified, match="signed by another key"):
        other.verifier().verify(bundle, subject=SUBJECT)
    with pytest.raises(NotVerified, match="is about sha256:"):
        mine.verifier().verify(bundle, subject=Digest.of(b"another"))
    with pytest.raises(NotVerified, match="is of type 'text/plain'"):
        mine.verifier().verify(mine.sign("text/plain", PAYLOAD), subject=SUBJECT)
    with pytest.raises(InvalidEnvelope):
        mine.verifier().verify(mine.sign(IN_TOTO, b"{}"), subject=SUBJECT)


def changed(bundle: bytes, change: object) -> bytes:
    members = json.loads(bundle)
    change(members)
    return json.dumps(members).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["dsseEnvelope"]["signatures"].append(m["dsseEnvelope"]["signatures"][0]),
        lambda m: m["dsseEnvelope"]["signatures"].clear(),
        lambda m: m["dsseEnvelope"].update(payload=base64.b64encode(PAYLOAD + b" ").decode()),
        lambda m: m["dsseEnvelope"].update(payload=m["dsseEnvelope"]["payload"] + "\n"),
        lambda m: m["dsseEnvelope"].update(payloadType="text/plain"),
        lambda m: m["dsseEnvelope"].update(more=1),
        lambda m: m["dsseEnvelope"]["signatures"][0].update(keyid="x"),
        lambda m: m["dsseEnvelope"]["signatures"][0].update(sig=7),
        lambda m: m.update(mediaType="application/vnd.dev.sigstore.bundle.v0.2+json"),
        lambda m: m.update(verificationMaterial={}),
        lambda m: m.update(verificationMaterial=[]),
        lambda m: m["verificationMaterial"].update(certificate={"rawBytes": "AAAA"}),
        lambda m: m["verificationMaterial"]["publicKey"].update(hint="AAAA"),
        lambda m: m.update(messageSignature={}),
        lambda m: m.pop("dsseEnvelope"),
    ],
)
def test_a_changed_bundle_is_refused(tmp_path: Path, change: object):
    mine = key_signer(write(tmp_path / "mine.pem", make("p256")))
    with pytest.raises((InvalidEnvelope, NotVerified)):
        mine.verifier().verify(changed(mine.sign(IN_TOTO, PAYLOAD), change), subject=SUBJECT)


def test_a_member_that_is_there_twice_is_refused(tmp_path: Path):
    mine = key_signer(write(tmp_path / "mine.pem", make("p256")))
    twice = mine.sign(IN_TOTO, PAYLOAD).replace(b'"payloadType"', b'"payloadType":"text/plain","payloadType"')
    with pytest.raises(InvalidEnvelope, match="twice"):
        mine.verifier().verify(twice, subject=SUBJECT)


def test_of_random_damage_nothing_is_accepted_and_nothing_is_a_traceback(tmp_path: Path):
    mine = key_signer(write(tmp_path / "mine.pem", make("p256")))
    bundle = mine.sign(IN_TOTO, PAYLOAD)
    dice = random.Random(16)  # noqa: S311  # not for secrets
    for _ in range(1500):
        damaged = bytearray(bundle)
        for _ in range(dice.choice((1, 1, 2, 5))):
            at = dice.randrange(len(damaged))
            damaged[at : at + dice.choice((0, 1, 1, 9))] = dice.randbytes(dice.choice((0, 1, 1, 3)))
        if bytes(damaged) != bundle:
            with pytest.raises(MultiarchError):
                mine.verifier().verify(bytes(damaged), subject=SUBJECT)


def test_deep_and_long_json_is_refused(tmp_path: Path):
    verifier = key_signer(write(tmp_path / "mine.pem", make("p256"))).verifier()
    for content in (b"[" * 200_000, b'{"a":' * 5000 + b"1" + b"}" * 5000, b"NaN", b"{}", b"[]", b"\xff", b'{"a":NaN}'):
        with pytest.raises(InvalidEnvelope):
            verifier.verify(content, subject=SUBJECT)


@pytest.fixture
def cosign(tmp_path: Path) -> Path:
    """Return a folder with keys that cosign made: `empty.key`, and `locked.key` with the password hunter2."""
    for file in COSIGN.glob("*.key"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
        (tmp_path / file.name).chmod(0o600)
    return tmp_path


def test_a_key_of_cosign_with_an_empty_password_asks_for_none(cosign: Path):
    chosen = key_signer(cosign / "empty.key", never)
    public = PublicKey.read(COSIGN / "empty.pub")
    assert chosen.verifier().identity == str(public)
    assert chosen.verifier().verify(chosen.sign(IN_TOTO, PAYLOAD), subject=SUBJECT)


def test_a_key_of_cosign_opens_by_its_password_alone(cosign: Path):
    chosen = key_signer(cosign / "locked.key", lambda: b"hunter2")
    assert chosen.verifier().identity == str(PublicKey.read(COSIGN / "locked.pub"))
    for password, words in ((lambda: b"hunter3", "the password is not the one"), (nobody, "none was given")):
        with pytest.raises(WrongPassword, match=words) as raised:
            key_signer(cosign / "locked.key", password).sign(IN_TOTO, PAYLOAD)
        assert "hunter" not in str(raised.value)


def test_the_older_heading_of_cosign_is_the_same_key(cosign: Path):
    path = cosign / "empty.key"
    path.write_bytes(path.read_bytes().replace(b"SIGSTORE", b"COSIGN"))
    assert key_signer(path).sign(IN_TOTO, PAYLOAD)


def rewritten(path: Path, change: object) -> Path:
    """A key file of cosign whose JSON was changed."""
    lines = path.read_bytes().splitlines()
    members = json.loads(base64.b64decode(b"".join(lines[1:-1])))
    change(members)
    path.write_bytes(b"\n".join([lines[0], base64.b64encode(json.dumps(members).encode()), lines[-1], b""]))
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["kdf"]["params"].update(N=1 << 40),
        lambda m: m["kdf"]["params"].update(N=3),
        lambda m: m["kdf"]["params"].update(N=0),
        lambda m: m["kdf"]["params"].update(r=-1),
        lambda m: m["kdf"]["params"].update(p=1 << 30),
        lambda m: m["kdf"].update(name="argon2"),
        lambda m: m["cipher"].update(name="aes"),
        lambda m: m["cipher"].update(nonce="AAAA"),
        lambda m: m.update(ciphertext="AA"),
        lambda m: m.pop("kdf"),
        lambda m: m.update(kdf=[]),
    ],
)
def test_a_damaged_key_of_cosign_is_an_error_and_takes_no_measureless_memory(cosign: Path, change: object):
    with pytest.raises(InvalidKey):
        key_signer(rewritten(cosign / "empty.key", change), never).sign(IN_TOTO, PAYLOAD)


def test_of_random_damage_to_key_files_nothing_is_a_traceback(cosign: Path):
    path = write(cosign / "pkcs8.pem", make("p256"))
    dice = random.Random(61)  # noqa: S311  # not for secrets
    good = path.read_bytes()
    for _ in range(400):
        damaged = bytearray(good)
        damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(MultiarchError):
            key_signer(path, lambda: b"x").sign(IN_TOTO, PAYLOAD)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Asked("plugin:"), "SIGN: names no program"),
        (Asked("plugin:x"), "what it gives has to be verified"),
        (Asked("keyless"), "who signs has to be known"),
        (Asked("keyless", "a.pub", "me,https://x"), "who signs has to be known"),
        (Asked("gcpkms://x"), "SIGN: is no file"),
        (Asked("key.pem", "", "me,https://x"), "SIGN_IDENTITY: is not for a key file"),
    ],
)
def test_what_says_nothing_that_could_be_done_is_an_error_without_a_look_at_a_file(asked: Asked, words: str):
    with pytest.raises(UnknownSigner) as raised:
        check(asked)
    assert words in str(raised.value)


def test_whose_signatures_count_is_told_by_a_file_and_no_private_key_where_one_is_there(tmp_path: Path):
    assert public_file(Asked("own.key"), tmp_path) is None
    for name, beside in (("own.key", "own.pub"), ("own.pem", "own.pem.pub")):
        (tmp_path / beside).touch()
        assert public_file(Asked(name), tmp_path) == beside
    assert public_file(Asked("own.key", "given.pem"), tmp_path) == "given.pem"
    assert public_file(Asked("keyless", "", "me,https://x"), tmp_path) is None
