"""Credentials: what `docker login` and `podman login` left for us, and the helpers that keep secrets elsewhere.

Asked in this order: the variable DOCKER_AUTH_CONFIG, REGISTRY_AUTH_FILE, Docker's config.json, podman's auth.json.
In each: `credHelpers`, then `credsStore`, then `auths`, the longest key that fits (containers-auth.json(5)).
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from multiarch_oci.document import Document
from multiarch_oci.errors import MultiarchError
from multiarch_oci.once import Once
from multiarch_oci.reference import DOCKER_HUB

_HUB_KEY = "https://index.docker.io/v1/"
_HUB_NAMES = (_HUB_KEY, DOCKER_HUB, "index.docker.io", "registry-1.docker.io")
_TOKEN_USER = "<token>"  # noqa: S105  # what helpers say in place of a user when the secret is an identity token
_HELPER_LIMIT_S = 60
_POLL_S = 0.25


class InvalidCredentials(MultiarchError, ValueError):
    """A configuration file whose entry for a registry cannot be read; never shows the entry."""


class Credential(msgspec.Struct, frozen=True):
    """How to prove who we are to one registry; `source` says for people where this came from. Secrets never show.

    Exactly one is set: `username` with `password`, `identity_token` (OAuth2 refresh token), `registry_token` (Bearer).
    """

    source: str
    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        return f"Credential(source={self.source!r})"

    def basic(self) -> str:
        """The value of an Authorization header of the Basic scheme (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")

    def secrets(self) -> tuple[str, ...]:
        """Every text that must not be shown, for whoever repeats what a server said."""
        basic = self.basic().removeprefix("Basic ") if self.password else ""
        return tuple(text for text in (self.password, basic, self.identity_token, self.registry_token) if text)


class _File(msgspec.Struct, frozen=True):
    """A configuration in Docker's format and how to call it."""

    name: str
    document: Document

    def texts(self, key: str) -> Mapping[str, str]:
        return dict(self.document.pairs(key))


class Credentials:
    """Everything the user is logged in to. Files are read at the first question, helpers asked once; thread-safe.

    `environment` stands for the process's own and is given to the helpers; `home` is the user's folder. A helper that
    is waited for when `cancelled` is set is ended, and has said nothing.
    """

    def __init__(self, environment: Mapping[str, str], home: Path, cancelled: threading.Event | None = None) -> None:
        self._cancelled = threading.Event() if cancelled is None else cancelled
        self._environment = dict(environment)
        self._home = home
        self._lock = threading.Lock()
        self._files: tuple[_File, ...] | None = None
        # A helper may take its time; who needs another registry does not wait.
        self._helper_answers: Once[tuple[str, str] | None] = Once()
        self._troubles: dict[str, str] = {}

    def __repr__(self) -> str:
        return "Credentials(…)"

    def find(self, registry: str, repository: str) -> Credential | None:
        """The credential for a repository of a registry (`host[:port]`); None: we are nobody there.

        InvalidDocument or InvalidCredentials names a file that cannot be read. A helper that fails counts as knowing
        nothing, as most images need no login; `trouble` then tells of it.
        """
        for file in self._configurations():
            credential = self._in_helpers(file, registry) or _in_auths(file, registry, repository)
            if credential is not None:
                return credential
        return None

    def mentions(self, registry: str) -> bool:
        """Whether some file names this registry, so that it probably wants to know who we are; asks no helper."""
        return any(
            _host_of(key) in _names_of(registry)
            for file in self._configurations()
            for section in ("auths", "credHelpers")
            for key in _members(file, section)
        )

    def trouble(self, registry: str) -> str | None:
        """Why a helper that should have known this registry could not be asked; None when all went well."""
        return self._troubles.get(registry)

    def _configurations(self) -> tuple[_File, ...]:
        with self._lock:
            if self._files is None:
                self._files = tuple(self._read())
            return self._files

    def _read(self) -> Iterator[_File]:
        inline = self._environment.get("DOCKER_AUTH_CONFIG")
        if inline:
            yield _File("DOCKER_AUTH_CONFIG", Document.parse(os.fsencode(inline), where="DOCKER_AUTH_CONFIG"))
        for path in dict.fromkeys(self._paths()):
            name = self._short(path)
            try:
                content = path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise InvalidCredentials(f"cannot be read: {error.strerror}", where=name) from None
            if content.strip():
                yield _File(name, Document.parse(content, where=name))

    def _paths(self) -> Iterator[Path]:
        if explicit := self._environment.get("REGISTRY_AUTH_FILE"):
            yield Path(explicit)
        docker = self._environment.get("DOCKER_CONFIG")
        yield (Path(docker) if docker else self._home / ".docker") / "config.json"
        if runtime := self._environment.get("XDG_RUNTIME_DIR"):
            yield Path(runtime) / "containers" / "auth.json"
        configured = self._environment.get("XDG_CONFIG_HOME")
        yield (Path(configured) if configured else self._home / ".config") / "containers" / "auth.json"

    def _short(self, path: Path) -> str:
        try:
            return "~/" + path.relative_to(self._home).as_posix()
        except ValueError:
            return str(path)

    def _in_helpers(self, file: _File, registry: str) -> Credential | None:
        server = _HUB_KEY if registry == DOCKER_HUB else registry
        helpers = file.texts("credHelpers")
        own = next((helpers[name] for name in _names_of(registry) if helpers.get(name)), None)
        for key, helper in (("credHelpers", own), ("credsStore", file.document.text("credsStore"))):
            answer = self._ask(helper, server, registry, file) if helper else None
            if answer is not None:
                return _from_helper(answer, f"{key} '{helper}' in {file.name}")
        return None

    def _ask(self, helper: str, server: str, registry: str, file: _File) -> tuple[str, str] | None:
        def ask() -> tuple[str, str] | None:
            try:
                return _run_helper(helper, server, self._environment, self._cancelled)
            except _HelperFailed as error:
                self._troubles[registry] = f"docker-credential-{helper}, named in {file.name}, {error}"
                return None

        return self._helper_answers.get((helper, server), ask)


class _HelperFailed(Exception):
    """Never leaves this module: becomes the text of `trouble`."""


def _run_helper(
    helper: str, server: str, environment: Mapping[str, str], cancelled: threading.Event
) -> tuple[str, str] | None:
    """User and secret by docker-credential-helpers' protocol; None when the helper does not know the server."""
    program = f"docker-credential-{helper}"
    if Path(helper).name != helper or (path := shutil.which(program, path=environment.get("PATH"))) is None:
        raise _HelperFailed("is not installed")
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen([path, "get"], stdin=pipe, stdout=pipe, stderr=pipe, env=dict(environment))
    except OSError as error:
        raise _HelperFailed(f"does not start: {error.strerror}") from None
    output = _output(process, server.encode(), cancelled)
    if process.returncode:
        message = output.decode("utf-8", "replace").strip()
        if "credentials not found" in message.lower():
            return None
        # What it printed is not repeated: a helper that fails half way may have printed a secret.
        raise _HelperFailed(f"failed with exit status {process.returncode}")
    return _parse_helper(output)


def _output(process: subprocess.Popen[bytes], sent: bytes, cancelled: threading.Event) -> bytes:
    """What a helper prints; _HelperFailed when that takes too long, or is no longer wanted."""
    rest: bytes | None = sent
    end = time.monotonic() + _HELPER_LIMIT_S
    while True:
        try:
            return process.communicate(rest, timeout=_POLL_S)[0]
        except subprocess.TimeoutExpired:
            rest = None  # it has it already
        if cancelled.is_set() or time.monotonic() > end:
            process.kill()
            with contextlib.suppress(OSError), process:  # closes its pipes, and waits for it
                pass
            text = "was ended with the run" if cancelled.is_set() else f"did not answer within {_HELPER_LIMIT_S} s"
            raise _HelperFailed(text)


def _parse_helper(output: bytes) -> tuple[str, str] | None:
    try:
        answer: object = json.loads(output)
    except (ValueError, RecursionError):
        answer = None
    user, secret = (answer.get("Username"), answer.get("Secret")) if isinstance(answer, dict) else (None, None)
    if not isinstance(user, str) or not isinstance(secret, str):
        raise _HelperFailed("did not answer with a user and a secret")
    return (user, secret) if secret else None


def _from_helper(answer: tuple[str, str], source: str) -> Credential:
    user, secret = answer
    if user == _TOKEN_USER:
        return Credential(source, identity_token=secret)
    return Credential(source, username=user, password=secret)


def _in_auths(file: _File, registry: str, repository: str) -> Credential | None:
    entries = {_plain(key): key for key in reversed(_members(file, "auths"))}
    names = [name.rstrip("/").removeprefix("https://") for name in _names_of(registry)]
    parts = repository.split("/")
    paths = ["/".join([registry, *parts[:count]]) for count in range(len(parts), 0, -1)]
    for name in (*paths, *names):
        key = entries.get(name)
        if key is not None:
            credential = _read_entry(file, key)
            if credential is not None:
                return credential
    return None


def _read_entry(file: _File, key: str) -> Credential | None:
    """One entry of `auths`; None for an empty one, which only says that a helper has the secret."""
    auths = file.document.nested("auths")
    entry = None if auths is None else auths.nested(key)
    if entry is None:
        return None
    source = f"auths '{key}' in {file.name}"
    if token := entry.text("identitytoken"):
        return Credential(source, identity_token=token)
    if token := entry.text("registrytoken"):
        return Credential(source, registry_token=token)
    encoded = entry.text("auth")
    if encoded:
        user, colon, password = _decode(encoded).partition(":")
        if not colon or not user:
            raise InvalidCredentials(
                f"'auth' of '{key}' is not the base64 of user:password",
                where=file.name,
                hint=f"log in anew with: docker login {_host_of(key)}",
            )
        return Credential(source, username=user, password=password.strip("\0"))
    name, secret = entry.text("username"), entry.text("password")
    return Credential(source, username=name, password=secret) if name and secret else None


def _decode(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode("utf-8")
    except ValueError:
        return ""


def _names_of(registry: str) -> tuple[str, ...]:
    """What a registry is called in configurations: Docker Hub by several names."""
    return _HUB_NAMES if registry == DOCKER_HUB else (registry,)


def _members(file: _File, section: str) -> list[str]:
    nested = file.document.nested(section)
    return [] if nested is None else list(nested.members)


def _plain(key: str) -> str:
    """A key as people and tools wrote it over the years: `https://host/v1/` and `host` are the same."""
    text = key.removeprefix("https://").removeprefix("http://").rstrip("/")
    for version in ("/v1", "/v2"):
        if "://" in key and text.endswith(version):
            text = text.removesuffix(version)
    return text


def _host_of(key: str) -> str:
    return _plain(key).partition("/")[0]
