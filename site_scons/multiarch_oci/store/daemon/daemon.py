"""One engine: what it is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, cast

from multiarch_oci.digest import Digest
from multiarch_oci.document import Document
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference
from multiarch_oci.store.daemon.client import Client, EngineFailed, one_line
from multiarch_oci.store.daemon.endpoint import Endpoint, endpoint_of

_SECONDS = 600
"""How long one answer may take; an engine unpacks what it loads before it answers."""


class _Api(Protocol):
    """What we use of docker-py's untyped APIClient."""

    def load_image(self, data: BinaryIO) -> Iterable[object]: ...
    def inspect_image(self, image: str) -> object: ...
    def info(self) -> object: ...
    def tag(self, image: str, repository: str, tag: str | None, *, force: bool) -> bool: ...


class Daemon:
    """One engine, found as the docker CLI finds it: DOCKER_HOST, else DOCKER_CONTEXT, else the config's context.

    `environment` also holds DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, DOCKER_CONFIG and HOME (USERPROFILE on Windows).
    Connects at the first use; a context manager closes the connection. Every method raises EngineUnreachable when
    nobody answers and EngineFailed when the engine says no.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._client: Client | None = None

    def __enter__(self) -> Daemon:  # noqa: PYI034  # Self is newer than Python 3.10; there are no subclasses
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    @property
    def where(self) -> str:
        """The engine's address, for messages."""
        return self.endpoint.where

    @cached_property
    def endpoint(self) -> Endpoint:
        """Where the engine is."""
        return endpoint_of(self._environment)

    def load(self, archive: Path, reference: Reference) -> Digest:
        """Load a release archive and return the engine's identity of the image that it names `reference`.

        Idempotent; the archive is streamed, not held in memory. EngineFailed also when the engine took the archive, but
        does not know the name afterwards.
        """
        with archive.open("rb") as stream, self._asking() as api:
            _check(api.load_image(stream), f"{self.where}: {archive}")
        identity = self.identity(reference)
        if identity is None:
            raise EngineFailed(f"loaded {archive}, but has no image {reference.familiar}", where=self.where)
        return identity

    def identity(self, reference: Reference) -> Digest | None:
        """The engine's id of the image of this name; None when it has none.

        It is the digest of the image's config; where an engine keeps images in containerd's store, of its manifest.
        """
        from docker.errors import ImageNotFound

        with self._asking() as api:
            try:
                inspected = api.inspect_image(reference.familiar)
            except ImageNotFound:
                return None
        identity = Document.of(inspected, where=f"{self.where}: {reference.familiar}").required("Id")
        return Digest.parse(identity if ":" in identity else f"sha256:{identity}")

    def tag(self, identity: Digest, reference: Reference) -> None:
        """Let this name, too, mean the image of this id; the name is taken from an image that has it."""
        name = reference.with_default_tag()
        with self._asking() as api:
            api.tag(str(identity), name.bare.familiar, tag=name.tag, force=True)

    def platform(self) -> Platform:
        """What the engine itself runs on; a Windows engine's os.version is its host's."""
        with self._asking() as api:
            answer = Document.of(api.info(), where=self.where)
        host = Platform.of_machine(answer.required("OSType"), answer.required("Architecture"))
        if host.os != "windows":
            return host
        return Platform(host.os, host.architecture, host.variant, answer.text("OSVersion") or "")

    @contextmanager
    def _asking(self) -> Iterator[_Api]:
        if self._client is None:
            self._client = Client(self.endpoint, self._environment, seconds=_SECONDS)
        with self._client.asking() as api:
            yield cast("_Api", api)


def runnable(host: Platform, platforms: Iterable[Platform]) -> tuple[Platform, ...]:
    """Those of `platforms` whose images an engine on `host` runs by itself, in their order; 386 and lower variants too.

    What an emulator such as qemu would add is not counted.
    """
    return tuple(platform for platform in platforms if platform.matches(host))


def _check(items: Iterable[object], where: str) -> None:
    """Read an engine's stream of progress to its end; EngineFailed for the item that is an error."""
    for item in items:
        answer = Document.of(item, where=where)
        failed = answer.text("error")
        if failed:
            raise EngineFailed(f"the engine says: {one_line(failed)}", where=where)
