"""The files for other people's CI: linters accept them, and what they run publishes what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from machines import wheels
from machines.project import ROOT, Project
from machines.registry import PASSWORD, USER, Registry
from machines.required import cache_folder, go_tool, missing, required
from machines.wheels import Installed
from scons_multiarch import RELEASE

yaml = pytest.importorskip("yaml")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the scripts are for a POSIX shell")

CACHE = cache_folder()  # before a test moves HOME
FOLDER = ROOT / "site_scons" / "scons_multiarch" / "ci"
FILES = sorted(FOLDER.glob("*.yml"))
SCHEMAS = {
    "action.yml": ("vendor.github-actions",),
    "github.yml": ("vendor.github-workflows",),
    "github-machines.yml": ("vendor.github-workflows",),
    "gitlab.yml": ("vendor.gitlab-ci", "--data-transform", "gitlab-ci"),
    "gitlab-machines.yml": ("vendor.gitlab-ci", "--data-transform", "gitlab-ci"),
}


@pytest.fixture
def foreign(tmp_path: Path) -> Callable[[str], Project]:
    """Return a maker of clones of somebody else's repository."""
    required("go")
    return lambda name: wheels.foreign(tmp_path / name)


def linted(*command: str) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=FOLDER)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def module(name: str) -> str:
    found = Path(sys.executable).with_name(name)
    return str(found) if found.exists() else missing(name)


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def test_every_file_is_one_that_a_linter_knows() -> None:
    assert {path.name for path in FILES} == SCHEMAS.keys()


def test_yamllint_finds_nothing() -> None:
    rules = "{extends: default, rules: {document-start: disable, line-length: {max: 120}}}"
    linted(module("yamllint"), "--strict", "-d", rules, ".")


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_of_the_host_accepts_it(name: str) -> None:
    schema, *options = SCHEMAS[name]
    linted(module("check-jsonschema"), "--builtin-schema", schema, *options, name)


def test_actionlint_finds_nothing() -> None:
    program = go_tool("github.com/rhysd/actionlint/cmd/actionlint", "v1.7.12", CACHE)
    linted(str(program), "-no-color", "github.yml", "github-machines.yml")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_others_wrote_is_pinned_and_the_tool_is_the_newest_release(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for action in re.findall(r"uses: (?!\./)(\S+)", text):
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)
    assert set(re.findall(r"scons-multiarch\[go\]==([\d.]+)", text)) == {RELEASE}
    if path.name != "action.yml":
        assert "LOCKED=yes" in text
        assert len(re.findall(r"multiarch push", text)) == len(re.findall(r"IMMUTABLE=yes", text))


def run(installed: Installed, project: Project, script: str, **variables: str) -> str:
    """Run lines of a CI file as its host does, with the wheel's environment first on PATH."""
    path = f"{installed.bin}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        [required("bash"), "-eo", "pipefail", "-c", script],
        cwd=project.path,
        env=os.environ | {"PATH": path} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{script}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


def script_of(job: Any, name: str, registry: Registry) -> str:
    (script,) = [step["run"] for step in job["steps"] if step.get("name") == name]
    return str(script).replace("ghcr.io", registry.host)


def platforms(registry: Registry, name: str) -> set[str]:
    repository, _, tag = name.rpartition(":")
    index = registry.json(repository, tag)
    return {f"{entry['platform']['os']}/{entry['platform']['architecture']}" for entry in index["manifests"]}


def test_the_workflow_of_one_machine_builds_and_publishes(
    installed: Installed, foreign: Callable[[str], Project], registry: Registry
) -> None:
    job = read("github.yml")["jobs"]["images"]
    project = foreign("one")
    owner = {"GITHUB_REPOSITORY_OWNER": "Some-Team"}
    assert "Index " in run(installed, project, script_of(job, "Build", registry))
    run(installed, project, script_of(job, "Publish", registry), **owner)
    assert platforms(registry, "some-team/whoami:v1.0") == {"linux/amd64", "linux/arm64"}
    assert "is up to date" in run(installed, project, script_of(job, "Publish", registry), **owner)
    again = run(installed, foreign("another machine"), script_of(job, "Publish", registry), **owner)
    assert "->" not in again  # adopted: nothing is sent


