"""Every example is built, pushed and run on the machines it is for; a change makes again what it reaches."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from machines import debian
from machines.project import ROOT, Project, copy_template
from machines.registry import Registry
from machines.required import cache_folder, required
from machines.wheels import Installed

CACHE = cache_folder()  # before a test moves HOME
EXAMPLES = ROOT / "examples"
MACHINES = {"linux/amd64": "amd64", "linux/arm64": "arm64"}


@dataclass(frozen=True)
class Example:
    """One example: what its images say, by repository; how its language calls the machines; Debian's base for it."""

    name: str
    says: dict[str, str]
    machines: tuple[str, str]
    base: str = ""

    def __str__(self) -> str:
        return self.name


C = Example("c", {"hello-c": "hello from C on {}, v1.0\n"}, ("amd64", "arm64"))
RUST = Example("rust", {"hello-rust": "hello from Rust on {}\n"}, ("x86_64", "aarch64"))
MONOREPO = Example(
    "go-monorepo",
    {
        "shop/api": "hello from api on {}, v1.0\n",
        "shop/worker": "hello from worker on {} at orders, v1.0\n",
    },
    ("amd64", "arm64"),
)
PYTHON = Example(
    "python", {"hello-python": "hello from Python on {}, v1.0\n"}, ("x86_64", "aarch64"), base="python3-minimal"
)
NODE = Example("node", {"hello-node": "hello from Node.js on {}, v1.0\n"}, ("x64", "arm64"), base="nodejs")
ALL = (C, RUST, MONOREPO, PYTHON, NODE)


