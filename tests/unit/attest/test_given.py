"""SBOMs of others: what is taken over, and that nothing they hold is believed."""

from __future__ import annotations

import json

import pytest

from multiarch_oci.attest.bom import APPLICATION, LIBRARY, Bom, InvalidSbom, Part, image
from multiarch_oci.attest.cyclonedx import to_cyclonedx
from multiarch_oci.attest.given import read_sbom
from multiarch_oci.attest.spdx import to_spdx
from multiarch_oci.digest import Digest

SPDX = {
    "spdxVersion": "SPDX-2.3",
    "documentNamespace": "https://example.org/sbom/1",
    "packages": [
        {
            "name": "libfoo",
            "versionInfo": "1.2",
            "licenseDeclared": "mit",
            "externalRefs": [
                {"referenceType": "cpe23Type", "referenceLocator": "cpe:2.3:a"},
                {"referenceType": "purl", "referenceLocator": "pkg:generic/libfoo@1.2"},
            ],
            "checksums": [{"algorithm": "SHA256", "checksumValue": "A" * 64}],
        },
        {"name": "tool", "primaryPackagePurpose": "APPLICATION", "licenseDeclared": "NOASSERTION"},
    ],
}
CYCLONEDX = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
    "version": 2,
    "components": [
        {
            "type": "library",
            "group": "@scope",
            "name": "x",
            "version": "1",
            "purl": "pkg:npm/%40scope/x@1",
            "licenses": [{"license": {"id": "ISC"}}],
            "components": [{"type": "application", "name": "inner"}, {"type": "file", "name": "/a"}],
        }
    ],
}


def read(document: object) -> list[tuple[str, str, str, str, str]]:
    _, packages = read_sbom(json.dumps(document).encode(), where="given.json")
    return [(p.kind, p.name, p.version, p.purl, p.licence) for p in packages]


def test_spdx():
    assert read(SPDX) == [
        (APPLICATION, "tool", "", "", ""),
        (LIBRARY, "libfoo", "1.2", "pkg:generic/libfoo@1.2", "MIT"),
    ]
    linked, packages = read_sbom(json.dumps(SPDX).encode(), where="given.json")
    assert linked.uri == "https://example.org/sbom/1"
    assert packages[1].sha256 == "a" * 64


def test_cyclonedx_with_components_in_components():
    assert read(CYCLONEDX) == [
        (APPLICATION, "inner", "", "", ""),
        (LIBRARY, "@scope/x", "1", "pkg:npm/%40scope/x@1", "ISC"),
    ]
    assert read_sbom(json.dumps(CYCLONEDX).encode(), where="x")[0].uri == (
        "urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/2"
    )


def test_our_own_documents_are_read_alike():
    _, packages = read_sbom(json.dumps(CYCLONEDX).encode(), where="x")
    bom = Bom(image("demo", Digest.of(b"x")), parts=(Part("", None, packages),))
    again = [read_sbom(write(bom), where="x")[1] for write in (to_spdx, to_cyclonedx)]
    assert set(packages) <= set(again[0])
    assert set(packages) <= set(again[1])


def test_what_they_say_of_lines_and_addresses_is_not_believed():
    bad = {"type": "library", "name": "a\nb", "version": "\x1b[2J", "purl": "javascript:alert(1)", "licenses": [{}, {}]}
    assert read({**CYCLONEDX, "components": [bad]}) == []
    named = {**bad, "name": "a"}
    assert read({**CYCLONEDX, "components": [named]}) == [(LIBRARY, "a", "", "", "")]
    assert read_sbom(json.dumps({**SPDX, "documentNamespace": "not one"}).encode(), where="x")[0].uri.startswith(
        "urn:sha256:"
    )


DEEP: dict[str, object] = {}
for _ in range(400):
    DEEP = {"components": [{"type": "library", "name": "x", **DEEP}]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"<bom/>",
        b"SPDXVersion: SPDX-2.3\n",
        json.dumps({**SPDX, "packages": 1}).encode(),
        json.dumps({**SPDX, "packages": [{"name": 1}]}).encode(),
        json.dumps({**CYCLONEDX, "components": [[]]}).encode(),
    ],
)
def test_anything_else_is_an_error_in_words(content: bytes):
    with pytest.raises(InvalidSbom, match=r"(?s)given\.json.*hint: an SBOM is SPDX 2\.3 or CycloneDX 1\.6 in JSON"):
        read_sbom(content, where="given.json")


def test_a_deep_document_ends():
    assert read({"bomFormat": "CycloneDX", **DEEP}) == [(LIBRARY, "x", "", "", "")]
