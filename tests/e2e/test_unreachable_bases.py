"""A base that cannot be read is named with the line that names it, whatever is wrong; REGISTRY has no part in it."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults import FaultProxy
from machines.bases import push_image
from machines.project import Project, Run
from machines.registry import Registry, hold_port

SCONSTRUCT = """\
DefaultEnvironment(tools=[])
env = Environment(
    tools=["oci_settings", "oci_image", "oci_index", "oci_push", "oci_targets"],
    DEFAULTS={"IMAGE": "app", "VERSION": "v1", "PLATFORMS": "linux/amd64"},
)
(platform,) = env["PLATFORMS"]
image = env.Image("_output/images/app.tar", dockerfile="docker/Dockerfile.app", platform=platform, contexts={CONTEXTS})
push = env.Push(image, "$REPOSITORY:v1-amd64")
env.Targets(images=image, push=push, manifest=env.Index("_output/manifest/app.json", image, platforms=[platform]))
"""
NOWHERE = "registry.invalid"


@pytest.fixture
def app(project: Project) -> Project:
    project.edit("SConstruct", SCONSTRUCT.replace("{CONTEXTS}", "{}"))
    project.edit("docker/Dockerfile.app", f"# a comment\n\nFROM {NOWHERE}/team/base:1\n")
    project.remove(".dockerignore")
    return project


def error(ran: Run) -> str:
    """Return the one error of a run, with its hint."""
    assert ran.status == 2, ran.text
    assert "Traceback" not in ran.text
    (found,) = re.findall(r"^scons: \*\*\* (?:\[[^\]]*\] )?(.*(?:\n  hint: .*)?)", ran.text, re.MULTILINE)
    return str(found)


WAYS: dict[str, Callable[[Project, str], object]] = {
    "FROM": lambda app, base: app.edit("docker/Dockerfile.app", f"# one\n# two\nFROM {base}\n"),
    "FROM with an argument": lambda app, base: app.edit("docker/Dockerfile.app", f"ARG B={base}\n\nFROM $B AS x\n"),
    "COPY --from": lambda app, base: app.edit("docker/Dockerfile.app", f"FROM scratch\n\nCOPY --from={base} / /\n"),
    "RUN --mount": lambda app, base: app.edit(
        "docker/Dockerfile.app", f"FROM scratch\n\nRUN --mount=from={base},target=/x true\n"
    ),
    "a named context": lambda app, base: (
        app.edit("docker/Dockerfile.app", "\n\nFROM it\n"),
        app.edit("SConstruct", SCONSTRUCT.replace("{CONTEXTS}", f'{{"it": "docker-image://{base}"}}')),
    ),
}


@pytest.mark.parametrize(
    "words", [("images",), ("push",), ("update-bases",), ("check-bases",), ("images", "LOCKED=no")]
)
@pytest.mark.parametrize("way", WAYS)
def test_a_base_in_no_known_place(way: str, words: tuple[str, ...], app: Project) -> None:
    WAYS[way](app, f"{NOWHERE}/team/base:1")
    assert error(app.scons(*words, check=False)) == (
        f"docker/Dockerfile.app:3: base {NOWHERE}/team/base:1 cannot be read: {NOWHERE}: no address is known for this "
        "name\n  hint: check the name in that line, and the network"
    )


def test_a_base_that_an_onbuild_names(app: Project, registry: Registry) -> None:
    push_image(
        f"{registry.host}/base:1", "linux/amd64", {"base": b"1"}, on_build=(f"COPY --from={NOWHERE}/other:2 / /",)
    )
    app.edit("docker/Dockerfile.app", f"\nFROM {registry.host}/base:1\n")
    assert error(app.scons("images", check=False)).startswith(
        f"docker/Dockerfile.app:2: base {NOWHERE}/other:2 cannot be read: {NOWHERE}: no address is known for this name\n"
    )


@pytest.fixture
def proxy(registry: Registry) -> Iterator[FaultProxy]:
    push_image(f"{registry.host}/base:1", "linux/amd64", {"base": b"1"})
    with FaultProxy(registry.host) as made:
        yield made


def faulty(app: Project, proxy: FaultProxy) -> str:
    app.edit("docker/Dockerfile.app", f"\n\nFROM {proxy.host}/base:1\nCOPY --from={proxy.host}/base:1 base /copied\n")
    return f"docker/Dockerfile.app:3: base {proxy.host}/base:1"


REFUSALS = [(401, "not allowed to pull (401"), (403, "not allowed to pull (403"), (418, "refused to pull: 418")]


@pytest.mark.parametrize(("status", "words"), REFUSALS)
def test_a_base_that_is_refused(status: int, words: str, app: Project, proxy: FaultProxy) -> None:
    start = faulty(app, proxy)
    for kind in ("HEAD manifest", "GET manifest"):
        proxy.order(kind, status=status, times=100)
    told = error(app.scons("images", check=False))
    assert told.startswith(f"{start} cannot be read: {proxy.host}/base: ")
    assert words in told
    assert "REGISTRY" not in told


def test_a_base_that_fails_again_and_again(app: Project, proxy: FaultProxy) -> None:
    start = faulty(app, proxy)
    for kind in ("HEAD manifest", "GET manifest"):  # a HEAD that fails is asked again by GET
        proxy.order(kind, status=503, times=100)
    assert error(app.scons("images", check=False)).startswith(
        f"{start} cannot be read: {proxy.host}/base: the registry"
    )


def test_a_base_that_is_absent(app: Project, proxy: FaultProxy) -> None:
    start = faulty(app, proxy).replace("base:1", "base:2")
    app.replace("docker/Dockerfile.app", f"FROM {proxy.host}/base:1\n", f"FROM {proxy.host}/base:2\n")
    assert error(app.scons("images", check=False)) == (
        f"{start} cannot be read: {proxy.host}/base:2: is not in the registry\n"
        "  hint: check the name in FROM, or push the base first"
    )


def test_a_base_of_another_platform(app: Project, proxy: FaultProxy) -> None:
    start = faulty(app, proxy)
    told = error(app.scons("images", "PLATFORMS=linux/arm64", check=False))
    assert told.startswith(start)
    assert "linux/amd64" in told


@pytest.mark.parametrize("kind", ["HEAD manifest", "GET manifest"])
def test_a_base_whose_digest_is_wrong(kind: str, app: Project, proxy: FaultProxy) -> None:
    start = faulty(app, proxy)
    proxy.order(kind, digest="sha256:" + "f" * 64, times=100)
    told = error(app.scons("images", check=False))
    assert told.startswith(start)
    assert "f" * 64 in told


def test_a_layer_of_a_base_that_is_damaged(app: Project, proxy: FaultProxy, clean_environment: Path) -> None:
    start = faulty(app, proxy)
    proxy.order("GET blob", corrupt=True, after=1, times=100)  # the config is right
    told = error(app.scons("images", check=False))
    assert told.startswith(f"{start} cannot be read: ")
    assert "wanted sha256:" in told
    shutil.rmtree(clean_environment / ".cache", ignore_errors=True)


def test_a_base_where_nobody_listens(app: Project) -> None:
    with hold_port() as held:
        host = f"127.0.0.1:{held.getsockname()[1]}"
        app.edit("docker/Dockerfile.app", f"FROM {host}/base:1\n")
        told = error(app.scons("images", check=False))
    assert told.startswith(f"docker/Dockerfile.app:1: base {host}/base:1 cannot be read: {host}: no connection: ")
    assert "REGISTRY" not in told


def test_a_base_that_speaks_no_tls(app: Project, registry: Registry) -> None:
    port = registry.host.partition(":")[2]
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        pytest.skip("this machine does not know its own name")
    if not address.startswith("127.") or name == "localhost":
        pytest.skip("the registry listens on loopback alone")
    app.edit("docker/Dockerfile.app", f"FROM {name}:{port}/base:1\n")
    assert error(app.scons("images", check=False)).startswith(
        f"docker/Dockerfile.app:1: base {name}:{port}/base:1 cannot be read: {name}:{port}: speaks no TLS"
    )


def test_two_dockerfiles_are_each_named(app: Project) -> None:
    app.edit("docker/Dockerfile.other", f"FROM scratch AS one\nFROM {NOWHERE}/team/base:1\n")
    more = 'other = env.Image("_output/images/other.tar", dockerfile="docker/Dockerfile.other", platform=platform)\n'
    app.edit("SConstruct", SCONSTRUCT.replace("{CONTEXTS}", "{}") + more)
    ran = app.scons("-k", "_output/images/app.tar", "_output/images/other.tar", check=False)
    assert "docker/Dockerfile.app:3: base " in ran.text
    assert "docker/Dockerfile.other:2: base " in ran.text


def test_the_base_is_named_where_a_push_wants_its_layers(
    app: Project, registry: Registry, make_registry: Callable[..., Registry], clean_environment: Path
) -> None:
    elsewhere = make_registry()
    push_image(f"{elsewhere.host}/base:1", "linux/amd64", {"base": b"1"})
    app.edit("docker/Dockerfile.app", f"FROM {elsewhere.host}/base:1\n")
    app.scons("images")
    elsewhere.stop()
    shutil.rmtree(clean_environment / ".cache", ignore_errors=True)
    told = error(app.scons("push", f"REGISTRY={registry.host}", check=False))
    assert told.startswith(f"base {elsewhere.host}/base:1@sha256:")
    assert f" cannot be read: {elsewhere.host}: no connection" in told


def test_an_external_image_in_no_known_place_is_named(app: Project, registry: Registry) -> None:
    app.edit("docker/Dockerfile.app", "FROM scratch\nCOPY VERSION /\n")
    head = SCONSTRUCT.replace("{CONTEXTS}", "{}").replace('"oci_push"', '"oci_push", "oci_pin"')
    app.edit("SConstruct", head + f'Default(env.Pin("{NOWHERE}/port:7", platform="linux/riscv64"))\n')
    told = error(app.scons(f"REGISTRY={registry.host}", check=False))
    assert told == (
        f"external {NOWHERE}/port:7 cannot be read: {NOWHERE}: no address is known for this name\n"
        "  hint: see EXTERNAL, and the network"
    )
