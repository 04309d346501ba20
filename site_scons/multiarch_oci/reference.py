"""References: the names of images, and the place that builds are pushed to.

The grammar is that of Docker (github.com/distribution/reference, `ParseNormalizedNamed`); tags and repositories are
those of the OCI distribution spec 1.1, "Pulling manifests". A parsed name is safe in a URL and, as `path`, in a file
system.
"""

from __future__ import annotations

import functools
import hashlib
import posixpath
import re
from collections.abc import Callable
from pathlib import PurePosixPath

import msgspec
from msgspec.structs import replace

from multiarch_oci.digest import Digest, InvalidDigest, is_sha256
from multiarch_oci.errors import MultiarchError, holds_login, quoted

DOCKER_HUB = "docker.io"
_OFFICIAL = "library/"
_LONGEST_REPOSITORY = 255
_LONGEST_TAG = 128
_SHOWN = 200
# Upstream's language, written so that no input makes the match slow.
_LABEL = r"[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[A-Fa-f0-9:]+\])(?::[0-9]+)?")
_LAST_PORT = 65535
_PORT_DIGITS = 6
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DRIVE = r"[A-Za-z]:(?:[\\/]|\Z)"
_TAG_HINT = "letters, digits, '_', '.' and '-', not '.' or '-' first, at most 128"
_REPOSITORY_HINT = "lower-case letters and digits, joined by '/', '.', '-', '_' or '__'"


class InvalidReference(MultiarchError, ValueError):
    """A text that names no image, tag or place to push to."""


def check_tag(tag: str, *, where: str | None = None) -> str:
    """This tag, when it is a valid one; raises InvalidReference, which quotes it, when not."""
    if _TAG.fullmatch(tag):
        return tag
    if len(tag) > _LONGEST_TAG:
        what = f"tag {quoted(tag, _SHOWN)} has {len(tag)} characters, {_LONGEST_TAG} are allowed"
        raise InvalidReference(what, where=where, hint="shorten the version")
    raise InvalidReference(f"{quoted(tag)} is not a valid tag", where=where, hint=_TAG_HINT)


