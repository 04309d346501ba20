from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from multiarch_oci.golang.golist import list_packages
from multiarch_oci.golang.inputs import Listing
from multiarch_oci.golang.toolchain import Toolchain

MODULE = {"Path": "ex.org/r", "Main": True, "Dir": "/src", "GoVersion": "1.24"}
ENTRIES = [
    {"ImportPath": "fmt", "Dir": "/go/src/fmt", "Standard": True, "GoFiles": ["print.go"]},
    {
        "ImportPath": "a.b/cached",
        "Dir": "/mod/a.b/cached@v1.2.3/x",
        "Module": {"Path": "a.b/cached", "Version": "v1.2.3", "Dir": "/mod/a.b/cached@v1.2.3"},
    },
    {
        "ImportPath": "a.b/local",
        "Dir": "/lib",
        "Module": {
            "Path": "a.b/local",
            "Version": "v1.0.0",
            "Dir": "/lib",
            "Replace": {"Path": "../lib", "Dir": "/lib"},
        },
        "GoFiles": ["l.go"],
        "EmbedFiles": ["data/x.txt"],
        "Imports": ["fmt"],
    },
    {
        "ImportPath": "a.b/fork",
        "Dir": "/mod/c.d/fork@v2.0.0",
        "Module": {
            "Path": "a.b/fork",
            "Version": "v1.0.0",
            "Dir": "/mod/c.d/fork@v2.0.0",
            "Replace": {"Path": "c.d/fork", "Version": "v2.0.0"},
        },
    },
    {
        "ImportPath": "a.b/vendored",
        "Dir": "/src/vendor/a.b/vendored",
        "Module": {"Path": "a.b/vendored", "Version": "v1.0.0"},
        "GoFiles": ["v.go"],
    },
    {
        "ImportPath": "ex.org/r/cmd/a",
        "Name": "main",
        "Dir": "/src/cmd/a",
        "Match": ["./cmd/a"],
        "Module": MODULE,
        "GoFiles": ["main.go"],
        "Imports": ["fmt", "a.b/local", "a.b/cached", "a.b/fork"],
    },
    {
        "ImportPath": "ex.org/r/cmd/b",
        "Dir": "/src/cmd/b",
        "Match": ["./cmd/b"],
        "Module": MODULE,
        "Imports": ["a.b/vendored"],
    },
    {"ImportPath": "./cmd/none", "Match": ["./cmd/none"], "Error": {"Pos": "x.go:1:2", "Err": "not found"}},
]


def answered(output: str | None = None, status: int = 0, complaint: str = "") -> Listing:
    text = "".join(json.dumps(entry, indent=1) + "\n" for entry in ENTRIES) if output is None else output
    return list_packages(
        ["./cmd/a", "./cmd/b", "./cmd/none"],
        toolchain=Toolchain(Path("/go/bin/go"), Path("/go"), "go1.26.8"),
        directory=Path("/src"),
        environment={},
        flags=(),
        no_index=False,
        run=lambda _line, _directory, _environment: (status, text, complaint),
    )


def test_each_program_has_its_own_packages_and_the_standard_library_is_left_out():
    listing = answered()
    assert next(package.path for package in listing.behind("./cmd/a")) == "ex.org/r/cmd/a"
    assert {package.path for package in listing.behind("./cmd/a")} == {
        "ex.org/r/cmd/a",
        "a.b/local",
        "a.b/cached",
        "a.b/fork",
    }
    assert [package.path for package in listing.behind("./cmd/b")] == ["ex.org/r/cmd/b", "a.b/vendored"]
    assert listing.behind("./unknown") == ()


def test_only_the_module_cache_is_fixed():
    fixed = {package.path for package in answered().packages if package.fixed}
    assert fixed == {"a.b/cached", "a.b/fork"}


def test_versions_and_files_are_as_go_says():
    packages = {package.path: package for package in answered().packages}
    assert packages["a.b/local"].files == ("data/x.txt", "l.go")
    assert packages["a.b/local"].version == "v1.0.0 => local"
    assert packages["a.b/fork"].version == "v1.0.0 => c.d/fork v2.0.0"
    assert packages["ex.org/r/cmd/a"].language == "1.24"
    assert packages["./cmd/none"].error == "x.go:1:2: not found"


def test_a_listing_survives_json():
    listing = answered()
    again = msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(listing))), Listing)
    assert again.packages == listing.packages
    assert again.closures == listing.closures


def test_what_go_complains_about_is_the_error():
    assert answered("", 1, "go: go.mod:3: unknown directive\n").error == "go: go.mod:3: unknown directive"
    assert answered("", 2).error == "go list failed with status 2"
    assert answered("{", 0).error == "go list wrote something that is not JSON"


@pytest.mark.parametrize(
    "text", ['{"ImportPath": 1}', "[]", '{"GoFiles": ["a.go"]}', '{"ImportPath": "p", "GoFiles": {}}']
)
def test_an_answer_of_another_shape_is_an_error(text: str):
    assert answered(text, 0).error == "go list wrote something that is not JSON"
