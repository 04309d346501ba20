"""The same Dockerfile through every engine: same files, same config. What differs stands here and in docs/howto/engines.md."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import unpacked
from machines.bases import push_image, store_of
from machines.builders import busybox
from machines.registry import Registry
from multiarch_oci.config import ImageConfig
from multiarch_oci.engine import Base, BuildPlan, Engine, EngineUnavailable, GivenFile, NamedContext
from multiarch_oci.engine.buildx import BuildxEngine
from multiarch_oci.engine.docker import DockerEngine
from multiarch_oci.engine.embedded.engine import EmbeddedEngine
from multiarch_oci.engine.external.calling import EngineFailed, Programs
from multiarch_oci.engine.external.surroundings import Surroundings
from multiarch_oci.engine.frontend.named import named_contexts
from multiarch_oci.engine.frontend.reader import Reader
from multiarch_oci.engine.podman import PodmanEngine
from multiarch_oci.store.archive import Archive
from workshop import AMD64, Workshop, tar

OTHERS: dict[str, Callable[[Surroundings], Engine]] = {
    "buildx": BuildxEngine,
    "podman": PodmanEngine,
    "docker": DockerEngine,
}

# {base} has bin/sh, etc/conf and some ENV, {onbuild} ONBUILD instructions, too.
DOCKERFILES = {
    "files and folders": """\
FROM scratch
COPY web /srv/web
COPY web/index.html web/a.txt /flat/
COPY web/*.txt /texts/
COPY web/a.txt /renamed
COPY . /all
""",
    "stages": """\
FROM scratch AS one
COPY web /a/web
FROM one AS two
COPY web/a.txt /a/web/b.txt
FROM scratch
COPY --from=one /a/web/index.html /by-name
COPY --from=1 /a /by-number
""",
    "variables": """\
ARG WHO=world
FROM {base}
ARG WHO
ARG DIR=web OTHER
ENV A=$DIR B="${{A:-none}} ${{C:-two words}} ${{OTHER:+set}}" C='$DIR' D=a\\ b
ENV E=$A/$B PATH=/own:$PATH
COPY $DIR /$WHO/${{DIR}}
LABEL who=$WHO "two words"="$B"
WORKDIR /$WHO
WORKDIR below
COPY web/a.txt .
""",
    "owners and modes": """\
FROM scratch
COPY --chown=1000:1001 web /owned
COPY --chmod=750 web/a.txt /moded
COPY --chown=7 --chmod=0604 web/a.txt /both
USER 7:8
COPY web/a.txt /still-roots
""",
    "archives": """\
FROM scratch
ADD archive.tar /unpacked/
ADD archive.tar.gz /compressed
ADD web/a.txt /added
COPY archive.tar /kept.tar
""",
    "devices and hard links in archives": """\
FROM scratch
ADD special.tar /all/
""",
    "over a base": """\
FROM {base}
COPY web/a.txt /etc/conf
COPY web /etc
COPY --from={base} /etc/conf /taken
ENV FROM_BASE=changed
""",
    "links": """\
FROM scratch
COPY linked /l
COPY linked/to-file /followed
COPY web /w/
COPY linked /w
""",
    "config": """\
FROM {base}
MAINTAINER me
LABEL one=1 two="2 2"
EXPOSE 80 53/udp 90-92
VOLUME /data /more
VOLUME ["/json"]
STOPSIGNAL SIGINT
SHELL ["/bin/sh", "-ec"]
HEALTHCHECK --interval=5s --timeout=3s --start-period=1m --retries=2 CMD ["/bin/sh", "-c", "true"]
ONBUILD COPY x /
USER 5:6
ENTRYPOINT exec /bin/sh
CMD ["-c", "echo $HOME"]
""",
    "resets": """\
FROM {base} AS first
ENTRYPOINT ["/bin/sh"]
CMD ["x"]
HEALTHCHECK CMD true
FROM first
ENTRYPOINT ["/bin/sh", "-e"]
HEALTHCHECK NONE
ENV FROM_BASE=
WORKDIR /
""",
    "onbuild of the base": """\
FROM {onbuild}
COPY web/index.html /
""",
    "here-documents": """\
FROM scratch
COPY <<ONE <<"TWO" /here/
one
ONE
$NOT_EXPANDED
TWO
""",
    "linked layers": """\
FROM {base}
COPY --link web /linked
COPY --link --chown=3 web/a.txt /linked/
""",
}
NOT_KNOWN = {
    ("podman", "here-documents"),  # Buildah knows them from 1.33 on
    ("podman", "linked layers"),
    ("docker", "here-documents"),  # the engine's own BuildKit knows them from 23.0 on
    ("docker", "linked layers"),
    ("docker", "onbuild of the base"),  # no named contexts, by which an image of ONBUILD is locked: refused
}
# Buildah's own ways; what it means is the same but for SHELL, which it takes for RUN only.
BUILDAH = {
    "config": {"exposed_ports": ("53/udp", "80/tcp", "90-92/tcp"), "entrypoint": ("/bin/sh", "-c", "exec /bin/sh")},
}
SAME = (
    "platform", "created", "author", "env", "entrypoint", "cmd", "labels", "user", "working_dir", "exposed_ports",
    "volumes", "stop_signal", "healthcheck", "shell", "on_build",
)  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path, registry: Registry) -> Workshop:
    """Return a context with one of everything, and two bases."""
    (tmp_path / "context").mkdir()
    made = Workshop(tmp_path / "context")
    for path in ("web/index.html", "web/a.txt", "web/deep/b.txt", "web/left.tmp", "linked/file"):
        made.write(path, path)
    made.write("web/program", "#!/bin/sh\n", mode=0o755)
    made.write(".dockerignore", "**/*.tmp\n!web/kept.tmp\nDockerfile.test\n.dockerignore\n")
    made.write("web/kept.tmp", "kept")
    (made.folder / "web" / "empty").mkdir()
    (made.folder / "linked" / "to-file").symlink_to("file")
    (made.folder / "linked" / "to-nowhere").symlink_to("/nowhere")
    content = tar(
        ("d", {"type": tarfile.DIRTYPE, "mode": 0o750}, b""),
        ("d/f", {"uid": 7, "gid": 8, "mode": 0o640}, b"f"),
        ("d/l", {"type": tarfile.SYMTYPE, "linkname": "f"}, b""),
        ("d/h", {"type": tarfile.LNKTYPE, "linkname": "d/f", "uid": 7, "gid": 8, "mode": 0o640}, b""),
    )
    made.write("archive.tar", content)
    made.write("archive.tar.gz", gzip.compress(content, mtime=0))
    made.write("special.tar", _special())
    held = {"bin/sh": busybox(), "etc/conf": b"conf"}
    env = ("PATH=/bin", "FROM_BASE=1")
    base, onbuild = f"{registry.host}/base:v1", f"{registry.host}/onbuild:v1"
    orders = ("COPY web/a.txt /triggered", "ENV TRIGGERED=1", f"COPY --from={base} /etc/conf /from-image")
    made.bases = (
        Base(base, AMD64, push_image(base, "linux/amd64", held, mode=0o755, env=env, folders=True), env),
        Base(
            onbuild,
            AMD64,
            push_image(onbuild, "linux/amd64", held, env=env, on_build=orders, folders=True),
            env,
            orders,
        ),
    )
    # The tag moves; nobody is to follow it.
    push_image(base, "linux/amd64", {"etc/conf": b"moved"}, env=env, folders=True)
    return made


