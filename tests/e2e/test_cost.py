"""What a push target costs: round trips when there is nothing to do, memory when there is much."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faults import FaultProxy
from machines.registry import PASSWORD, USER, Registry
from machines.small import Tree
from machines.tokens import TokenRegistry

NAMES = [f"also{number}" for number in range(9)]
TWELVE = ("push-manifest", f"TAGS={','.join(NAMES)}")  # beside the main tag and two platforms
LATENCY = 1.0  # seconds: much longer than a slow machine takes to start its threads


class Timed(FaultProxy):
    """A proxy far away, which notes when each request was sent and when it was answered."""

    def _pass_on(self, client: Any, stream: Any, head: Any, seen: Any, fault: Any) -> bool:
        begun = time.monotonic() - self.latency
        done = super()._pass_on(client, stream, head, seen, fault)
        spans: list[tuple[float, float]] = self.__dict__.setdefault("spans", [])
        spans.append((begun, time.monotonic()))
        return done

    def phases(self) -> int:
        """Return how many requests followed one another, each sent after the last was answered."""
        count, last = 0, 0.0
        for begun, ended in sorted(self.__dict__["spans"], key=lambda span: span[1]):
            if begun >= last:
                count, last = count + 1, ended
        return count


@pytest.fixture
def far(registry: Registry) -> Iterator[Timed]:
    with Timed(registry.host) as made:
        yield made


@pytest.fixture
def far_tokens(token_registry: TokenRegistry) -> Iterator[Timed]:
    service = token_registry.service.realm.removeprefix("http://").removesuffix("/token")
    with Timed(token_registry.host, service) as made:
        yield made


def no_op(tree: Tree, far: Timed) -> None:
    """Publish, and then do it again from far away."""
    tree.scons(*TWELVE, f"REGISTRY={far.host}")
    far.forget()
    far.__dict__["spans"] = []
    far.latency = LATENCY
    assert tree.scons(*TWELVE, f"REGISTRY={far.host}").up_to_date


def test_twelve_tags_are_asked_for_at_once(tree: Tree, far: Timed) -> None:
    no_op(tree, far)
    assert far.kinds() == {"HEAD manifest": 12}
    assert far.phases() == 1  # and one round trip to connect: two, where two and a half are allowed
    assert far.connections <= 12 + 1  # one of them finds out that there is no TLS


def test_a_realm_adds_one_challenge_and_one_token(tree: Tree, far_tokens: Timed, clean_environment: Path) -> None:
    secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (clean_environment / ".docker").mkdir()
    login = json.dumps({"auths": {far_tokens.host: {"auth": secret}}})
    (clean_environment / ".docker/config.json").write_text(login, encoding="utf-8")
    no_op(tree, far_tokens)
    # The one that was challenged is asked again.
    assert far_tokens.kinds() == {"HEAD manifest": 12 + 1, "token": 1}
    # Challenge, token, everything else; and the one that was challenged, which has its connection already, may be done
    # by the time the others have connected.
    assert far_tokens.phases() in (3, 4)


MEASURE = """\
import os, sys
child = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ)
_, status, used = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), used.ru_maxrss)
"""


def peak(tree: Tree, *arguments: str) -> int:
    """Return the most memory that SCons held, in bytes; a small process starts it, whose own does not count."""
    command = [sys.executable, "-S", "-c", MEASURE, "-m", "SCons", *arguments]
    ran = subprocess.run(command, cwd=tree.path, capture_output=True, text=True, check=True)
    status, used = ran.stdout.splitlines()[-1].split()
    assert status == "0", ran.stdout + ran.stderr
    return int(used) * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.skipif(sys.platform == "win32", reason="wait4 is POSIX")
def test_a_layer_of_300_mb_is_made_and_pushed_in_100_mb_of_memory(tree: Tree, registry: Registry) -> None:
    block = os.urandom(1 << 20)
    with (tree.path / "share/large").open("wb") as file:
        for _ in range(300):
            file.write(block)
    tree.remove("Dockerfile.arm64")
    tree.edit("Dockerfile.arm64", "FROM scratch\nCOPY _output/bin/arm64/linux/demo /demo\n")
    settings = (f"REGISTRY={registry.host}", "PLATFORMS=linux/amd64")
    tree.scons("bin", *settings)  # no compiler runs below what is measured
    assert peak(tree, "images", *settings) < 100e6
    assert peak(tree, "push-manifest", *settings) < 100e6
    layer = max(registry.json("demo", "v1.0-amd64")["layers"], key=lambda layer: int(layer["size"]))
    assert layer["size"] > 300e6
