"""Real engines that build: podman, a Docker engine and BuildKit of the tests' own, each with state of its own."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import certificates, debian, suppliers
from .registry import free_port
from .required import cache_folder, go_module_tool, go_tool, missing, required

BUILDX = ("github.com/docker/buildx/cmd/buildx", "v0.38.2")
BUILDKITD = ("github.com/moby/buildkit/cmd/buildkitd", "v0.34.2")
BUSYBOX = "/bin/busybox"


def build_tools(cache: Path) -> None:
    """Build what comes as source alone, minutes of work, so that it is there when a test wants it."""
    go_tool(*BUILDX, cache)
    go_module_tool(*BUILDKITD, cache)
    suppliers.build_tools(cache)


def busybox(architecture: str = "amd64", cache: Path | None = None) -> bytes:
    """Return a shell with its tools in one static program: what a base needs for RUN."""
    if architecture == platform.machine().replace("x86_64", "amd64").replace("aarch64", "arm64"):
        path = Path(BUSYBOX)
        if not path.exists():
            missing("busybox-static", f"{BUSYBOX} is not there")
        return path.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        found = debian.packages(("busybox-static",), architecture, cache or cache_folder())
        return (debian.unpack(found, Path(folder, "root")) / "bin" / "busybox").read_bytes()


@contextmanager
def podman_environment(folder: Path) -> Iterator[dict[str, str]]:
    """Give an environment in which podman and buildah have a storage of their own, and need no container of runc."""
    required("podman")
    storage = folder / "storage.conf"
    storage.write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{folder / "root"}"\nrunroot = "{folder / "run"}"\n', encoding="utf-8"
    )
    environment = {
        **os.environ,
        "HOME": str(folder),
        "CONTAINERS_STORAGE_CONF": str(storage),
        "BUILDAH_ISOLATION": "chroot",
        "TMPDIR": str(folder),
    }
    try:
        yield environment
    finally:
        subprocess.run(["podman", "rmi", "--all", "--force"], env=environment, capture_output=True, check=False)


@contextmanager
def docker_environment(folder: Path, more: tuple[str, ...] = ()) -> Iterator[dict[str, str]]:
    """Run a Docker engine of our own, with `more` options; give an environment whose DOCKER_HOST it is.

    In its PATH is a docker command line with BuildKit built in and nothing else, as if no plugin were installed.
    """
    program = required("dockerd")
    socket = f"unix://{folder / 'sock'}"
    command = [program, "--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid"]
    command += ["--host", socket, "--bridge", "none", "--iptables=false", "--ip6tables=false"]
    (folder / "bin").mkdir()
    (folder / "bin" / "docker").symlink_to(_docker_before_plugins())
    environment = {"PATH": str(folder / "bin"), "HOME": str(folder), "DOCKER_HOST": socket}
    with serving(
        [*map(str, command), "--storage-driver", "vfs", *more],
        folder,
        [str(folder / "bin" / "docker"), "version"],
        environment,
    ):
        yield environment


@contextmanager
def buildx_environment(folder: Path, cache: Path) -> Iterator[dict[str, str]]:
    """Run a BuildKit of our own; give an environment in which docker has buildx, and that is its builder."""
    environment = _with_plugin(folder, cache) | {"BUILDX_BUILDER": "tests"}
    socket = f"unix://{folder / 'sock'}"
    create = ["docker", "buildx", "create", "--name", "tests", "--driver", "remote", socket]
    subprocess.run(create, env=environment, check=True, capture_output=True)
    question = ["docker", "buildx", "inspect", "--bootstrap", "tests"]
    with serving([*_buildkitd(folder, cache), "--addr", socket], folder, question, environment):
        yield environment


@dataclass(frozen=True)
class Nodes:
    """BuildKits of our own, by name; an environment in which docker has buildx, and a builder may be made of them."""

    folder: Path
    environment: dict[str, str]
    addresses: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]]

    def builder(self, name: str, **nodes: str) -> str:
        """Make a builder: its nodes in order, and the platforms that each is said to be for; "" says nothing."""
        subprocess.run(["docker", "buildx", "rm", name], env=self.environment, capture_output=True, check=False)
        for number, (node, platforms) in enumerate(nodes.items(), 1):
            more = ["--platform", platforms] if platforms else []
            create = ["docker", "buildx", "create", "--name", name, "--node", node, "--driver", "remote", *more]
            more = ["--append"] if node != next(iter(nodes)) else []
            address = self.addresses.get(node, f"tcp://127.0.0.1:{number}")
            subprocess.run([*create, *more, address], env=self.environment, check=True, capture_output=True)
        return name

    def kill(self, node: str) -> None:
        """End a node as a machine ends that loses its power."""
        self.processes[node].kill()
        self.processes[node].wait()


@contextmanager
def buildkit_nodes(folder: Path, cache: Path, *names: str) -> Iterator[Nodes]:
    """Run a BuildKit for each name."""
    nodes = Nodes(folder, _with_plugin(folder, cache), {name: f"tcp://127.0.0.1:{free_port()}" for name in names}, {})
    with ExitStack() as running:
        for name, address in nodes.addresses.items():
            (folder / name).mkdir()
            command = [*_buildkitd(folder / name, cache), "--addr", address]
            question = ["docker", "buildx", "inspect", "--bootstrap", nodes.builder(f"only-{name}", **{name: ""})]
            nodes.processes[name] = running.enter_context(serving(command, folder / name, question, nodes.environment))
        yield nodes


def _with_plugin(folder: Path, cache: Path) -> dict[str, str]:
    """Return an environment in which docker has buildx, with settings of its own."""
    plugins = folder / "config" / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-buildx").symlink_to(go_tool(*BUILDX, cache))
    return {**os.environ, "HOME": str(folder), "DOCKER_CONFIG": str(folder / "config")}


def _buildkitd(folder: Path, cache: Path) -> list[str]:
    """Return the command line of a BuildKit that keeps all it has below a folder."""
    required("runc")
    command = [str(go_module_tool(*BUILDKITD, cache)), "--root", str(folder / "data"), "--oci-worker-net=host"]
    return [
        *command,
        "--oci-worker-snapshotter=native",
        "--oci-worker-gc=false",
        "--otel-socket-path",
        str(folder / "otel"),
    ]


@contextmanager
def serving(
    command: list[str], folder: Path, question: list[str], environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon until the block ends, which is given it; it serves once the question is answered."""
    if os.geteuid() != 0:
        missing(Path(command[0]).name, "it wants root")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _wait(process, folder, question, environment)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _unmount(folder)