def _special(*more: tuple[str, dict[str, Any], bytes]) -> bytes:
    link = {"type": tarfile.LNKTYPE, "linkname": "d/f"}
    return tar(
        ("d/", {"type": tarfile.DIRTYPE, "mode": 0o755}, b""),
        ("d/null", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3, "mode": 0o666}, b""),
        ("d/disk", {"type": tarfile.BLKTYPE, "devmajor": 8, "devminor": 300, "mode": 0o660, "gid": 6}, b""),
        ("d/pipe", {"type": tarfile.FIFOTYPE, "mode": 0o600, "uid": 5}, b""),
        ("d/f", {"uid": 7, "gid": 8, "mode": 0o640}, b"f"),
        ("d/g", link | {"uid": 7, "gid": 8, "mode": 0o600}, b""),
        ("d/h", link | {"uid": 9, "gid": 8, "mode": 0o4755}, b""),
        ("d/l", {"type": tarfile.SYMTYPE, "linkname": "nowhere"}, b""),
        *more,
    )


def text_of(text: str, shop: Workshop) -> str:
    return text.format(base=shop.bases[0].name, onbuild=shop.bases[1].name)


def given(shop: Workshop, environment: dict[str, str]) -> Surroundings:
    programs = Programs(environment, lambda _: None)
    return Surroundings(store_of, shop.warnings.append, programs, Reader(), ("127.0.0.0/8",))


def config_of(path: Path) -> dict[str, object]:
    config: ImageConfig = Archive(path).image().config
    # Which variable stands first is nobody's concern; Buildah moves one that is set again to the end.
    return {name: getattr(config, name) for name in SAME} | {"env": set(config.env)}


