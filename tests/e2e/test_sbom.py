"""`scons sbom`: packages are those of `go version -m`, files those of the COPY list; equal inputs, equal bytes."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from machines.project import Project
from machines.registry import Registry

MIT = """\
MIT License

Copyright (c) 2026 Somebody

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""
MODULES = {
    ("example.org/Upper/lib", "v1.2.3"): {"lib.go": "package lib\n\nconst X = 1\n", "LICENSE": MIT},
    ("example.org/old", "v1.0.0"): {"old.go": "package old\n\nconst X = 1\n"},
    ("example.org/new", "v1.1.0"): {"old.go": "package old\n\nconst X = 2\n", "LICENSE": "Ask us.\n"},
}
SCONSTRUCT = """\
import scons_multiarch

env = scons_multiarch.environment(GOLDFLAGS="-X main.version=$VERSION", PLATFORMS="linux/amd64,linux/arm/v7")
env.GoImage("shop/demo")
"""
FILES = {
    "SConstruct": SCONSTRUCT,
    "main.go": """\
package main

import (
	"example.org/Upper/lib"
	"example.org/local"
	"example.org/old"
)

var version = "unknown"

func main() { println(version, lib.X, old.X, local.X) }
""",
    "go.mod": """\
module example.com/demo

go 1.21

require (
	example.org/Upper/lib v1.2.3
	example.org/local v0.0.0
	example.org/old v1.0.0
)

replace example.org/old => example.org/new v1.1.0

replace example.org/local => ./local
""",
    "local/go.mod": "module example.org/local\n\ngo 1.21\n",
    "local/local.go": "package local\n\nconst X = 3\n",
    "Dockerfile": """\
FROM scratch
ARG TARGETARCH TARGETVARIANT
COPY _output/bin/${TARGETARCH}${TARGETVARIANT:+-${TARGETVARIANT}}/linux/demo /usr/bin/demo
COPY share /share
COPY conf/*.conf /etc/demo/
ENTRYPOINT ["/usr/bin/demo"]
""",
    "share/greeting": "hello\n",
    "share/deep/note.txt": "a note\n",
    "conf/one.conf": "one\n",
    "conf/left.txt": "not copied\n",
}
COPIED = {
    "share/greeting": "share/greeting",
    "share/deep/note.txt": "share/deep/note.txt",
    "etc/demo/one.conf": "conf/one.conf",
}


def escaped(path: str) -> str:
    """Return a module's path as a proxy has it (golang.org/ref/mod, "module proxy")."""
    return "".join(f"!{letter.lower()}" if letter.isupper() else letter for letter in path)


def proxy(folder: Path) -> Path:
    """Make a module proxy of files."""
    for (path, version), files in MODULES.items():
        home = folder / escaped(path) / "@v"
        home.mkdir(parents=True)
        (home / "list").write_text(f"{version}\n", "utf-8")
        (home / f"{version}.info").write_text(json.dumps({"Version": version}), "utf-8")
        module = f"module {path}\n\ngo 1.21\n"
        if path == "example.org/new":  # it stands for another one
            module = "module example.org/old\n\ngo 1.21\n"
        (home / f"{version}.mod").write_text(module, "utf-8")
        with zipfile.ZipFile(home / f"{version}.zip", "w") as archive:
            for name, text in {"go.mod": module, **files}.items():
                archive.writestr(f"{path}@{version}/{name}", text)
    return folder


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: Path) -> Path:  # noqa: ARG001
    """Return an empty module cache that is filled from a proxy of files."""
    monkeypatch.setenv("GOPROXY", proxy(tmp_path / "proxy").as_uri())
    monkeypatch.setenv("GONOSUMDB", "*")
    monkeypatch.setenv("GOFLAGS", "-modcacherw")
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))
    return tmp_path / "modules"


def make(path: Path) -> Project:
    project = Project.of(path, FILES)
    subprocess.run(["go", "mod", "tidy"], cwd=path, check=True, capture_output=True)
    return project


@pytest.fixture
def project(tmp_path: Path, modules: Path) -> Project:  # noqa: ARG001
    return make(tmp_path / "project")


def spdx(project: Project, name: str = "demo-linux-amd64") -> Any:
    path = project.path / "_output" / "sbom" / f"{name}.spdx.json"
    assert validate_full_spdx_document(parse_file(str(path))) == []
    return json.loads(path.read_bytes())