def _wait(process: subprocess.Popen[bytes], folder: Path, question: list[str], environment: dict[str, str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if subprocess.run(question, env=environment, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.2)
    said = (folder / "log").read_text(encoding="utf-8", errors="replace")[-2000:]
    missing(str(process.args[0]) if isinstance(process.args, list) else "a daemon", f"it did not come up:\n{said}")


def _unmount(folder: Path) -> None:
    """Take away what a daemon left mounted, so that its folder can go."""
    mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    for place in sorted((line.split()[1] for line in mounts), reverse=True):
        if place.startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", place], capture_output=True, check=False)
    shutil.rmtree(folder / "data", ignore_errors=True)


def _docker_before_plugins() -> str:
    """Return a docker command line of before 23.0, such as Debian's."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        found = shutil.which("docker", path=folder)
        if found is not None:
            told = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
            if told.startswith(("Docker version 19.", "Docker version 20.")):
                return found
    return missing("docker 20.10", "no docker command line here has BuildKit built in")


@dataclass(frozen=True)
class Secured:
    """A Docker engine that wants certificates: its address, the folder with a client's, the plain way to it."""

    address: str
    certificates: Path
    environment: dict[str, str]


@contextmanager
def secured_docker(folder: Path) -> Iterator[Secured]:
    """Run a Docker engine that listens on loopback for who shows a certificate."""
    files = certificates.write(folder / "pki")
    address = f"tcp://127.0.0.1:{free_port()}"
    told = {"tlscacert": "ca.pem", "tlscert": "server.pem", "tlskey": "server-key.pem"}
    options = ("--host", address, "--tlsverify", *(f"--{name}={files / file}" for name, file in told.items()))
    with docker_environment(folder, options) as environment:
        yield Secured(address, files, environment)


def docker_context(endpoint: str, folder: Path, files: Path | None = None) -> dict[str, str]:
    """Make a docker context `other` for an endpoint; return the variables with which it is found."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "DOCKER_CONFIG": str(folder)}
    tls = "" if files is None else f",ca={files / 'ca.pem'},cert={files / 'cert.pem'},key={files / 'key.pem'}"
    create = ["docker", "context", "create", "other", "--docker", f"host={endpoint}{tls}"]
    subprocess.run(create, env=environment, check=True, capture_output=True)
    return environment
