"""REGISTRY=one,two: one index serves all; what fails at one leaves the others to be finished."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from machines.project import Project
from machines.registry import Registry
from machines.required import required


@pytest.fixture
def second(make_registry: Callable[..., Registry]) -> Iterator[Registry]:
    made = make_registry()
    yield made
    made.stop()


def inspect(registry: Registry, name: str) -> dict[str, object]:
    """Read a manifest by skopeo."""
    command = [required("skopeo"), "inspect", "--raw", "--tls-verify=false", f"docker://{registry.host}/{name}"]
    return dict(json.loads(subprocess.check_output(command)))


def verbs(steps: list[str]) -> list[str]:
    return sorted({step.partition(" ")[0] for step in steps})


def test_each_registry_holds_the_same_index_and_its_own_receipts(
    project: Project, registry: Registry, second: Registry
) -> None:
    to = f"REGISTRY={registry.host}/team,{second.host}"
    ran = project.scons("push-manifest", to, "TAGS=latest")
    assert len([step for step in ran.steps if step.startswith("Image")]) == 2
    assert len([step for step in ran.steps if step.startswith("Push")]) == 4
    first = inspect(registry, "team/demo:v1.0")
    assert first == inspect(second, "demo:v1.0") == inspect(second, "demo:latest")
    receipts = {path.parent.parent.name for path in (project.path / "_output/receipts").rglob("v1.0.json")}
    assert len(receipts) == 2
    assert project.scons("push-manifest", to, "TAGS=latest").up_to_date


def test_a_tag_that_is_gone_at_one_is_repaired_there_alone(
    project: Project, registry: Registry, second: Registry
) -> None:
    to = f"REGISTRY={registry.host},{second.host}"
    project.scons("push-manifest", to)
    second.empty()
    registry.requests()
    ran = project.scons("push-manifest", to)
    assert verbs(ran.steps) == ["Publish", "Push"]
    assert all(second.host in step for step in ran.steps)
    assert not [request for request in registry.requests() if str(request).startswith(("PUT", "POST"))]


@pytest.mark.parametrize("down", [0, 1])
def test_one_that_is_down_leaves_the_other_complete_and_then_it_alone_is_done(
    project: Project, registry: Registry, second: Registry, down: int
) -> None:
    both = [registry, second]
    to = f"REGISTRY={registry.host},{second.host}"
    both[down].stop()
    ran = project.scons("push-manifest", to, check=False)
    assert ran.status == 2
    lines = [line for line in ran.text.splitlines() if line.startswith(f"scons: {both[down].host}: ")]
    complete = [line for line in ran.text.splitlines() if line == f"scons: {both[1 - down].host}: complete"]
    assert (len(lines), len(complete)) == (1, 1)
    assert inspect(both[1 - down], "demo:v1.0")
    both[down].start()
    ran = project.scons("push-manifest", to)
    assert verbs(ran.steps) == ["Publish", "Push"]
    assert all(both[down].host in step for step in ran.steps)
    assert project.scons("push-manifest", to).up_to_date


def test_a_compile_error_ends_all(project: Project, registry: Registry, second: Registry) -> None:
    project.edit("main.go", "package main\n\nfunc main() { nothing }\n")
    ran = project.scons("push-manifest", f"REGISTRY={registry.host},{second.host}", check=False)
    assert (ran.status, "complete" in ran.text) == (2, False)


def test_what_may_not_be_moved_at_one_leaves_the_other_to_be_finished(
    project: Project, registry: Registry, second: Registry
) -> None:
    project.scons("push-manifest", f"REGISTRY={second.host}")
    project.remove("_output")
    to = f"REGISTRY={registry.host},{second.host}"
    ran = project.scons("push-manifest", to, "IMMUTABLE=yes", "LABELS=a=b", check=False)
    assert ran.status == 2
    assert f"scons: {registry.host}: complete" in ran.text
    assert inspect(registry, "demo:v1.0") != inspect(second, "demo:v1.0")


def test_what_others_push_is_copied_to_each_under_one_tag(
    project: Project, registry: Registry, second: Registry
) -> None:
    project.scons("push", f"REGISTRY={registry.host}", "VERSION=v1.0", "PLATFORMS=linux/arm64")
    project.remove("_output")
    ran = project.scons(
        "push-manifest", f"REGISTRY={registry.host},{second.host}", "PLATFORMS=linux/amd64", "EXTERNAL=v1.0-arm64"
    )
    assert len([step for step in ran.steps if step.startswith("Pin")]) == 2
    assert inspect(registry, "demo:v1.0") == inspect(second, "demo:v1.0")
    assert inspect(registry, "demo:v1.0-arm64") == inspect(second, "demo:v1.0-arm64")
    image = f"docker://{second.host}/demo:v1.0"
    command = [required("skopeo"), "copy", "--all", "--src-tls-verify=false", image, f"dir:{project.path}/copied"]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def elsewhere(make_registry: Callable[..., Registry]) -> Iterator[Registry]:
    """The registry in which somebody else's image lies."""
    made = make_registry()
    yield made
    made.stop()


