"""What can be said about engines without one; the rest is in tests/integration."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from multiarch.platform import Platform, declared
from multiarch.reference import Reference
from multiarch.store.daemon import Daemon, EngineFailed, EngineUnreachable, _check, runnable

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


def test_an_error_in_the_stream_is_an_error():
    items = [{"stream": "Loading"}, {"errorDetail": {"message": "no space"}, "error": "no space"}, {"stream": "x"}]
    with pytest.raises(EngineFailed) as caught:
        _check(items, "tcp://x: demo.tar")
    assert str(caught.value) == "tcp://x: demo.tar: the engine says: no space"
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
