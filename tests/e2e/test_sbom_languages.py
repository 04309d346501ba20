"""SBOMs of what is not Go: lock files and metadata among what is copied, and SBOMs that are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from machines.project import Project
from workshop import elf

SCONSTRUCT = """\
import scons_multiarch

env = scons_multiarch.environment(PLATFORMS="linux/amd64", VERSION="1.0")
program = env.Command("built/demo", ["demo.elf", "Cargo.lock"], Copy("$TARGET", "$SOURCE"))
made = env.Command("made.cdx.json", "given.json", Copy("$TARGET", "$SOURCE"))
env.MultiarchImage("app", program, sbom=["native.spdx.json", made])
"""
FILES = {
    "SConstruct": SCONSTRUCT,
    "Dockerfile": "FROM scratch\nCOPY built/demo /demo\nCOPY site /site\nCOPY web /web\n",
    "Cargo.lock": '[[package]]\nname = "serde"\nversion = "1.0.2"\nsource = "registry+https://github.com/rust-lang/crates.io-index"\n',
    "site/some_package-1.2.dist-info/METADATA": "Metadata-Version: 2.4\nName: some-package\nVersion: 1.2\nLicense-Expression: MIT\n",
    "web/node_modules/.package-lock.json": json.dumps(
        {"packages": {"node_modules/left-pad": {"version": "1.3.0", "license": "WTFPL"}}}
    ),
    "native.spdx.json": json.dumps(
        {
            "spdxVersion": "SPDX-2.3",
            "documentNamespace": "https://example.org/native",
            "packages": [{"name": "libfoo", "versionInfo": "3.1", "licenseDeclared": "Zlib"}],
        }
    ),
    "given.json": json.dumps(
        {
            "bomFormat": "CycloneDX",
            "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
            "components": [
                {"type": "library", "name": "left-pad", "version": "1.3.0", "purl": "pkg:npm/left-pad@1.3.0"},
                {"type": "library", "name": "openssl", "version": "3.0"},
            ],
        }
    ),
}


@pytest.fixture
def app(tmp_path: Path, clean_environment: Path) -> Project:  # noqa: ARG001
    project = Project.of(tmp_path / "app", FILES)
    (project.path / "demo.elf").write_bytes(elf("amd64"))
    return project


def packages(project: Project) -> dict[str, tuple[str | None, str]]:
    """Return version and licence of each package by name; both documents are valid and say the same."""
    path = project.path / "_output/sbom/app-linux-amd64.spdx.json"
    assert validate_full_spdx_document(parse_file(str(path))) == []
    text = path.with_name("app-linux-amd64.cdx.json").read_text("utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    listed: Any = json.loads(path.read_bytes())["packages"][1:]
    names = sorted(package["name"] for package in listed)
    components = json.loads(text)["components"]
    assert names == sorted(component["name"] for component in components if component["type"] != "file")
    return {package["name"]: (package.get("versionInfo"), package["licenseDeclared"]) for package in listed}


def test_each_language_and_what_is_given(app: Project):
    app.scons("sbom")
    assert packages(app) == {
        "demo": ("1.0", "NOASSERTION"),
        "serde": ("1.0.2", "NOASSERTION"),
        "some-package": ("1.2", "MIT"),
        "left-pad": ("1.3.0", "WTFPL"),
        "libfoo": ("3.1", "Zlib"),
        "openssl": ("3.0", "NOASSERTION"),
    }
    document = json.loads(app.read("_output/sbom/app-linux-amd64.spdx.json"))
    assert [linked["spdxDocument"] for linked in document["externalDocumentRefs"]] == [
        "https://example.org/native",
        "urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1",
    ]
    assert app.scons("sbom").up_to_date


def test_a_given_document_is_no_input_of_the_image(app: Project):
    app.scons("sbom")
    app.replace("given.json", '"version": "3.0"', '"version": "3.1"')
    assert app.scons("sbom").steps == ["Sbom _output/sbom/app-linux-amd64.spdx.json"]
    assert packages(app)["openssl"] == ("3.1", "NOASSERTION")


@pytest.mark.parametrize("text", ["", "<bom/>", "{}"])
def test_a_document_that_is_none_is_an_error_that_names_it(app: Project, text: str):
    app.edit("native.spdx.json", text)
    run = app.scons("sbom", check=False)
    assert run.status == 2
    assert "native.spdx.json: is " in run.text
    assert "hint: an SBOM is SPDX 2.3 or CycloneDX 1.6 in JSON" in run.text
    assert "Traceback" not in run.text


def test_certificates_and_time_zones_are_named(tmp_path: Path, clean_environment: Path):  # noqa: ARG001
    files = {
        "SConstruct": 'import scons_multiarch\n\nenv = scons_multiarch.environment(PLATFORMS="linux/amd64", VERSION="1.0")\n'
        'env.MultiarchImage("app", "demo", zoneinfo=True)\n'
    }
    project = Project.of(tmp_path / "app", files)
    (project.path / "demo").write_bytes(elf("amd64"))
    project.scons("sbom")
    found = packages(project)
    assert found["certifi"][1] == "MPL-2.0"
    assert found["tzdata"][1] == "Apache-2.0"
    document = json.loads(project.read("_output/sbom/app-linux-amd64.spdx.json"))
    paths = [file["fileName"] for file in document["files"]]
    assert {"./demo", "./etc/ssl/certs/ca-certificates.crt", "./usr/share/zoneinfo/Europe/Berlin"} <= set(paths)
