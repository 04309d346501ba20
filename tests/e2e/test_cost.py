"""What a push target costs: round trips when there is nothing to do, memory when there is much.

OCI distribution spec 1.1: "Checking if content exists in the registry"; the token specification of the distribution project.
"""

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
    """A proxy far away, which notes when each connection and request began and when it was answered."""

    def _serve(self, client: Any) -> None:
        now = time.monotonic()
        self.note(now, now + self.latency)
        super()._serve(client)

    def _pass_on(self, client: Any, stream: Any, head: Any, seen: Any, fault: Any) -> bool:
        begun = time.monotonic() - self.latency
        done = super()._pass_on(client, stream, head, seen, fault)
        self.note(begun, time.monotonic())
        return done

    def note(self, begun: float, ended: float) -> None:
        self.__dict__.setdefault("spans", []).append((begun, ended))

    def phases(self) -> int:
        """Return how many connections and requests followed one another, each begun after the last was answered.

        An answer is noted when it was sent, and who got it may have been quicker with the next question.
        """
        count, last = 0, 0.0
        for begun, ended in sorted(self.__dict__["spans"], key=lambda span: span[1]):
            if begun >= last - LATENCY / 4:
                count, last = count + 1, ended
        return count


@pytest.fixture
def far(registry: Registry) -> Iterator[Timed]:
    with Timed(registry.host) as made:
        yield made


@pytest.fixture
def far_tokens(token_registry: TokenRegistry) -> Iterator[Timed]:
    """A registry with a realm, which is a host of its own as far away: what it sees is noted with the rest."""
    service = token_registry.service.realm.removeprefix("http://").removesuffix("/token")
    with Timed(service) as realm, Timed(token_registry.host, realm=realm.host) as made:
        made.__dict__["others"] = (realm,)
        realm.__dict__["spans"] = made.__dict__["spans"] = []
        realm.seen = made.seen
        yield made


def no_op(tree: Tree, far: Timed) -> None:
    """Publish, and then do it again from far away."""
    tree.scons(*TWELVE, f"REGISTRY={far.host}")
    for each in (far, *far.__dict__.get("others", ())):
        each.forget()
        each.latency = LATENCY
    far.__dict__.setdefault("spans", []).clear()
    assert tree.scons(*TWELVE, f"REGISTRY={far.host}").up_to_date


def test_twelve_tags_are_asked_for_at_once(tree: Tree, far: Timed) -> None:
    no_op(tree, far)
    assert far.kinds() == {"HEAD manifest": 12}
    assert far.phases() == 1 + 2  # one finds out that there is no TLS, then one round trip to connect, one to ask
    assert far.tls_attempts == 1
    assert far.connections <= 12 + 1


def test_a_realm_adds_one_challenge_and_one_token(tree: Tree, far_tokens: Timed, clean_environment: Path) -> None:
    secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (clean_environment / ".docker").mkdir()
    login = json.dumps({"auths": {far_tokens.host: {"auth": secret}}})
    (clean_environment / ".docker/config.json").write_text(login, encoding="utf-8")
    no_op(tree, far_tokens)
    # The one that was challenged is asked again.
    assert far_tokens.kinds() == {"HEAD manifest": 12 + 1, "token": 1}
    # As without a realm, and before it one question alone: a connection, a challenge, and one exchange with the realm (to
    # connect there, and to ask).
    assert far_tokens.phases() == (1 + 2) + 4
    assert far_tokens.connections <= 12 + 1


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
