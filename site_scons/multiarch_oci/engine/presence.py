"""Which engines a machine seems to have, by a look at its files: nothing is started, and nobody is asked.

`auto` asks the engines themselves when it builds, and may then find that one is there, but does not work.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

_PLUGINS = ("lib", "libexec")
_SOCKETS = ("/var/run/docker.sock", "//./pipe/docker_engine")


def absent(name: str, environment: Mapping[str, str], endpoint: str = "") -> str | None:
    """Why the engine of this name is not there, in the words of its refusal; None = it seems to be."""

    def find(*programs: str) -> bool:
        return any(shutil.which(program, path=environment.get("PATH", "")) for program in programs)

    if name == "buildx":
        if find("buildx", "docker-buildx") or (find("docker") and _has_plugin(environment)):
            return None
        return "docker has no buildx plugin" if find("docker") else "there is no docker in PATH"
    if name == "podman":
        return None if find("podman", "buildah") else "there is neither podman nor buildah in PATH"
    if name == "docker":
        told = endpoint or environment.get("DOCKER_HOST") or environment.get("DOCKER_CONTEXT") or find("docker")
        return None if told or any(map(os.path.exists, _SOCKETS)) else "there is no Docker engine"
    return None


def _has_plugin(environment: Mapping[str, str]) -> bool:
    """Whether the docker command line finds buildx (docker/cli, cli-plugins/manager)."""
    home = environment.get("HOME") or environment.get("USERPROFILE") or ""
    folders = [Path(environment.get("DOCKER_CONFIG") or Path(home, ".docker"))]
    folders += [Path(top, library, "docker") for top in ("/usr/local", "/usr") for library in _PLUGINS]
    folders += [Path(place, "Docker") for name in ("ProgramData", "ProgramFiles") if (place := environment.get(name))]
    names = ("docker-buildx", "docker-buildx.exe")
    return any((folder / "cli-plugins" / name).exists() for folder in folders for name in names)
