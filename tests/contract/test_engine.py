"""What every engine promises, asked of each engine at hand."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

import unpacked
from machines.bases import push_image, store_of
from multiarch_oci.descriptor import BASE_DIGEST
from multiarch_oci.engine import Base, Engine
from multiarch_oci.engine.buildx import BuildxEngine
from multiarch_oci.engine.docker import DockerEngine
from multiarch_oci.engine.embedded.engine import EmbeddedEngine
from multiarch_oci.engine.external.calling import Programs
from multiarch_oci.engine.external.surroundings import Surroundings
from multiarch_oci.engine.frontend.reader import Reader
from multiarch_oci.engine.podman import PodmanEngine
from multiarch_oci.errors import MultiarchError
from multiarch_oci.executable import WrongMachine
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference
from multiarch_oci.store import Source
from multiarch_oci.store.archive import Archive
from unpacked import Found, merged, of_tar, unzipped
from workshop import Workshop, elf, tar

ARM64 = Platform.parse("linux/arm64")


def source(shop: Workshop, reference: Reference) -> Source:
    """Return where a base is read from: a registry by its name, or the workshop's own store."""
    return store_of(reference) if reference.registry.startswith("127.") else shop.store


def embedded(shop: Workshop, _environment: dict[str, str]) -> Engine:
    return EmbeddedEngine(lambda reference: source(shop, reference), shop.warnings.append)


def given(shop: Workshop, environment: dict[str, str]) -> Surroundings:
    programs = Programs(environment, lambda _: None)
    return Surroundings(
        lambda reference: source(shop, reference), shop.warnings.append, programs, Reader(), ("127.0.0.0/8",)
    )


ENGINES: dict[str, Callable[[Workshop, dict[str, str]], Engine]] = {
    "embedded": embedded,
    "buildx": lambda shop, environment: BuildxEngine(given(shop, environment)),
    "podman": lambda shop, environment: PodmanEngine(given(shop, environment)),
    "docker": lambda shop, environment: DockerEngine(given(shop, environment)),
}


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    folder = tmp_path / "context"
    folder.mkdir()
    made = Workshop(folder, platform=ARM64)
    made.write("demo", elf("arm64"), mode=0o755)
    made.write("web/index.html", "<html>")
    return made


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, shop: Workshop) -> Engine:
    known = {} if request.param == "embedded" else request.getfixturevalue(f"{request.param}_environment")
    return ENGINES[request.param](shop, known)


TEXT = """ARG BASE=scratch
FROM $BASE
ARG TARGETARCH
ENV ARCH=$TARGETARCH
LABEL a=1
WORKDIR /srv
COPY web ./web
COPY --chown=1000:1001 demo /demo
ENTRYPOINT ["/demo"]
CMD ["-serve"]
"""


def test_it_says_its_name(engine):
    assert engine.name in ENGINES


def test_it_ends_in_a_tarball_of_one_image_of_the_platform(shop, engine):
    plan = shop.plan(TEXT, labels=(("b", "2"),), epoch=1_700_000_000)
    assert engine.refusal(plan) is None
    returned = engine.build(plan, shop.output)
    archive = Archive(shop.output)
    image = archive.image()
    assert returned.bare() == image.descriptor.bare()
    assert returned.platform == ARM64
    assert image.platform == ARM64
    assert image.missing == ()
    config = image.config
    assert config.created == "2023-11-14T22:13:20Z"
    assert config.variable("ARCH") == "arm64"
    assert dict(config.labels) == {"a": "1", "b": "2"}
    assert (config.entrypoint, config.cmd, config.working_dir) == (("/demo",), ("-serve",), "/srv")
    assert len(config.diff_ids) == len(image.layers)
    files = merged(of_tar(io.BytesIO(unzipped(archive.open(layer).read()))) for layer in image.layers)
    assert files["demo"].owner == "1000:1001"
    assert files["demo"].mode == "0o755"
    assert files["srv/web"] == Found("d", "0o755", "0:0", "")
    assert set(files) == {"demo", "srv", "srv/web", "srv/web/index.html"}


def test_equal_plans_are_equal_manifests(shop, engine, tmp_path):
    first = engine.build(shop.plan(TEXT), tmp_path / "1.tar")
    assert engine.build(shop.plan(TEXT), tmp_path / "2.tar") == first


def test_a_base_stays_a_descriptor_and_is_named(shop, engine, registry):
    name = f"{registry.host}/team/base:v1"
    digest = push_image(name, "linux/arm64", {"base-file": b"x"}, env=("FROM_BASE=1",))
    shop.bases = (Base(name, ARM64, digest),)
    engine.build(shop.plan(TEXT, build_args=(("BASE", name),)), shop.output)
    found = Archive(shop.output).image()
    assert [layer.digest in found.own for layer in found.layers] == [False, *[True] * (len(found.layers) - 1)]
    manifest = registry.json("team/base", "v1")
    assert str(found.layers[0].digest) == manifest["layers"][0]["digest"]
    assert found.layers[0].size == manifest["layers"][0]["size"]
    assert found.descriptor.annotation(BASE_DIGEST) == str(digest)
    assert found.base is not None
    assert found.base.digest == digest
    assert found.config.variable("FROM_BASE") == "1"
    assert {"demo", "srv/web/index.html"} <= set(unpacked.of_archive(shop.output))