class Reference(msgspec.Struct, frozen=True, order=True):
    """A repository in a registry, and what of it: a tag, a digest, both or neither. Every instance is valid."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.registry):
            raise InvalidReference(f"{quoted(self.registry)} is not the name of a registry", hint="host or host:port")
        _check_port(self.registry, None)
        if len(self.repository) > _LONGEST_REPOSITORY:
            what = f"repository '{self.repository[:40]}…' has {len(self.repository)} characters"
            raise InvalidReference(what, hint=f"{_LONGEST_REPOSITORY} are allowed")
        if not _REPOSITORY.fullmatch(self.repository):
            raise InvalidReference(f"{quoted(self.repository)} is not the name of a repository", hint=_REPOSITORY_HINT)
        if self.tag is not None:
            check_tag(self.tag)

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read `[host[:port]/]repository[:tag][@digest]` as docker does; no tag is added, see `with_default_tag`.

        A name whose first component is no host belongs to docker.io; there, one without a `/` to `library/`. A tag
        beside a digest is kept. Raises InvalidReference; also for what upstream takes and nobody can reach or verify:
        sha384, and a first component such as `my_host.example` that is neither a host nor a repository of docker.io.
        """
        if is_sha256(text):
            raise InvalidReference(
                f"{quoted(text)} is an image's id, not its name", hint=f"for a digest: NAME@sha256:{text}"
            )
        name, at, digest = text.partition("@")
        registry, rest = _split_registry(name)
        repository, colon, tag = rest.partition(":")
        if registry == DOCKER_HUB and "/" not in repository:
            repository = _OFFICIAL + repository
        if not repository.removeprefix(_OFFICIAL):
            raise InvalidReference(f"{quoted(text)} names no repository", hint=_REPOSITORY_HINT)
        try:
            return cls(registry, repository, tag if colon else None, Digest.parse(digest) if at else None)
        except (InvalidReference, InvalidDigest) as error:
            hint = error.hint or "NAME@sha256:… with 64 hexadecimal digits"
            login = login_hint(text)
            because = "it holds a login" if login else error.what
            raise InvalidReference(f"{quoted(text)} is not an image's name: {because}", hint=login or hint) from None

    def __str__(self) -> str:
        return self._tail(self.name)

    @property
    def name(self) -> str:
        """`registry/repository`, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar(self) -> str:
        """The short form that docker prints: `redis:7` for `docker.io/library/redis:7`."""
        if self.registry != DOCKER_HUB:
            return str(self)
        short = self.repository.removeprefix(_OFFICIAL)
        return self._tail(self.repository if "/" in short else short)

    @property
    def path(self) -> PurePosixPath:
        """A relative path for what is kept about this reference: `registry/repository/tag`.

        The `:` of a port, which Windows forbids, becomes `_`, which no host holds; without a tag the last part is
        `sha256_…`, and nothing when there is no digest either.
        """
        last = self.tag or (f"{self.digest.algorithm}_{self.digest.hex}" if self.digest else "")
        return PurePosixPath(self.registry.replace(":", "_"), self.repository, last)

    @property
    def bare(self) -> Reference:
        """The same repository, no tag, no digest."""
        return Reference(self.registry, self.repository)

    def with_tag(self, tag: str) -> Reference:
        """The same with this tag; a digest is kept. Raises InvalidReference for what is no tag."""
        return replace(self, tag=tag)

    def with_digest(self, digest: Digest) -> Reference:
        """The same with this digest; a tag is kept."""
        return replace(self, digest=digest)

    def with_default_tag(self) -> Reference:
        """The same with the tag `latest` if there is neither tag nor digest, as docker adds it."""
        return self if self.tag or self.digest else self.with_tag("latest")

    def _tail(self, name: str) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{name}{tag}@{self.digest}" if self.digest else f"{name}{tag}"


def _split_registry(name: str) -> tuple[str, str]:
    """Registry and the rest of a name (upstream, `splitDockerDomain`)."""
    first, slash, rest = name.partition("/")
    if not slash:
        return DOCKER_HUB, name
    if first == "index.docker.io":
        return DOCKER_HUB, rest
    if first == "localhost" or "." in first or ":" in first or first.lower() != first:
        return first, rest
    return DOCKER_HUB, name


class Destination(msgspec.Struct, frozen=True, order=True):
    """Where a build is pushed to: a registry and the path before the image's name there, or a folder of OCI layouts.

    `registry` is None for a folder; `path` is then the folder, as it was written.
    """

    registry: str | None
    path: str

    @classmethod
    def parse(cls, text: str, *, where: str | None = "REGISTRY") -> Destination:
        r"""Read `host[:port][/path]`, or else a folder; a `/` at the end does not count.

        It is a host if what stands before the first `/` holds `.` or `:`, or is `localhost`. It is a folder all the
        same when it begins with `.` or `/` (`./out`, `../x`, `.cache`, `/srv/reg`), holds a backslash, or begins with a
        drive (`C:/reg`, `C:\reg`), as no host does. A host is checked: `https://host` and `my_host.example` are errors,
        not folders, since whoever writes them means a host. Raises InvalidReference.
        """
        if not text.strip() or "\0" in text:
            what = f"{quoted(text)} is neither a registry nor a folder"
            raise InvalidReference(what, where=where, hint="e.g. localhost:5000/team or ./out")
        if text.startswith((".", "/")) or "\\" in text or re.match(_DRIVE, text):
            return cls(None, _without_last_slash(text))
        first, _, path = text.rstrip("/").partition("/")
        if not ("." in first or ":" in first or first == "localhost"):
            return cls(None, text.rstrip("/"))
        if login := login_hint(text):
            raise InvalidReference(f"{quoted(text)} holds a login", where=where, hint=login)
        if "://" in text and (scheme := re.match(r"[A-Za-z][A-Za-z0-9+-]*://", text)):
            raise InvalidReference(f"{quoted(text)} is a URL", where=where, hint=f"leave '{scheme[0]}' away")
        if not _HOST.fullmatch(first):
            hint = f"for a folder write ./{text}; a host is host, host:port or [IPv6]:port"
            raise InvalidReference(
                f"{quoted(first)} in {quoted(text)} is not the name of a host", where=where, hint=hint
            )
        _check_port(first, where)
        if path and not _REPOSITORY.fullmatch(path):
            what = f"{quoted(path)} in {quoted(text)} is not a path in a registry"
            raise InvalidReference(what, where=where, hint=_REPOSITORY_HINT)
        return cls(DOCKER_HUB if first == "index.docker.io" else first, path)

    @classmethod
    def chosen(cls, text: str, *, home: str | None, is_layout: Callable[[str], bool]) -> Destination:
        r"""Read REGISTRY of the command line, where no word is a folder by accident (behaviour, section 2).

        A folder begins with `./`, `../`, `/`, `~/` (then below `home`), `_` or a drive, or holds a backslash, or
        `is_layout` says that an OCI layout of ours lies in the folder of that name, as versions before pushed there. A
        host is as in `parse`. Any other word is an error that shows both spellings. Raises InvalidReference.
        """
        first, _, path = text.partition("/")
        if first == "~":
            if home is None:
                raise InvalidReference(f"{quoted(text)} needs HOME", where="REGISTRY", hint="write the folder in full")
            return cls(None, _without_last_slash(f"{home.rstrip('/')}/{path}"))
        if first in (".", "..", "") or text.startswith("_") or "\\" in text or re.match(_DRIVE, text) or "\0" in text:
            return cls.parse(text)
        folder = text.rstrip("/")
        if not folder.strip():
            return cls.parse(folder)
        like_host = not first.startswith(".") and ("." in first or ":" in first or first == "localhost")
        if is_layout(folder):
            return cls(None, f"./{folder}" if like_host else folder)  # as `parse` reads it again
        if like_host:
            return cls.parse(text)
        if login := login_hint(text):
            raise InvalidReference(f"{quoted(text)} holds a login", where="REGISTRY", hint=login)
        more = f" or {DOCKER_HUB}/{folder}" if _REPOSITORY.fullmatch(folder) else ""
        what = f"{quoted(text)} is neither a registry nor a folder"
        raise InvalidReference(what, where="REGISTRY", hint=f"write ./{folder}{more}")

    def __str__(self) -> str:
        """As one writes it in REGISTRY."""
        return "/".join(part for part in (self.registry, self.path) if part)

    def reference(self, image: str, tag: str | None = None) -> Reference:
        """The reference of this image here. Raises InvalidReference for what is no repository or no tag.

        In a folder it is only an identity, by which tags are told apart and receipts are kept: its registry is
        `<name>-<hash>.folder.invalid`, a name that never resolves (RFC 2606) and that other spellings of the folder
        share. Bytes are found by `layout`, people are shown `spell`.
        """
        if self.registry is None:
            return Reference(_folder_host(self.path), image, tag)
        repository = "/".join(part for part in (self.path, image) if part)
        official = self.registry == DOCKER_HUB and "/" not in repository
        return Reference(self.registry, _OFFICIAL + repository if official else repository, tag)

    def layout(self, image: str) -> str:
        """The folder of this image's OCI layout, `<folder>/<image>`; raises InvalidReference for a registry."""
        if self.registry is not None:
            raise InvalidReference(f"{str(self)!r} is a registry, not a folder")
        return f"{self.path.rstrip('/')}/{self.reference(image).repository}"

    def spell(self, image: str, tag: str | None = None) -> str:
        """Image and tag as people are shown them: `localhost:5000/team/demo:1.0`, `_output/registry/demo:1.0`."""
        if self.registry is not None:
            return str(self.reference(image, tag))
        return f"{self.layout(image)}:{tag}" if tag else self.layout(image)


