"""SBOMs of images over a base, and of images that another engine built: what is known, and what is said not to be."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from machines.bases import push_image, push_index, store_of
from machines.builders import busybox
from machines.project import Project
from machines.registry import Registry
from multiarch_oci.artifact import Artifact
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.index import Index
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import CONFIG, IN_TOTO, INDEX, MANIFEST, SPDX_JSON
from multiarch_oci.reference import Reference
from multiarch_oci.store.attaching import attach
from multiarch_oci.store.referrers import listing

SCONSTRUCT = """\
import scons_multiarch

env = scons_multiarch.environment(PLATFORMS="linux/amd64", VERSION="1.0")
env.MultiarchImage("app")
"""
SBOM = b'{"spdxVersion": "SPDX-2.3"}'


@pytest.fixture
def app(tmp_path: Path, registry: Registry, clean_environment: Path) -> Project:  # noqa: ARG001
    """Return a project over a base of which nothing more is known."""
    files = {"SConstruct": SCONSTRUCT, "conf/one": "one\n", "conf/two": "two\n"}
    project = Project.of(tmp_path / "app", files)
    project.edit("Dockerfile", f"FROM {registry.host}/team/base:1\nCOPY conf /etc/app\n")
    return project


def base(registry: Registry) -> tuple[Reference, Digest, Digest]:
    """Push a base and an index of it; return the reference, the image's digest and the index's."""
    name = f"{registry.host}/team/base:1"
    image = push_image(name, "linux/amd64", {"bin/sh": busybox()}, mode=0o755)
    return Reference.parse(name), image, push_index(name, {"linux/amd64": image})


def documents(project: Project) -> tuple[Any, Any]:
    """Return both SBOMs of the image, valid ones."""
    path = project.path / "_output/sbom/app-linux-amd64.spdx.json"
    assert validate_full_spdx_document(parse_file(str(path))) == []
    text = path.with_name("app-linux-amd64.cdx.json").read_text("utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    return json.loads(path.read_bytes()), json.loads(text)


def files(document: Any) -> list[str]:
    return [file["fileName"] for file in document.get("files", ())]


def test_a_base_is_named_by_digest_and_what_it_holds_is_not_described(app: Project, registry: Registry):
    _, image, _ = base(registry)
    app.scons("sbom")
    spdx, cyclonedx = documents(app)
    assert files(spdx) == ["./etc/app/one", "./etc/app/two"], "nothing of the base"
    (package,) = [package for package in spdx["packages"] if package["name"] == "team/base"]
    assert package["checksums"][0]["checksumValue"] == image.hex
    purl = f"pkg:oci/base@sha256%3A{image.hex}?arch=amd64&os=linux&repository_url={registry.host}/team/base&tag=1"
    assert package["externalRefs"][0]["referenceLocator"] == purl
    assert [entry["relationshipType"] for entry in spdx["relationships"]].count("DESCENDANT_OF") == 1
    assert spdx["comment"] == f"What the base {registry.host}/team/base:1@{image} holds is not described here."
    assert cyclonedx["compositions"][0]["aggregate"] == "incomplete"


def referrer(reference: Reference, image: Digest, _index: Digest) -> Digest:
    """Attach a plain SBOM to the image."""
    store = store_of(reference)
    subject, layer = store.resolve(str(image)), Descriptor.of(SPDX_JSON, SBOM)
    assert subject is not None
    attach(store, image, [(Artifact.of(SPDX_JSON, subject, layer), SBOM)], before=listing(store, image))
    return layer.digest


def referrer_of_the_index(reference: Reference, _image: Digest, index: Digest) -> Digest:
    """Attach a plain SBOM to the index."""
    return referrer(reference, index, index)


def attestation(reference: Reference, image: Digest, index: Digest) -> Digest:
    """Put BuildKit's attestation manifest into the index."""
    store = store_of(reference)
    held = store.resolve(str(index))
    assert held is not None
    layer = Descriptor(IN_TOTO, Digest.of(SBOM), len(SBOM), annotations=(("in-toto.io/predicate-type", "https://spdx.dev/Document"),))  # fmt: skip
    manifest = Manifest(Descriptor.of(CONFIG, b"{}"), (layer,))
    for descriptor, content in (
        (layer.bare(), SBOM), (manifest.config, b"{}"), (manifest.descriptor(), manifest.to_json())
    ):  # fmt: skip
        store.put(descriptor, lambda content=content: io.BytesIO(content))
    notes = (("vnd.docker.reference.digest", str(image)), ("vnd.docker.reference.type", "attestation-manifest"))
    entry = Descriptor(MANIFEST, manifest.descriptor().digest, manifest.descriptor().size, annotations=notes)
    before = Index.from_json(store.open(held).read(), where="index").manifests
    whole = Index((*before, entry)).to_json()
    store.put(Descriptor.of(INDEX, whole), lambda: io.BytesIO(whole))
    store.tag(reference.tag or "", Descriptor.of(INDEX, whole))
    return layer.digest


