"""Engines: what turns a Dockerfile and a context into an image tarball. None of them pushes.

The rooms beside this one implement the protocol: `embedded` (no daemon, Dockerfiles without RUN) and what joins it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from multiarch_oci.errors import MultiarchError
from multiarch_oci.platform import Platform

if TYPE_CHECKING:
    from multiarch_oci.descriptor import Descriptor
    from multiarch_oci.digest import Digest
    from multiarch_oci.heldfiles import HeldFiles
    from multiarch_oci.statcache import FilePath

AUTO = "auto"
GENERATED = "generated Dockerfile"
"""What a Dockerfile that is no file is called."""
NAMES = ("embedded", "buildx", "podman", "docker")
"""Every name that ENGINE may have beside `auto`, in the order in which `auto` asks them."""

OURS = "_output/scratch"
"""Where in a context the files are that we give to Dockerfiles which name them (`programimage`)."""


class EngineUnavailable(MultiarchError):
    """No engine at hand can build this image."""


class UnsupportedInstruction(MultiarchError):
    """An instruction that the chosen engine cannot execute."""


class Base(msgspec.Struct, frozen=True):
    """One FROM of a Dockerfile, resolved: the reference as written (arguments expanded) and the platform's manifest.

    `env` and `on_build` are what the base's config says, where the caller knows it: they decide what a Dockerfile
    copies. The embedded engine fills them in itself when it builds.
    """

    name: str
    platform: Platform
    digest: Digest
    env: tuple[str, ...] = ()
    on_build: tuple[str, ...] = ()


class GivenFile(msgspec.Struct, frozen=True):
    """A name of a context that lies elsewhere: a file or folder (absolute, there or not yet), or bytes of ours.

    `path` is that in the context, relative, with `/`. `content` counts where there is no `origin`.
    """

    path: str
    origin: Path | None = None
    content: bytes = b""


class NamedContext(msgspec.Struct, frozen=True):
    """What a name in a Dockerfile means: the files of a folder (absolute, there or not yet), given files, or an image.

    `name` is as `frontend.named` compares names; of `folder`, `files` and `image` one is given. An image is a
    reference, or `scratch`. `stage` is the number of the stage that it replaces, where it has no name for it.
    """

    name: str
    folder: Path | None = None
    image: str = ""
    files: tuple[GivenFile, ...] | None = None
    stage: int | None = None

    @property
    def has_files(self) -> bool:
        """Whether it is files of this machine, and no image."""
        return self.folder is not None or self.files is not None


class Overlay(msgspec.Struct, frozen=True):
    """A folder (absolute) whose files are seen at the path `at` of the context ("": its top), too.

    They stand behind those that are there, or `first`. `without` are paths of the context that it never has, nor what
    is below them. Not `listed`: what is in it is there by its name, but not where all of an existing `at` is meant.
    """

    at: str
    folder: Path
    first: bool = False
    listed: bool = True
    without: frozenset[str] = frozenset()

    def real_path(self, path: str) -> str | None:
        """Where this folder would have a path of the context; None when it never has it."""
        if self.at and path != self.at and not path.startswith(f"{self.at}/"):
            return None
        if self.without and any(above in self.without for above in _upwards(path)):
            return None
        below = path[len(self.at) :].strip("/")
        return os.path.join(self.folder, *below.split("/")) if below else str(self.folder)  # noqa: PTH118  # as Context


def _upwards(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]


class BuildPlan(msgspec.Struct, frozen=True):
    """Everything that decides the bytes of an image, but for the contents of the files it copies.

    Paths are absolute. `epoch` is the one time stamp, in seconds. `bases` holds every image that a FROM or `--from=`
    names. `hidden` are paths below the context that are never part of it: what the build itself makes of images.
    `foreign` are globs of files in the image that may be of another machine. `file_digest` gives the sha256, in
    hexadecimal, of a file of the context (a stat cache, so that nothing is hashed twice). `build_platform` is what
    BUILDPLATFORM says to a Dockerfile whose RUNs an engine executes; None: the platform that is built for. `secrets`
    and `ssh` are as the docker CLI writes them (`id=token,src=/run/token`, `id=token,env=TOKEN`; `default`): where
    they are, never what they are, and no part of any signature. `network` is what RUN may reach (`none`, `host`);
    empty: what the engine gives. `contexts` are what names mean that a FROM or `--from=` may have; one that the
    Dockerfile does not name counts for nothing. A Dockerfile that is no file is a `text`; `files` are what the context
    holds beside its folder, taken by name alone (a COPY of a folder above does not); `remarks` are named values that
    say what these are, and count. `overlays` are folders whose files are in the context, too. `followed` are folders of
    the context in which a link stands for what it leads to. `held` knows files of the context that are not on this
    machine, which count as if they were. `frontend` is the image, by digest, that takes the place of what
    `# syntax=` names, where an engine runs one; empty: what stands there.
    """

    platform: Platform
    dockerfile: Path
    context: Path
    file_digest: Callable[[FilePath], str]
    build_args: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    target: str = ""
    epoch: int = 0
    bases: tuple[Base, ...] = ()
    foreign: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    build_platform: Platform | None = None
    secrets: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    network: str = ""
    contexts: tuple[NamedContext, ...] = ()
    text: str = ""
    files: tuple[GivenFile, ...] = ()
    remarks: tuple[tuple[str, str], ...] = ()
    overlays: tuple[Overlay, ...] = ()
    followed: tuple[str, ...] = ()
    held: HeldFiles | None = None
    frontend: str = ""

    @property
    def name(self) -> str:
        """What the Dockerfile is called in messages: its path from the context, its full path, or what it is."""
        if self.text:
            return GENERATED
        file, start = str(self.dockerfile), f"{self.context}".rstrip(os.sep) + os.sep  # as text: it is asked often
        return file[len(start) :].replace(os.sep, "/") if file.startswith(start) else file

    @property
    def location(self) -> str:
        """Where the Dockerfile is: its full path, or what it is called where it is no file."""
        return self.name if self.text else str(self.dockerfile)

    def read(self) -> bytes:
        """The Dockerfile. OSError when it cannot be read."""
        return self.text.encode() if self.text else self.dockerfile.read_bytes()

    def digest(self) -> str:
        """The sha256 of the Dockerfile, in hexadecimal. OSError when it cannot be read."""
        return hashlib.sha256(self.text.encode()).hexdigest() if self.text else self.file_digest(self.dockerfile)

    def real_paths(self, folder: Path, path: str, *, listing: bool = False) -> list[str]:
        """Everywhere a path of the context, or of the folder of a named one, may lie; the first that is there counts.

        `listing`: all of them that are folders count. The list is never empty.
        """
        own = os.path.join(folder, *path.split("/")) if path else str(folder)  # noqa: PTH118  # as Context
        if not self.overlays or not folder.is_relative_to(self.context):
            return [own]
        below = folder.relative_to(self.context).as_posix()
        whole = "/".join(part for part in (below, path) if part not in ("", "."))
        before: list[str] = []
        after: list[str] = []
        for overlay in self.overlays:
            real_path = overlay.real_path(whole)
            if real_path is None or (listing and not overlay.listed and whole == overlay.at and os.path.isdir(own)):  # noqa: PTH112
                continue
            (before if overlay.first else after).append(real_path)
        return [*before, own, *after]

    def real_path(self, folder: Path, path: str) -> str:
        """Where a path of the context, or of the folder of a named one, lies, or would lie."""
        real_paths = self.real_paths(folder, path)
        if len(real_paths) == 1:
            return real_paths[0]
        return next(filter(self._is_known, real_paths), str(folder / path))

    def _is_known(self, path: str) -> bool:
        return os.path.lexists(path) or (self.held is not None and self.held.get(path) is not None)


class Engine(Protocol):
    """One way to build an image."""

    name: str

    def refusal(self, plan: BuildPlan) -> str | None:
        """Why this engine cannot build the plan, in words for the user; None = it can. Cheap; asks no network."""
        ...

    def build(self, plan: BuildPlan, output: Path) -> Descriptor:
        """Write the image tarball (OCI layout, base layers by descriptor only) and return its manifest's descriptor.

        `output` is replaced at once or not at all. What an older `output` holds may be taken over. Raises
        MultiarchError: a fault of the Dockerfile, a missing file, a program of another machine.
        """
        ...


class Choice(msgspec.Struct, frozen=True):
    """The engine for an image; `because` is why those before it in the order could not."""

    engine: Engine
    because: str = ""


def choose(
    engines: Mapping[str, Callable[[], Engine]], name: str, plan: BuildPlan, *, before: str | None = None
) -> Choice:
    """The engine called `name`; for `auto` the first that does not refuse. EngineUnavailable says the reasons.

    `engines` are made when they are asked, in their order. `before` is the engine that made this image the last time:
    after `embedded`, which needs nothing, it is asked first, so that installing another one changes nothing.
    """
    if name != AUTO:
        if name not in engines:
            raise EngineUnavailable(f"there is no engine '{name}'", hint=f"there is: {', '.join((AUTO, *engines))}")
        return Choice(engines[name]())
    reasons: list[str] = []
    for candidate in sorted(engines, key=lambda known: (known != NAMES[0], known != before)):
        engine = engines[candidate]()
        reason = engine.refusal(plan)
        if reason is None:
            return Choice(engine, "; ".join(reasons))
        reasons.append(f"{candidate}: {reason}")
    raise EngineUnavailable("no engine can build this image", where=plan.location, hint="; ".join(reasons))
