"""A Docker engine at any endpoint: BuildKit by the docker command line where both have it, else the legacy builder.

The legacy builder lies about platforms (its cache knows none), so what it made is checked, and made again without cache
before it is an error. docker-py, which is slow to import, is imported at the first use.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from multiarch_oci.config import ImageConfig
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.dockerfile.instructions import Add, Command, Copy, Run
from multiarch_oci.document import Document
from multiarch_oci.engine import BuildPlan, EngineUnavailable, NamedContext
from multiarch_oci.engine.export.made import Made, of_save
from multiarch_oci.engine.export.normalising import normalise
from multiarch_oci.engine.external.calling import EngineFailed, Programs, hint_of
from multiarch_oci.engine.external.marks import for_buildkit, for_legacy
from multiarch_oci.engine.external.pinning import INSIDE, replacing_stages
from multiarch_oci.engine.external.secrets import secret_flags
from multiarch_oci.engine.external.staging import DOCKERFILE, Staged, context_flags, locked_flags, staged, write_context
from multiarch_oci.engine.external.surroundings import Surroundings, build_args, flags, platform_args, temporary_name
from multiarch_oci.engine.frontend.reader import Settled
from multiarch_oci.engine.frontend.recipe import Recipe
from multiarch_oci.errors import MultiarchError
from multiarch_oci.store.daemon.client import Client
from multiarch_oci.store.daemon.client import EngineFailed as Refused
from multiarch_oci.store.daemon.endpoint import Endpoint, EngineUnreachable, endpoint_of

_VERSION = re.compile(r"version (\d+)")
_PLUGIN_SINCE = 23
"""The docker command line that needs the buildx plugin for BuildKit; older ones have it built in."""
_SECONDS = 3600


class _Api(Protocol):
    """What we use of docker-py's untyped APIClient."""

    def build(self, **settings: object) -> Iterable[object]: ...
    def get_image(self, image: str) -> Iterable[bytes]: ...
    def remove_image(self, image: str, *, force: bool, noprune: bool) -> object: ...
    def info(self) -> object: ...


