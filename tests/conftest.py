"""What tests share: a clean environment, real registries, real engines, a copy of the template."""

from __future__ import annotations

import contextlib
import functools
import gc
import itertools
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from machines import builders, engine, required
from machines.project import Project, copy_template
from machines.registry import HTPASSWD, Registry, registry_program
from machines.tokens import TokenRegistry

# What a developer's machine may hold that changes what a build does.
INFLUENCES = [
    "SCONSFLAGS",
    "SCONS_LIB_DIR",
    "SCONS_CACHE_MSVC_CONFIG",
    "MAKEFLAGS",
    "DOCKER_CONFIG",
    "DOCKER_AUTH_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_DEFAULT_PLATFORM",
    "DOCKER_BUILDKIT",
    "BUILDX_BUILDER",
    "BUILDX_CONFIG",
    "REGISTRY_AUTH_FILE",
    "CONTAINERS_CONF",
    "CONTAINERS_REGISTRIES_CONF",
    "CONTAINERS_STORAGE_CONF",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "SOURCE_DATE_EPOCH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPYCACHEPREFIX",
    "GOFLAGS",
    "GOOS",
    "GOARCH",
    "GO386",
    "GOARM",
    "GOARM64",
    "GOAMD64",
    "GOEXPERIMENT",
    "GOWORK",
    "GOENV",
    "GOTOOLCHAIN",
    "GODEBUG",
    "CGO_ENABLED",
    "CC",
    "CXX",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
]

# Taken before any test moves HOME: programs built for the tests outlive a run.
CACHE = required.cache_folder()
required.find_private_go()
HOMES = itertools.count()


@functools.lru_cache(maxsize=1)
def _shared_caches() -> dict[str, str]:
    """Return the variables that keep Go's and pip's caches where they are while HOME moves."""
    home = Path.home()
    caches = {"PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR") or str(home / ".cache" / "pip")}
    names = ("GOPATH", "GOMODCACHE", "GOCACHE")
    try:
        told = subprocess.run(["go", "env", *names], capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return caches
    return caches | dict(zip(names, told, strict=True))


FAST = ("unit", "house", "contract")
LONGEST_FIRST = ("soak", "e2e", "integration", "house", "contract", "unit")
"""Folders in the order in which several workers take their files: what is short comes last, and none waits long."""


def pytest_configure() -> None:
    """Look through memory for nothing until all is collected: the records of 12,000 tests stay."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Let memory be looked after again, apart from what was collected: it stays to the end."""
    gc.freeze()
    gc.enable()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Call a case with bytes by its argument: what gzip packs holds the time, and two workers would collect other tests."""
    return argname if isinstance(val, bytes) and not val.isascii() else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test by its folder: `-m fast`, `-m full`; one of several workers begins with the longest."""
    for item in items:
        item.add_marker(pytest.mark.fast if _folder(item) in FAST else pytest.mark.full)
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: LONGEST_FIRST.index(_folder(item)))


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).parts[0]


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    _shared_caches()  # before any test moves HOME
    return tmp_path_factory.mktemp("homes")


