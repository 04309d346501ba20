"""Dockerfiles with RUN in a build: which engine builds them, what is told, what a change and what nothing causes."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest

import unpacked
from conftest import CACHE
from machines import ssh
from machines.bases import push_image
from machines.builders import busybox
from machines.registry import Registry
from machines.required import required
from machines.small import Tree
from multiarch_oci.config import ImageConfig
from multiarch_oci.platform import Platform
from multiarch_oci.store.archive import Archive
from workshop import elf

IMAGE = "_output/images/demo-linux-amd64.tar"
RECIPE = """\
FROM {base}
COPY _output/bin/amd64/linux/demo /demo
RUN --mount=type=bind,source=conf,target=/conf --mount=type=secret,id=token \\
    cat /conf/*.conf > /joined && wc -c < /run/secrets/token > /length
ENTRYPOINT ["/demo"]
"""


@pytest.fixture
def running(fresh: Tree, registry: Registry) -> Tree:
    """Return a tree whose amd64 image needs an engine."""
    base = f"{registry.host}/shell:v1"
    push_image(base, "linux/amd64", {"bin/sh": busybox()}, mode=0o755)
    fresh.edit("Dockerfile.amd64", RECIPE.format(base=base))
    fresh.edit("token", "correct horse")
    fresh.replace(
        "SConstruct",
        'env.GoImage("demo")',
        'env.GoImage("demo", secrets="id=token,src=token")',
    )
    return fresh


def told(environment: dict[str, str]) -> dict[str, str]:
    """Return what of an engine's environment SCons is to see, beside what the tests see."""
    wanted = ("CONTAINERS_STORAGE_CONF", "BUILDAH_ISOLATION", "DOCKER_HOST", "DOCKER_CONFIG", "BUILDX_BUILDER")
    return {name: environment[name] for name in wanted if name in environment}


def told_of(podman: dict[str, str], folder: Path) -> dict[str, str]:
    """Return an environment in which podman is the only engine."""
    return told(podman) | {"PATH": without(folder / "bin", "docker", "buildx", "docker-buildx")}


def without(folder: Path, *names: str) -> str:
    """Return a PATH on which these programs are not."""
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).iterdir() if Path(place).is_dir() else ():
            if program.name not in names and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    return str(folder)


def test_auto_says_which_engine_and_why_and_asks_none_when_nothing_changed(
    running: Tree, podman_environment: dict[str, str], tmp_path: Path
):
    podman = told(podman_environment) | {"PATH": without(tmp_path / "bin", "docker", "buildx", "docker-buildx")}
    ran = running.scons(IMAGE, "_output/images/demo-linux-arm64.tar", env=podman)
    why = "Dockerfile.amd64:3: the embedded engine cannot execute RUN"
    assert f"  engine: podman (embedded: {why}; buildx: there is no docker in PATH)\n" in ran.text
    assert ran.text.count("engine: ") == 1
    files = unpacked.of_archive(running.path / IMAGE)
    assert {"demo", "joined", "length"} <= set(files)
    assert b"correct horse" not in (running.path / IMAGE).read_bytes()
    assert not [
        path
        for path in (running.path / ".multiarch").rglob("*")
        if path.is_file() and b"correct horse" in path.read_bytes()
    ]
    nothing = {
        "PATH": without(tmp_path / "none", "podman", "buildah", "docker", "buildx"),
        "DOCKER_HOST": "unix:///nowhere",
    }
    assert running.scons(IMAGE, env=nothing).up_to_date
    running.edit("token", "another")
    assert running.scons(IMAGE, env=nothing).up_to_date
    running.edit("conf/three.conf", "three\n")
    again = running.scons(IMAGE, env=podman)
    assert again.steps == [f"Image {IMAGE}"]
    assert "conf/three.conf added" in again.text
    running.edit("conf/left.tmp", "ignored\n")
    assert running.scons(IMAGE, env=nothing).up_to_date
    running.edit("conf/three.conf", "3\n")
    refused = running.scons(IMAGE, env=nothing, check=False)
    assert refused.status == 2
    assert "no engine can build this image" in refused.text
    assert "podman: there is neither podman nor buildah in PATH" in refused.text
    assert "Traceback" not in refused.text


def test_auto_stays_with_the_engine_of_the_last_build(
    running: Tree, podman_environment: dict[str, str], buildx_environment: dict[str, str], tmp_path: Path
):
    podman = told(podman_environment) | {"PATH": without(tmp_path / "bin", "docker", "buildx", "docker-buildx")}
    running.scons(IMAGE, env=podman)
    both = told(podman_environment) | told(buildx_environment)
    assert running.scons(IMAGE, env=both).up_to_date
    running.edit("conf/three.conf", "three\n")
    assert "  engine: podman (" in running.scons(IMAGE, env=both).text
    named = running.scons(IMAGE, "ENGINE=buildx", env=both)
    assert named.steps == [f"Image {IMAGE}"]
    assert "engine: 'auto' → 'buildx'" in named.text


def test_each_image_has_the_engine_that_the_sconstruct_names(
    running: Tree, docker_environment: dict[str, str], podman_environment: dict[str, str]
):
    chosen = 'lambda platform: "docker" if platform.architecture == "amd64" else "embedded"'
    choice = f'engine={chosen}, endpoint="{docker_environment["DOCKER_HOST"]}"'
    running.replace("SConstruct", 'src=token"', f'src=token", network="none", {choice}')
    path = f"{docker_environment['PATH']}{os.pathsep}{os.environ['PATH']}"
    ran = running.scons("images", env=told(podman_environment) | {"PATH": path})
    assert len([step for step in ran.steps if step.startswith("Image")]) == 2
    roots = Archive(running.path / IMAGE).roots
    assert roots[0].annotation("multiarch.engine") == "docker"
    assert Archive(running.path / "_output/images/demo-linux-arm64.tar").roots[0].annotation("multiarch.engine") is None


def test_an_image_of_an_engine_is_pushed_with_its_base_mounted(
    running: Tree, registry: Registry, podman_environment: dict[str, str]
):
    registry.requests()
    running.scons("push", f"REGISTRY={registry.host}", "ENGINE=auto", env=told(podman_environment))
    assert registry.tags("demo") == ["v1.0-amd64", "v1.0-arm64"]
    manifest = registry.json("demo", "v1.0-amd64")
    assert manifest["layers"][0] == registry.json("shell", "v1")["layers"][0]
    again = running.scons("push", f"REGISTRY={registry.host}", env=told(podman_environment))
    assert again.up_to_date


def test_an_ssh_agent_is_lent_and_nothing_of_it_is_kept(
    running: Tree, registry: Registry, podman_environment: dict[str, str], tmp_path: Path
):
    base = f"{registry.host}/keys:v1"
    push_image(base, "linux/amd64", {"bin/sh": busybox(), "bin/keys": ssh.keys(CACHE)}, mode=0o755)
    running.edit("Dockerfile.amd64", f"FROM {base}\nRUN --mount=type=ssh keys > /keys\n")
    running.replace("SConstruct", 'secrets="id=token,src=token"', 'ssh="default"')
    with tempfile.TemporaryDirectory(prefix="sa") as folder, ssh.agent(Path(folder), "the-users-key") as address:
        told = told_of(podman_environment, tmp_path)
        running.scons(IMAGE, env=told | {"SSH_AUTH_SOCK": address})
        lent = [address, *Path(folder, "the-users-key").read_text(encoding="ascii").splitlines()[1:-1]]
    assert "keys" in unpacked.of_archive(running.path / IMAGE)
    for place in running.path.rglob("*"):
        content = place.read_bytes() if place.is_file() and not place.is_symlink() else b""
        assert not [line for line in lent if line.encode() in content], place
    assert running.scons(IMAGE, env=told | {"SSH_AUTH_SOCK": "/another"}).up_to_date
    assert running.scons(IMAGE, env=told).up_to_date
    running.append("Dockerfile.amd64", "ENV A=1\n")
    refused = running.scons(IMAGE, env=told, check=False)
    assert refused.status == 2
    assert "ssh 'default' needs an agent, but SSH_AUTH_SOCK is not set\n  hint: " in refused.text


@pytest.mark.usefixtures("qemu_arm64")
def test_each_platform_is_built_by_an_engine_of_its_own_one_of_them_behind_ssh(
    running: Tree, registry: Registry, docker_environment: dict[str, str], podman_environment: dict[str, str],
    tmp_path: Path,
):  # fmt: skip
    base = f"{registry.host}/shell:arm64"
    push_image(base, "linux/arm64", {"bin/sh": busybox("arm64", CACHE)}, mode=0o755)
    recipe = f'FROM {base}\nCOPY _output/bin/arm64/linux/demo /demo\nRUN uname -m > /machine\nENTRYPOINT ["/demo"]\n'
    running.edit("Dockerfile.arm64", recipe)
    with (
        tempfile.TemporaryDirectory(prefix="sd") as folder,
        ssh.serving(Path(folder), docker_environment["DOCKER_HOST"], f"{Path(required('docker')).parent}") as far,
    ):
        choice = f'engine="docker", endpoint="{far.address}", network="none"'
        running.replace("SConstruct", 'secrets="id=token,src=token"', "**BY_PLATFORM")
        engines = f'ENGINES = {{"amd64": dict(engine="podman", secrets="id=token,src=token"), "arm64": dict({choice})}}'
        engines += """
NONE = {"engine": None, "secrets": (), "endpoint": "", "network": ""}
BY_PLATFORM = {
    word: (lambda platform, word=word: ENGINES[platform.architecture].get(word, NONE[word])) for word in NONE
}
"""
        running.edit("SConstruct", f"{engines}\n{running.read('SConstruct')}")
        told = told_of(podman_environment, tmp_path)
        path = os.pathsep.join((far.client(), docker_environment["PATH"], told["PATH"]))
        ran = running.scons("-j2", "push-manifest", f"REGISTRY={registry.host}", env=told | {"PATH": path})
    assert len([step for step in ran.steps if step.startswith("Image")]) == 2
    made = {
        architecture: Archive(running.path / f"_output/images/demo-linux-{architecture}.tar").roots[0]
        for architecture in ("amd64", "arm64")
    }
    assert {name: root.annotation("multiarch.engine") for name, root in made.items()} == {
        "amd64": "podman",
        "arm64": "docker",
    }
    index = registry.json("demo", "v1.0")
    assert [entry["digest"] for entry in index["manifests"]] == [str(root.digest) for root in made.values()]
    nobody = {
        "PATH": without(tmp_path / "none", "podman", "buildah", "docker", "ssh"),
        "DOCKER_HOST": "unix:///nowhere",
    }
    assert running.scons("push-manifest", f"REGISTRY={registry.host}", env=nobody).up_to_date


def test_help_and_plan_say_which_engine_each_image_gets_and_why(
    running: Tree, podman_environment: dict[str, str], tmp_path: Path
):
    why = "embedded: Dockerfile.amd64:3: the embedded engine cannot execute RUN"
    alone = told_of(podman_environment, tmp_path)
    asked = alone | {"PATH": watched(tmp_path / "watched", alone["PATH"], "podman", "buildah")}
    told_by_help = running.scons("-h", env=asked).text
    assert f"  podman ({why}; buildx: there is no docker in PATH)\n    demo-linux-amd64.tar\n" in told_by_help
    assert "  embedded\n    demo-linux-arm64.tar\n" in told_by_help
    assert not (tmp_path / "watched" / "log").exists(), "help starts no engine"

    planned = running.scons("plan", "images", "PLAN=plan.json", env=alone)
    line = f"image {IMAGE}: made again, not built before; engine: podman ({why}; buildx: there is no docker in PATH)"
    assert line in planned.text.splitlines()
    kept = json.loads((running.path / "plan.json").read_bytes())["images"]
    assert [(image["engine"], image["because"].startswith(why)) for image in kept] == [
        ("podman", True),
        ("embedded", False),
    ]
    nothing = {
        "PATH": without(tmp_path / "none", "podman", "buildah", "docker", "buildx", "docker-buildx"),
        "DOCKER_HOST": "unix:///nowhere",
    }
    lost = next(line for line in running.scons("plan", "images", env=nothing).text.splitlines() if IMAGE in line)
    assert f"; no engine can: {why}; buildx: " in lost
    running.scons("images", env=alone)
    assert f"image {IMAGE}: unchanged" in running.scons("plan", "images", env=nothing).text
    named = running.scons("-h", "ENGINE=docker", env=nothing).text
    assert "  docker, as ENGINE or the SConstruct has it\n    demo-linux-amd64.tar, demo-linux-arm64.tar\n" in named


def watched(folder: Path, path: str, *names: str) -> str:
    """Return a PATH on which these programs note in `log` that they were started."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\necho {name} >> {folder / 'log'}\nexit 1\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return os.pathsep.join((str(folder), path))


STARTED = {
    "a path through a link of the base": ('COPY arm /bin/d\nENTRYPOINT ["/bin/d"]', "usr/bin/d"),
    "what the base starts": ("COPY arm /usr/lib/start", "usr/lib/start"),
    "behind a shell": ("COPY arm /opt/d\nENTRYPOINT exec /opt/d --flag", "opt/d"),
    "an interpreter": ('COPY arm /bin/x\nCOPY script /run.sh\nENTRYPOINT ["/run.sh"]', "usr/bin/x"),
}


@pytest.mark.parametrize("engine", ["embedded", "podman"])
@pytest.mark.parametrize("case", STARTED.values(), ids=STARTED)
def test_the_wrong_machine_is_an_error_over_a_base_with_links(
    case: tuple[str, str], engine: str, fresh: Tree, registry: Registry, podman_environment: dict[str, str]
):
    recipe, path = case
    base = f"{registry.host}/linked:v1"
    links = {"bin": "usr/bin", "entry": "/bin/../lib/start"}
    files = {"usr/bin/sh": busybox(), "usr/lib/start": b"#!/bin/sh\n"}
    config = ImageConfig(Platform.parse("linux/amd64"), entrypoint=("/entry",))
    push_image(base, "linux/amd64", files, links=links, folders=True, mode=0o755, config=config)
    fresh.edit("Dockerfile.amd64", f"FROM {base}\n{recipe}\n")
    (fresh.path / "arm").write_bytes(elf("arm64"))
    fresh.edit("script", "#!/bin/x -y\n")
    fresh.edit(".dockerignore", "_output\n")
    for name in ("arm", "script"):
        (fresh.path / name).chmod(0o755)
    ran = fresh.scons(IMAGE, f"ENGINE={engine}", env=told(podman_environment), check=False)
    assert ran.status == 2
    assert f"/{path}: is an ARM64 ELF, but the image is linux/amd64" in ran.text
    assert f'foreign=["{path}"] of env.Image' in ran.text
    assert not (fresh.path / IMAGE).exists()
    fresh.replace(
        "SConstruct",
        'env.GoImage("demo")',
        f'env.GoImage("demo", foreign="{path}")',
    )
    fresh.scons(IMAGE, f"ENGINE={engine}", env=told(podman_environment))


def test_what_a_run_took_away_from_the_base_leads_nowhere(
    fresh: Tree, registry: Registry, podman_environment: dict[str, str]
):
    base = f"{registry.host}/linked:v1"
    files = {"usr/bin/sh": busybox(), "usr/bin/rm": busybox(), "opt/keep": b"x"}
    push_image(base, "linux/amd64", files, links={"bin": "usr/bin", "tool": "opt/d"}, folders=True, mode=0o755)
    text = f'FROM {base}\nCOPY arm /opt/d\nRUN rm /tool\nENTRYPOINT ["/tool"]\n'
    fresh.edit("Dockerfile.amd64", text)
    (fresh.path / "arm").write_bytes(elf("arm64"))
    (fresh.path / "arm").chmod(0o755)
    fresh.edit(".dockerignore", "_output\n")
    ran = fresh.scons(IMAGE, "ENGINE=podman", env=told(podman_environment))
    assert "the image is linux/amd64, but holds /opt/d (ARM64 ELF)" in ran.text
    fresh.edit("Dockerfile.amd64", text.replace("RUN rm /tool\n", ""))
    assert fresh.scons(IMAGE, "ENGINE=podman", env=told(podman_environment), check=False).status == 2