@pytest.fixture
def plant(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Callable[[Example], Project]:
    """Return a maker of projects: a copy of an example, site_scons beside its SConstruct, its tools and its base."""

    def make(example: Example) -> Project:
        if example in (C, RUST):
            for compiler in ("x86_64-linux-gnu-gcc", "aarch64-linux-gnu-gcc"):
                required(compiler)
        if example is RUST and (programs := request.getfixturevalue("rust")):
            monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        if example is MONOREPO:
            required("go")
        target = tmp_path / example.name
        shutil.copytree(
            EXAMPLES / example.name, target, ignore=shutil.ignore_patterns("_output", ".multiarch", "target")
        )
        shutil.copytree(ROOT / "site_scons", target / "site_scons")
        if example.base:
            base = f"{registry.host}/library/{example.base}:debian"
            members = {
                name: debian.unpack(debian.packages((example.base,), machine, CACHE), tmp_path / "base" / machine)
                for name, machine in MACHINES.items()
            }
            debian.push_base(base, members)
            (target / "custom.py").write_text(f'BUILD_ARGS = "BASE={base}"\n', encoding="utf-8")
        return Project(target)

    return make


@pytest.fixture
def printed(docker_engine: Any, qemu_arm64: None) -> Callable[[str, str], str]:  # noqa: ARG001
    """Return what runs an image of a registry on a platform until it ends, and gives what it printed."""

    def run(name: str, wanted: str) -> str:
        repository, _, tag = name.rpartition(":")
        image = docker_engine.images.pull(repository, tag=tag, platform=wanted)
        container = docker_engine.containers.create(image.id, network_mode="none")
        try:
            container.start()
            status = container.wait(timeout=120)["StatusCode"]
            text = container.logs().decode()
            assert status == 0, text
            return str(text)
        finally:
            container.remove(force=True)
            docker_engine.images.remove(image.id, force=True)

    return run


@pytest.mark.parametrize("example", ALL, ids=str)
def test_an_example_is_published_and_runs_on_every_machine(
    example: Example, plant: Callable[..., Project], registry: Registry, printed: Callable[[str, str], str]
):
    project = plant(example)
    project.scons("push-manifest", f"REGISTRY={registry.host}")
    assert project.scons("push-manifest", f"REGISTRY={registry.host}").up_to_date
    for repository, text in example.says.items():
        said = {wanted: printed(f"{registry.host}/{repository}:v1.0", wanted) for wanted in MACHINES}
        assert said == dict(zip(MACHINES, map(text.format, example.machines), strict=True))


@pytest.mark.parametrize("example", [C, RUST], ids=str)
def test_another_folder_gives_the_same_index(example: Example, plant: Callable[..., Project], tmp_path: Path):
    one = plant(example)
    shutil.copytree(one.path, tmp_path / "quite" / "another" / "place")
    other = Project(tmp_path / "quite" / "another" / "place")
    one.scons()
    other.scons()
    assert one.digests("_output/manifest") == other.digests("_output/manifest") != {}


@pytest.mark.parametrize("example", ALL, ids=str)
def test_an_example_is_the_same_in_place_and_installed(
    example: Example, plant: Callable[..., Project], installed: Installed
):
    project = plant(example)
    project.scons("release", "push-manifest")
    in_place = project.digests("_output")
    project.remove("site_scons")
    assert installed.run(project.path, "release", "push-manifest").up_to_date
    project.remove("_output")
    project.remove(".multiarch")
    installed.run(project.path, "release", "push-manifest")
    assert [name for name in in_place if name.startswith("manifest/")]
    assert project.digests("_output") == in_place


@pytest.mark.parametrize("example", ALL, ids=str)
def test_an_example_is_short_and_explains_itself(example: Example):
    folder = EXAMPLES / example.name
    by_hand = example is NODE  # one shows what the call of the others does
    assert len((folder / "SConstruct").read_text(encoding="utf-8").splitlines()) <= (40 if by_hand else 12)
    assert by_hand == ("env.Targets(" in (folder / "SConstruct").read_text(encoding="utf-8"))
    assert {"SConstruct", "Dockerfile", "VERSION", ".dockerignore", "README.md"} <= {
        path.name for path in folder.iterdir()
    }
    assert f"({example.name}/README.md)" in (EXAMPLES / "README.md").read_text(encoding="utf-8")


def told() -> list[str]:
    """Return the pieces of an SConstruct in the how-to page."""
    page = (ROOT / "docs" / "howto" / "another-language.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def exchanged(project: Project, lines: str) -> None:
    """Put lines of a document in place of the template's one line that declares the image."""
    project.replace("SConstruct", 'env.GoImage("demo")\n', lines)


def test_the_lines_of_the_how_to_make_the_programs_of_the_template(
    plant: Callable[..., Project],
    tmp_path: Path,
    qemu_arm64: None,  # noqa: ARG001
):
    command, objects, cargo, _ = told()
    sources = {command: C, objects: C, cargo: RUST}
    for number, (lines, example) in enumerate(sources.items()):
        planted = plant(example)
        copy_template(tmp_path / str(number))
        project = Project(tmp_path / str(number))
        exchanged(project, lines)
        project.replace(
            "SConstruct",
            "env = scons_multiarch.environment(",
            'import os\nenv = scons_multiarch.environment(ENV=os.environ, tools=["gcc", "gnulink"], ',
        )
        project.edit("main.c", '#include <stdio.h>\nint main(void) { puts("hello from it"); return 0; }\n')
        for path in ("Cargo.toml", "Cargo.lock", "src", ".cargo") if example is RUST else ():
            (shutil.copytree if (planted.path / path).is_dir() else shutil.copy2)(
                planted.path / path, project.path / path
            )
        if example is RUST:
            project.replace("Cargo.toml", '"hello"', '"demo"')
            project.replace("Cargo.lock", '"hello"', '"demo"')
        project.scons()
        assert project.scons().up_to_date
        for machine in MACHINES.values():
            program = project.path / "_output" / "bin" / machine / "linux" / "demo"
            assert subprocess.check_output([program], text=True).startswith("hello from")
        shutil.rmtree(planted.path)


def test_the_lines_of_the_how_to_make_an_image_of_a_script(project: Project):
    exchanged(project, told()[-1])
    project.edit(".dockerignore", project.read(".dockerignore") + "!script.py\n")
    project.edit("script.py", "print('hello')\n")
    for machine in MACHINES.values():
        project.edit(f"Dockerfile.{machine}", 'FROM scratch\nCOPY script.py /\nENTRYPOINT ["/script.py"]\n')
    project.scons()
    project.edit("script.py", "print('good day')\n")
    made = [f"Image _output/images/demo-linux-{machine}.tar" for machine in MACHINES.values()]
    assert sorted(project.scons().steps) == [*made, "Index _output/manifest/demo-v1.0.json"]


def test_every_folder_is_one_of_the_examples():
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} == set(map(str, ALL))


@pytest.mark.parametrize("example", ALL, ids=str)
def test_the_command_of_the_readme_reads_an_example_in_place(example: Example, tmp_path: Path):
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^\.\./\.\./sconsw (--site-dir=\S+)$", text, re.MULTILINE)
    shutil.copytree(ROOT / "site_scons", tmp_path / "site_scons")
    shutil.copytree(EXAMPLES / example.name, tmp_path / "examples" / example.name)
    told = Project(tmp_path / "examples" / example.name).scons(command, "-h").text
    assert f"IMAGE={', '.join(example.says)} " in told


def compiled(text: str) -> list[str]:
    """Return the objects that a run compiled."""
    return sorted(re.findall(r"-o _output/obj/(\S+\.o) -c", text))


def linked(text: str) -> list[str]:
    """Return the machines whose program a run linked."""
    return sorted(re.findall(r"-o _output/bin/(\w+)/linux/hello", text))


def images(*machines: str, name: str = "hello-c", places: str = "{}") -> list[str]:
    """Return the steps from the images of these machines on, sorted."""
    made = [f"Image _output/images/{name}-linux-{machine}.tar" for machine in machines]
    pushed = [f"Push _output/registry/{places.format(name)}:v1.0-{machine}" for machine in machines]
    index = [f"Index _output/manifest/{name}-v1.0.json", f"Publish _output/registry/{places.format(name)}:v1.0"]
    return sorted([*made, *pushed, *index])


def test_a_header_of_one_machine_makes_that_machines_chain_again(plant: Callable[..., Project]):
    project = plant(C)
    project.scons("push-manifest")
    project.replace("src/arm64/machine.h", '"arm64"', '"ARM"')
    again = project.scons("push-manifest")
    assert compiled(again.text) == ["linux-arm64/main.o"]
    assert linked(again.text) == ["arm64"]
    assert sorted(again.steps) == images("arm64")
    assert project.scons("push-manifest").up_to_date


def test_a_header_of_all_is_found_in_every_source_and_a_remark_in_it_stops_at_the_objects(
    plant: Callable[..., Project],
):
    project = plant(C)
    project.scons("push-manifest")
    header = project.read("src/greeting.h")
    project.edit("src/greeting.h", f"/* a remark */\n{header}")
    again = project.scons("push-manifest")
    assert len(compiled(again.text)) == 4
    assert (linked(again.text), again.steps) == ([], [])
    project.edit("src/greeting.h", header.replace("hello", "good day"))
    assert sorted(project.scons("push-manifest").steps) == images("amd64", "arm64")


def test_an_amd64_program_in_the_arm64_image_is_an_error(plant: Callable[..., Project]):
    project = plant(C)
    project.replace("Dockerfile", "bin/${TARGETARCH}/", "bin/amd64/")
    run = project.scons("-k", check=False)
    assert run.status == 2
    assert (
        "scons: *** [_output/images/hello-c-linux-arm64.tar] Dockerfile:6: /hello: is an x86-64 ELF, but the image is "
        "linux/arm64\n"
        "  hint: copy the file that was built for linux/arm64, or build it for that platform; "
        'or let it in where it is meant to be there: foreign=["hello"] of env.Image\n'
    ) in run.text
    assert sorted(project.digests("_output/images")) == ["hello-c-linux-amd64.tar"]


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="no platform of the example")
def test_run_starts_the_program_of_any_compiler(plant: Callable[..., Project]):
    here = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    assert plant(C).scons("run").text.rstrip().splitlines()[-1] == f"hello from C on {here}, v1.0"


