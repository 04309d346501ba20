"""Signatures by an identity, by the real package `sigstore`, and a certificate authority and log of our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from machines.project import ROOT
from machines.sigstore_root import Sigstore
from machines.wheels import uv
from multiarch_oci.attest.bundle import BUNDLE
from multiarch_oci.attest.identity import Identity, IdentityVerifier, InvalidIdentity
from multiarch_oci.attest.keys import MissingPackage
from multiarch_oci.attest.statement import COSIGN_SIGNATURE, statement
from multiarch_oci.digest import Digest

WHO, ISSUER = "https://github.com/team/app/.github/workflows/ci.yml@refs/heads/main", "https://issuer.test"
SUBJECT = Digest.of(b"an index")
PAYLOAD = statement(SUBJECT, "registry.example/app", COSIGN_SIGNATURE, {})

VERIFY = """
import json, sys
from pathlib import Path
from multiarch_oci.attest.identity import Identity, IdentityVerifier
from multiarch_oci.digest import Digest
from multiarch_oci.errors import MultiarchError
for line in sys.stdin:
    who, issuer, root, bundle, subject, *newer = json.loads(line)
    for source in newer:
        Path(root).write_bytes(Path(source).read_bytes())
    try:
        verifier = IdentityVerifier(Identity(who, issuer), Path(root))
        print("yes", verifier.verify(Path(bundle).read_bytes(), subject=Digest.parse(subject)).signer)
    except MultiarchError as error:
        print("no", str(error).splitlines()[0])
"""


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment with the extra `keyless`."""
    folder = tmp_path_factory.mktemp("keyless")
    uv("venv", "-q", "--python", sys.executable, str(folder))
    program = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    uv("pip", "install", "-q", "--python", str(program), "sigstore>=4.5", "msgspec")
    return program


class Case:
    """A root, and bundles that are verified against it."""

    def __init__(self, folder: Path, python: Path) -> None:
        self._folder, self._python = folder, python
        self.own = Sigstore()
        (folder / "root.json").write_bytes(self.own.trusted_root())
        self.root = str(folder / "root.json")

    def bundle(self, content: bytes | None = None) -> str:
        path = self._folder / f"bundle{len(list(self._folder.iterdir()))}.json"
        path.write_bytes(self.own.bundle(WHO, ISSUER, PAYLOAD) if content is None else content)
        return str(path)

    def verify(self, *questions: tuple[str, ...]) -> list[str]:
        ran = subprocess.run(
            [self._python, "-c", VERIFY],
            input="".join(f"{json.dumps(question)}\n" for question in questions),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT / "site_scons")},
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.splitlines()


@pytest.fixture
def case(tmp_path: Path, python: Path) -> Case:
    return Case(tmp_path, python)


def test_an_identity_is_verified_without_a_network_by_a_trusted_root(case: Case):
    bundle, stranger = case.bundle(), case.bundle(Sigstore().bundle(WHO, ISSUER, PAYLOAD))
    good, other, issuer, subject, root = case.verify(
        (WHO, ISSUER, case.root, bundle, str(SUBJECT)),
        ("https://github.com/evil/app", ISSUER, case.root, bundle, str(SUBJECT)),
        (WHO, "https://accounts.example", case.root, bundle, str(SUBJECT)),
        (WHO, ISSUER, case.root, bundle, str(Digest.of(b"another"))),
        (WHO, ISSUER, case.root, stranger, str(SUBJECT)),
    )
    assert good == f"yes {WHO} ({ISSUER})"
    assert "is not signed by https://github.com/evil/app" in other
    assert WHO in other, "it is said who signed"
    assert "OIDCIssuer does not match" in issuer
    assert f"is about {SUBJECT}" in subject
    assert root.startswith(f"no bundle: is not signed by {WHO}")


def test_of_a_changed_bundle_nothing_is_accepted(case: Case):
    content = case.own.bundle(WHO, ISSUER, PAYLOAD)
    changes = [b"", b"{}", b"null", content[:-9], json.dumps({"mediaType": BUNDLE}).encode()]
    for path in ("certificate", "tlogEntries"):
        members = json.loads(content)
        del members["verificationMaterial"][path]
        changes.append(json.dumps(members).encode())
    others = {number: b"A" if content[number] != ord("A") else b"B" for number in range(0, len(content), 97)}
    changes += [content[:number] + other + content[number + 1 :] for number, other in others.items()]
    answers = case.verify(*((WHO, ISSUER, case.root, case.bundle(change), str(SUBJECT)) for change in changes))
    assert len(answers) == len(changes)
    assert [answer for answer in answers if not answer.startswith("no ")] == []


def test_the_package_takes_no_promise_of_a_log_for_a_proof(case: Case, python: Path):
    """What a `.sig` tag of cosign 2 keeps, as a bundle of version 0.1: should it be taken one day, it can count here."""
    members = json.loads(case.own.bundle(WHO, ISSUER, PAYLOAD))
    members["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1"
    material = members["verificationMaterial"]
    material["x509CertificateChain"] = {"certificates": [material.pop("certificate")]}
    script = "import sys; from sigstore.models import Bundle; Bundle.from_json(sys.stdin.buffer.read())"
    answers = []
    for proof in ("kept", "left out"):
        if proof == "left out":
            del material["tlogEntries"][0]["inclusionProof"]
        ran = subprocess.run(
            [python, "-c", script], input=json.dumps(members), capture_output=True, text=True, check=False
        )
        answers.append((ran.returncode, "inclusionProof" in ran.stderr))
    assert answers == [(0, False), (1, True)]


def test_a_root_that_was_edited_in_a_session_counts_as_it_is_now(case: Case, tmp_path: Path):
    (tmp_path / "others.json").write_bytes(Sigstore().trusted_root())
    question = (WHO, ISSUER, case.root, case.bundle(), str(SUBJECT))
    before, after = case.verify(question, (*question, str(tmp_path / "others.json")))
    assert before.startswith("yes ")
    assert after.startswith(f"no bundle: is not signed by {WHO}")


def test_a_root_that_is_none_is_an_error(case: Case, tmp_path: Path):
    (tmp_path / "none.json").write_text("{}")
    bundle = case.bundle()
    answers = case.verify(
        (WHO, ISSUER, str(tmp_path / "none.json"), bundle, str(SUBJECT)),
        (WHO, ISSUER, str(tmp_path / "absent.json"), bundle, str(SUBJECT)),
    )
    assert "is no trusted root of sigstore" in answers[0]
    assert "there is no such file" in answers[1]


def test_without_the_package_it_is_said_what_to_install(tmp_path: Path):
    pytest.importorskip("cryptography")
    try:
        import sigstore  # noqa: F401  # as a project may have it
    except ImportError:
        pass
    else:
        pytest.skip("it is installed here")
    verifier = IdentityVerifier(Identity(WHO, ISSUER), tmp_path / "root.json")
    with pytest.raises(MissingPackage) as raised:
        verifier.verify(Sigstore().bundle(WHO, ISSUER, PAYLOAD), subject=SUBJECT)
    words = "the package sigstore is not installed\n  hint: pip install 'scons-multiarch[keyless]'"
    assert str(raised.value) == words


def test_an_identity_without_its_issuer_is_an_error():
    for text in (
        "me@example.com",
        "me@example.com,",
        ",https://issuer.test",
        "me,http://issuer.test",
        "m\x1be,https://x",
    ):
        with pytest.raises(InvalidIdentity):
            Identity.parse(text, where="SIGN_IDENTITY")
