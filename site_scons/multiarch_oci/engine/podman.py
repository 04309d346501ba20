"""Podman, or Buildah where it is alone: `build --platform`, the image taken out as a Docker archive.

Isolation, storage and logins are those of the user's environment (BUILDAH_ISOLATION, CONTAINERS_STORAGE_CONF,
containers.conf, auth.json).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.engine import BuildPlan, EngineUnavailable
from multiarch_oci.engine.export.made import of_save
from multiarch_oci.engine.export.normalising import normalise
from multiarch_oci.engine.external.calling import Programs
from multiarch_oci.engine.external.marks import for_buildah
from multiarch_oci.engine.external.pinning import INSIDE, replacing_stages
from multiarch_oci.engine.external.secrets import secret_flags
from multiarch_oci.engine.external.staging import Staged, context_flags, staged
from multiarch_oci.engine.external.surroundings import Surroundings, flags, temporary_name
from multiarch_oci.engine.frontend.reader import Settled
from multiarch_oci.errors import MultiarchError
from multiarch_oci.store.http.hosts import is_listed

_NO_WINDOWS = "podman and buildah make no layers that Windows unpacks"


class PodmanEngine:
    """Implements Engine by the command line of Podman or Buildah."""

    name = "podman"

    def __init__(self, given: Surroundings) -> None:
        self._given = given
        self._programs = Programs(_without_empty_config(given.programs.environment), given.programs.tell)

    def refusal(self, plan: BuildPlan) -> str | None:
        """As Engine says; asks the program whether it works at all."""
        refusal = self._lacking(plan)
        if refusal is not None:
            return refusal
        program = self._program()
        if program is None:
            return "there is neither podman nor buildah in PATH"
        works, output = self._programs.ask([program[1], "info"])
        return None if works else f"{program[0]} does not work here: {output}"

    def build(self, plan: BuildPlan, output: Path) -> Descriptor:
        """As Engine says; the image has a name of its own in the engine while it is built, and none afterwards."""
        named = self._program()
        if named is None:
            raise EngineUnavailable("there is neither podman nor buildah in PATH", hint="install one of them")
        refusal = self._lacking(plan)
        if refusal is not None:
            raise EngineUnavailable(refusal, where=plan.location, hint="another ENGINE may do it")
        kind, program = named
        settled = self._given.reader.settled(plan, self._given.open_source)
        settled.platform()
        secrets = secret_flags(plan, self._programs.environment, where=settled.recipe.name, typed=True)
        marks = for_buildah(settled, self._given.reader)
        # They take no folder for a base, but a stage that copies what was put into the context.
        is_base = any(settled.recipe.stages[number].folder for number in settled.recipe.whole)
        with staged(settled, self._given.reader, marks, inside=is_base) as there, self._named(kind, program) as name:
            self._pull(program, settled)
            contexts = context_flags(settled, there)
            command = [
                program,
                *_build(kind, cached=marks.cached),
                *flags(settled),
                *contexts,
                *secrets,
                *_arguments(there, name),
            ]
            self._run(command, settled, f"{kind} build")
            archive = there.scratch / "image.tar"
            self._run([program, *_export(kind, name, archive)], settled, f"{kind}: taking the image out")
            return normalise(
                of_save(archive), settled, output, engine=self.name, warn=self._given.warn, made_from=there.made_from
            )

    def _lacking(self, plan: BuildPlan) -> str | None:
        """What of a plan neither Podman nor Buildah can do."""
        if plan.platform.os == "windows":
            return _NO_WINDOWS
        try:
            recipe = self._given.reader.recipe(plan)
        except MultiarchError:
            return None  # `build` says what is wrong with the Dockerfile
        inside = () if self._given.reader.inputs(plan).enters(INSIDE) else replacing_stages(recipe)
        stages = (recipe.stages[number] for number in recipe.whole)
        line = next((stage.stage.line for stage in stages if stage.folder and stage.folder not in inside), None)
        return None if line is None else f"{recipe.where(line)}: podman and buildah take no folder for a base"

    def _program(self) -> tuple[str, str] | None:
        for kind in ("podman", "buildah"):
            path = self._programs.find(kind)
            if path is not None:
                return kind, path
        return None

    def _run(self, command: list[str], settled: Settled, doing: str) -> None:
        self._programs.run(command, where=settled.recipe.name, doing=doing)

    def _pull(self, program: str, settled: Settled) -> None:
        """Fetch the bases of hosts that may speak plain HTTP: the flag for it holds for all hosts of one command."""
        for image in settled.images.values():
            reference = image.reference
            if is_listed(reference.registry, self._given.insecure):
                pinned = str(reference.bare.with_digest(reference.digest)) if reference.digest else str(reference)
                command = [program, "pull", "--quiet", "--tls-verify=false", pinned]
                self._run(command, settled, f"fetching {reference}")

    @contextmanager
    def _named(self, kind: str, program: str) -> Iterator[str]:
        name = temporary_name()
        try:
            yield name
        finally:
            # The layers in between stay, as the engine's own cache.
            kept = ["--no-prune"] if kind == "podman" else []
            self._programs.ask([program, "rmi", *kept, name])


def _without_empty_config(environment: Mapping[str, str]) -> dict[str, str]:
    """Podman fails where DOCKER_CONFIG is a folder without logins; docker does not."""
    folder = environment.get("DOCKER_CONFIG")
    empty = bool(folder) and not Path(folder or "", "config.json").exists()
    return {name: value for name, value in environment.items() if name != "DOCKER_CONFIG" or not empty}


def _build(kind: str, *, cached: bool) -> list[str]:
    # In the OCI format HEALTHCHECK, SHELL and ONBUILD would be dropped.
    # --pull=false fetches what is missing; a digest never becomes another image.
    always = ["--format", "docker", "--layers", "--pull=false", "--identity-label=false"]
    return ["build" if kind == "podman" else "bud", *always, *([] if cached else ["--no-cache"])]


def _arguments(there: Staged, name: str) -> list[str]:
    return ["--tag", name, "--file", str(there.dockerfile), "--ignorefile", str(there.ignore), str(there.context)]


def _export(kind: str, name: str, archive: Path) -> list[str]:
    if kind == "podman":
        return ["save", "--quiet", "--format", "docker-archive", "--output", str(archive), name]
    return ["push", "--quiet", name, f"docker-archive:{archive}"]
