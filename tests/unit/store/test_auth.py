"""Logins are found where docker and podman leave them, and never shown."""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from multiarch_oci.document import InvalidDocument
from multiarch_oci.errors import MultiarchError
from multiarch_oci.store.auth import Credential, Credentials, InvalidCredentials


def login(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def docker(home: Path, **content: Any) -> Credentials:
    write(home / ".docker" / "config.json", content)
    return Credentials({}, home)


def helper(folder: Path, name: str, script: str) -> dict[str, str]:
    """Make a credential helper; return an environment that finds it."""
    folder.mkdir(exist_ok=True)
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!{sys.executable}\nimport sys\nasked = sys.stdin.read()\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return {"PATH": str(folder)}


ANSWER = 'print(\'{"ServerURL": "x", "Username": "%s", "Secret": "\' + asked + \'"}\')'
posix = pytest.mark.skipif(sys.platform == "win32", reason="helpers are made as scripts")


def test_nobody_is_known_without_files(tmp_path: Path) -> None:
    known = Credentials({}, tmp_path)
    assert known.find("r.example", "a") is None
    assert not known.mentions("r.example")


def test_a_login_of_docker_is_found(tmp_path: Path) -> None:
    known = docker(tmp_path, auths={"r.example:5000": login("me", "pass:word")})
    assert known.find("r.example:5000", "a") == Credential(
        "auths 'r.example:5000' in ~/.docker/config.json",
        username="me",
        password="pass:word",  # noqa: S106  # of tests
    )
    assert known.find("r.example", "a") is None
    assert known.mentions("r.example:5000")
    assert not known.mentions("r.example")


@pytest.mark.parametrize("key", ["https://r.example", "https://r.example/v1/", "http://r.example/v2", "r.example/"])
def test_old_forms_of_keys_are_understood(tmp_path: Path, key: str) -> None:
    found = docker(tmp_path, auths={key: login("me", "x")}).find("r.example", "a")
    assert found is not None
    assert found.username == "me"


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"])
def test_docker_hub_goes_by_many_names(tmp_path: Path, key: str) -> None:
    known = docker(tmp_path, auths={key: login("me", "x")})
    assert known.find("docker.io", "library/redis") is not None
    assert known.mentions("docker.io")


def test_the_longest_key_wins(tmp_path: Path) -> None:
    write(
        tmp_path / ".config" / "containers" / "auth.json",
        {
            "auths": {
                name: login(name.rpartition("/")[2], "x") for name in ("r.example", "r.example/a", "r.example/a/b")
            }
        },
    )
    known = Credentials({}, tmp_path)

    def user(repository: str) -> str:
        found = known.find("r.example", repository)
        assert found is not None
        return found.username

    assert [user(name) for name in ("a/b", "a/b/c", "a/c", "ab", "x")] == ["b", "b", "a", "r.example", "r.example"]


def test_identity_and_registry_tokens_are_told_from_passwords(tmp_path: Path) -> None:
    both = {"identitytoken": "idt", **login("me", "x")}
    known = docker(tmp_path, auths={"a.example": both, "b.example": {"registrytoken": "regt"}, "c.example": {}})
    found = known.find("a.example", "x")
    assert found is not None
    assert (found.identity_token, found.password) == ("idt", "")
    other = known.find("b.example", "x")
    assert other is not None
    assert other.registry_token == "regt"  # noqa: S105  # of tests
    assert known.find("c.example", "x") is None


def test_files_are_asked_in_order(tmp_path: Path) -> None:
    inline = {"DOCKER_AUTH_CONFIG": json.dumps({"auths": {"r.example": login("inline", "x")}})}
    explicit = {"REGISTRY_AUTH_FILE": str(tmp_path / "explicit.json")}
    write(tmp_path / "explicit.json", {"auths": {"r.example": login("explicit", "x")}})
    write(tmp_path / "dc" / "config.json", {"auths": {"r.example": login("docker", "x")}})
    write(tmp_path / "run" / "containers" / "auth.json", {"auths": {"r.example": login("runtime", "x")}})
    write(tmp_path / ".config" / "containers" / "auth.json", {"auths": {"r.example": login("podman", "x")}})
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path / "run")}
    config = {"DOCKER_CONFIG": str(tmp_path / "dc")}

    def source(environment: dict[str, str]) -> str:
        found = Credentials(environment, tmp_path).find("r.example", "a")
        assert found is not None
        return found.source

    assert source(inline | explicit | config | runtime) == "auths 'r.example' in DOCKER_AUTH_CONFIG"
    assert source(explicit | config | runtime) == "auths 'r.example' in ~/explicit.json"
    assert source(config | runtime) == "auths 'r.example' in ~/dc/config.json"
    assert source(runtime) == "auths 'r.example' in ~/run/containers/auth.json"
    assert source({}) == "auths 'r.example' in ~/.config/containers/auth.json"


