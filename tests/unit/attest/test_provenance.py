"""SLSA Provenance: what is said of each dependency, and the root over all files."""

from __future__ import annotations

import hashlib

from multiarch_oci.attest import provenance
from multiarch_oci.attest.provenance import BUILD_TYPE, BUILDER, Dependency, Provenance, merged, merkle_root
from multiarch_oci.attest.statement import PROVENANCE, statement
from multiarch_oci.digest import Digest
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference

DIGEST = Digest.of(b"a manifest")


def hashed(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def test_the_root_is_the_merkle_tree_hash_of_rfc_6962():
    leaves = [hashed(b"\0" + letter) for letter in (b"a", b"b", b"c")]
    left = hashed(b"\1" + leaves[0] + leaves[1])
    assert merkle_root([]) == hashlib.sha256(b"").hexdigest()
    assert merkle_root([b"a"]) == leaves[0].hex()
    assert merkle_root([b"a", b"b"]) == left.hex()
    assert merkle_root([b"a", b"b", b"c"]) == hashed(b"\1" + left + leaves[2]).hex()
    # RFC 6962 has no vectors of its own; these are those of certificate-transparency (merkle_tree_test.cc).
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    known = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    assert merkle_root([bytes.fromhex(text) for text in inputs]) == known


def test_the_predicate_has_the_members_of_the_specification_and_no_time():
    made = Provenance({"platform": "linux/amd64"}, {}, (provenance.source("main.go", "00" * 32),), (), (("x", "1"),))
    predicate = made.predicate()
    assert predicate == {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"platform": "linux/amd64"},
            "internalParameters": {
                "sources": {
                    "files": 1,
                    "root": {"sha256": merkle_root([b'["main.go",{"sha256":"' + b"00" * 32 + b'"}]'])},
                }
            },
            "resolvedDependencies": [{"name": "main.go", "digest": {"sha256": "00" * 32}}],
        },
        "runDetails": {"builder": {"id": BUILDER, "version": {"x": "1"}}},
    }
    assert statement(DIGEST, "demo", PROVENANCE, predicate) == statement(DIGEST, "demo", PROVENANCE, made.predicate())
    full = provenance.with_run(predicate, invocation="urn:uuid:1", started="then", finished="now")
    assert full["runDetails"] == {
        "builder": {"id": BUILDER, "version": {"x": "1"}},
        "metadata": {"invocationId": "urn:uuid:1", "startedOn": "then", "finishedOn": "now"},
    }
    assert "metadata" not in predicate["runDetails"]  # type: ignore[operator]


def test_a_thing_that_is_named_twice_is_there_once_with_all_its_digests():
    compiled = provenance.source("main.go", "11" * 32)
    copied = provenance.entry("main.go", "FILE executable  " + "11" * 32, "11" * 32)
    both = hashlib.sha256(b"FILE executable  " + b"11" * 32).hexdigest()
    assert merged([copied, compiled]) == merged([compiled, copied])
    assert merged([copied, compiled]) == (
        Dependency("main.go", digests=(("multiarchEntry", both), ("sha256", "11" * 32))),
    )


def test_the_hash_of_a_module_is_called_what_it_is():
    assert provenance.module("example.org/A/words", "v1.2.3+incompatible", "aa" * 32).to_json() == {
        "uri": "pkg:golang/example.org/A/words@v1.2.3%2Bincompatible",
        "digest": {"dirHash": "aa" * 32},
    }
    assert provenance.module("example.org/words", "v1", "", "example.org/old").to_json() == {
        "uri": "pkg:golang/example.org/words@v1",
        "annotations": {"replaces": "example.org/old"},
    }


def test_an_image_is_a_package_url_of_type_oci():
    reference = Reference.parse("registry.example:5000/team/base:1.0")
    made = provenance.image(reference, DIGEST, Platform("windows", "amd64", os_version="10.0.1"), "base")
    assert made.uri == (
        f"pkg:oci/base@sha256%3A{DIGEST.hex}?arch=amd64&os=windows&os_version=10.0.1"
        "&repository_url=registry.example%3A5000%2Fteam%2Fbase&tag=1.0"
    )
    assert made.digests == (("sha256", DIGEST.hex),)


def test_no_login_and_no_byte_that_is_no_utf_8_gets_into_a_statement():
    assert provenance.shown("http://me:secret@proxy.example") == "http://***@proxy.example"
    assert provenance.source("caf\udce9", "00" * 32).to_json()["name"] == "caf\\xe9"
