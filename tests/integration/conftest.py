"""The Go program that asks BuildKit, built once a session; a certificate that nobody knows."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildkit_oracle import SOURCE, Oracle
from certificates import Certificate, certify


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("go"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("the oracle needs Go")
    path = tmp_path_factory.mktemp("oracle") / "dockerfile"
    built = subprocess.run(["go", "build", "-o", path, "."], cwd=SOURCE, capture_output=True, text=True, check=False)
    if built.returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"the oracle cannot be built: {built.stderr}")
    return path


@pytest.fixture(scope="session")
def oracle(program: Path) -> Iterator[Oracle]:
    running = Oracle(program)
    yield running
    running.close()


@pytest.fixture(scope="session")
def buildkit(program: Path) -> Path:
    """The folder of BuildKit's Dockerfile packages, in the module that the oracle is built from."""
    assert program
    command = ["go", "list", "-m", "-f", "{{.Dir}}", "github.com/moby/buildkit"]
    listed = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=True)
    return Path(listed.stdout.strip()) / "frontend" / "dockerfile"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certify(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def context(certificate: Certificate) -> ssl.SSLContext:
    """What a server with this certificate speaks TLS by."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate.certificate, certificate.key)
    return made
