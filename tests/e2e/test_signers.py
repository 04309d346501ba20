"""Who signs a whole chain: keys of OpenSSL and of cosign, programs; what is wrong with them, and what nobody may see."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from conftest import CACHE
from machines.project import ROOT
from machines.registry import Registry
from machines.signing import Key
from machines.small import Tree
from machines.suppliers import Keys, cosign

SECRET = "correct-horse-battery"  # noqa: S105  # nobody's
COSIGN = Path(__file__).parents[1] / "data" / "cosign"
PLUGIN = """#!{python}
import base64, json, os, sys
from pathlib import Path
sys.path.insert(0, {site!r})
from multiarch_oci.attest.signing import Asked, signer
request = json.load(sys.stdin)
Path({folder!r}, "given").write_text(" ".join(os.environ.get(n, "-") for n in ("SIGN_PASSWORD", "COSIGN_PASSWORD")))
key = signer(Asked("key.pem"), root=Path({folder!r}), password=lambda: None, environment={{}})
sys.stdout.buffer.write(key.sign(request["payloadType"], base64.b64decode(request["payload"])))
"""


def write(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes = b"") -> None:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    path.chmod(0o600)


def take(tree: Tree, name: str) -> None:
    """Put a key of cosign into the tree."""
    for suffix in (".key", ".pub"):
        (tree.path / f"own{suffix}").write_bytes((COSIGN / f"{name}{suffix}").read_bytes())
    (tree.path / "own.key").chmod(0o600)


def signs(tree: Tree, registry: Registry, *words: str, **environment: str) -> str:
    ran = tree.scons("push-manifest", f"REGISTRY={registry.host}", *words, env=environment)
    assert tree.scons("push-manifest", f"REGISTRY={registry.host}", *words).up_to_date, "without the password"
    return ran.text


@pytest.mark.parametrize(
    ("name", "environment"),
    [("empty", {}), ("locked", {"SIGN_PASSWORD": "hunter2"}), ("locked", {"COSIGN_PASSWORD": "hunter2"})],
)
def test_a_key_that_cosign_made_signs_what_cosign_verifies(
    tree: Tree, registry: Registry, tmp_path: Path, name: str, environment: dict[str, str]
):
    take(tree, name)
    signs(tree, registry, "SIGN=own.key", **environment)
    theirs = cosign(CACHE, tmp_path / "cosign")
    keys = Keys(tree.path / "own.key", tree.path / "own.pub")
    for tag in ("v1.0", "v1.0-amd64"):
        assert theirs.verify(f"{registry.host}/demo@{registry.digest('demo', tag)}", keys)


@pytest.mark.skipif(os.name != "posix", reason="the program is a script")
def test_a_program_signs_and_is_not_started_when_all_is_signed(tree: Tree, registry: Registry, tmp_path: Path):
    key = Key(tmp_path / "kms", "key")
    program = tree.path / "signs"
    program.write_text(PLUGIN.format(python=sys.executable, site=str(ROOT / "site_scons"), folder=str(key.folder)))
    program.chmod(0o755)
    words = ("SIGN=plugin:./signs", f"SIGN_KEY={key.public}")
    signs(tree, registry, *words, COSIGN_PASSWORD="for cosign")  # noqa: S106  # nobody's
    assert (key.folder / "given").read_text() == "- for cosign"
    program.write_text("#!/bin/sh\nexit 7\n")
    assert tree.scons("push-manifest", f"REGISTRY={registry.host}", *words).up_to_date
    registry.empty()
    ran = tree.scons("push-manifest", f"REGISTRY={registry.host}", *words, check=False)
    assert ran.status == 2
    assert "SIGN=plugin:./signs: ended with status 7" in ran.text
    assert registry.digest("demo", "v1.0") is None


@pytest.mark.parametrize(
    ("sign", "words"),
    [
        ("locked.pem", "locked.pem: this key has a password, and none was given"),
        ("rsa.pem", "rsa.pem: is an RSA key"),
        ("p384.pem", "p384.pem: is an ECDSA key over secp384r1"),
        ("open.pem", "open.pem: others can read this private key (mode 0644)"),
        ("key.pub", "key.pub: is a public key, which cannot sign"),
        ("keys", "keys: is a folder, not a file"),
        ("keys/one.pem", f"{os.path.join('keys', 'one.pem.pub')}: is not the public half of keys/one.pem"),  # noqa: PTH118
        ("none.pem", "none.pem: there is no such file"),
        ("gcpkms://key", "SIGN: is no file"),
        ("plugin:", "SIGN: names no program"),
        ("plugin:x", "SIGN: is not enough"),
        ("keyless", "SIGN: is not enough"),
    ],
)
def test_what_cannot_sign_is_one_line_and_no_tag_is_written(fresh: Tree, registry: Registry, sign: str, words: str):
    key = Key(fresh.path, "key")
    write(fresh.path / "locked.pem", ec.generate_private_key(ec.SECP256R1()), SECRET.encode())
    (fresh.path / "keys").mkdir()
    write(fresh.path / "keys/one.pem", ec.generate_private_key(ec.SECP256R1()))
    (fresh.path / "keys/one.pem.pub").write_bytes(key.public.read_bytes())
    write(fresh.path / "rsa.pem", rsa.generate_private_key(65537, 2048))
    write(fresh.path / "p384.pem", ec.generate_private_key(ec.SECP384R1()))
    (fresh.path / "open.pem").write_bytes(key.file.read_bytes())
    (fresh.path / "open.pem").chmod(0o644)
    ran = fresh.scons("push-manifest", f"REGISTRY={registry.host}", f"SIGN={sign}", check=False)
    assert ran.status == 2
    assert ran.text.count(words) == 1
    assert "Traceback" not in ran.text
    if sign not in ("locked.pem", "keys/one.pem"):  # which only opening tells
        assert ran.steps == [], "before anything is built"
        planned = fresh.scons("plan", f"REGISTRY={registry.host}", f"SIGN={sign}").text
        assert planned.count(f"would fail: {words}") == 3
        fresh.scons("images", f"REGISTRY={registry.host}", f"SIGN={sign}")
    assert registry.digest("demo", "v1.0") is None


def test_the_same_key_out_of_another_file_is_no_change(tree: Tree, registry: Registry):
    key = Key(tree.path, "key")
    said = ("push-manifest", f"REGISTRY={registry.host}")
    (tree.path / "key.pem.pub").write_bytes(key.public.read_bytes())
    tree.scons(*said, "SIGN=key.pem")
    (tree.path / "public.pem").write_bytes(b"of the team\n" + key.public.read_bytes().replace(b"\n", b"\r\n"))
    assert tree.scons(*said, "SIGN=key.pem", "SIGN_KEY=public.pem").up_to_date


def test_a_wrong_password_is_one_line_and_no_password_is_anywhere(fresh: Tree, registry: Registry):
    write(fresh.path / "own.pem", ec.generate_private_key(ec.SECP256R1()), b"another")
    wrong = {"SIGN_PASSWORD": SECRET}
    arguments = ("push-manifest", f"REGISTRY={registry.host}", "SIGN=own.pem", "REPORT=report.json")
    ran = fresh.scons(*arguments, check=False, env=wrong)
    assert ran.status == 2
    assert ran.text.count("the password is not the one of this key") == 1
    fresh.scons(*arguments, env={"SIGN_PASSWORD": "another"})
    private = (fresh.path / "own.pem").read_bytes().splitlines()[1]
    for root in (fresh.path, registry.repository("demo").parents[4]):
        for file in root.rglob("*"):
            if file.is_file() and file.name != "own.pem" and "site_scons" not in file.parts:
                content = file.read_bytes()
                assert SECRET.encode() not in content, file
                assert private not in content, file
    assert SECRET not in ran.text