@pytest.fixture(autouse=True)
def clean_environment(_homes: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test an empty HOME and none of the developer's settings; Go's and pip's caches stay. Return HOME."""
    for name in INFLUENCES:
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.startswith(("BUILDKIT_", "DOCKER_TLS"))]:
        monkeypatch.delenv(name)
    for name, value in _shared_caches().items():
        monkeypatch.setenv(name, value)
    home = _homes / str(next(HOMES))
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    return home


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a fresh copy of the template."""
    copy_template(tmp_path / "project")
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def make_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Registry]]:
    """Return a factory of registries; all of them end with the session, or earlier by `.stop()`.

    `make_registry(basic=True)` wants Basic authentication (machines.registry.USER, PASSWORD); `flavour="v3"` is
    distribution v3, the default is what the machine has: docker-registry 2.8, else v3. `auth` is distribution's own
    section of that name.
    """
    made: list[Registry] = []

    def make(flavour: str = "debian", *, basic: bool = False, auth: dict[str, Any] | None = None) -> Registry:
        folder = tmp_path_factory.mktemp("registry")
        if basic:
            (folder / "htpasswd").write_text(HTPASSWD, encoding="ascii")
            auth = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
        registry = Registry(registry_program(CACHE, flavour), folder, auth)
        made.append(registry)
        return registry

    yield make
    for registry in made:
        registry.stop()


@pytest.fixture(scope="session")
def _session_registry(make_registry: Callable[..., Registry]) -> Registry:
    return make_registry()


@pytest.fixture
def registry(_session_registry: Registry) -> Registry:
    """Return an open registry, running and empty at the start of every test; one process serves the whole session."""
    _session_registry.start()
    _session_registry.empty()
    _session_registry.requests()
    return _session_registry


@pytest.fixture
def basic_registry(make_registry: Callable[..., Registry]) -> Iterator[Registry]:
    """Return an empty registry that wants a user and a password."""
    made = make_registry(basic=True)
    yield made
    made.stop()


@pytest.fixture
def token_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenRegistry]:
    """Return an empty registry with a token service; `.service` counts tokens and sets their lifetime."""
    made = TokenRegistry(registry_program(CACHE, "debian"), tmp_path_factory.mktemp("tokens") / "run")
    yield made
    made.stop()


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Any]:
    """Return a docker-py client of a real daemon."""
    client = engine.docker_client()
    yield client
    client.close()


@pytest.fixture(scope="session")
def skopeo() -> engine.Tool:
    """Return skopeo."""
    return engine.skopeo()


@pytest.fixture(scope="session")
def podman() -> Iterator[engine.Tool]:
    """Return podman with a storage of its own."""
    # Not below pytest's folder: podman takes no runroot of more than 50 characters.
    with tempfile.TemporaryDirectory(prefix="pod", ignore_cleanup_errors=True) as folder:
        tool = engine.podman(Path(folder))
        yield tool
        tool.run("rm", "--all", "--force", check=False)
        tool.run("rmi", "--all", "--force", check=False)


@pytest.fixture(scope="session")
def podman_environment() -> Iterator[dict[str, str]]:
    """Return an environment in which podman and buildah build."""
    with _short("pb") as folder, builders.podman_environment(folder) as environment:
        yield environment


@pytest.fixture(scope="session")
def docker_environment() -> Iterator[dict[str, str]]:
    """Return an environment with a Docker engine of its own; `another_docker` is a second one."""
    with _short("db") as folder, builders.docker_environment(folder) as environment:
        yield environment


@pytest.fixture(scope="session")
def another_docker() -> Iterator[dict[str, str]]:
    """Return an environment with another Docker engine than `docker_environment`."""
    with _short("dc") as folder, builders.docker_environment(folder) as environment:
        yield environment


@pytest.fixture(scope="session")
def buildx_environment() -> Iterator[dict[str, str]]:
    """Return an environment in which docker has buildx, with a BuildKit of its own."""
    with _short("bx") as folder, builders.buildx_environment(folder, CACHE) as environment:
        yield environment


@pytest.fixture(scope="session")
def nodes() -> Iterator[builders.Nodes]:
    """Return two BuildKits, `a` and `b`, of which builders of several nodes are made; no test kills them."""
    with _short("bn") as folder, builders.buildkit_nodes(folder, CACHE, "a", "b") as running:
        yield running


@contextlib.contextmanager
def _short(prefix: str) -> Iterator[Path]:
    """Make a folder with a short path, as sockets and podman want it."""
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def crane() -> engine.Tool:
    """Return crane."""
    return engine.crane(CACHE)


@pytest.fixture(scope="session")
def qemu_arm64() -> None:
    """Want the kernel to run arm64 programs."""
    if not engine.runs_foreign("aarch64"):
        required.missing("qemu-aarch64", "binfmt_misc knows no aarch64")
