"""Each of the Tools works alone, and all of them in any order: none counts on another one before it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from machines.project import GO_MODULE, Project

TOOLS = (
    *("oci_settings", "go_binary", "oci_image", "oci_archive", "oci_load", "oci_push", "oci_pin", "oci_index"),
    *("oci_sbom", "oci_provenance", "oci_attest", "oci_targets"),
)
ORDERS = {
    "as in the template": TOOLS,
    "backwards": tuple(reversed(TOOLS)),
    "settings last": (*TOOLS[1:], TOOLS[0]),
    "targets first": (TOOLS[-1], *TOOLS[:-1]),
    "by name": tuple(sorted(TOOLS)),
    "twice": (*TOOLS[1:], *TOOLS, TOOLS[0]),
}
PIPELINE = """
program = env.GoBinary("_output/bin/demo", platform="linux/amd64")
image = env.Image("_output/images/demo.tar", program, dockerfile="Dockerfile")
archive = env.Archive("_output/release/demo.tar", image, reference="$REPOSITORY:$VERSION")
push = env.Push(image, "$REPOSITORY:$VERSION-amd64")
index = env.Index("_output/manifest/demo.json", image, platforms=["linux/amd64"])
env.Sbom("_output/sbom/demo-amd64", image)
env.Provenance("_output/provenance/demo-amd64.json", image)
published = env.Push(index, "$REPOSITORY:$VERSION", children=push)
env.Attest(push, env.Sbom("_output/sbom/demo-amd64", image))
env.Targets(bin=program, images=image, release=archive, push=push, manifest=index, push_manifest=published)
"""
VERBS = ["Archive", "Attest", "Compile", "Image", "Index", "Publish", "Push", "Sbom"]
ALONE = {
    "oci_settings": 'print("is", env["VERSION"], env["REPOSITORY"])',
    "go_binary": 'env.GoBinary("_output/bin/demo", platform="linux/amd64")',
    "oci_image": 'env.Image("_output/images/demo.tar", dockerfile="Dockerfile.bare", platform="linux/amd64")',
    "oci_archive": "print(env.Archive)",
    "oci_load": "print(env.Load)",
    "oci_push": "print(env.Push)",
    "oci_pin": 'env.Pin("_output/registry/demo:v1-amd64", platform="linux/amd64")',
    "oci_index": "print(env.Index)",
    "oci_sbom": "print(env.Sbom)",
    "oci_provenance": "print(env.Provenance)",
    "oci_attest": "print(env.Attest)",
    "oci_targets": "env.Targets()",
}
WORDS = {"go_binary": ("_output",), "oci_image": ("_output",), "oci_pin": ("-n",)}
STEPS = {
    "go_binary": ["Compile _output/bin/demo"],
    "oci_image": ["Image _output/images/demo.tar"],
    "oci_pin": ["Pin _output/registry/demo:v1-amd64"],
}


@pytest.fixture
def tree(tmp_path: Path, clean_environment: Path) -> Project:  # noqa: ARG001
    files = {
        "Dockerfile": "FROM scratch\nCOPY _output/bin/demo /\n",
        "Dockerfile.bare": "FROM scratch\nCOPY VERSION /\n",
        **GO_MODULE,
    }
    return Project.of(tmp_path / "tree", files)


def declare(tree: Project, tools: tuple[str, ...], text: str) -> None:
    head = f"DefaultEnvironment(tools=[])\nenv = Environment(tools={list(tools)!r})\n"
    tree.edit("SConstruct", f"{head}{text}\n")


def test_any_order_of_the_tools_builds_the_same(tree: Project):
    verbs, made = set(), set()
    for tools in ORDERS.values():
        shutil.rmtree(tree.path / "_output", ignore_errors=True)
        shutil.rmtree(tree.path / ".multiarch", ignore_errors=True)
        declare(tree, tools, PIPELINE)
        ran = tree.scons("release", "push-manifest", "INSECURE=one.example")
        verbs.add(tuple(sorted(step.partition(" ")[0] for step in ran.steps)))
        made.add((tree.path / "_output/manifest/demo.json").read_bytes())
    assert verbs == {tuple(VERBS)}
    assert len(made) == 1
    assert json.loads(made.pop())["manifests"]


@pytest.mark.parametrize("tool", TOOLS)
def test_each_tool_works_alone(tree: Project, tool: str):
    declare(tree, (tool,), ALONE[tool])
    ran = tree.scons(*WORDS.get(tool, ("VERSION",)))
    assert ran.steps == STEPS.get(tool, [])
    if tool in ("go_binary", "oci_image"):
        assert tree.scons("_output").up_to_date


def test_each_tool_in_an_environment_of_its_own_is_one_build(tree: Project):
    names = {"GoBinary": "go_binary", "Image": "oci_image", "Archive": "oci_archive", "Push": "oci_push"}
    names |= {"Index": "oci_index", "Sbom": "oci_sbom", "Provenance": "oci_provenance", "Attest": "oci_attest"}
    names |= {"Targets": "oci_targets"}
    text = PIPELINE
    for builder, tool in names.items():
        text = text.replace(f"env.{builder}(", f'Environment(tools=["{tool}"]).{builder}(')
    tree.edit("SConstruct", f"DefaultEnvironment(tools=[])\n{text}")
    steps = tree.scons("release", "push-manifest").steps
    assert sorted(step.partition(" ")[0] for step in steps) == VERBS
    assert tree.scons("release", "push-manifest").up_to_date


def test_a_tool_alone_needs_no_version(tree: Project):
    (tree.path / "VERSION").unlink()
    declare(tree, ("go_binary",), ALONE["go_binary"])
    assert tree.scons("_output").steps == STEPS["go_binary"]
    for tools in (("go_binary", "oci_settings"), ("oci_settings", "go_binary"), ("oci_push", "oci_targets")):
        declare(tree, tools, ALONE["oci_settings"])
        ran = tree.scons("VERSION", check=False)
        assert (ran.status, "VERSION: the file is missing" in ran.text) == (2, True), ran.text


def test_a_tool_alone_checks_the_words_of_the_command_line(tree: Project):
    declare(tree, ("go_binary",), ALONE["go_binary"])
    ran = tree.scons("DRIFT=perhaps", check=False)
    assert (ran.status, "'perhaps' is not a value of DRIFT" in ran.text) == (2, True), ran.text