@pytest.mark.parametrize("publish", [referrer, referrer_of_the_index, attestation])
def test_the_sbom_of_a_base_is_locked_and_linked(app: Project, registry: Registry, publish: Any):
    published = base(registry)
    app.scons("sbom")
    app.scons("update-bases")
    assert "sbom=" not in app.read("images.lock")
    assert app.scons("sbom").up_to_date
    digest = publish(*published)
    assert app.scons("sbom").up_to_date, "nothing is asked for that update-bases did not ask for"
    assert f"its SBOM: {digest}" in app.scons("-Q", "update-bases").text
    (line,) = [line for line in app.read("images.lock").splitlines() if f" {published[1]} " in line]
    assert line.endswith(f" sbom={digest}")
    assert app.scons("sbom").steps == ["Sbom _output/sbom/app-linux-amd64.spdx.json"], "the image is not made again"
    assert app.scons("sbom").up_to_date
    spdx, cyclonedx = documents(app)
    (linked,) = spdx["externalDocumentRefs"]
    address = f"https://{registry.host}/v2/team/base/blobs/{digest}"
    assert (linked["spdxDocument"], linked["checksum"]["checksumValue"]) == (address, digest.hex)
    assert "DESCRIBED_BY" in {entry["relationshipType"] for entry in spdx["relationships"]}
    (component,) = [component for component in cyclonedx["components"] if component["name"] == "team/base"]
    assert component["externalReferences"] == [
        {"type": "bom", "url": address, "hashes": [{"alg": "SHA-256", "content": digest.hex}]}
    ]


def test_an_image_that_files_are_taken_from_is_named(app: Project, registry: Registry):
    base(registry)
    other = push_image(f"{registry.host}/tools:2", "linux/amd64", {"tool": b"#!/bin/sh\n"})
    app.edit("Dockerfile", app.read("Dockerfile") + f"COPY --from={registry.host}/tools:2 /tool /tool\n")
    app.scons("sbom")
    spdx, cyclonedx = documents(app)
    assert "./tool" in files(spdx)
    (package,) = [package for package in spdx["packages"] if package["name"] == "tools"]
    assert package["checksums"][0]["checksumValue"] == other.hex
    assert "BUILD_DEPENDENCY_OF" in {entry["relationshipType"] for entry in spdx["relationships"]}
    assert [c["scope"] for c in cyclonedx["components"] if c["name"] == "tools"] == ["excluded"]


def test_of_another_engine_what_it_copied_is_known_and_the_rest_is_said_not_to_be(
    app: Project, registry: Registry, podman_environment: dict[str, str]
):
    base(registry)
    app.edit("Dockerfile", app.read("Dockerfile") + "RUN echo made > /made && cp /etc/app/one /moved\n")
    app.scons("sbom", "ENGINE=podman", env=podman_environment)
    spdx, cyclonedx = documents(app)
    assert files(spdx) == ["./etc/app/one", "./etc/app/two", "./moved"], "by their contents"
    assert "The image was built by podman: what its RUN instructions made is not described here." in spdx["comment"]
    assert cyclonedx["compositions"][0]["aggregate"] == "incomplete"
