"""Docker engines elsewhere: by ssh through the user's own ssh, by contexts of the docker command line, with TLS."""

from __future__ import annotations

import getpass
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import unpacked
from machines import ssh
from machines.bases import push_image, store_of
from machines.builders import Secured, busybox, docker_context, secured_docker
from machines.registry import Registry
from machines.required import required
from multiarch_oci.engine import Base
from multiarch_oci.engine.docker import DockerEngine
from multiarch_oci.engine.external.calling import Programs
from multiarch_oci.engine.external.surroundings import Surroundings
from multiarch_oci.engine.frontend.reader import Reader
from multiarch_oci.reference import Reference
from multiarch_oci.store.archive import Archive
from multiarch_oci.store.daemon.daemon import Daemon
from multiarch_oci.store.daemon.endpoint import EngineUnreachable
from workshop import AMD64, Workshop


@pytest.fixture(scope="module")
def far(docker_environment: dict[str, str]) -> Iterator[ssh.Far]:
    """Return a host that is reached by ssh, on which a Docker engine runs."""
    with tempfile.TemporaryDirectory(prefix="sd") as folder:
        path = f"{Path(required('docker')).parent}:/usr/bin:/bin"
        with ssh.serving(Path(folder), docker_environment["DOCKER_HOST"], path) as found:
            yield found


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    """Return a Docker engine that wants certificates."""
    with (
        tempfile.TemporaryDirectory(prefix="st", ignore_cleanup_errors=True) as folder,
        secured_docker(Path(folder)) as found,
    ):
        yield found


@pytest.fixture
def shop(tmp_path: Path, registry: Registry) -> Workshop:
    """Return a workshop with a base that has a shell."""
    (tmp_path / "context").mkdir()
    made = Workshop(tmp_path / "context")
    base = f"{registry.host}/shell:v1"
    made.bases = (Base(base, AMD64, push_image(base, "linux/amd64", {"bin/sh": busybox()}, mode=0o755)),)
    made.write("src/a.txt", "a")
    return made


def build(shop: Workshop, environment: dict[str, str], endpoint: str, *, buildkit: bool) -> list[str]:
    """Build by the Docker engine at an endpoint; return what it said."""
    said: list[str] = []
    programs = Programs(environment, said.append)
    surroundings = Surroundings(store_of, shop.warnings.append, programs, Reader(), ("127.0.0.0/8",))
    mount = "--mount=source=src,target=/m " if buildkit else ""
    text = f"FROM {shop.bases[0].name}\nCOPY src /m2\nRUN {mount}cp /m2/a.txt /a\n"
    DockerEngine(surroundings, endpoint=endpoint).build(shop.plan(text, network="none"), shop.output)
    assert unpacked.of_archive(shop.output)["a"].content == hashlib.sha256(b"a").hexdigest()
    assert Archive(shop.output).image().platform == AMD64
    return said


def daemon(far: ssh.Far, path: str, address: str = "") -> Daemon:
    return Daemon({"PATH": path, "DOCKER_HOST": address or far.address, "HOME": "/nowhere"})


def refused(asked: Daemon) -> list[str]:
    with asked, pytest.raises(EngineUnreachable) as caught:
        asked.platform()
    return str(caught.value).split("\n  hint: ")


def test_an_engine_behind_ssh_answers(far: ssh.Far, docker_environment: dict[str, str]):
    with daemon(far, far.client()) as there, Daemon(docker_environment) as here:
        assert there.platform() == here.platform()
        assert there.identity(Reference.parse("nobody/has:this")) is None


def test_a_socket_of_its_own_may_be_named(far: ssh.Far, docker_environment: dict[str, str]):
    socket = docker_environment["DOCKER_HOST"].removeprefix("unix://")
    with daemon(far, far.client(), far.address + socket) as there:
        assert there.platform().os == "linux"
    what, _ = refused(daemon(far, far.client(), f"{far.address}/nowhere.sock"))
    assert "/nowhere.sock" in what


def test_without_ssh_it_says_so(far: ssh.Far):
    assert refused(daemon(far, "/nowhere")) == [
        f"{far.address}: there is no ssh in PATH",
        "install OpenSSH's client",
    ]


