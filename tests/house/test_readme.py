"""What the documents say is true: their commands run, their targets and variables exist, their links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from machines.project import Project
from machines.registry import Registry as Machine
from machines.required import required
from multiarch_oci.index import Index
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.exchange import Settings
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.registry import Registry
from samples import factory, sample

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
REFERENCE = ROOT / "docs" / "reference.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
ALIASES = {"image", "create-multi-archimages", "push-multi-archimages"}

# Every document's commands are run against a registry that stands for these hosts.
HOSTS = ("localhost:5000", "mcr.microsoft.com")
BASES = {"ltsc2022": "10.0.20348.2849", "1809": "10.0.17763.6659"}


def blocks(path: Path, *languages: str) -> list[str]:
    """Return the fenced blocks of these languages."""
    fenced = re.findall(r"^```(\w+)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [text for language, text in fenced if language in languages]


def commands(path: Path) -> list[str]:
    """Return every command of a document, in order; in a console block those are the lines with a prompt."""
    told = [line for text in blocks(path, "sh") for line in text.splitlines()]
    told += [line[2:] for text in blocks(path, "console") for line in text.splitlines() if line.startswith("$ ")]
    return [line for line in told if line.strip() and not line.startswith("#")]


def names(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


PAGES = [page for page in DOCUMENTS if any(line.startswith("./sconsw") for line in commands(page))]


def publish_bases(host: str) -> None:
    """Push the Windows bases that the documents name, as indexes, as Microsoft does."""
    transport = Transport(Settings(), Credentials({}, Path("/nowhere")))
    store = Registry(transport, Reference(host, "windows/nanoserver"))
    for tag, version in BASES.items():
        platform = Platform("windows", "amd64", "", version)
        member = replace(sample(str(platform)).fill(store), platform=platform)
        index = Index.assemble([member], platforms=[platform], where=tag)
        store.put(index.descriptor(), factory(index.to_json()))
        store.tag(tag, index.descriptor())


def prepare(project: Project, host: str) -> None:
    """Give a copy of the template a `./sconsw` that installs nothing, and bases that can be had here."""
    project.edit("sconsw", f'#!/bin/sh\nexec "{sys.executable}" -m SCons "$@"\n')
    (project.path / "sconsw").chmod(0o755)
    publish_bases(host)
    project.edit("Dockerfile.win", project.read("Dockerfile.win").replace("mcr.microsoft.com", host))


def run(project: Project, line: str, host: str) -> str:
    """Run one command of a document as a shell does; a failure fails the test with all that was printed."""
    for name in HOSTS:
        line = line.replace(name, host)
    ran = subprocess.run(
        [required("sh"), "-ec", line],
        cwd=project.path,
        env=os.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ran.returncode == 0, f"{line}: exit {ran.returncode}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


def runnable(page: Path) -> list[str]:
    """Return a page's commands but for the tests themselves, and what needs an engine or the installed command.

    Those have tests of their own, here and in e2e/test_pages.py.
    """
    return [
        line for line in commands(page) if line != "./sconsw test" and not line.startswith(("docker ", "multiarch "))
    ]


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_command_of_a_document_succeeds(page: Path, project: Project, registry: Machine):
    prepare(project, registry.host)
    for line in runnable(page):
        run(project, line, registry.host)


def test_a_command_that_fails_fails_the_test(project: Project, registry: Machine):
    prepare(project, registry.host)
    with pytest.raises(AssertionError, match="did you mean image"):
        run(project, "./sconsw imagse", registry.host)


def test_docker_runs_what_the_readme_publishes(project: Project, registry: Machine, docker_engine: Any):  # noqa: ARG001
    prepare(project, registry.host)
    told = [line for line in commands(README) if line.startswith("docker ")]
    assert told
    run(project, "./sconsw push-manifest REGISTRY=localhost:5000", registry.host)
    for line in told:
        assert run(project, line, registry.host).startswith("demo v1.0 linux/")


def test_the_readme_begins_with_the_two_commands_and_ci_runs_the_second():
    first = blocks(README, "sh")[0].splitlines()
    assert first == ["./sconsw", "./sconsw test"]
    assert re.search(r"^\./sconsw test\b", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    assert (ROOT / "sconsw.bat").exists()
    if os.name == "posix":
        assert os.access(ROOT / "sconsw", os.X_OK)


def test_the_line_for_another_language_builds_a_c_program(project: Project):
    required("x86_64-linux-gnu-gcc")
    required("aarch64-linux-gnu-gcc")
    _, told = blocks(README, "python")  # the first is that of the first screen
    project.replace("SConstruct", 'env.GoImage("demo")\n', told)
    project.edit("main.c", '#include <stdio.h>\nint main(void) { puts("from C"); return 0; }\n')
    assert "Compile" not in project.scons().text
    assert project.scons().up_to_date
    assert {name.partition("/")[0] for name in project.digests()} == {"bin", "images", "manifest"}


def test_a_choice_can_be_kept_in_the_sconstruct_and_in_custom_py_and_the_command_line_wins(project: Project):
    project.replace("SConstruct", "environment(", 'environment(PLATFORMS="linux/s390x", ')
    assert "PLATFORMS=linux/s390x" in project.scons("-h").text
    project.edit("custom.py", 'PLATFORMS = "linux/ppc64le"\n')
    assert "PLATFORMS=linux/ppc64le" in project.scons("-h").text
    assert "PLATFORMS=linux/arm64" in project.scons("-h", "PLATFORMS=linux/arm64").text


def section(project: Project, title: str) -> list[str]:
    """Return the lines of one part of `scons -h`."""
    _, found, rest = project.scons("-h").text.partition(f"\n{title}")
    assert found, title
    return rest.partition("\n")[2].partition("\n\n")[0].splitlines()


def helped(project: Project) -> tuple[set[str], set[str]]:
    """Return the targets and the variables that `scons -h` names."""
    lines = section(project, "Targets:")
    targets = {name for line in lines for name in re.split(r", | {2,}", line.strip())[:2] if name}
    variables = {line.strip().partition("=")[0] for line in section(project, "Variables, ")}
    known = {name for name in targets if re.fullmatch(r"[a-z-]+", name)}
    return known, variables


def questions(project: Project) -> set[str]:
    """Return the first words that SCons takes beside targets."""
    lines = section(project, "Questions ")
    return {words.split()[0] for line in lines for words in re.split(r" {2,}", line.strip())[0].split(", ")}


def listed(path: Path, word: str) -> set[str]:
    """Return the names in backquotes of the paragraph that begins with `word`."""
    (paragraph,) = re.findall(rf"^{word}: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return set(re.findall(r"`([\w-]+)`", paragraph))


def test_the_readme_names_every_target_and_variable_that_help_knows_and_no_other(project: Project):
    targets, variables = helped(project)
    assert {"bin", "push-manifest"} <= targets
    assert {"REGISTRY", "PLATFORMS"} <= variables
    assert listed(README, "Targets") == targets - ALIASES
    assert listed(README, "Variables") == variables
    assert listed(README, "Questions") == questions(project)


def test_the_reference_describes_every_target_and_variable_that_help_knows_and_no_other(project: Project):
    targets, variables = helped(project)
    text = REFERENCE.read_text(encoding="utf-8")
    told_targets, told_questions, told_variables = (
        set(re.findall(r"^\| `([\w-]+)", text.partition(f"\n## {title}\n")[2].partition("\n## ")[0], re.MULTILINE))
        for title in ("Targets", "Questions", "Variables")
    )
    assert told_targets == targets - ALIASES
    assert told_questions == questions(project)
    assert told_variables == variables
    assert all(f"`{alias}`" in text for alias in targets & ALIASES)


@pytest.mark.parametrize("page", DOCUMENTS, ids=names)
def test_variables_given_in_commands_exist(page: Path, project: Project):
    _, variables = helped(project)
    given = {name for line in commands(page) if "./sconsw" in line for name in re.findall(r"(?<=\s)([A-Z_]+)=", line)}
    assert given <= variables | {"BASE"}


def test_the_architecture_names_every_room_and_every_module_of_the_tools():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (drawing,) = blocks(ROOT / "docs" / "architecture.md", "text")
    entries = [path for path in (ROOT / "site_scons" / "multiarch_oci").iterdir() if path.suffix in ("", ".py")]
    rooms = {path.stem for path in entries if path.name[0] not in "_."}
    tools = {path.stem for path in (ROOT / "site_scons" / "scons_multiarch").rglob("*.py")} - {"__init__"}
    assert rooms | tools <= set(re.findall(r"\w+", drawing))
    assert all(room in text for room in rooms)


@pytest.mark.parametrize("page", DOCUMENTS, ids=names)
def test_links_between_documents_lead_to_files(page: Path):
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), f"{names(page)} links to {link}"