@pytest.mark.parametrize("down", [0, 1])
def test_what_lies_elsewhere_is_copied_to_each_though_one_is_down(
    project: Project, registry: Registry, second: Registry, elsewhere: Registry, down: int
) -> None:
    project.scons("push", f"REGISTRY={elsewhere.host}", "IMAGE=theirs", "PLATFORMS=linux/arm64")
    project.remove("_output")
    both = [registry, second]
    external = f"EXTERNAL={elsewhere.host}/theirs:v1.0-arm64"
    words = ("push-manifest", f"REGISTRY={registry.host},{second.host}", "PLATFORMS=linux/amd64", external)
    both[down].stop()
    ran = project.scons(*words, check=False)
    assert ran.status == 2
    assert f"scons: {both[1 - down].host}: complete" in ran.text
    assert inspect(both[1 - down], "demo:v1.0-arm64") == inspect(elsewhere, "theirs:v1.0-arm64")
    both[down].start()
    ran = project.scons(*words)
    assert all(both[down].host in step or step.startswith("Pin") for step in ran.steps)
    assert inspect(registry, "demo:v1.0") == inspect(second, "demo:v1.0")
    assert project.scons(*words).up_to_date


def test_questions_know_all_of_them(project: Project, registry: Registry, second: Registry) -> None:
    to = f"REGISTRY={registry.host},{second.host}"
    planned = project.scons("plan", "push-manifest", to).text
    assert registry.host in planned
    assert second.host in planned
    project.scons("push-manifest", to)
    assert "everything is there: 6 tags checked" in project.scons("verify", "push-manifest", to).text
    second.empty()
    assert "repaired: everything is there" in project.scons("verify", "push-manifest", to).text


@pytest.mark.parametrize(
    ("value", "words"),
    [("_output/a,_output/a", "named twice"), ("_output/a,team", "neither a registry nor a folder"), ("_output/a,", "")],
)
def test_what_is_wrong_with_one_is_said(project: Project, value: str, words: str) -> None:
    ran = project.scons("manifest", f"REGISTRY={value}", check=False)
    assert (ran.status == 2) is bool(words)
    assert words in ran.text


def test_folders_and_loads_mean_the_first(project: Project, tmp_path: Path) -> None:
    to = f"REGISTRY={tmp_path / 'one'},{tmp_path / 'two'}"
    project.scons("push-manifest", "release", to)
    for folder in ("one", "two"):
        assert (tmp_path / folder / "demo" / "index.json").is_file()
    assert len(list((project.path / "_output/release").iterdir())) == 2


def test_options_of_scons_for_failures_end_the_run(project: Project, registry: Registry, second: Registry) -> None:
    second.stop()
    for option in ("-i", "-k"):
        ran = project.scons(
            option, "push-manifest", f"REGISTRY={registry.host},{second.host}", check=False, timeout=120
        )
        assert "Traceback" not in ran.text
        assert inspect(registry, "demo:v1.0")


def test_what_one_environment_forbids_another_does_not_allow(project: Project, registry: Registry) -> None:
    project.edit(
        "SConstruct",
        'import scons_multiarch\n\nfirst = scons_multiarch.environment(IMMUTABLE="yes")\nfirst.GoImage("demo")\n'
        "second = scons_multiarch.environment()\n",
    )
    to = f"REGISTRY={registry.host}"
    project.scons("push-manifest", to)
    ran = project.scons("push-manifest", to, "LABELS=a=b", check=False)
    assert (ran.status, "exists with other content" in ran.text) == (2, True)


def test_one_folder_by_two_spellings_is_one(project: Project) -> None:
    ran = project.scons("manifest", f"REGISTRY={project.path}/_output/r,./_output/r", check=False)
    assert (ran.status, "named twice" in ran.text) == (2, True)