class DockerEngine:
    """Implements Engine. `endpoint` is an address (`ssh://winbox`) or the name of a docker context.

    Without one the engine is found as the docker command line finds it.
    """

    name = "docker"

    def __init__(self, given: Surroundings, *, endpoint: str = "") -> None:
        self._given = given
        environment = {
            key: value
            for key, value in given.programs.environment.items()
            if not endpoint or key not in ("DOCKER_HOST", "DOCKER_CONTEXT")
        }
        if endpoint:
            environment["DOCKER_HOST" if "://" in endpoint else "DOCKER_CONTEXT"] = endpoint
        self._environment = environment
        self._connection: Client | None = None

    @cached_property
    def _endpoint(self) -> Endpoint:
        return endpoint_of(self._environment)

    def refusal(self, plan: BuildPlan) -> str | None:
        """As Engine says; asks the engine what it is."""
        try:
            return self._refusal(plan)
        except EngineUnreachable as error:
            return f"{error.where}: {error.what}" if error.where else error.what
        finally:
            self._close()

    def _refusal(self, plan: BuildPlan) -> str | None:
        system = self._system()
        if system != plan.platform.os:
            return f"the Docker engine at {self._endpoint.where} makes {system} images"
        try:
            recipe = self._given.reader.recipe(plan)
            needed = _needs_buildkit(recipe, plan)
        except MultiarchError:
            return None  # `build` says what is wrong with the Dockerfile
        if not self._plugin():
            name = next((used.name for used in recipe.used if used.has_files and not self._inside(plan, used)), None)
            if name is not None:
                return f"docker without buildx takes no named context ('{name}')"
        if needed is not None and not self._buildkit(system):
            return f"{needed} needs BuildKit, which neither a docker command line nor docker-py has here"
        return None

    def _inside(self, plan: BuildPlan, context: NamedContext) -> bool:
        """Whether the files of a context can lie in the plan's own, without buildx: in the place of a stage."""
        reader = self._given.reader
        return context in replacing_stages(reader.recipe(plan)) and not reader.inputs(plan).enters(INSIDE)

    def build(self, plan: BuildPlan, output: Path) -> Descriptor:
        """As Engine says; the image has a name of its own in the engine while it is built, and none afterwards."""
        settled = self._given.reader.settled(plan, self._given.open_source)
        settled.platform()
        try:
            return self._built(settled, output)
        finally:
            self._close()

    def _built(self, settled: Settled, output: Path) -> Descriptor:
        plan = settled.plan
        refusal = self._refusal(plan)
        if refusal is not None:
            raise EngineUnavailable(refusal, where=settled.recipe.name, hint="ENGINE=buildx or podman may do it")
        if locked_flags(settled) and not self._plugin():
            name = locked_flags(settled)[1].partition("=")[0]
            what = f"ONBUILD of the base names {name}, whose tag is followed where there is no buildx"
            raise EngineUnavailable(what, where=settled.recipe.name, hint="install buildx, or use ENGINE=podman")
        secrets = secret_flags(plan, self._environment, where=settled.recipe.name)
        with self._named() as name, staged(settled, self._given.reader, inside=not self._plugin()) as there:
            saved = there.scratch / "image.tar"
            if self._buildkit(plan.platform.os):
                self._by_command(settled, name, there, secrets)
                made = self._save(name, saved)
            else:
                made = self._by_api(settled, name, saved)
            return normalise(made, settled, output, engine=self.name, warn=self._given.warn, made_from=there.made_from)

    def _system(self) -> str:
        with self._asking() as api:
            return Document.of(api.info(), where=self._endpoint.where).required("OSType")

    def _buildkit(self, system: str) -> bool:
        """Whether a docker command line here can build with BuildKit."""
        programs = self._given.programs
        docker = programs.find("docker")
        if docker is None or system == "windows":
            return False
        if self._plugin():
            return True
        version = _VERSION.search(programs.ask([docker, "--version"])[1])
        return version is not None and int(version[1]) < _PLUGIN_SINCE

    def _plugin(self) -> bool:
        """Whether the docker command line builds by buildx."""
        docker = self._given.programs.find("docker")
        return docker is not None and self._given.programs.ask([docker, "buildx", "version"])[0]

    def _by_command(self, settled: Settled, name: str, there: Staged, secrets: list[str]) -> None:
        programs = Programs(self._environment, self._given.programs.tell)
        docker = programs.find("docker") or "docker"
        command = [
            docker,
            "build",
            "--progress",
            "plain",
            "--tag",
            name,
            "--file",
            str(there.dockerfile),
            *flags(settled),
        ]
        command += [*context_flags(settled, there), *secrets, *for_buildkit(settled.plan)]
        if self._plugin():
            command += ["--provenance=false", "--load"]
        command.append(str(there.context))
        # The builder is the engine itself, whatever builder the user has in use; it is called as its context is.
        context = self._endpoint.context
        more = {"DOCKER_BUILDKIT": "1", "BUILDX_BUILDER": context or "default"}
        more |= {"DOCKER_CONTEXT": context} if context else {}
        programs.run(command, where=settled.recipe.name, doing="docker build", more=more)

    def _by_api(self, settled: Settled, name: str, saved: Path) -> Made:
        made = self._legacy(settled, name, saved, cached=True)
        actual = ImageConfig.from_json(made.config, where=self._endpoint.where).platform
        if actual.architecture != settled.plan.platform.architecture:
            made = self._legacy(settled, name, saved, cached=False)
        return made

    def _legacy(self, settled: Settled, name: str, saved: Path, *, cached: bool) -> Made:
        context = saved.with_name("context.tar")
        marks = for_legacy(settled)
        with context.open("wb") as sink:
            write_context(settled, self._given.reader, sink, marks)
        with context.open("rb") as stream, self._asking() as api:
            self._read(api.build(**_legacy_settings(settled, name, stream, cached=cached and marks.cached)), settled)
        context.unlink()
        return self._save(name, saved)

    def _read(self, items: Iterable[object], settled: Settled) -> None:
        """Read the stream of a build to its end: an error of the engine is an item of it, not an exception."""
        last: deque[str] = deque(maxlen=20)
        for item in items:
            message = Document.of(item, where=self._endpoint.where)
            failed = message.text("error")
            if failed:
                what = f"the Docker engine says: {' '.join(failed.split())}"
                raise EngineFailed(what, where=settled.recipe.name, hint=hint_of([*last, failed]))
            for line in (message.text("stream") or message.text("status") or "").splitlines():
                if line.strip():
                    last.append(line.rstrip())
                    self._given.programs.tell(line.rstrip())

    def _save(self, name: str, saved: Path) -> Made:
        with self._asking() as api, saved.open("wb") as sink:
            for block in api.get_image(name):
                sink.write(block)
        return of_save(saved)

    @contextmanager
    def _named(self) -> Iterator[str]:
        name = temporary_name()
        try:
            yield name
        finally:
            # The layers in between stay, as the engine's own cache. There may be no image: the build failed.
            with suppress(MultiarchError), self._asking() as api:
                api.remove_image(name, force=False, noprune=True)

    @contextmanager
    def _asking(self) -> Iterator[_Api]:
        """The engine's API; one connection for a build, as one by ssh takes its time."""
        if self._connection is None:
            self._connection = Client(self._endpoint, self._environment, seconds=_SECONDS)
        try:
            with self._connection.asking() as api:
                yield cast("_Api", api)
        except Refused as error:
            raise EngineFailed(error.what, where=error.where) from None

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _legacy_settings(settled: Settled, name: str, stream: BinaryIO, *, cached: bool) -> dict[str, object]:
    platform = settled.plan.platform
    return {
        "fileobj": stream,
        "custom_context": True,
        "dockerfile": DOCKERFILE,
        "tag": name,
        "platform": "/".join(filter(None, (platform.os, platform.architecture, platform.variant))),
        "buildargs": dict((*platform_args(settled), *build_args(settled))),
        "target": settled.plan.target or None,
        "network_mode": settled.plan.network or None,
        "nocache": not cached,
        "rm": True,
        "forcerm": True,
        "decode": True,
    }


def _needs_buildkit(recipe: Recipe, plan: BuildPlan) -> str | None:
    """What of a Dockerfile the legacy builder does not know; None = it can."""
    if plan.secrets or plan.ssh:
        return "a build secret"
    for number in recipe.needed:
        for command in recipe.commands(number):
            if _is_new(command):
                return f"{recipe.where(command.line)}: {type(command).__name__.upper()}"
    return None


def _is_new(command: Command) -> bool:
    if isinstance(command, Run):
        return bool(command.mounts or command.files or command.devices) or command.network != "default"
    if isinstance(command, Copy | Add):
        options = (command.contents, command.chmod, command.link, command.exclude)
        return any(options) or (isinstance(command, Copy) and command.parents)
    return False