def same_or_refused(shop: Workshop, plan: BuildPlan, engine: Engine, tmp_path: Path, *, refused: bool) -> None:
    """Assert that an engine makes the image that the embedded one makes, or says beforehand that it cannot."""
    if refused:
        assert engine.refusal(plan) is not None
        with pytest.raises(EngineUnavailable):
            engine.build(plan, shop.output)
        return
    EmbeddedEngine(store_of, shop.warnings.append).build(plan, tmp_path / "ours.tar")
    engine.build(plan, shop.output)
    assert unpacked.of_archive(shop.output) == unpacked.of_archive(tmp_path / "ours.tar")
    assert config_of(shop.output) == config_of(tmp_path / "ours.tar")


@pytest.mark.parametrize("name", DOCKERFILES)
@pytest.mark.parametrize("other", OTHERS)
def test_files_and_config_are_those_of_the_embedded_engine(
    shop: Workshop, other: str, name: str, request: pytest.FixtureRequest, tmp_path: Path
):
    plan = shop.plan(text_of(DOCKERFILES[name], shop), epoch=1_700_000_000)
    engine = OTHERS[other](given(shop, request.getfixturevalue(f"{other}_environment")))
    if (other, name) in NOT_KNOWN:
        with pytest.raises((EngineFailed, EngineUnavailable)):
            engine.build(plan, shop.output)
        return
    EmbeddedEngine(store_of, shop.warnings.append).build(plan, tmp_path / "ours.tar")
    engine.build(plan, shop.output)
    assert unpacked.of_archive(shop.output) == unpacked.of_archive(tmp_path / "ours.tar")
    own = BUILDAH.get(name, {}) if other == "podman" else {}
    assert config_of(shop.output) == config_of(tmp_path / "ours.tar") | own


def test_buildkit_copies_devices_and_links_links_as_the_embedded_engine(
    shop: Workshop, buildx_environment: dict[str, str], tmp_path: Path
):
    """Buildah links no link that leads nowhere; older BuildKits copy devices as files, and know no owner of archives."""
    shop.write("special.tar", _special(("d/m", {"type": tarfile.LNKTYPE, "linkname": "d/l", "uid": 4}, b"")))
    text = "FROM scratch AS one\nADD special.tar /\nFROM scratch\nCOPY --from=one /d/null /d/pipe /c/\n"
    text += "ADD special.tar /\nADD --chown=3:4 special.tar /owned/\n"
    plan = shop.plan(text, epoch=1_700_000_000)
    EmbeddedEngine(store_of, shop.warnings.append).build(plan, tmp_path / "ours.tar")
    BuildxEngine(given(shop, buildx_environment)).build(plan, shop.output)
    assert unpacked.of_archive(shop.output) == unpacked.of_archive(tmp_path / "ours.tar")


@pytest.mark.parametrize("other", OTHERS)
def test_the_ignore_file_of_the_dockerfile_counts_alone(
    shop: Workshop, other: str, request: pytest.FixtureRequest, tmp_path: Path
):
    shop.write("Dockerfile.test.dockerignore", "web/a.txt\nDockerfile.test*\n*.tar*\n.dockerignore\n")
    plan = shop.plan("FROM scratch\nCOPY . /\n", epoch=1_700_000_000)
    EmbeddedEngine(store_of, shop.warnings.append).build(plan, tmp_path / "ours.tar")
    OTHERS[other](given(shop, request.getfixturevalue(f"{other}_environment"))).build(plan, shop.output)
    shop.write("Dockerfile.test.dockerignore", "web/a.txt\nDockerfile.test*\n*.tar*\n")
    with_file = tmp_path / "with.tar"
    OTHERS[other](given(shop, request.getfixturevalue(f"{other}_environment"))).build(plan, with_file)
    found = unpacked.of_archive(shop.output)
    assert found == unpacked.of_archive(tmp_path / "ours.tar")
    assert "web/left.tmp" in found
    assert unpacked.of_archive(with_file).keys() - found.keys() == {".dockerignore"}