@posix
def test_helpers_come_before_the_store_and_that_before_auths(tmp_path: Path) -> None:
    environment = helper(tmp_path / "bin", "one", ANSWER % "from-one") | helper(
        tmp_path / "bin", "all", ANSWER % "from-all"
    )
    write(
        tmp_path / ".docker" / "config.json",
        {"credHelpers": {"a.example": "one"}, "credsStore": "all", "auths": {"b.example": login("plain", "x")}},
    )
    known = Credentials(environment, tmp_path)
    assert known.find("a.example", "x") == Credential(
        "credHelpers 'one' in ~/.docker/config.json",
        username="from-one",
        password="a.example",  # noqa: S106  # of tests
    )
    assert known.find("b.example", "x") == Credential(
        "credsStore 'all' in ~/.docker/config.json",
        username="from-all",
        password="b.example",  # noqa: S106  # of tests
    )
    hub = known.find("docker.io", "library/redis")
    assert hub is not None
    assert hub.password == "https://index.docker.io/v1/"  # noqa: S105  # of tests


@posix
def test_a_helper_that_knows_nothing_leaves_it_to_auths(tmp_path: Path) -> None:
    environment = helper(tmp_path / "bin", "x", "print('credentials not found in native keychain'); sys.exit(1)")
    write(tmp_path / ".docker" / "config.json", {"credsStore": "x", "auths": {"r.example": login("plain", "x")}})
    known = Credentials(environment, tmp_path)
    found = known.find("r.example", "a")
    assert found is not None
    assert found.username == "plain"
    assert known.trouble("r.example") is None


@posix
def test_a_helper_may_give_an_identity_token_and_is_asked_once(tmp_path: Path) -> None:
    script = f"open({str(tmp_path / 'asked')!r}, 'a').write('x'); " + ANSWER % "<token>"
    environment = helper(tmp_path / "bin", "x", script)
    write(tmp_path / ".docker" / "config.json", {"credHelpers": {"r.example": "x"}})
    known = Credentials(environment, tmp_path)
    found = known.find("r.example", "a")
    assert found is not None
    assert (found.identity_token, found.username) == ("r.example", "")
    known.find("r.example", "b")
    assert (tmp_path / "asked").read_text(encoding="ascii") == "x"


@posix
@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("print('the secret is hunter2'); sys.exit(3)", "failed with exit status 3"),
        ("print('hunter2')", "did not answer with a user and a secret"),
        ('print(\'{"Username": 1, "Secret": "hunter2"}\')', "did not answer with a user and a secret"),
    ],
)
def test_a_helper_that_fails_is_told_of_without_what_it_said(tmp_path: Path, script: str, why: str) -> None:
    environment = helper(tmp_path / "bin", "x", script)
    write(tmp_path / ".docker" / "config.json", {"credHelpers": {"r.example": "x"}})
    known = Credentials(environment, tmp_path)
    assert known.find("r.example", "a") is None
    assert known.trouble("r.example") == f"docker-credential-x, named in ~/.docker/config.json, {why}"


@pytest.mark.parametrize("name", ["absent", "../../bin/sh"])
def test_a_helper_that_is_not_there_is_told_of(tmp_path: Path, name: str) -> None:
    known = docker(tmp_path, credHelpers={"r.example": name})
    assert known.find("r.example", "a") is None
    assert known.trouble("r.example") == f"docker-credential-{name}, named in ~/.docker/config.json, is not installed"


def test_a_file_that_is_no_json_is_named_and_not_quoted(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text('{"auths": hunter2', encoding="ascii")
    with pytest.raises(InvalidDocument) as raised:
        Credentials({}, tmp_path).find("r.example", "a")
    assert str(raised.value).startswith("~/.docker/config.json: is not JSON: ")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "auth", ["hunter2!", base64.b64encode(b"hunter2").decode(), base64.b64encode(b"\xff:x").decode()]
)
def test_an_auth_that_cannot_be_read_is_named_and_not_quoted(tmp_path: Path, auth: str) -> None:
    with pytest.raises(InvalidCredentials) as raised:
        docker(tmp_path, auths={"r.example": {"auth": auth}}).find("r.example", "a")
    assert str(raised.value) == (
        "~/.docker/config.json: 'auth' of 'r.example' is not the base64 of user:password\n"
        "  hint: log in anew with: docker login r.example"
    )


def test_wrong_types_are_named(tmp_path: Path) -> None:
    for content in ({"auths": []}, {"credsStore": 1}, {"credHelpers": {"r.example": 5}}, {"auths": {"r.example": "x"}}):
        write(tmp_path / ".docker" / "config.json", content)
        with pytest.raises(MultiarchError, match=r"^~/.docker/config.json"):
            Credentials({}, tmp_path).find("r.example", "a")


def test_no_secret_is_in_any_text(tmp_path: Path) -> None:
    known = docker(tmp_path, auths={"r.example": login("me", "hunter2")})
    found = known.find("r.example", "a")
    assert found is not None
    assert "hunter2" not in repr(found) + str(found) + repr(known) + str(vars(known).get("x"))
    assert found.secrets() == ("hunter2", base64.b64encode(b"me:hunter2").decode())
    assert found.basic() == "Basic bWU6aHVudGVyMg=="


@posix
def test_a_helper_that_never_answers_ends_with_the_run(tmp_path: Path) -> None:
    environment = helper(tmp_path / "bin", "x", "import time; time.sleep(60)")
    cancelled = threading.Event()
    made = Credentials({**environment, "DOCKER_AUTH_CONFIG": '{"credsStore": "x"}'}, tmp_path, cancelled)
    threading.Timer(0.3, cancelled.set).start()
    begun = time.monotonic()
    assert made.find("r.example", "a") is None
    assert time.monotonic() - begun < 2
    assert made.trouble("r.example") == "docker-credential-x, named in DOCKER_AUTH_CONFIG, was ended with the run"
