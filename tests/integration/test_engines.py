"""RUN, secrets, mounts and failures in real engines; what the legacy builder gets wrong is caught."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import unpacked
from conftest import CACHE
from machines import ssh
from machines.bases import push_image, store_of
from machines.builders import busybox, docker_context
from machines.registry import Registry
from multiarch_oci.engine import Base, Engine, EngineUnavailable
from multiarch_oci.engine.buildx import BuildxEngine
from multiarch_oci.engine.docker import DockerEngine
from multiarch_oci.engine.external.calling import EngineFailed, Programs
from multiarch_oci.engine.external.secrets import MissingSecret
from multiarch_oci.engine.external.surroundings import Surroundings
from multiarch_oci.engine.frontend.reader import Reader
from multiarch_oci.engine.podman import PodmanEngine
from multiarch_oci.executable import WrongMachine
from multiarch_oci.image import Image
from multiarch_oci.platform import Platform
from multiarch_oci.store.archive import Archive
from workshop import AMD64, Workshop, elf

ARM64 = Platform.parse("linux/arm64")
EPOCH = 1_700_000_000


@dataclass
class Bench:
    """A workshop with a base that has a shell, and what an engine printed."""

    shop: Workshop
    base: str
    said: list[str]
    network: str = "none"
    """The engines of the tests have none; with podman's `chroot` isolation nothing else than the host's can be told."""

    def given(self, environment: dict[str, str]) -> Surroundings:
        programs = Programs(environment, self.said.append)
        return Surroundings(store_of, self.shop.warnings.append, programs, Reader(), ("127.0.0.0/8",))

    def plan(self, text: str, **more: Any) -> Any:
        return self.shop.plan(f"FROM {self.base}\n{text}", epoch=EPOCH, network=self.network, **more)

    def build(self, engine: Engine, text: str, **more: Any) -> Image:
        engine.build(self.plan(text, **more), self.shop.output)
        return Archive(self.shop.output).image()

    def tool(self, name: str, content: bytes) -> None:
        """Give the base a program beside its shell."""
        held = {"bin/sh": busybox(), f"bin/{name}": content}
        self.shop.bases = (Base(self.base, AMD64, push_image(self.base, "linux/amd64", held, mode=0o755)),)

    def files(self) -> dict[str, unpacked.Found]:
        return unpacked.of_archive(self.shop.output)


@pytest.fixture
def bench(tmp_path: Path, registry: Registry) -> Bench:
    folder = tmp_path / "context"
    folder.mkdir()
    shop = Workshop(folder)
    base = f"{registry.host}/shell:v1"
    shop.bases = (Base(base, AMD64, push_image(base, "linux/amd64", {"bin/sh": busybox()}, mode=0o755)),)
    shop.write("src/a.txt", "a")
    shop.write("src/b.txt", "b")
    return Bench(shop, base, [])


MAKERS: dict[str, Callable[[Surroundings], Engine]] = {
    "buildx": BuildxEngine,
    "podman": PodmanEngine,
    "docker": DockerEngine,
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest, bench: Bench) -> Callable[..., Engine]:
    """Return a maker of each engine, with these variables beside those that it needs."""
    bench.network = "" if request.param == "podman" else "none"
    told = request.getfixturevalue(f"{request.param}_environment")
    return lambda **variables: MAKERS[request.param](bench.given(told | variables))


@pytest.fixture
def engine(make: Callable[..., Engine]) -> Engine:
    return make()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_what_runs_is_in_the_image_and_the_base_is_not(bench: Bench, engine: Engine):
    image = bench.build(
        engine, "ARG WHO=x\nRUN echo hello $WHO > /greeting && chmod 640 /greeting\n", build_args=(("WHO", "you"),)
    )
    assert bench.files()["greeting"] == unpacked.Found("f", "0o640", "0:0", digest(b"hello you\n"))
    assert "bin/sh" not in bench.files()
    assert image.layers[0].digest not in image.own
    assert image.base is not None


@pytest.mark.usefixtures("qemu_arm64")
def test_a_command_of_another_machine_runs_by_qemu_and_its_program_is_in_the_image(bench: Bench, engine: Engine):
    shell = busybox("arm64", CACHE)
    base = f"{bench.base}-arm64"
    bench.shop.bases = (Base(base, ARM64, push_image(base, "linux/arm64", {"bin/sh": shell}, mode=0o755)),)
    text = f'FROM {base}\nRUN uname -m > /machine && cp /bin/sh /tool\nENTRYPOINT ["/tool"]\n'
    engine.build(bench.shop.plan(text, platform=ARM64, network=bench.network, epoch=EPOCH), bench.shop.output)
    image = Archive(bench.shop.output).image()
    assert (image.platform.architecture, image.config.platform.architecture) == ("arm64", "arm64")
    assert bench.files()["machine"].content == digest(b"aarch64\n")
    assert bench.files()["tool"].content == digest(shell)


def test_a_machine_that_the_kernel_knows_nothing_of_is_an_error_that_says_what_to_install(
    bench: Bench, make: Callable[..., Engine]
):
    base, s390x = f"{bench.base}-s390x", Platform.parse("linux/s390x")
    held = {"bin/sh": busybox("s390x", CACHE)}
    bench.shop.bases = (Base(base, s390x, push_image(base, "linux/s390x", held, mode=0o755)),)
    plan = bench.shop.plan(f"FROM {base}\nRUN true\n", platform=s390x, network=bench.network)
    legacy = [make(PATH="")] if make().name == "docker" else []
    for engine in (make(), *legacy):
        with pytest.raises(EngineFailed) as caught:
            engine.build(plan, bench.shop.output)
        assert caught.value.hint == (
            "the engine's machine does not start programs of this platform: install qemu-user-static and "
            "binfmt-support there (or: docker run --privileged --rm tonistiigi/binfmt --install all)"
        )


def test_equal_files_are_equal_layers_and_an_equal_build_is_an_equal_digest(
    bench: Bench, engine: Engine, tmp_path: Path
):
    text = "ARG N\nRUN echo $N && mkdir -p /d/e && echo x > /d/e/f && ln -s f /d/e/l && ln /d/e/f /d/h\n"
    first = engine.build(bench.plan(text, build_args=(("N", "1"),)), tmp_path / "1.tar")
    time.sleep(1.1)  # a layer that kept its times would be another one
    # The argument is part of the command, so no engine answers from its cache.
    engine.build(bench.plan(text, build_args=(("N", "2"),)), tmp_path / "2.tar")
    assert Archive(tmp_path / "1.tar").image().layers == Archive(tmp_path / "2.tar").image().layers
    assert engine.build(bench.plan(text, build_args=(("N", "1"),)), tmp_path / "3.tar") == first


def test_no_file_of_a_layer_is_younger_than_the_time_stamp(bench: Bench, engine: Engine):
    image = bench.build(engine, "COPY src /src\nRUN echo x > /x\n")
    assert image.config.created == "2023-11-14T22:13:20Z"
    assert {line.created for line in image.config.history[1:]} == {"2023-11-14T22:13:20Z"}
    archive = Archive(bench.shop.output)
    times = [
        member.mtime
        for layer in image.layers
        if layer.digest in image.own
        for member in unpacked.members(archive.open(layer).read())
    ]
    assert times
    assert max(times) <= EPOCH


def test_a_bind_mount_reaches_the_context_and_a_secret_leaves_no_trace(bench: Bench, engine: Engine, tmp_path: Path):
    secret = tmp_path / "token"
    secret.write_text("correct horse battery", encoding="utf-8")
    text = (
        "RUN --mount=type=bind,source=src,target=/m --mount=type=secret,id=token"
        " cp /m/a.txt /a && wc -c < /run/secrets/token > /length\n"
    )
    bench.build(engine, text, secrets=(f"id=token,src={secret}",))
    assert bench.files()["a"].content == digest(b"a")
    assert bench.files()["length"].content == digest(b"21\n")
    assert b"correct horse" not in bench.shop.output.read_bytes()
    assert not [line for line in bench.said if "correct horse" in line]
    for layer in Archive(bench.shop.output).image().layers[1:]:
        assert b"correct horse" not in unpacked.unzipped(Archive(bench.shop.output).open(layer).read())


@pytest.mark.parametrize("told", ["default", "default={}"])
def test_an_ssh_agent_is_forwarded_and_leaves_no_trace(bench: Bench, make: Callable[..., Engine], told: str):
    bench.tool("keys", ssh.keys(CACHE))
    with tempfile.TemporaryDirectory(prefix="sa") as folder, ssh.agent(Path(folder), "the-users-key") as address:
        engine = make(SSH_AUTH_SOCK=address if told == "default" else "")
        bench.build(engine, "RUN --mount=type=ssh /bin/keys > /keys\n", ssh=(told.format(address),))
        private = Path(folder, "the-users-key").read_text(encoding="ascii").splitlines()[1:-1]
    assert bench.files()["keys"].content == digest(b"the-users-key\n")
    written = [bench.shop.output.read_bytes(), "\n".join(bench.said).encode()]
    archive = Archive(bench.shop.output)
    written += [unpacked.unzipped(archive.open(layer).read()) for layer in archive.image().layers[1:]]
    for line in (address, *private):
        assert not [content for content in written if line.encode() in content]


def test_a_secret_or_an_agent_that_is_not_there_is_an_error_before_anything_is_built(
    bench: Bench, make: Callable[..., Engine], tmp_path: Path
):
    engine = make(SSH_AUTH_SOCK="")
    nowhere = str(tmp_path / "nowhere")
    for more, what, hint in (
        ({"ssh": ("default",)}, "ssh 'default' needs an agent, but SSH_AUTH_SOCK is not set", "eval $(ssh-agent)"),
        ({"ssh": (f"k={nowhere}",)}, f"ssh 'k': there is no {nowhere}", "the socket of an agent"),
        ({"secrets": (f"id=t,src={nowhere}",)}, f"secret 't': there is no file {nowhere}", ""),
        ({"secrets": ("id=t,env=NOT_SET",)}, "secret 't': the variable NOT_SET is not set", ""),
    ):
        with pytest.raises(MissingSecret) as caught:
            bench.build(engine, "RUN true\n", **more)
        assert caught.value.what == what
        assert hint in (caught.value.hint or "")
    assert bench.said == []
    with pytest.raises(MissingSecret, match=f"ssh 'default': there is no {nowhere}"):
        bench.build(make(SSH_AUTH_SOCK=nowhere), "RUN true\n", ssh=("default",))


def test_a_command_that_fails_is_an_error_with_its_words(bench: Bench, engine: Engine):
    with pytest.raises(EngineFailed, match="no such thing") as caught:
        bench.build(engine, "RUN echo no such thing >&2; exit 3\n")
    assert str(caught.value).startswith("Dockerfile.test: ")
    assert not bench.shop.output.exists()


def test_a_program_that_a_stage_made_for_another_machine_is_an_error(bench: Bench, engine: Engine):
    bench.shop.write("demo", elf("arm64"), mode=0o755)
    text = 'COPY demo /in\nRUN cp /in /demo\nENTRYPOINT ["/demo"]\n'
    with pytest.raises(WrongMachine, match="/demo: is an ARM64 ELF, but the image is linux/amd64"):
        bench.build(engine, text)


@pytest.mark.usefixtures("qemu_arm64")
def test_the_legacy_builder_gives_the_platform_that_was_asked_for_or_an_error(
    bench: Bench, docker_environment: dict[str, str]
):
    """It takes the amd64 image for arm64 from its cache; without cache it may build the right one."""
    environment = docker_environment | {"PATH": ""}
    legacy = DockerEngine(bench.given(environment))
    bench.shop.write("demo", "x")
    text = "FROM scratch\nCOPY demo /\n"
    legacy.build(bench.shop.plan(text), bench.shop.output)
    assert Archive(bench.shop.output).image().platform == AMD64
    arm = bench.shop.plan(text, platform=ARM64)
    try:
        legacy.build(arm, bench.shop.output)
    except (WrongMachine, EngineFailed) as error:
        assert "arm64" in str(error)  # noqa: PT017  # both are right, an amd64 image is not
        assert Archive(bench.shop.output).image().platform == AMD64
    else:
        assert Archive(bench.shop.output).image().platform == ARM64


def test_the_legacy_builder_runs_and_copies_what_it_knows(bench: Bench, docker_environment: dict[str, str]):
    legacy = DockerEngine(bench.given(docker_environment | {"PATH": ""}))
    bench.shop.write(".dockerignore", "src/b.txt\nDockerfile.test\n.dockerignore\n")
    image = bench.build(legacy, "COPY . /all\nRUN echo hi > /out\nUSER 7\n")
    files = bench.files()
    assert sorted(name for name in files if name.startswith("all")) == ["all", "all/src", "all/src/a.txt"]
    assert files["out"].content == digest(b"hi\n")
    assert image.config.user == "7"


def test_an_error_of_the_legacy_builder_is_an_item_of_its_stream(bench: Bench, docker_environment: dict[str, str]):
    legacy = DockerEngine(bench.given(docker_environment | {"PATH": ""}))
    with pytest.raises(EngineFailed) as caught:
        bench.build(legacy, "RUN exit 3\n")
    assert "returned a non-zero code: 3" in str(caught.value)


def test_what_the_legacy_builder_does_not_know_is_refused_with_its_line(
    bench: Bench, docker_environment: dict[str, str]
):
    legacy = DockerEngine(bench.given(docker_environment | {"PATH": ""}))
    plan = bench.plan("RUN --mount=type=cache,target=/c true\n")
    told = "Dockerfile.test:2: RUN needs BuildKit, which neither a docker command line nor docker-py has here"
    assert legacy.refusal(plan) == told
    with pytest.raises(EngineUnavailable, match="needs BuildKit"):
        legacy.build(plan, bench.shop.output)


def test_an_endpoint_is_another_engine_by_address_or_by_context(
    bench: Bench, docker_environment: dict[str, str], another_docker: dict[str, str], tmp_path: Path
):
    told = docker_environment | docker_context(another_docker["DOCKER_HOST"], tmp_path)
    for endpoint in (another_docker["DOCKER_HOST"], "other"):
        away = DockerEngine(bench.given(told | {"PATH": docker_environment["PATH"]}), endpoint=endpoint)
        bench.build(away, f"RUN echo {endpoint} > /where\n")
        assert bench.files()["where"].content == digest(f"{endpoint}\n".encode())
    nowhere = DockerEngine(bench.given(docker_environment), endpoint="unix:///nowhere.sock")
    assert (nowhere.refusal(bench.plan("")) or "").startswith("unix:///nowhere.sock: no container engine answers: ")


def test_an_engine_of_another_system_is_refused(bench: Bench, docker_environment: dict[str, str]):
    plan = bench.shop.plan("FROM scratch\n", platform=Platform.parse("windows/amd64"))
    refused = DockerEngine(bench.given(docker_environment)).refusal(plan)
    assert refused == f"the Docker engine at {docker_environment['DOCKER_HOST']} makes linux images"


def test_nothing_stays_in_the_engine_under_a_name(bench: Bench, docker_environment: dict[str, str]):
    bench.build(DockerEngine(bench.given(docker_environment)), "RUN echo x > /x\n")
    assert not [tag for tag in tags_of(docker_environment) if "multiarch" in tag]


def test_buildah_alone_builds_as_podman_does(bench: Bench, podman_environment: dict[str, str], tmp_path: Path):
    from machines.required import required

    (tmp_path / "bin").mkdir()
    for name in ("buildah", "runc", "crun"):
        (tmp_path / "bin" / name).symlink_to(required(name))
    alone = PodmanEngine(bench.given(podman_environment | {"PATH": f"{tmp_path / 'bin'}:/usr/sbin:/sbin"}))
    bench.network = ""
    bench.build(alone, "RUN echo x > /x\n")
    assert bench.files()["x"].content == digest(b"x\n")


def test_an_engine_that_is_not_there_says_so(bench: Bench):
    nothing = bench.given({"PATH": "", "HOME": "/nowhere"})
    plan = bench.plan("")
    assert PodmanEngine(nothing).refusal(plan) == "there is neither podman nor buildah in PATH"
    assert BuildxEngine(nothing).refusal(plan) == "there is no docker in PATH"
    with pytest.raises(EngineUnavailable):
        PodmanEngine(nothing).build(plan, bench.shop.output)
    with pytest.raises(EngineUnavailable):
        BuildxEngine(nothing).build(plan, bench.shop.output)


def test_a_builder_that_is_not_there_or_hands_nothing_out_is_refused(
    bench: Bench, buildx_environment: dict[str, str], docker_environment: dict[str, str], tmp_path: Path
):
    plan = bench.plan("")
    missing = BuildxEngine(bench.given(buildx_environment), builder="nobody").refusal(plan)
    assert (missing or "").startswith("buildx has no builder that answers: ")
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "docker-buildx").symlink_to(Path(buildx_environment["DOCKER_CONFIG"], "cli-plugins", "docker-buildx"))
    told = buildx_environment | {"DOCKER_HOST": docker_environment["DOCKER_HOST"], "BUILDX_BUILDER": "default"}
    assert BuildxEngine(bench.given(told | {"PATH": str(alone)})).refusal(plan) == (
        "buildx's builder is the Docker engine itself, and there is no docker in PATH to take the image out"
    )


@pytest.mark.parametrize("builder", ["default", "other"])
def test_a_builder_that_is_the_docker_engine_itself_builds_and_keeps_nothing(
    bench: Bench,
    buildx_environment: dict[str, str],
    docker_environment: dict[str, str],
    tmp_path: Path,
    builder: str,
):
    """All that a plain installation of Docker has: no other builder, by DOCKER_HOST or by a context."""
    told = buildx_environment | {"DOCKER_HOST": docker_environment["DOCKER_HOST"]}
    if builder == "other":
        context = docker_context(told.pop("DOCKER_HOST"), tmp_path)
        (tmp_path / "cli-plugins").symlink_to(Path(buildx_environment["DOCKER_CONFIG"], "cli-plugins"))
        told |= context | {"DOCKER_HOST": ""}
    del told["BUILDX_BUILDER"]
    plain = BuildxEngine(bench.given(told), builder=builder)
    before = tags_of(docker_environment)
    text = "RUN --mount=source=src,target=/m cp /m/a.txt /a\n"
    assert plain.refusal(bench.plan(text)) is None
    bench.build(plain, text)
    assert bench.files()["a"].content == digest(b"a")
    assert tags_of(docker_environment) == before
    windows = bench.shop.plan("FROM scratch\nCOPY src /\n", platform=Platform.parse("windows/amd64"))
    assert plain.refusal(windows) == "buildx's builder is a Docker engine that makes no windows images"


def test_programs_of_windows_run_on_no_linux(bench: Bench, make: Callable[..., Engine]):
    plan = bench.shop.plan("FROM scratch\nRUN ver\n", platform=Platform.parse("windows/amd64"))
    refused = {
        "buildx": "buildx's builder runs no windows programs",
        "podman": "podman and buildah make no layers that Windows unpacks",
    }
    engine = make()
    assert (engine.refusal(plan) or "").endswith(refused.get(engine.name, " makes linux images"))
    with pytest.raises(EngineUnavailable):
        engine.build(plan, bench.shop.output)


def tags_of(environment: dict[str, str]) -> set[str]:
    """Return the names of all images in an engine."""
    import docker

    client = docker.DockerClient(base_url=environment["DOCKER_HOST"])
    tags = {tag for image in client.images.list() for tag in image.tags}
    client.close()
    return tags


def test_a_docker_command_line_with_the_plugin_builds_in_the_engine_itself(
    bench: Bench, docker_environment: dict[str, str], buildx_environment: dict[str, str]
):
    told = buildx_environment | {"DOCKER_HOST": docker_environment["DOCKER_HOST"]}
    bench.build(DockerEngine(bench.given(told)), "RUN --mount=source=src,target=/m cp /m/a.txt /a\n")
    assert bench.files()["a"].content == digest(b"a")