# {base} again; `lib` is a folder, `mirror` is {base}, and so is the image `nowhere.invalid/x`; `replaced` is `lib`, too.
NAMED = {
    "copies": """\
FROM nowhere.invalid/x AS replaced
RUN boom
FROM mirror AS two
COPY --from=lib /deep /deep
COPY --from=replaced /a.txt /replaced.txt
COPY --from=0 /deep/b* /by-number/
FROM none AS from-nothing
COPY web /web
FROM mirror:latest
COPY --from=from-nothing /web /web
COPY --from=lib . /all/
COPY --from=nowhere.invalid/x:latest /etc/conf /conf
COPY --from=two /deep /two
""",
    "onbuild": """\
FROM {onbuild}
COPY --from=lib a.txt /
""",
    "a folder as a base": """\
FROM lib AS one
COPY web/a.txt /deep/
ENV A=1
FROM one
COPY --from=one /deep/a.txt /b
""",
    "over a replaced stage": """\
FROM {base} AS replaced
ENV GONE=1
FROM replaced
COPY web/a.txt /deep/
WORKDIR below
ENV A=1
""",
    "over a stage replaced by an image": """\
FROM scratch AS mirror
ENV GONE=1
FROM mirror
COPY web/a.txt /deep/
""",
    "a replaced target": """\
FROM {base} AS replaced
ENV GONE=1
""",
    "a target replaced by an image": """\
FROM scratch AS mirror
ENV GONE=1
""",
}
NOT_NAMED = {
    ("docker", "copies"),  # no buildx, no named contexts: refused
    ("docker", "onbuild"),
    *((other, name) for other in ("podman", "docker") for name in ("a folder as a base", "over a replaced stage")),
    *((other, "a replaced target") for other in ("podman", "docker")),
}


@pytest.fixture
def named(shop: Workshop) -> tuple[NamedContext, ...]:
    """Return named contexts, of which one has an .dockerignore of its own."""
    lib = Workshop(shop.folder.parent / "lib")
    lib.folder.mkdir()
    for path in ("a.txt", "left.txt", "deep/b.txt", "deep/left.txt", "deep/below/c"):
        lib.write(path, f"lib {path}")
    lib.write("run", "#!/bin/sh\n", mode=0o755)
    lib.write(".dockerignore", "**/left.txt\n")
    (lib.folder / "link").symlink_to("a.txt")
    given = dict.fromkeys(("lib", "replaced"), "../lib")
    given |= dict.fromkeys(("mirror", "nowhere.invalid/x"), f"docker-image://{shop.bases[0].name}")
    return named_contexts(given | {"none": "docker-image://scratch"}, shop.folder)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("other", OTHERS)
def test_named_contexts_mean_the_same_to_every_engine(  # noqa: PLR0917  # fixtures
    shop: Workshop,
    named: tuple[NamedContext, ...],
    other: str,
    name: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
):
    plan = shop.plan(text_of(NAMED[name], shop), epoch=1_700_000_000, contexts=named)
    engine = OTHERS[other](given(shop, request.getfixturevalue(f"{other}_environment")))
    same_or_refused(shop, plan, engine, tmp_path, refused=(other, name) in NOT_NAMED)


REPLACED = {
    "copies": """\
FROM nowhere.invalid/golang:$NONE AS build
RUN never
FROM {base} AS other
COPY --from=build /app /usr/bin/app
COPY --from=0 /out/ /out/
COPY --from=build /out/*.txt /texts/
FROM scratch
COPY --from=other /usr/bin/app /app
COPY --from=build / /whole
""",
    "one line": "FROM nowhere.invalid/golang AS build\nFROM scratch\nCOPY --from=build /app /app\n",
    "by number": "FROM nowhere.invalid/golang\nRUN x\nFROM scratch\nCOPY --from=0 /app /app\n",
    "by number, with a name": "FROM nowhere.invalid/golang AS made\nRUN x\nFROM scratch\nCOPY --from=made /app /app\n",
    "no stage": "FROM scratch\nCOPY --from=build /app /app\n",
    "with the context": "FROM nowhere.invalid/golang AS build\nFROM scratch\nCOPY --from=build /app /app\nCOPY . /all\n",
    "a base": "FROM nowhere.invalid/golang AS build\nRUN x\nFROM build\nENV A=1\nCOPY --from=build /app /again\n",
}
NOT_REPLACED = {("docker", "no stage"), ("docker", "with the context")}


def replaced(shop: Workshop, name: str) -> tuple[NamedContext, ...]:
    """Return what stands in the place of a stage: a program, a folder, a file in it from elsewhere."""
    shop.write("made/program", "#!/bin/sh\n", mode=0o755)
    for path in ("a.txt", "deep/b.txt", "c"):
        shop.write(f"made/out/{path}", path)
    files = (
        GivenFile("app", shop.folder / "made/program"),
        GivenFile("out", shop.folder / "made/out"),
        GivenFile("out/deep/more.txt", shop.folder / "web/a.txt"),
    )
    return (NamedContext("stage-0", files=files, stage=0) if "number" in name else NamedContext("build", files=files),)


