"""What an editor knows of an SConstruct: mypy finds no fault in those of this project, and the mistakes in others."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from machines import required

ROOT = Path(__file__).resolve().parents[2]
HALF = ROOT / "site_scons" / "scons_multiarch"
SCONSTRUCTS = [ROOT / "SConstruct", *sorted((ROOT / "examples").glob("*/SConstruct"))]
STUB = ast.parse((HALF / "sconstruct.pyi").read_text("utf-8"))
BUILDERS = {
    "GoBinary": ("go_binary", "go_binary"),
    "Image": ("oci_image", "image"),
    "Push": ("oci_push", "push"),
    "Archive": ("oci_archive", "archive"),
    "Load": ("oci_load", "load"),
    "Pin": ("oci_pin", "external"),
    "Index": ("oci_index", "index"),
    "Sbom": ("oci_sbom", "sbom"),
    "Provenance": ("oci_provenance", "provenance"),
    "Attest": ("oci_attest", "attest"),
    "Targets": ("oci_targets", "targets"),
    "Resolve": ("scons_multiarch.resolving", "resolve_files"),
}
HEAD = """\
import scons_multiarch

env = scons_multiarch.environment(GOLDFLAGS="-X main.version=$VERSION")
"""


def checked(path: Path, cache: Path) -> str:
    """Return what mypy, as an editor without a configuration runs it, says of a file."""
    if importlib.util.find_spec("mypy") is None:
        required.missing("mypy")
    command = [sys.executable, "-m", "mypy", "--config-file=", "--ignore-missing-imports", "--check-untyped-defs"]
    ran = subprocess.run(
        [*command, f"--cache-dir={cache}", str(path)],
        cwd=cache,
        env=os.environ | {"MYPYPATH": str(ROOT / "site_scons")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stderr == ""
    return ran.stdout


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


@pytest.mark.parametrize("path", SCONSTRUCTS, ids=lambda path: path.parent.name)
def test_an_sconstruct_of_this_project_type_checks(path: Path, cache: Path):
    assert checked(path, cache).startswith("Success: no issues found")


def test_types_are_known_where_an_editor_completes(cache: Path, tmp_path: Path):
    (tmp_path / "SConstruct").write_text(
        HEAD
        + """\
chain = env.GoImage("one", "./cmd/one", CC={"linux/amd64": "cc"}, PLATFORMS=["linux/amd64"], REBASE=False)
reveal_type(chain)
reveal_type(chain.images)
env.MultiarchImage("two", lambda platform: reveal_type(platform.architecture))
env.MultiarchImage("three", {"linux/amd64": "a"}, build_args=lambda platform: {"TAG": reveal_type(platform.slug)})
for platform in env["PLATFORMS"]:
    reveal_type(platform)
reveal_type(env.Clone())
"""
    )
    said = checked(tmp_path / "SConstruct", cache)
    types = [line.partition("Revealed type is ")[2].strip('"') for line in said.splitlines()[:-1]]
    chain, environment = "scons_multiarch.sconstruct.Chain", "scons_multiarch.sconstruct.Environment"
    plain = [kind.replace("builtins.", "") for kind in types]
    assert plain == [chain, "tuple[Any, ...]", "str", "str", "multiarch_oci.platform.Platform", environment], said


MISTAKES = {
    'env.GoImage("one", ldflags="-s")': "ldflags",
    'env.GoImage("one", tags="netgo")': "tags",
    "env.GoImage()": "name",
    'env.MultiarchImage("one", lambda platform: platform.architectur)': "architectur",
    'env.MultiarchImage("one", cgo=True)': "cgo",
    'env.Image("one.tar", dockerfil="x")': "dockerfil",
    'env.Push("one.tar")': "reference",
    'env.GoImage("one").image': "image",
    'env.GoImage("one").name = "two"': "name",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_found_before_scons_runs(line: str, cache: Path, tmp_path: Path):
    (tmp_path / "SConstruct").write_text(f"{HEAD}{line}\n")
    said = checked(tmp_path / "SConstruct", cache)
    assert "SConstruct:4: error: " in said
    assert MISTAKES[line] in said


def body(name: str) -> list[Any]:
    """Return the members of a class of the stub."""
    (found,) = [node for node in STUB.body if isinstance(node, ast.ClassDef) and node.name == name]
    return found.body


def keywords(name: str) -> set[str]:
    """Return the keys of a TypedDict of the stub."""
    return {
        node.target.id for node in body(name) if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


@pytest.mark.parametrize("builder", BUILDERS)
def test_the_parameters_are_those_of_the_builder(builder: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(HALF / "tools"))
    module, function = BUILDERS[builder]
    (stub,) = [node for node in body("Environment") if isinstance(node, ast.FunctionDef) and node.name == builder]
    known = inspect.signature(getattr(importlib.import_module(module), function)).parameters.values()
    positional = [each.name for each in known if each.kind is each.POSITIONAL_OR_KEYWORD][1:]
    only = {each.name: each.default is each.empty for each in known if each.kind is each.KEYWORD_ONLY}
    assert [argument.arg for argument in stub.args.args][1:] == positional
    declared = zip(stub.args.kwonlyargs, stub.args.kw_defaults, strict=True)
    assert {argument.arg: default is None for argument, default in declared} == only


def test_the_keywords_of_a_chain_are_all_that_a_call_takes():
    from scons_multiarch import calls
    from scons_multiarch.programs import KEYWORDS

    (image,) = [node for node in body("Environment") if isinstance(node, ast.FunctionDef) and node.name == "Image"]
    of_image = {argument.arg for argument in image.args.kwonlyargs} - {"platform"}
    assert keywords("_Chain") == {*of_image, *calls.OF_ONE_IMAGE, "repository", "annotations"}
    assert keywords("_Go") == set(KEYWORDS)
    assert keywords("_GoChain") == {"sources"}


def test_the_record_of_a_chain_is_described_whole():
    from scons_multiarch.targets import Chain

    described = [node.name for node in body("Chain") if isinstance(node, ast.FunctionDef)]
    later = [name for name, value in vars(Chain).items() if isinstance(value, property)]
    assert described == [*(name for name in Chain.__struct_fields__ if not name.endswith("_of")), *later]