def cyclonedx(project: Project, name: str = "demo-linux-amd64") -> Any:
    text = project.read(f"_output/sbom/{name}.cdx.json")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    return json.loads(text)


def packages(document: Any) -> dict[str, Any]:
    return {package["name"]: package for package in document["packages"]}


def said_by_go(program: Path) -> dict[str, tuple[str, str]]:
    """Return version and sum of every module of a program, by path, as `go version -m` prints them."""
    printed = subprocess.run(["go", "version", "-m", program], capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t")[1:] for line in printed.splitlines()[1:]]
    modules: dict[str, tuple[str, str]] = {}
    last = ""
    for kind, path, *rest in filter(lambda row: len(row) > 1, rows):
        version, total = (*rest, "", "")[:2]
        if kind == "=>" and total:  # another module; a folder is called as what it stands for
            del modules[last]
        if kind in ("mod", "dep") or (kind == "=>" and total):
            modules[path], last = (version, total), path
    return modules


def test_packages_are_those_of_go_and_files_those_of_the_copy_list(project: Project):
    project.scons("sbom")
    for slug, folder in (("linux-amd64", "amd64"), ("linux-arm-v7", "arm-v7")):
        program = project.path / "_output" / "bin" / folder / "linux" / "demo"
        modules = said_by_go(program)
        document = spdx(project, f"demo-{slug}")
        known = packages(document)
        assert set(known) == {"shop/demo", "stdlib", *modules}
        for path, (version, total) in modules.items():
            assert known[path]["versionInfo"] == ("1.0" if path == "example.com/demo" else version)
            sums = [r["referenceLocator"] for r in known[path]["externalRefs"] if r["referenceType"] == "go:sum"]
            assert sums == ([total] if total else [])
        files = {file["fileName"]: {c["algorithm"]: c["checksumValue"] for c in file["checksums"]}["SHA256"]
                 for file in document["files"]}  # fmt: skip
        copied = {f"./{path}": (project.path / source).read_bytes() for path, source in COPIED.items()}
        copied["./usr/bin/demo"] = program.read_bytes()
        assert files == {path: hashlib.sha256(content).hexdigest() for path, content in copied.items()}
        components = cyclonedx(project, f"demo-{slug}")["components"]
        assert {c["name"] for c in components if c["type"] != "file"} == set(known) - {"shop/demo"}
        assert {f".{c['name']}" for c in components if c["type"] == "file"} == set(files)


def test_a_sum_of_go_is_no_sha256_of_anything(project: Project):
    project.scons("sbom")
    text = project.read("_output/sbom/demo-linux-amd64.spdx.json") + project.read(
        "_output/sbom/demo-linux-amd64.cdx.json"
    )
    sums = [total for _, total in said_by_go(project.path / "_output/bin/amd64/linux/demo").values() if total]
    assert len(sums) == 2
    for total in sums:
        assert total in text
        assert base64.b64decode(total.removeprefix("h1:")).hex() not in text


def test_replaced_modules_are_what_is_really_there(project: Project):
    project.scons("sbom")
    components = {c["name"]: c for c in cyclonedx(project)["components"]}
    assert {"name": "go:replaces", "value": "example.org/old v1.0.0"} in components["example.org/new"]["properties"]
    assert {"name": "go:folder", "value": "./local"} in components["example.org/local"]["properties"]
    assert components["example.org/Upper/lib"]["purl"] == "pkg:golang/example.org/upper/lib@v1.2.3"


def test_the_index_names_its_images_by_digest_as_variants(project: Project):
    project.scons("sbom")
    index = json.loads(project.read("_output/manifest/demo-1.0.json"))
    document = spdx(project, "demo-1.0")
    digest = project.read("_output/manifest/demo-1.0.digest").strip().removeprefix("sha256:")
    assert digest in document["documentNamespace"]
    kinds = [entry["relationshipType"] for entry in document["relationships"]]
    assert sorted(kinds) == ["DESCRIBES", "VARIANT_OF", "VARIANT_OF"]
    named = {p["checksums"][0]["checksumValue"] for p in document["packages"]}
    assert named == {digest, *(entry["digest"].removeprefix("sha256:") for entry in index["manifests"])}
    cyclonedx(project, "demo-1.0")


def test_no_registry_is_asked_and_the_second_time_nothing_runs(project: Project):
    dead = "REGISTRY=127.0.0.1:1/x"
    run = project.scons("sbom", dead)
    assert [step for step in run.steps if step.startswith("Sbom")] == [
        f"Sbom _output/sbom/demo-{name}.spdx.json" for name in ("linux-amd64", "linux-arm-v7", "1.0")
    ] or len([step for step in run.steps if step.startswith("Sbom")]) == 3
    assert project.scons("sbom", dead).up_to_date


def test_only_what_changed_is_written_again(project: Project):
    project.scons("sbom")
    project.edit("conf/one.conf", "two\n")
    assert {step for step in project.scons("sbom").steps if step.startswith("Sbom")} == {
        f"Sbom _output/sbom/demo-{name}.spdx.json" for name in ("linux-amd64", "linux-arm-v7", "1.0")
    }
    project.remove("_output/sbom/demo-1.0.cdx.json")
    assert project.scons("sbom").steps == ["Sbom _output/sbom/demo-1.0.spdx.json"]
    project.edit("_output/sbom/demo-linux-amd64.spdx.json", "{}")
    assert project.scons("sbom").steps == ["Sbom _output/sbom/demo-linux-amd64.spdx.json"]


def test_two_trees_two_caches_two_days_one_sbom(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    project.scons("sbom")
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "other modules"))
    other = make(tmp_path / "elsewhere" / "another name")
    for file in other.path.rglob("*"):
        if file.is_file() and not file.is_symlink():
            os.utime(file, (1, 1))
    other.scons("sbom", "-j1")
    assert other.digests("_output/sbom") == project.digests("_output/sbom")