@pytest.mark.parametrize("name", REPLACED)
@pytest.mark.parametrize("other", OTHERS)
def test_a_replaced_stage_means_the_same_to_every_engine(
    shop: Workshop, other: str, name: str, request: pytest.FixtureRequest, tmp_path: Path
):
    plan = shop.plan(text_of(REPLACED[name], shop), epoch=1_700_000_000, contexts=replaced(shop, name))
    engine = OTHERS[other](given(shop, request.getfixturevalue(f"{other}_environment")))
    same_or_refused(shop, plan, engine, tmp_path, refused=(other, name) in NOT_REPLACED)


@pytest.mark.parametrize("name", ["copies", "one line", "by number", "a base"])
def test_a_replaced_stage_means_the_same_to_the_legacy_builder(
    shop: Workshop, name: str, docker_environment: dict[str, str], tmp_path: Path
):
    plan = shop.plan(text_of(REPLACED[name], shop), epoch=1_700_000_000, contexts=replaced(shop, name))
    EmbeddedEngine(store_of, shop.warnings.append).build(plan, tmp_path / "ours.tar")
    DockerEngine(given(shop, docker_environment | {"PATH": str(tmp_path)})).build(plan, shop.output)
    assert unpacked.of_archive(shop.output) == unpacked.of_archive(tmp_path / "ours.tar")


SEEN = b"/m:\na.txt\ndeep\nlink\nrun\n\n/n:\nb.txt\nbelow\n"
RUNNING_NAMED = """\
FROM nowhere.invalid/x AS replaced
FROM mirror
RUN --mount=from=lib,target=/m --mount=from=replaced,source=deep,target=/n cat /m/a.txt /n/b.txt > /joined; ls /m /n > /seen
RUN --mount=from=nowhere.invalid/x,target=/m cat /m/etc/conf > /of-image
"""


def test_run_mounts_named_contexts_by_every_engine_that_can(
    shop: Workshop, named: tuple[NamedContext, ...], request: pytest.FixtureRequest, tmp_path: Path
):
    found = {}
    for name in ("buildx", "podman"):
        network = "" if name == "podman" else "none"
        plan = shop.plan(RUNNING_NAMED, epoch=1_700_000_000, network=network, contexts=named)
        output = tmp_path / f"{name}.tar"
        OTHERS[name](given(shop, request.getfixturevalue(f"{name}_environment"))).build(plan, output)
        found[name] = {path: each for path, each in unpacked.of_archive(output).items() if each.kind == "f"}
    for path in ("joined", "seen", "of-image"):
        assert found["buildx"][path] == found["podman"][path]
    assert found["buildx"]["joined"].content == hashlib.sha256(b"lib a.txtlib deep/b.txt").hexdigest()
    assert found["buildx"]["seen"].content == hashlib.sha256(SEEN).hexdigest()


# With BUILDAH_ISOLATION=chroot, which needs no runtime, the places of its mounts stay where the base has none.
MOUNTED = {"dev", "etc", "etc/hostname", "etc/hosts", "etc/resolv.conf", "proc", "run", "run/secrets", "sys"}
RUNNING = """\
FROM {base} AS build
WORKDIR /work
COPY web ./web
RUN --mount=type=bind,source=linked,target=/m cat web/a.txt /m/file > joined && chmod 640 joined
RUN mkdir -p out/d && echo one > out/d/one && ln -s one out/d/link && ln out/d/one out/hard && chown 7:8 out/d
FROM {base}
ENV X=1
COPY --from=build /work/out /out
COPY --from=build /work/joined /joined
RUN echo "$X" > /x; rm /etc/conf; mkdir /empty; echo "$PATH" >> /x
USER 9
CMD ["/bin/sh"]
"""


def test_a_dockerfile_with_run_is_the_same_image_by_every_engine_that_can(
    shop: Workshop, request: pytest.FixtureRequest, tmp_path: Path
):
    found = {}
    for name, make in OTHERS.items():
        network = "" if name == "podman" else "none"
        plan = shop.plan(text_of(RUNNING, shop), epoch=1_700_000_000, network=network)
        output = tmp_path / f"{name}.tar"
        make(given(shop, request.getfixturevalue(f"{name}_environment"))).build(plan, output)
        found[name] = (set(unpacked.of_archive(output).items()), config_of(output))
    files, config = found["buildx"]
    assert dict(files)["out/d"].owner == "7:8"
    assert found["docker"][0] ^ files == set()
    assert {path for path, _ in found["podman"][0] ^ files} <= MOUNTED
    assert found["podman"][1] == found["docker"][1] == config
