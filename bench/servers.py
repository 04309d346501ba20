"""The registry with its counting proxy, the Docker engine and BuildKit, each on this machine's loopback or a socket."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from measure import session_cpu

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "multiarch-bench"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
PATIENCE_S = 60
ROUND_TRIP = "50ms"


class Missing(Exception):
    """A program that is not there; the text says how to get it."""


def program(name: str, package: str) -> str:
    """The path of a program from PATH; Missing names its Debian package."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        raise Missing(f"{name} is not there: apt-get install {package}")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Servers:
    """Everything that was started, ended by its process id by `stop`. All state lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = ""
        self.far = ""
        self.docker_socket = folder / "docker.sock"
        self.buildkit_socket = folder / "buildkit.sock"
        self._started: list[subprocess.Popen[bytes]] = []
        self._daemons: list[int] = []
        self._engines: set[str] = set()

    def once(self, engine: str, start: Callable[[], None]) -> None:
        """Start an engine at its first use; one serves all trees, whatever their bases and programs."""
        if engine not in self._engines:
            start()
            self._engines.add(engine)

    def stop(self) -> None:
        """End all of them, the last one first."""
        for process in reversed(self._started):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._unmount()

    def _unmount(self) -> None:
        """Unmount what an engine that failed left mounted in the folder: it could not be removed else."""
        mounts = Path("/proc/mounts")
        if mounts.exists():
            places = [line.split()[1] for line in mounts.read_text(encoding="utf-8").splitlines()]
            for place in reversed([place for place in places if Path(place).is_relative_to(self.folder)]):
                subprocess.run(["umount", place], check=False)

    def _start(self, command: list[str], ready: Callable[[], bool], *, daemon: bool = False) -> None:
        name = Path(command[0]).name
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        self._started.append(process)
        end = time.monotonic() + PATIENCE_S
        while not ready():
            if process.poll() is not None or time.monotonic() > end:
                last = (self.folder / f"{name}.log").read_text(errors="replace")[-600:]
                raise Missing(f"{name} does not start:\n{last}")
            time.sleep(0.05)
        if daemon:
            self._daemons.append(process.pid)

    def start_registry(self) -> None:
        """Start a registry and two proxies before it: `host` is near, `far` a round trip of 50 ms away."""
        port, front, behind = free_port(), free_port(), free_port()
        config = self.folder / "registry.yml"
        config.write_text(
            "version: 0.1\nlog: {level: error}\nstorage:\n"
            f"  filesystem: {{rootdirectory: {self.folder / 'registry'}}}\n  delete: {{enabled: true}}\n"
            f"http: {{addr: '127.0.0.1:{port}'}}\n",
            encoding="utf-8",
        )
        serve = [program("docker-registry", "docker-registry"), "serve", str(config)]
        self._start(serve, lambda: answers(f"127.0.0.1:{port}"), daemon=True)
        counting = self.folder / "proxy"
        subprocess.run(["go", "build", "-o", counting, HERE / "proxy" / "main.go"], check=True)
        self.host, self.far = f"127.0.0.1:{front}", f"127.0.0.1:{behind}"
        self._start([str(counting), self.host, f"127.0.0.1:{port}"], lambda: answers(self.host))
        self._start([str(counting), self.far, f"127.0.0.1:{port}", ROUND_TRIP], lambda: answers(self.far))

    def start_docker(self) -> None:
        """Start a Docker engine of our own; it wants root."""
        if os.geteuid() != 0:
            raise Missing("dockerd wants root")
        place = self.folder / "docker"
        command = [program("dockerd", "docker.io"), f"--data-root={place}", f"--exec-root={place}-exec"]
        command += [f"--pidfile={place}.pid", f"--host=unix://{self.docker_socket}", "--iptables=false"]
        command += ["--ip6tables=false", "--bridge=none"]
        self._start(command, lambda: connects(self.docker_socket), daemon=True)

    def start_buildkit(self, buildkitd: Path, name: str = "buildkit") -> Path:
        """Start a BuildKit and return its socket; it wants root and runc."""
        if os.geteuid() != 0:
            raise Missing("buildkitd wants root")
        program("runc", "runc")
        config = self.folder / "buildkitd.toml"
        settings = [f'[registry."{host}"]\n  http = true\n' for host in (self.host, self.far)]
        config.write_text("".join(settings), encoding="utf-8")
        at = self.folder / f"{name}.sock"
        command = [str(buildkitd), f"--root={self.folder / name}", f"--addr=unix://{at}", f"--config={config}"]
        command += ["--containerd-worker=false", f"--otel-socket-path={self.folder / name}-otel.sock"]
        self._start(command, lambda: connects(at), daemon=True)
        return at

    def counted(self) -> tuple[int, int, int]:
        """Requests, and bytes of their bodies and of those of the answers, since the last call."""
        answers = []
        for host in (self.host, self.far):
            with OPENER.open(f"http://{host}/counted") as answer:
                answers.append([int(number) for number in answer.read().split()])
        near, far = answers
        return near[0] + far[0], near[1] + far[1], near[2] + far[2]

    def cpu(self) -> float:
        """CPU seconds so far of registry, Docker engine and BuildKit."""
        return sum(map(session_cpu, self._daemons))


def answers(host: str) -> bool:
    try:
        with OPENER.open(f"http://{host}/v2/", timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