def test_a_tag_that_moved_is_not_followed(shop, engine, registry):
    name = f"{registry.host}/team/base:v1"
    digest = push_image(name, "linux/arm64", {"base-file": b"old"}, env=("AGE=old",))
    push_image(name, "linux/arm64", {"base-file": b"new"}, env=("AGE=new",))
    shop.bases = (Base(name, ARM64, digest),)
    text = f"FROM {name} AS first\nFROM scratch\nCOPY --from=first /base-file /one\nCOPY --from={name} base-file /two\n"
    engine.build(shop.plan(text), shop.output)
    old = Found("f", "0o644", "0:0", hashlib.sha256(b"old").hexdigest())
    files = unpacked.of_archive(shop.output)
    assert (files["one"], files["two"]) == (old, old)


def test_a_base_of_another_platform_is_an_error_before_anything_is_built(shop, engine, registry):
    name = f"{registry.host}/team/base:v1"
    shop.bases = (Base(name, ARM64, push_image(name, "linux/amd64", {"base-file": b"x"})),)
    with pytest.raises(WrongMachine) as caught:
        engine.build(shop.plan(f"FROM {name}\nCOPY demo /\n"), shop.output)
    assert str(caught.value) == (
        f"Dockerfile.test:1: base {name} is linux/amd64, but the image is linux/arm64\n"
        "  hint: use a base that has this platform; its tag may name a single-platform image"
    )


def test_only_the_target_and_what_it_needs_is_built(shop, engine):
    text = "FROM nowhere.invalid/x:v1 AS broken\nCOPY absent /\nFROM scratch AS this\nCOPY demo /\nFROM broken\n"
    engine.build(shop.plan(text, target="this"), shop.output)
    assert set(unpacked.of_archive(shop.output)) == {"demo"}


def test_the_context_is_what_dockerignore_leaves_with_normal_modes(shop, engine):
    shop.write(".dockerignore", "web/secret\nDockerfile.test\n.dockerignore\n")
    shop.write("web/secret", "no")
    shop.write("web/odd", "x", mode=0o600)
    (shop.folder / "web/link").symlink_to("odd")
    (shop.folder / "web/empty").mkdir()
    engine.build(shop.plan("FROM scratch\nCOPY . /all\n"), shop.output)
    files = unpacked.of_archive(shop.output)
    assert sorted(name for name in files if name != "all") == [
        "all/demo", "all/web", "all/web/empty", "all/web/index.html", "all/web/link", "all/web/odd",
    ]  # fmt: skip
    assert (files["all/web/odd"].mode, files["all/demo"].mode) == ("0o644", "0o755")
    assert files["all/web/link"] == Found("l", "", "0:0", "odd")


def test_a_program_of_another_machine_never_becomes_an_image(shop, engine):
    shop.write("demo", elf("amd64"), mode=0o755)
    with pytest.raises(WrongMachine) as caught:
        engine.build(shop.plan(TEXT), shop.output)
    assert str(caught.value).startswith("Dockerfile.test:9: /demo: is an x86-64 ELF, but the image is linux/arm64")
    assert not shop.output.exists()


def test_a_missing_file_is_an_error_and_the_old_output_stays(shop, engine):
    engine.build(shop.plan(TEXT), shop.output)
    before = shop.output.read_bytes()
    (shop.folder / "demo").unlink()
    with pytest.raises(MultiarchError, match="demo"):
        engine.build(shop.plan(TEXT), shop.output)
    assert shop.output.read_bytes() == before


def test_a_refused_or_wrong_dockerfile_is_an_error(shop, engine):
    with pytest.raises(MultiarchError):
        engine.build(shop.plan("FROM scratch\nNOPE\n"), shop.output)
    with pytest.raises(MultiarchError):
        engine.build(replace(shop.plan(TEXT), dockerfile=shop.folder / "nowhere"), shop.output)
    assert not shop.output.exists()


WHOLE = """FROM scratch AS files
COPY web /a/web
FROM scratch
ARG TARGETARCH
ENV ARCH=$TARGETARCH DIR=/srv
LABEL one=1 "two words"="2 2"
COPY --from=files /a /b
COPY --chown=5:6 demo web/index.html /in/
COPY web/*.html $DIR/
ADD archive.tar /unpacked/
EXPOSE 80 53/udp
VOLUME /data
USER 5:6
WORKDIR /srv/deep
STOPSIGNAL SIGINT
SHELL ["/in/demo", "-c"]
ONBUILD COPY x /
MAINTAINER me
HEALTHCHECK --interval=5s CMD ["/in/demo", "-check"]
ENTRYPOINT ["/in/demo"]
CMD ["-x"]
"""


def test_files_and_config_are_those_of_every_other_engine(shop, engine, tmp_path):
    shop.write("archive.tar", tar(("d", {"type": tarfile.DIRTYPE, "mode": 0o750}, b""), ("d/f", {"uid": 7}, b"f")))
    plan = shop.plan(WHOLE, epoch=1_700_000_000)
    engine.build(plan, shop.output)
    embedded(shop, {}).build(plan, tmp_path / "ours.tar")
    wanted = unpacked.of_archive(tmp_path / "ours.tar")
    if engine.name == "podman":
        del wanted["srv/deep"]  # Buildah leaves it to the runtime to make a WORKDIR in which nothing is done
    assert unpacked.of_archive(shop.output) == wanted
    found, ours = Archive(shop.output).image().config, Archive(tmp_path / "ours.tar").image().config
    same = ("platform", "created", "env", "entrypoint", "cmd", "labels", "user", "working_dir", "exposed_ports")
    same += ("volumes", "stop_signal", "healthcheck", "shell", "on_build", "author")
    assert {name: getattr(found, name) for name in same} == {name: getattr(ours, name) for name in same}
