"""What can be said about engines without one; the rest is in tests/integration."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path

import pytest

from multiarch_oci.platform import Platform, declared
from multiarch_oci.reference import Reference
from multiarch_oci.store.daemon.client import EngineFailed
from multiarch_oci.store.daemon.daemon import Daemon, _check, runnable
from multiarch_oci.store.daemon.endpoint import EngineUnreachable

NAME = Reference.parse("demo:1.0")


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_an_engine_that_is_not_there_is_named(tmp_path: Path, kind: str):
    with socket.socket() as taken:  # bound, never listening
        taken.bind(("127.0.0.1", 0))
        host = f"unix://{tmp_path}/none.sock" if kind == "unix" else f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with Daemon({"DOCKER_HOST": host}) as daemon, pytest.raises(EngineUnreachable) as caught:
            daemon.identity(NAME)
    first, hint = str(caught.value).split("\n")
    assert first.startswith(f"{host}: no container engine answers: ")
    assert hint == "  hint: start Docker or Podman, or set DOCKER_HOST to the engine's address"


def test_an_address_that_is_none_is_an_error_too():
    with Daemon({"DOCKER_HOST": "carrier-pigeon://x"}) as daemon, pytest.raises(EngineUnreachable):
        daemon.platform()


def context(folder: Path, name: str, host: str) -> None:
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    said = {"Name": name, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
    (meta / "meta.json").write_text(json.dumps(said), encoding="utf-8")


def test_the_engine_is_found_as_the_docker_cli_finds_it(tmp_path: Path):
    config = tmp_path / ".docker"
    context(config, "desktop", "unix:///desktop.sock")
    context(config, "other", "unix:///other.sock")
    home = {"HOME": str(tmp_path)}
    assert Daemon({}).where == "the usual socket"
    assert Daemon(home).where == "the usual socket"
    (config / "config.json").write_text('{"currentContext": "desktop"}', encoding="utf-8")
    assert Daemon(home).where == "unix:///desktop.sock"
    assert Daemon({"USERPROFILE": str(tmp_path)}).where == "unix:///desktop.sock"
    assert Daemon({"DOCKER_CONFIG": str(config)}).where == "unix:///desktop.sock"
    assert Daemon({**home, "DOCKER_CONTEXT": "other"}).where == "unix:///other.sock"
    assert Daemon({**home, "DOCKER_CONTEXT": "default"}).where == "the usual socket"
    assert Daemon({**home, "DOCKER_HOST": "tcp://x", "DOCKER_CONTEXT": "other"}).where == "tcp://x"


def test_a_context_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(EngineUnreachable) as caught:
        Daemon({"HOME": str(tmp_path), "DOCKER_CONTEXT": "gone"}).identity(NAME)
    assert str(caught.value) == (
        "docker's context 'gone' is not there\n  hint: docker context ls names them; or set DOCKER_HOST"
    )


def test_an_error_in_the_stream_is_an_error():
    items = [{"stream": "Loading"}, {"errorDetail": {"message": "no space"}, "error": "no\n * space"}, {"stream": "x"}]
    with pytest.raises(EngineFailed) as caught:
        _check(items, "tcp://x: demo.tar")
    assert str(caught.value) == "tcp://x: demo.tar: the engine says: no * space"
    _check([{"stream": "Loaded image: demo:1.0\n"}, {"status": "done", "error": ""}], "x")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("linux/amd64", "linux/amd64,linux/386"),
        ("linux/arm64", "linux/arm64"),
        ("linux/arm/v7", "linux/arm/v7,linux/arm/v6"),
        ("windows(10.0.20348.1)/amd64", "windows(10.0.20348.9)/amd64"),
    ],
)
def test_an_engine_runs_its_own_platform_and_what_is_lower(host: str, expected: str):
    every = declared(
        "linux/amd64,linux/386,linux/arm64,linux/arm/v7,linux/arm/v6,windows(10.0.20348.9)/amd64,"
        "windows(10.0.17763.9)/amd64,linux/s390x"
    )
    assert runnable(Platform.parse(host), every) == declared(expected)
