"""How each tool is called, and what it keeps between runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import install
from servers import HERE, Missing, Servers, program
from tree import Tree  # noqa: TC002  # a module of this folder

IMAGES, PUBLISH = "images", "push-manifest"
ALL = ("ours", "makefile", "buildah", "ko", "ko+KOCACHE", "bake", "crane", "go build", "import SCons.Script")


@dataclass
class Tool:
    """`command` by goal; `environment` joins the process's; `forget` throws away what the tool cached of its builds."""

    name: str
    command: Mapping[str, list[str]]
    environment: dict[str, str] = field(default_factory=dict)
    forget: Callable[[], None] = lambda: None
    dockerfiles: bool = True


def docker_client() -> str:
    """The docker client of the engine's version where PATH has several: from 23 on one wants a plugin to build."""
    engine = version_of(program("dockerd", "docker.io"))
    folders = dict.fromkeys(os.environ["PATH"].split(os.pathsep))
    found = [path for folder in folders if (path := shutil.which("docker", path=folder))]
    if not found:
        raise Missing("docker is not there: apt-get install docker.io")
    return next((path for path in found if version_of(path) == engine), found[0])


def version_of(path: str) -> str:
    """`20.10.24` of `Docker version 20.10.24+dfsg1, build …`."""
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    return told.split()[2].split("+")[0].rstrip(",")


class Workshop:
    """Makes tools for one tree; `servers` has the registry, and starts an engine at its first use."""

    def __init__(self, servers: Servers, base: str, folder: Path) -> None:
        self._servers = servers
        self._base = base
        self._folder = folder

    def make(self, name: str, tree: Tree, registry: str) -> Tool:
        """One tool, ready to run in `tree`; Missing says what is not there."""
        makers: dict[str, Callable[[Tree, str], Tool]] = {
            "ours": self._ours,
            "makefile": self._makefile,
            "buildah": self._buildah,
            "ko": self._ko,
            "ko+KOCACHE": self._ko_cached,
            "bake": self._bake,
            "crane": self._crane,
            "go build": self._go,
            "import SCons.Script": self._python,
        }
        tool = makers[name](tree, registry)
        tool.name = name
        tool.environment = {"REGISTRY": registry, "NAMES": " ".join(tree.names), "PEERS": str(HERE / "peers"),
                            "BASE": self._base, "GOFLAGS": "", "GOTOOLCHAIN": "local", **tool.environment}  # fmt: skip
        return tool

    def _ours(self, _: Tree, registry: str) -> Tool:
        words = [*install.scons(), f"REGISTRY={registry}"]
        return Tool("", {IMAGES: [*words, IMAGES], PUBLISH: [*words, PUBLISH]})

    def _make(self, engine: str, registry: str, tree: Tree) -> dict[str, list[str]]:
        words = ["make", "-s", "-f", str(HERE / "peers" / "Makefile"), f"ENGINE={engine}", f"REGISTRY={registry}"]
        words.append(f"NAMES={' '.join(tree.names)}")
        return {IMAGES: [*words, IMAGES], PUBLISH: [*words, PUBLISH]}

    def _makefile(self, tree: Tree, registry: str) -> Tool:
        client = docker_client()
        self._servers.once("docker", self._servers.start_docker)
        settings = self._folder / "docker-config"
        settings.mkdir(exist_ok=True)
        if int(version_of(client).split(".")[0]) >= 23:  # noqa: PLR2004  # builds by a plugin since then
            plugins = settings / "cli-plugins"
            plugins.mkdir(exist_ok=True)
            shutil.copy2(install.go_program("buildx"), plugins / "docker-buildx")
        environment = {
            "PATH": f"{Path(client).parent}:{os.environ['PATH']}", "DOCKER_CONFIG": str(settings),
            "DOCKER_HOST": f"unix://{self._servers.docker_socket}", "DOCKER_BUILDKIT": "1",
        }  # fmt: skip

        def forget() -> None:
            words = [client, "builder", "prune", "--all", "--force"]
            subprocess.run(words, env={**os.environ, **environment}, check=True, capture_output=True)

        return Tool("", self._make("docker", registry, tree), environment, forget)

    def _buildah(self, tree: Tree, registry: str) -> Tool:
        place = self._folder / "buildah"
        place.mkdir(exist_ok=True)
        (place / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{place}/graph"\nrunroot = "{place}/run"\n', encoding="utf-8"
        )
        environment = {"CONTAINERS_STORAGE_CONF": str(place / "storage.conf"), "BUILDAH_ISOLATION": "chroot"}
        buildah = program("buildah", "buildah")

        def forget() -> None:
            words = [buildah, "rmi", "--all", "--force"]
            subprocess.run(words, env={**os.environ, **environment}, check=True, capture_output=True)

        return Tool("", self._make("buildah", registry, tree), environment, forget)

    def _ko(self, _: Tree, registry: str) -> Tool:
        environment = {"KO": str(install.go_program("ko")), "KO_DOCKER_REPO": registry}
        environment |= {"KO_DEFAULTBASEIMAGE": self._base}
        return Tool("", {PUBLISH: [str(HERE / "peers" / "ko.sh")]}, environment, dockerfiles=False)

    def _ko_cached(self, tree: Tree, registry: str) -> Tool:
        tool = self._ko(tree, registry)
        cache = self._folder / f"kocache-{len(tree.names)}"
        tool.environment["KOCACHE"] = str(cache)
        tool.forget = lambda: shutil.rmtree(cache, ignore_errors=True)
        return tool

    def _bake(self, _: Tree, registry: str) -> Tool:  # noqa: ARG002  # the tree's bake file names the registry
        buildx = str(install.go_program("buildx"))
        daemon = install.buildkitd()
        settings = {"BUILDX_CONFIG": str(self._folder / "buildx"), "BUILDX": buildx}

        def start() -> None:
            self._servers.start_buildkit(daemon)
            words = [buildx, "create", "--name", "bench", "--driver", "remote"]
            words.append(f"unix://{self._servers.buildkit_socket}")
            subprocess.run(words, env={**os.environ, **settings}, check=True, capture_output=True)

        self._servers.once("buildkit", start)

        def forget() -> None:
            words = [buildx, "--builder", "bench", "prune", "--all", "--force"]
            subprocess.run(words, env={**os.environ, **settings}, check=True, capture_output=True)

        return Tool("", {PUBLISH: [str(HERE / "peers" / "bake.sh")]}, settings, forget)

    def _crane(self, _: Tree, registry: str) -> Tool:  # noqa: ARG002  # the script has it from the environment
        environment = {"CRANE": str(install.go_program("crane"))}
        return Tool("", {PUBLISH: [str(HERE / "peers" / "crane.sh")]}, environment, dockerfiles=False)

    def _go(self, _: Tree, registry: str) -> Tool:  # noqa: ARG002  # no registry
        words = ["make", "-s", "-f", str(HERE / "peers" / "Makefile"), "build"]
        return Tool("", {IMAGES: words, PUBLISH: words}, dockerfiles=False)

    def _python(self, _: Tree, registry: str) -> Tool:  # noqa: ARG002  # no registry
        words = [install.scons()[0] if install.CACHE.exists() else sys.executable, "-c", "import SCons.Script"]
        return Tool("", {IMAGES: words, PUBLISH: words}, dockerfiles=False)
