"""SPDX and CycloneDX of the same contents: valid by other people's validators, equal for equal contents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from msgspec.structs import replace
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from multiarch_oci.attest.bom import APPLICATION, LIBRARY, Bom, File, Linked, Package, Part, base_image, golang, image
from multiarch_oci.attest.cyclonedx import to_cyclonedx
from multiarch_oci.attest.spdx import to_spdx
from multiarch_oci.digest import Digest
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference

DIGEST, OTHER = Digest.of(b"an image"), Digest.of(b"another")
ARM = Platform.parse("linux/arm/v7")
SUM = "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
LIB = Package(LIBRARY, "example.com/Lib", "v1.2.3", golang("example.com/Lib", "v1.2.3"), "MIT", "", (("go:sum", SUM),))
DUAL = Package(LIBRARY, "dual", "1", "pkg:cargo/dual@1", "MIT OR Apache-2.0")
PROGRAM = Package(APPLICATION, "example.com/demo", "v1.0", golang("example.com/demo", "v1.0"))
BASE = base_image(Reference.parse("registry.example/team/base:1").with_digest(OTHER), ARM)
IMAGE = Bom(
    image("team/demo", DIGEST, ARM, version="v1.0"),
    86400,
    (File("demo", "a" * 40, "b" * 64), File("etc/a b/ü.conf", "c" * 40, "d" * 64)),
    (Part("demo", PROGRAM, (LIB, DUAL)), Part("etc/a b/ü.conf", None, (LIB,))),
    BASE,
    (Linked("https://registry.example/v2/team/base/blobs/sha256:aa", "e" * 64),),
    (base_image(Reference.parse("busybox:1").with_digest(DIGEST)),),
    documents=(Linked("https://example.com/given", "f" * 64),),
    remarks=("What the base holds is not described here.",),
)
INDEX = Bom(image("team/demo", OTHER, version="v1.0"), variants=(image("team/demo", DIGEST, ARM),))
EMPTY = Bom(image("demo", DIGEST))
BOMS = {"an image": IMAGE, "an index": INDEX, "an empty image": EMPTY}


def relations(bom: Bom) -> set[tuple[str, str, str]]:
    """Return the relationships of the SPDX document, with names in the place of identifiers."""
    document = json.loads(to_spdx(bom))
    names = {"SPDXRef-DOCUMENT": "document"}
    names |= {package["SPDXID"]: package["name"] for package in document["packages"]}
    names |= {file["SPDXID"]: file["fileName"] for file in document.get("files", ())}
    return {
        (
            names[entry["spdxElementId"]],
            entry["relationshipType"],
            names.get(entry["relatedSpdxElement"], entry["relatedSpdxElement"]),
        )
        for entry in document["relationships"]
    }


@pytest.mark.parametrize("name", BOMS)
def test_spdx_is_valid(name: str, tmp_path: Path):
    path = tmp_path / "sbom.spdx.json"
    path.write_bytes(to_spdx(BOMS[name]))
    assert validate_full_spdx_document(parse_file(str(path))) == []


@pytest.mark.parametrize("name", BOMS)
def test_cyclonedx_is_valid(name: str):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(to_cyclonedx(BOMS[name]).decode()) is None


@pytest.mark.parametrize("licence", ["MIT", "GPL-2.0+", "Apache-2.0+", "(MIT)", "MIT OR Apache-2.0"])
def test_every_licence_that_is_an_expression_is_valid(licence: str):
    bom = replace(EMPTY, parts=(Part("demo", replace(PROGRAM, licence=licence)),))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(to_cyclonedx(bom).decode()) is None


def test_a_module_has_its_sum_as_a_reference_and_never_as_a_checksum():
    text = to_spdx(IMAGE).decode() + to_cyclonedx(IMAGE).decode()
    hexadecimal = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert hexadecimal not in text
    (lib,) = [p for p in json.loads(to_spdx(IMAGE))["packages"] if p["name"] == "example.com/Lib"]
    assert "checksums" not in lib
    assert {"referenceCategory": "OTHER", "referenceType": "go:sum", "referenceLocator": SUM} in lib["externalRefs"]
    (component,) = [c for c in json.loads(to_cyclonedx(IMAGE))["components"] if c["name"] == "example.com/Lib"]
    assert "hashes" not in component
    assert component["properties"] == [{"name": "go:sum", "value": SUM}]


def test_how_image_base_files_and_packages_belong_together():
    found = relations(IMAGE)
    assert ("document", "DESCRIBES", "team/demo") in found
    assert ("team/demo", "DESCENDANT_OF", "team/base") in found
    assert ("team/base", "DESCRIBED_BY", "DocumentRef-base-1:SPDXRef-DOCUMENT") in found
    assert ("team/demo", "DESCRIBED_BY", "DocumentRef-given-1:SPDXRef-DOCUMENT") in found
    assert ("library/busybox", "BUILD_DEPENDENCY_OF", "team/demo") in found
    assert ("team/demo", "CONTAINS", "./demo") in found
    assert ("example.com/demo", "GENERATES", "./demo") in found
    assert ("example.com/demo", "DEPENDS_ON", "example.com/Lib") in found
    assert ("./etc/a b/ü.conf", "DEPENDENCY_MANIFEST_OF", "team/demo") in found


def test_the_images_of_an_index_are_its_variants():
    assert ("team/demo", "VARIANT_OF", "team/demo") in relations(INDEX)
    purls = [reference["referenceLocator"] for reference in json.loads(to_spdx(INDEX))["packages"][1]["externalRefs"]]
    assert purls == [f"pkg:oci/demo@sha256%3A{DIGEST.hex}?arch=arm&os=linux&variant=v7"]


def test_what_is_not_described_is_said():
    assert json.loads(to_spdx(IMAGE))["comment"] == "What the base holds is not described here."
    assert json.loads(to_cyclonedx(IMAGE))["compositions"][0]["aggregate"] == "incomplete"
    assert json.loads(to_cyclonedx(EMPTY))["compositions"][0]["aggregate"] == "complete"
    assert "comment" not in json.loads(to_spdx(EMPTY))


def identities(bom: Bom) -> tuple[Any, Any]:
    return json.loads(to_spdx(bom))["documentNamespace"], json.loads(to_cyclonedx(bom))["serialNumber"]


def test_a_document_is_named_by_the_digest_and_by_its_contents():
    namespace, serial = identities(IMAGE)
    assert DIGEST.hex in namespace
    assert identities(replace(IMAGE)) == (namespace, serial)
    others = [identities(replace(IMAGE, created=1)), identities(replace(IMAGE, files=IMAGE.files[:1]))]
    assert len({namespace, *(other[0] for other in others)}) == len(others) + 1
    assert len({serial, *(other[1] for other in others)}) == len(others) + 1


def test_the_time_is_that_of_the_build():
    assert json.loads(to_spdx(IMAGE))["creationInfo"]["created"] == "1970-01-02T00:00:00Z"
    assert json.loads(to_cyclonedx(IMAGE))["metadata"]["timestamp"] == "1970-01-02T00:00:00Z"


def test_every_dependency_of_cyclonedx_is_a_component_and_each_is_named_once():
    document = json.loads(to_cyclonedx(IMAGE))
    references = [document["metadata"]["component"]["bom-ref"], *(c["bom-ref"] for c in document["components"])]
    assert len(references) == len(set(references))
    named = {ref for entry in document["dependencies"] for ref in (entry["ref"], *entry["dependsOn"])}
    assert named <= set(references)
