"""Which engine builds an image, and why: asked by the step and by `plan`, looked up for `scons -h`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SCons.Script

from multiarch_oci.engine import AUTO, NAMES, BuildPlan, Choice, Engine, EngineUnavailable, choose
from multiarch_oci.errors import MultiarchError
from scons_multiarch import paths
from scons_multiarch.process import doing, log, say
from scons_multiarch.session import Run

if TYPE_CHECKING:
    from multiarch_oci.engine.external.surroundings import Surroundings
    from multiarch_oci.engine.frontend.reader import Reader
    from scons_multiarch.targets import ImageTarget

_RUN = rb"(?im)^[ \t]*(?:ONBUILD[ \t]+)?RUN\b"
"""What a Dockerfile must hold for the embedded engine to refuse it; a look that spares most of them the reading."""


def named_engine(env: Any, given: Any) -> str:
    """The name of an engine that a builder is given, else ENGINE's. EngineUnavailable for one that does not exist."""
    name = paths.text(env, "Image: engine", given or env.get("ENGINE", AUTO))
    if name not in (AUTO, *NAMES):
        raise EngineUnavailable(f"there is no engine '{name}'", hint=f"there is: {', '.join((AUTO, *NAMES))}")
    return name


def reader(run: Run) -> Reader:
    """What reads the Dockerfiles of this run."""
    from multiarch_oci.engine.frontend.reader import Reader

    return run.build.once("reader", Reader)


def engines(run: Run, endpoint: str, builder: str) -> dict[str, Callable[[], Engine]]:
    """Every engine, in the order in which `auto` asks them; none is loaded before it is asked."""

    def embedded() -> Engine:
        from multiarch_oci.engine.embedded.engine import EmbeddedEngine

        return EmbeddedEngine(run.build.registries.source, warn, reader=reader(run), doing=doing)

    def buildx() -> Engine:
        from multiarch_oci.engine.buildx import BuildxEngine

        # One for all images: it knows what each node of the builder is at.
        return run.build.once(("buildx", builder), lambda: BuildxEngine(_surroundings(run), builder=builder))

    def podman() -> Engine:
        from multiarch_oci.engine.podman import PodmanEngine

        return PodmanEngine(_surroundings(run))

    def docker() -> Engine:
        from multiarch_oci.engine.docker import DockerEngine

        return DockerEngine(_surroundings(run), endpoint=endpoint)

    return {"embedded": embedded, "buildx": buildx, "podman": podman, "docker": docker}


def _surroundings(run: Run) -> Surroundings:
    from multiarch_oci.engine.external.calling import Programs
    from multiarch_oci.engine.external.surroundings import Surroundings
    from multiarch_oci.store.http.hosts import LOOPBACK
    from scons_multiarch.tracking.jobs import elsewhere

    return Surroundings(
        run.build.registries.source,
        warn,
        Programs(run.settings.environment, log),
        reader(run),
        (*LOOPBACK, *run.settings.insecure),
        say=say,
        doing=doing,
        elsewhere=elsewhere,
        jobs=SCons.Script.GetOption("num_jobs"),
    )


_VERSIONS = {
    "buildx": (("docker", "buildx", "version"), ("docker-buildx", "version"), ("buildx", "version")),
    "podman": (("podman", "--version"), ("buildah", "--version")),
    "docker": (("docker", "version", "--format", "{{.Server.Version}}"), ("docker", "--version")),
}
"""What says the version of an engine, the first that answers."""


def version_of_engine(run: Run, name: str) -> str:
    """The version of an engine of others, as it says it now; "" where it does not."""

    def ask() -> str:
        programs = _surroundings(run).programs
        for command in _VERSIONS.get(name, ()):
            answered, text = programs.ask(command) if programs.find(command[0]) else (False, "")
            number = re.search(r"(?a:[0-9]+(?:\.[0-9]+)+[\w.+-]*)", text)
            if answered and number is not None:
                return number[0]
        return ""

    return run.build.once(("version of an engine", name), ask)


def warn(line: str) -> None:
    """Say what is suspicious and no error."""
    say(f"  warning: {line}")


def chosen(run: Run, record: ImageTarget, plan: BuildPlan, output: Path) -> Choice:
    """The engine for this image. EngineUnavailable when none can build it."""
    before = None
    if record.engine == AUTO and output.exists():
        from multiarch_oci.engine.export.normalising import engine_of

        before = engine_of(output)
    return choose(engines(run, record.endpoint, record.builder), record.engine, plan, before=before)


def expected(run: Run, record: ImageTarget, plan: BuildPlan, output: Path) -> tuple[str | None, str]:
    """The name of the engine that would build an image, and why those before it would not; None: nobody can."""
    try:
        choice = chosen(run, record, plan, output)
    except MultiarchError as error:
        return None, error.hint or error.what
    return choice.engine.name, choice.because


def help_text(run: Run, images: Iterable[Any]) -> str:
    """For `scons -h`: who would build the images, as far as a look at files tells; nothing is started or asked."""
    images_by_engine: dict[str, list[str]] = {}
    for node in images:
        images_by_engine.setdefault(_seen(run, node.attributes.target), []).append(Path(str(node)).name)
    if not images_by_engine:
        return ""
    lines = ["", "Engines, by a look at what is installed:"]
    for engine, names in images_by_engine.items():
        lines += [f"  {engine}", f"    {', '.join(names)}"]
    return "\n".join((*lines, ""))


def _seen(run: Run, record: ImageTarget) -> str:
    from multiarch_oci.engine.external.calling import absent

    if record.engine != AUTO:
        return f"{record.engine}, as ENGINE or the SConstruct has it"
    because: list[str] = []
    for name in NAMES:
        reason = _embedded_refusal(run, record.plan) if name == NAMES[0] else None
        reason = reason or absent(name, run.settings.environment, record.endpoint)
        if reason is None:
            return f"{name} ({'; '.join(because)})" if because else name
        because.append(f"{name}: {reason}")
    return f"no engine can build these ({'; '.join(because)})"


def _embedded_refusal(run: Run, plan: BuildPlan) -> str | None:
    try:
        content = plan.read()
    except OSError:
        return None  # it is made by this build, or the step says what is wrong
    if not re.search(_RUN, content):
        return None
    from multiarch_oci.engine.embedded.engine import refusal

    return refusal(plan, reader(run))
