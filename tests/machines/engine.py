"""Real engines and tools: the Docker daemon, podman, skopeo, crane."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from .required import go_tool, missing, required

CRANE = ("github.com/google/go-containerregistry/cmd/crane", "v0.20.3")


def docker_client() -> Any:
    """Return a client of the daemon at DOCKER_HOST or the usual socket, or end the test as `missing` does."""
    import docker

    try:
        client = docker.from_env(timeout=300)
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        where = os.environ.get("DOCKER_HOST", "the usual socket")
        missing("docker engine", f"no answer at {where}: {error}")
    return client


def runs_foreign(machine: str) -> bool:
    """Say whether the kernel starts programs of another machine (`aarch64`, `arm`): binfmt_misc with qemu."""
    entry = Path("/proc/sys/fs/binfmt_misc") / f"qemu-{machine}"
    try:
        return entry.read_text(encoding="ascii").startswith("enabled")
    except OSError:
        return False


class Tool:
    """A program with the arguments that every call of it needs."""

    def __init__(self, program: str, *always: str) -> None:
        self.command = (program, *always)

    def run(self, *arguments: str | Path, check: bool = True) -> str:
        """Run it; return what it printed to stdout.

        Raises:
            AssertionError: `check` and an exit status other than 0; the text holds all that was printed.
        """
        ran = self.ask(*arguments)
        assert not check or ran.returncode == 0, f"{ran.args}: exit {ran.returncode}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    def ask(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run it; return status and both streams."""
        command = [*self.command, *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=600
        )


def skopeo() -> Tool:
    """Return skopeo, with no policy of this machine in its way."""
    return Tool(required("skopeo"), "--insecure-policy")


def podman(storage: Path) -> Tool:
    """Return podman with a storage of its own; end the test as `missing` does where it cannot run."""
    tool = Tool(
        required("podman"),
        f"--root={storage / 'root'}",
        f"--runroot={storage / 'run'}",
        "--cgroup-manager=cgroupfs",
        "--events-backend=file",
    )
    answer = tool.ask("info")
    if answer.returncode:
        missing("podman", answer.stderr.strip())
    return tool


def crane(cache: Path) -> Tool:
    """Return crane, built from its pinned module at first use."""
    return Tool(str(go_tool(*CRANE, cache)))
