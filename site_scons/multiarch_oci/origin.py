"""Where a tree's source lies on the web, as its tracked files say: go.mod, Cargo.toml, package.json.

What `org.opencontainers.image.source` and `.url` of an index name (OCI image-spec, annotations.md). A clone's remote is
never read: it is another in each clone, and may hold a login.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec

from multiarch_oci.document import mapping
from multiarch_oci.golang.modules import module_path

_LIMIT = 1 << 20
_OWNED = 3
"""Parts of a path that name a repository: host, owner, name."""
_FORGES = ("github.com", "gitlab.com", "bitbucket.org", "codeberg.org")
"""Hosts at which the first two parts of a Go module's path are its repository; others are asked over the network."""
_SHORT = {"": "github.com", "github": "github.com", "gitlab": "gitlab.com", "bitbucket": "bitbucket.org"}
_SHORTHAND = r"(?a:(?:(github|gitlab|bitbucket):)?(\w[\w-]*/\w[\w.-]*))"
_SCP = r"(?a:(?:[\w.-]+@)?([\w.-]+\.[\w-]+):(?!//)([\w./-]+))"


class Origin(msgspec.Struct, frozen=True):
    """The repository of the source, and the project's page: https addresses without a login; "" when not known."""

    source: str = ""
    url: str = ""

    @classmethod
    def of(cls, folder: Path) -> Origin:
        """What the files of a folder say, the first that names a repository; a broken file says nothing."""
        origins = [read(folder) for read in (_of_go, _of_cargo, _of_npm)]
        source = next((origin.source for origin in origins if origin.source), "")
        return cls(source, next((origin.url for origin in origins if origin.url), ""))


def address(text: str, *, shorthands: bool = False) -> str:
    """The https address that a repository's spelling means (`git+https://…`, `git@host:…`), or "".

    With `shorthands` also npm's `owner/name` and `gitlab:owner/name`.
    """
    text = text.strip()
    if shorthands and (shorthand := re.fullmatch(_SHORTHAND, text)):
        return f"https://{_SHORT[shorthand[1] or '']}/{shorthand[2].removesuffix('.git')}"
    if scp := re.fullmatch(_SCP, text):
        text = f"https://{scp[1]}/{scp[2]}"
    from urllib.parse import urlsplit  # start-up

    try:
        parts = urlsplit(text.removeprefix("git+"))
        host, port = parts.hostname, parts.port
    except ValueError:
        return ""
    if not host or parts.scheme not in ("https", "http", "git", "ssh") or not text.isprintable() or " " in text:
        return ""
    host = f"[{host}]" if ":" in host else host
    named = f"{host}:{port}" if port and parts.scheme in ("https", "http") else host
    return f"https://{named}{parts.path.rstrip('/').removesuffix('.git')}"


def _of_go(folder: Path) -> Origin:
    path = module_path(_text(folder / "go.mod"))
    parts = [part for part in path.split("/") if not re.fullmatch(r"v[0-9]+", part)]
    if len(parts) < _OWNED or parts[0] not in _FORGES or (parts[0] == "gitlab.com" and len(parts) > _OWNED):
        return Origin()  # on GitLab a group in a group, or a folder of the repository: nobody knows
    return Origin("https://" + "/".join(parts[:_OWNED]))


def _of_cargo(folder: Path) -> Origin:
    text = _text(folder / "Cargo.toml")
    if not text:
        return Origin()
    from msgspec import toml  # which loads Python's own reader, and its twin before 3.11

    try:
        package = mapping(mapping(toml.decode(text)).get("package"))
    except msgspec.DecodeError:
        return Origin()
    return Origin(_address(package.get("repository")), _address(package.get("homepage")))


def _of_npm(folder: Path) -> Origin:
    text = _text(folder / "package.json")
    try:
        package = mapping(json.loads(text)) if text else {}
    except (ValueError, RecursionError):
        return Origin()
    repository = package.get("repository")
    named = repository if isinstance(repository, str) else mapping(repository).get("url")
    return Origin(_address(named, shorthands=True), _address(package.get("homepage")))


def _address(value: object, *, shorthands: bool = False) -> str:
    return address(value, shorthands=shorthands) if isinstance(value, str) else ""


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LIMIT:
            return ""
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