def insecure_hosts(text: str, *, where: str = "INSECURE") -> tuple[str, ...]:
    """Read a comma-separated list of hosts, `host:port`, addresses and ranges. Raises InvalidReference."""
    entries = tuple(filter(None, (entry.strip() for entry in text.split(","))))
    for entry in entries:
        hint = "a host, host:port, an address or a range: registry.lan:5000, 10.0.0.0/8"
        if login_hint(entry):
            raise InvalidReference(f"{quoted(entry)} holds a login", where=where, hint=hint)
        if scheme := re.match(r"[A-Za-z][A-Za-z0-9+-]*://", entry):
            raise InvalidReference(f"{quoted(entry)} is a URL", where=where, hint=f"leave '{scheme[0]}' away")
        if _HOST.fullmatch(entry):
            _check_port(entry, where)
        elif not _is_network(entry):
            raise InvalidReference(f"{quoted(entry)} is not the name of a host", where=where, hint=hint)
    return entries


def _is_network(text: str) -> bool:
    import ipaddress  # start-up

    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _check_port(host: str, where: str | None) -> None:
    """Raise InvalidReference for a port that no host has."""
    _, colon, port = host.rpartition(":")
    if colon and not host.endswith("]") and not (len(port) < _PORT_DIGITS and 0 < int(port) <= _LAST_PORT):
        what = f"{quoted(host)} has a port that is none"
        raise InvalidReference(what, where=where, hint=f"ports are 1 to {_LAST_PORT}")


def login_hint(text: str) -> str | None:
    """What to do where a text has a user's name before its host; None when it has none. No part of it is repeated."""
    return "leave out all up to the last '@'; docker login or podman login keeps it" if holds_login(text) else None


def _without_last_slash(folder: str) -> str:
    plain = folder.rstrip("/")
    return f"{plain}/" if plain != folder and (not plain or re.fullmatch(_DRIVE, plain)) else plain


@functools.cache  # asked for every tag of a build
def _folder_host(folder: str) -> str:
    plain = posixpath.normpath(folder.replace("\\", "/"))
    label = re.sub(r"[^a-z0-9]+", "-", posixpath.basename(plain).lower()).strip("-")[:40].strip("-") or "root"
    hashed = hashlib.sha256(plain.encode("utf-8", "surrogateescape"))
    return f"{label}-{hashed.hexdigest()[:12]}.folder.invalid"
