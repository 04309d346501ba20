"""A registry that fails or says no: bounded patience, one clear error, no secret, and nothing lost.

OCI distribution spec 1.1: "Error Codes"; RFC 6750 (Bearer), RFC 7617 (Basic), RFC 9110 §10.2.3 (Retry-After).
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import FaultProxy
from machines.registry import PASSWORD, USER, Registry
from machines.small import Tree
from machines.tokens import TokenRegistry

WRONG = "not the password"


@pytest.fixture
def proxy(registry: Registry) -> Iterator[FaultProxy]:
    with FaultProxy(registry.host) as made:
        yield made


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("HEAD manifest", {"status": 503}),
        ("POST", {"status": 500}),
        ("PUT blob", {"cut_request": 1000}),
        ("PUT blob", {"cut_answer": -1}),
        ("PUT manifest", {"status": 429, "headers": (("Retry-After", "1"),)}),
    ],
    ids=["503 to a HEAD", "500 to a POST", "a cut upload", "a lost answer", "429 with Retry-After"],
)
def test_what_passes_is_waited_for(kind: str, fault: dict[str, int], tree: Tree, proxy: FaultProxy) -> None:
    proxy.order(kind, **fault)
    tree.scons("push-manifest", f"REGISTRY={proxy.host}")
    assert tree.scons("push-manifest", f"REGISTRY={proxy.host}").up_to_date


def test_what_stays_is_one_error_and_the_next_run_goes_on_from_there(
    tree: Tree, registry: Registry, proxy: FaultProxy
) -> None:
    proxy.order("PUT manifest", status=500, times=1000)
    ran = tree.scons("push-manifest", f"REGISTRY={proxy.host}", check=False)
    assert ran.status == 2
    assert f"{proxy.host}/demo: the registry failed: 500 (tried 5 times)" in ran.text
    assert "Traceback" not in ran.text
    assert registry.tags("demo") == [], (registry.requests(), proxy.kinds())
    proxy.forget()
    tree.scons("push-manifest", f"REGISTRY={proxy.host}")
    assert proxy.uploaded() < 5000  # manifests alone: the blobs were there
    assert registry.tags("demo") == ["v1.0", "v1.0-amd64", "v1.0-arm64"]


class Guarded:
    """A registry that wants to know who asks, and the logins of the user who builds."""

    def __init__(self, host: str, realm: str, home: Path) -> None:
        self.host, self.realm = host, realm
        self._file = home / ".docker/config.json"

    def log_in(self, password: str) -> None:
        secret = base64.b64encode(f"{USER}:{password}".encode()).decode()
        self._file.parent.mkdir()
        self._file.write_text(json.dumps({"auths": {self.host: {"auth": secret}}}), encoding="utf-8")


@pytest.fixture(params=["Basic", "Bearer"])
def guarded(request: pytest.FixtureRequest, clean_environment: Path) -> Guarded:
    if request.param == "Basic":
        basic: Registry = request.getfixturevalue("basic_registry")
        return Guarded(basic.host, "", clean_environment)
    tokens: TokenRegistry = request.getfixturevalue("token_registry")
    return Guarded(tokens.host, tokens.service.realm, clean_environment)


def everything_kept(tree: Tree) -> str:
    """Return all text files that a build left, to be searched for what must not be there."""
    kept = [file for folder in ("_output", ".multiarch") for file in (tree.path / folder).rglob("*") if file.is_file()]
    return "".join(file.read_bytes().decode("latin-1") for file in kept)


def secrets(password: str) -> tuple[str, ...]:
    return (password, base64.b64encode(f"{USER}:{password}".encode()).decode())


def test_with_the_right_password_all_is_pushed(tree: Tree, guarded: Guarded) -> None:
    guarded.log_in(PASSWORD)
    shutil.rmtree(tree.path / "_output/registry")
    ran = tree.scons("push-manifest", f"REGISTRY={guarded.host}", "REPORT=report.json")
    assert len([step for step in ran.steps if step.startswith(("Push ", "Publish "))]) == 3
    kept = everything_kept(tree) + tree.read("report.json") + ran.text
    kept += tree.scons("-n", "push-manifest", f"REGISTRY={guarded.host}", "IMAGE=other").text
    assert [secret for secret in secrets(PASSWORD) if secret in kept] == []
    assert tree.scons("push-manifest", f"REGISTRY={guarded.host}").up_to_date


@pytest.mark.parametrize("password", [WRONG, None], ids=["a wrong password", "no password"])
def test_who_may_not_push_learns_where_what_and_as_whom(password: str | None, tree: Tree, guarded: Guarded) -> None:
    if password:
        guarded.log_in(password)
    ran = tree.scons("push", f"REGISTRY={guarded.host}", "PLATFORMS=linux/amd64", check=False)
    assert ran.status == 2
    error = ran.text[ran.text.index("scons: ***") :]
    assert f"{guarded.host}/demo: not allowed to pull" in error or f"{guarded.host}/demo: not allowed to push" in error
    assert guarded.realm in error
    if password:
        assert f"the credentials are those of auths '{guarded.host}' in ~/.docker/config.json" in error
    else:
        assert f"no credentials for {guarded.host} were found" in error
    assert f"docker login {guarded.host}" in error
    assert "Traceback" not in ran.text
    assert [secret for secret in secrets(WRONG) if secret in ran.text + everything_kept(tree)] == []


def test_who_may_only_read_learns_that_it_is_the_push(tree: Tree, token_registry: TokenRegistry) -> None:
    token_registry.service.anonymous_pull = True
    ran = tree.scons("push", f"REGISTRY={token_registry.host}", "PLATFORMS=linux/amd64", check=False)
    assert ran.status == 2
    assert f"{token_registry.host}/demo: not allowed to push" in ran.text
    assert token_registry.service.realm in ran.text
    assert f"no credentials for {token_registry.host} were found" in ran.text
