"""BuildKit by buildx: any builder of the user: local, in a container, in Kubernetes, or on other machines."""

from __future__ import annotations

import re
from pathlib import Path

from multiarch.descriptor import Descriptor
from multiarch.engine import BuildPlan, EngineUnavailable
from multiarch.engine.handing.lending import lent
from multiarch.engine.handing.staging import staged
from multiarch.engine.handing.surroundings import Surroundings, flags
from multiarch.engine.harvest.made import of_layout
from multiarch.engine.harvest.normalising import harvest

_DRIVER = re.compile(r"\bDriver: (\S+)")
_ERROR = re.compile(r"\bError: (.*?)(?= Platforms:| Name:|$)")
_CREATE = "'docker buildx create --use' makes one that can"


class BuildxEngine:
    """Implements Engine by `docker buildx build --output type=oci`; `builder` is a name of `docker buildx ls`.

    Without a name it is BUILDX_BUILDER's, else the one in use.
    """

    name = "buildx"

    def __init__(self, given: Surroundings, *, builder: str = "") -> None:
        self._given = given
        self._builder = builder

    def refusal(self, plan: BuildPlan) -> str | None:
        """As Engine says; asks the plugin, and the builder whether it is there and can hand an image out."""
        del plan
        return self._found()[1]

    def build(self, plan: BuildPlan, output: Path) -> Descriptor:
        """As Engine says."""
        command, refusal = self._found()
        if refusal is not None:
            raise EngineUnavailable(refusal, where=str(plan.dockerfile), hint="ENGINE=podman and docker build as well")
        settled = self._given.reader.settled(plan, self._given.open_source)
        settled.platform()
        lending = lent(plan, self._given.programs.environment, where=settled.recipe.name)
        with staged(settled, self._given.reader) as there:
            archive = there.scratch / "image.tar"
            whole = [*command, "build", *self._named(), "--progress", "plain", "--provenance=false", "--sbom=false"]
            whole += ["--output", f"type=oci,dest={archive}", "--file", str(there.dockerfile), *flags(settled)]
            whole += [*lending, str(there.context)]
            self._given.programs.run(whole, where=settled.recipe.name, doing="docker buildx build")
            made = of_layout(archive, plan.platform)
            return harvest(made, settled, output, engine=self.name, warn=self._given.warn)

    def _named(self) -> list[str]:
        return ["--builder", self._builder] if self._builder else []

    def _found(self) -> tuple[list[str], str | None]:
        """The command that is buildx, and why it cannot build."""
        programs = self._given.programs
        docker = programs.find("docker")
        alone = programs.find("buildx") or programs.find("docker-buildx")
        if docker is not None and programs.ask([docker, "buildx", "version"])[0]:
            command = [docker, "buildx"]
        elif alone is not None:
            command = [alone]
        else:
            return [], "docker has no buildx plugin" if docker is not None else "there is no docker in PATH"
        named = [self._builder] if self._builder else []
        works, said = programs.ask([*command, "inspect", *named])
        if not works:
            return command, f"buildx has no builder that answers: {said}"
        driver, error = _DRIVER.search(said), _ERROR.search(said)
        if error is not None:
            return command, f"buildx's builder does not answer: {error[1]}"
        if driver is not None and driver[1] == "docker":
            return command, f"buildx's builder is the Docker engine itself, which hands no image out; {_CREATE}"
        return command, None