def test_an_unknown_host_is_no_question_but_an_error(far: ssh.Far):
    assert refused(daemon(far, far.client(known=False))) == [
        f"{far.address}: no container engine answers: Host key verification failed.",
        f"run 'ssh -p {far.port} {getpass.getuser()}@127.0.0.1' once by hand and accept its key, or add it to known_hosts",
    ]


def test_a_key_that_the_host_does_not_want_is_an_error(far: ssh.Far):
    what, hint = refused(daemon(far, far.client(key="stranger")))
    assert what.startswith(f"{far.address}: no container engine answers: ")
    assert what.endswith("Permission denied (publickey).")
    assert hint == "a build types no password: 'ssh-add' your key, or name it in ~/.ssh/config"


def test_a_host_that_is_not_there_is_an_error(far: ssh.Far):
    what, hint = refused(daemon(far, far.client(), "ssh://winbox.invalid"))
    assert "Could not resolve hostname winbox.invalid" in what
    assert hint == "is the name right? 'ssh winbox.invalid' must work by hand"
    what, _ = refused(daemon(far, far.client(), "ssh://127.0.0.1:1"))
    assert "Connection refused" in what


@pytest.mark.parametrize("address", ["ssh://", "ssh://-oProxyCommand=true", "ssh://a:b@host", "ssh://host:port"])
def test_an_address_that_is_none_starts_no_ssh(far: ssh.Far, address: str):
    assert refused(daemon(far, far.client(), address)) == [
        f"'{address.replace('a:b@', '***@')}' is no address of an engine",
        "it is ssh://[user@]host[:port][/path/of/its/socket]",
    ]


def test_a_context_that_names_ssh_works_as_an_address_does(far: ssh.Far, tmp_path: Path):
    told = docker_context(far.address, tmp_path)
    with Daemon(told | {"PATH": far.client(), "DOCKER_CONTEXT": "other"}) as there:
        assert there.platform().os == "linux"


@pytest.mark.parametrize("buildkit", [True, False])
def test_an_image_is_built_by_an_engine_behind_ssh(
    shop: Workshop, far: ssh.Far, docker_environment: dict[str, str], buildkit: bool
):
    local = docker_environment["PATH"] if buildkit else "/nowhere"
    path = os.pathsep.join((far.client(), local))
    told = {"PATH": path, "HOME": str(shop.folder), "DOCKER_HOST": "unix:///not/this/one"}
    build(shop, told, far.address, buildkit=buildkit)


@pytest.mark.parametrize("docker", ["before plugins", "buildx"])
def test_a_context_with_certificates_builds(
    shop: Workshop, secured: Secured, buildx_environment: dict[str, str], tmp_path: Path, docker: str
):
    context = docker_context(secured.address, tmp_path, secured.certificates)
    if docker == "buildx":
        plugins = Path(buildx_environment["DOCKER_CONFIG"], "cli-plugins")
        (tmp_path / "cli-plugins").symlink_to(plugins)
    else:
        context |= {"PATH": secured.environment["PATH"]}
    build(shop, context | {"BUILDX_BUILDER": "nobody"}, "other", buildkit=True)


def test_certificates_are_found_as_the_docker_command_line_finds_them(secured: Secured, tmp_path: Path):
    told = {"DOCKER_HOST": secured.address, "DOCKER_TLS_VERIFY": "1"}
    with Daemon(told | {"DOCKER_CERT_PATH": str(secured.certificates)}) as there:
        assert there.platform().os == "linux"
    with Daemon(told | {"DOCKER_CONFIG": str(secured.certificates)}) as there:
        assert there.platform().os == "linux"
    context = docker_context(secured.address, tmp_path, secured.certificates)
    with Daemon(context | {"DOCKER_CONTEXT": "other"}) as there:
        assert there.platform().os == "linux"
    what, hint = refused(Daemon(told))
    assert what.startswith(f"{secured.address}: no container engine answers: ")
    assert "certificate" in what.lower()
    assert hint == "start Docker or Podman, or set DOCKER_HOST to the engine's address"