def test_sboms_are_declared_only_when_they_are_asked_for(project: Project):
    project.scons("images")
    assert not (project.path / "_output/sbom").exists()
    assert project.scons("manifest").steps == ["Index _output/manifest/demo-1.0.json"]
    project.edit("SConstruct", SCONSTRUCT.replace("env.GoImage", "chain = env.GoImage") + 'Alias("x", chain.sboms)\n')
    assert len(project.scons("x").steps) == 2


def test_each_image_has_its_word_and_why_tells(project: Project):
    project.scons("shop/demo:sbom")
    lines = project.scons("-Q", "why", "demo:sbom").text.splitlines()
    assert [line for line in lines if "demo-linux-amd64.spdx.json: up to date" in line] != []
    assert len(lines) == len(set(lines)), "a step is one line"
    project.edit("VERSION", "2.0\n")
    reasons = project.scons("why", "_output/sbom/demo-linux-amd64.spdx.json").text
    assert "version: '1.0' → '2.0'" in reasons


def licences(project: Project) -> dict[str, str]:
    """Return the declared licence of each package, where there is one."""
    declared = {name: package["licenseDeclared"] for name, package in packages(spdx(project)).items()}
    return {name: licence for name, licence in declared.items() if licence != "NOASSERTION" and name != "stdlib"}


def test_licences_come_from_the_files_of_modules_as_they_were_compiled(project: Project, modules: Path):
    project.scons("bin")
    shutil.rmtree(modules)
    project.scons("sbom")
    assert licences(project) == {"example.org/Upper/lib": "MIT"}
    project.edit("local/LICENSE", "SPDX-License-Identifier: ISC\n")
    run = project.scons("sbom")
    assert {step.partition(" ")[0] for step in run.steps} == {"Sbom"}
    assert licences(project) == {"example.org/Upper/lib": "MIT", "example.org/local": "ISC"}


def test_vendored_modules_have_their_licences_too(project: Project, modules: Path):
    subprocess.run(["go", "mod", "vendor"], cwd=project.path, check=True, capture_output=True)
    shutil.rmtree(modules)
    project.scons("sbom")
    assert licences(project) == {"example.org/Upper/lib": "MIT"}
    project.edit("vendor/example.org/Upper/lib/LICENSE", "Ask us.\n")
    assert all(step.startswith("Sbom") for step in project.scons("sbom").steps)
    assert licences(project) == {}


def test_a_machine_that_takes_all_out_of_the_shared_cache_writes_the_same(project: Project, registry: Registry):
    cache = f"CACHE={registry.host}/cache"
    project.scons("sbom", cache, "CACHE_MODE=readwrite")
    other = make(project.path.with_name("other"))
    run = other.scons("sbom", cache)
    assert "from cache" in run.text
    assert other.digests("_output/sbom") == project.digests("_output/sbom")
    assert other.scons("sbom", cache).up_to_date