def test_the_workflow_of_several_machines_ends_in_one_tag(
    installed: Installed, foreign: Callable[[str], Project], registry: Registry
) -> None:
    jobs = read("github-machines.yml")["jobs"]
    variables = {"GITHUB_REPOSITORY_OWNER": "Some-Team", "VERSION": "v2.0"}
    for number, machine in enumerate(jobs["push"]["strategy"]["matrix"]["include"]):
        script = script_of(jobs["push"], "Push", registry)
        run(installed, foreign(str(number)), script, PLATFORMS=machine["platforms"], **variables)
    run(installed, foreign("last"), script_of(jobs["publish"], "Publish", registry), **variables)
    assert platforms(registry, "some-team/whoami:v2.0") == {"linux/amd64", "linux/arm64"}


def test_the_step_of_the_action_takes_the_words_of_a_command_line(
    installed: Installed, foreign: Callable[[str], Project], registry: Registry
) -> None:
    steps = read("action.yml")["runs"]["steps"]
    command = f"push-manifest REGISTRY={registry.host}/team PLATFORMS=linux/arm64"
    run(installed, foreign("one"), steps[-1]["run"], COMMAND=command)
    assert platforms(registry, "team/whoami:v1.0") == {"linux/arm64"}


@pytest.mark.parametrize("command", ["a b=c", "a\nb=c\n", "\n a\n\n  b=c", "a \\\n b=c"])
def test_all_lines_of_the_actions_command_count(tmp_path: Path, command: str) -> None:
    program = tmp_path / "multiarch"
    program.write_text("#!/bin/sh\nprintf '<%s>' \"$@\"\n")
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "COMMAND": command}
    script = [required("bash"), "-eo", "pipefail", "-c", read("action.yml")["runs"]["steps"][-1]["run"]]
    ran = subprocess.run(script, env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == "<a><b=c>"


PUSHES: dict[str, dict[str, str]] = {
    "branch": {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "x"},
    "branch of a request": {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "x", "CI_OPEN_MERGE_REQUESTS": "a!1"},
    "request": {"CI_PIPELINE_SOURCE": "merge_request_event", "CI_OPEN_MERGE_REQUESTS": "a!1"},
    "tag": {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_TAG": "v1.0"},
    "another tag": {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_TAG": "x"},
}


@pytest.mark.parametrize(
    ("name", "pipelines"),
    [("gitlab.yml", ["branch", "request", "tag", "another tag"]), ("gitlab-machines.yml", ["tag"])],
)
def test_a_push_is_one_pipeline_of_gitlab(name: str, pipelines: list[str]) -> None:
    rules = read(name)["workflow"]["rules"]
    assert [push for push, variables in PUSHES.items() if has_pipeline(rules, variables)] == pipelines


def has_pipeline(rules: list[dict[str, str]], variables: dict[str, str]) -> bool:
    """Whether the first rule that is true says so, of those that these files use."""

    def holds(term: str) -> bool:
        name, operator, value = (*term.split(), "", "")[:3]
        actual = variables.get(name[1:], "")
        if operator == "=~":
            return re.search(value.strip("/"), actual) is not None
        return actual == value.strip('"') if operator else bool(actual)

    for rule in rules:
        if all(map(holds, rule["if"].split(" && "))):
            return rule.get("when") != "never"
    return False


def gitlab(registry: Registry) -> dict[str, str]:
    """The variables that a host of GitLab sets."""
    host = registry.host
    return {
        "CI_REGISTRY": host, "CI_REGISTRY_IMAGE": f"{host}/group/project", "CI_COMMIT_TAG": "v3.0",
        "CI_REGISTRY_USER": USER, "CI_REGISTRY_PASSWORD": PASSWORD,
    }  # fmt: skip


def test_the_pipelines_of_gitlab_log_in_and_publish(
    installed: Installed, foreign: Callable[[str], Project], basic_registry: Registry
) -> None:
    variables = gitlab(basic_registry)
    one = read("gitlab.yml")
    run(installed, foreign("one"), "\n".join(one["build"]["script"]))
    script = "\n".join(one["publish"]["script"])
    run(installed, foreign("one"), script, **variables)
    assert platforms(basic_registry, "group/project/whoami:v1.0") == {"linux/amd64", "linux/arm64"}
    several = read("gitlab-machines.yml")
    login = several[".multiarch"]["before_script"][1:]
    for machine in several["push"]["parallel"]["matrix"]:
        script = "\n".join([*login, *several["push"]["script"]])
        run(installed, foreign("two"), script, PLATFORMS=machine["PLATFORMS"], **variables)
    run(installed, foreign("three"), "\n".join([*login, *several["publish"]["script"]]), **variables)
    assert platforms(basic_registry, "group/project/whoami:v3.0") == {"linux/amd64", "linux/arm64"}
