"""The rule for components that a machine may lack: a skip on a laptop, a failure in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NoReturn

import pytest

from multiarch_oci.store.atomic import locked

_SUFFIX = ".exe" if sys.platform == "win32" else ""


def in_ci() -> bool:
    """Say whether a lacking component is a failure."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false", "no")


def missing(component: str, why: str = "not found on this machine") -> NoReturn:
    """End the test for want of `component`: failed in CI, skipped elsewhere."""
    text = f"{component}: {why}"
    if in_ci():
        pytest.fail(f"{text} (CI must have it)", pytrace=False)
    pytest.skip(text)


def required(component: str) -> str:
    """Return the path of the program `component` from PATH, or end the test as `missing` does."""
    found = shutil.which(component)
    if found is None:
        # Debian keeps daemons where a user's PATH does not look.
        found = shutil.which(component, path=os.pathsep.join(("/usr/sbin", "/usr/local/sbin", "/sbin")))
    return found or missing(component)


def cache_folder() -> Path:
    """Return the folder where programs built for the tests are kept from run to run."""
    if chosen := os.environ.get("MULTIARCH_TESTS_CACHE"):
        folder = Path(chosen)
    elif sys.platform == "win32":
        folder = Path(os.environ["LOCALAPPDATA"]) / "multiarch-tests"
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "multiarch-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def find_private_go() -> None:
    """Put the Go that the wrapper installed, for want of a new enough one, first on PATH."""
    for libraries in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        programs = Path(libraries) / "go" / "bin"
        if programs.is_dir():
            os.environ["PATH"] = os.pathsep.join((str(programs), os.environ.get("PATH", "")))
            return


def go_tool(package: str, version: str, cache: Path) -> Path:
    """Return the program of a Go `package` at `version`, built at first use into `cache` and then kept there.

    Who comes while another process builds it waits for that one.
    """
    return _built(package, version, cache, (("install", f"{package}@{version}"),))


def go_module_tool(package: str, version: str, cache: Path) -> Path:
    """Return the program of a Go `package` whose module `go install` refuses (it excludes or replaces others)."""
    name = package.rsplit("/", 1)[-1] + _SUFFIX
    get = ("get", f"{package}@{version}")
    return _built(package, version, cache, (("mod", "init", "tool"), get, ("build", "-o", name, package)))


def _built(package: str, version: str, cache: Path, commands: tuple[tuple[str, ...], ...]) -> Path:
    name = package.rsplit("/", 1)[-1]
    kept = cache / f"{name}-{version}{_SUFFIX}"
    with locked(cache / f".{name}-{version}.lock"):
        if kept.exists():
            return kept
        go = required("go")
        folder = cache / f".building-{name}-{os.getpid()}"
        folder.mkdir(exist_ok=True)
        environment = os.environ | {"GOBIN": str(folder), "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0"}
        for command in commands:
            ran = subprocess.run(
                [go, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            if ran.returncode:
                shutil.rmtree(folder, ignore_errors=True)
                missing(name, f"`go {' '.join(command)}` failed:\n{ran.stderr}")
        (folder / f"{name}{_SUFFIX}").replace(kept)
        shutil.rmtree(folder, ignore_errors=True)
    return kept