def test_what_makes_no_programs_has_no_target_for_them(plant: Callable[..., Project]):
    project = Project(plant(C).path)
    shutil.copy2(EXAMPLES / "python" / "SConstruct", project.path / "SConstruct")
    told = project.scons("run", check=False)
    assert "this build makes no programs; run its image: scons load" in told.text
    told = project.scons("bin", check=False)
    assert "scons: *** there is no target bin\n  hint: there is: images," in told.text
    assert told.status == 2


def test_run_starts_no_folder_that_an_image_is_given(plant: Callable[..., Project]):
    project = plant(PYTHON)
    folder = 'env.Command(env.Dir("dist"), "VERSION", [Mkdir("$TARGET"), Copy("$TARGET/v", "$SOURCE")])'
    project.replace(
        "SConstruct", 'env.MultiarchImage("hello-python", ', f'env.MultiarchImage("hello-python", {folder}, '
    )
    told = project.scons("run", check=False)
    assert "this build makes no programs; run its image: scons load" in told.text


def test_a_rust_source_makes_both_machines_chains_again(plant: Callable[..., Project]):
    project = plant(RUST)
    project.scons("push-manifest")
    project.replace("src/greeting.rs", "hello", "good day")
    again = project.scons("push-manifest")
    asked = re.findall(r"^cargo build .* (\w+)-unknown-linux-gnu$", again.text, re.MULTILINE)
    assert sorted(asked) == sorted(RUST.machines)
    assert sorted(again.steps) == images("amd64", "arm64", name="hello-rust")
    project.edit("src/greeting.rs", project.read("src/greeting.rs") + "// a remark\n")
    again = project.scons("push-manifest")
    assert "cargo build" in again.text
    assert again.steps == []


def test_a_script_makes_the_images_again_and_what_is_not_copied_makes_nothing(plant: Callable[..., Project]):
    project = plant(PYTHON)
    project.scons("push-manifest")
    project.edit("app/__pycache__/main.cpython-311.pyc", "compiled")
    project.edit("README.md", "changed\n")
    assert project.scons("push-manifest").up_to_date
    project.edit("app/more.py", "MORE = 1\n")
    assert sorted(project.scons("push-manifest").steps) == images("amd64", "arm64", name="hello-python")


def test_a_package_of_one_command_leaves_the_others_alone(plant: Callable[..., Project]):
    project = plant(MONOREPO)
    project.scons("push-manifest")
    project.replace("internal/queue/queue.go", "orders", "returns")
    again = project.scons("push-manifest")
    compiled_ = [f"Compile _output/bin/{machine}/linux/worker" for machine in MACHINES.values()]
    assert sorted(again.steps) == sorted([*compiled_, *images("amd64", "arm64", name="worker", places="shop/{}")])


def test_a_new_command_joins_without_a_change_of_the_sconstruct(plant: Callable[..., Project]):
    project = plant(MONOREPO)
    project.scons("push-manifest")
    project.edit("cmd/cleaner/main.go", "package main\n\nfunc main() {}\n")
    again = project.scons("push-manifest")
    compiled_ = [f"Compile _output/bin/{machine}/linux/cleaner" for machine in MACHINES.values()]
    assert sorted(again.steps) == sorted([*compiled_, *images("amd64", "arm64", name="cleaner", places="shop/{}")])


def test_several_images_of_one_tree_are_loaded_each_under_its_own_name(
    plant: Callable[..., Project], docker_engine: Any
):
    project = plant(MONOREPO)
    try:
        project.scons("load")
        host = {"x86_64": "amd64", "aarch64": "arm64"}[docker_engine.info()["Architecture"]]
        for command in ("api", "worker"):
            named = docker_engine.images.get(f"shop/{command}:v1.0")
            assert set(named.tags) == {f"shop/{command}:v1.0", f"shop/{command}:v1.0-{host}"}
        assert project.scons("load").up_to_date
    finally:
        for command in ("api", "worker"):
            for image in docker_engine.images.list(name=f"shop/{command}"):
                docker_engine.images.remove(image.id, force=True)
