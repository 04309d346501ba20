"""BuildKit by buildx: any builder of the user: local, in a container, in Kubernetes, or on other machines.

A builder that is the Docker engine itself (the driver `docker`, all that a plain installation has) hands no OCI layout
out: there the image is loaded into the engine and saved. Over the nodes of a builder that has several, images are
spread (`external/nodes`).
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.engine import BuildPlan, EngineUnavailable
from multiarch_oci.engine.export.made import Made, of_layout, of_save
from multiarch_oci.engine.export.normalising import normalise
from multiarch_oci.engine.external.marks import for_buildkit
from multiarch_oci.engine.external.nodes import ANSWER_S, NodeDied, NodeGroup, blocks, run_platforms
from multiarch_oci.engine.external.secrets import secret_flags
from multiarch_oci.engine.external.staging import Staged, context_flags, staged
from multiarch_oci.engine.external.surroundings import Surroundings, flags, temporary_name
from multiarch_oci.engine.frontend.reader import Settled
from multiarch_oci.errors import MultiarchError
from multiarch_oci.once import Once

_NAME = re.compile(r"\bName: (\S+)")
_DRIVER = re.compile(r"\bDriver: (\S+)")
_ENDPOINT = re.compile(r"\bEndpoint: (\S+)")
_ERROR = re.compile(r"\bError: (.*?)(?= Platforms:| Name:| Nodes:|$)")
_ITSELF = "docker"
"""The driver whose builder is the Docker engine itself."""
_SEVERAL = 2
_DOING = "docker buildx build"


class Builder(msgspec.Struct, frozen=True):
    """What buildx says of a builder. `command` is buildx; `docker` the command line of the engine that it is itself.

    `nodes` is the number of its nodes, or of their pods.
    """

    command: tuple[str, ...]
    docker: tuple[str, ...]
    name: str
    driver: str
    platforms: tuple[str, ...]
    nodes: int


class BuildxEngine:
    """Implements Engine by `docker buildx build`; `builder` is a name of `docker buildx ls`.

    Without a name it is BUILDX_BUILDER's, else the one in use. An engine asks for it once: make one a build, for all
    images, so that it knows what each node is at. Any thread.
    """

    name = "buildx"

    def __init__(self, given: Surroundings, *, builder: str = "") -> None:
        self._given = given
        self._builder = builder
        self._builders: Once[Builder | str] = Once()
        self._groups: Once[NodeGroup | None] = Once()

    def refusal(self, plan: BuildPlan) -> str | None:
        """As Engine says; asks the plugin, and the builder whether it is there and can hand an image out."""
        try:
            self._ready(plan)
        except EngineUnavailable as error:
            return error.what
        return None

    def build(self, plan: BuildPlan, output: Path) -> Descriptor:
        """As Engine says."""
        builder = self._ready(plan)
        settled = self._given.reader.settled(plan, self._given.open_source)
        settled.platform()
        secrets = secret_flags(plan, self._given.programs.environment, where=settled.recipe.name)
        with staged(settled, self._given.reader) as there:
            words = ["--progress", "plain", "--provenance=false", "--sbom=false", "--file", str(there.dockerfile)]
            words += [*flags(settled), *context_flags(settled, there), *secrets, *for_buildkit(plan)]
            take = self._loaded if builder.driver == _ITSELF else self._exported
            made = take(builder, words, there, settled)
            return normalise(made, settled, output, engine=self.name, warn=self._given.warn, made_from=there.made_from)

    def _exported(self, builder: Builder, words: list[str], there: Staged, settled: Settled) -> Made:
        archive = there.scratch / "image.tar"
        words = [*words, "--output", f"type=oci,dest={archive}", str(there.context)]
        group = self._groups.get("", lambda: self._group(builder))
        if group is None:
            self._run([*builder.command, "build", *self._named(), *words], settled, _DOING)
        else:
            self._build_on_a_node(group, words, there, settled)
        return of_layout(archive, settled.plan.platform)

    def _group(self, builder: Builder) -> NodeGroup | None:
        """The nodes of a builder that has several; None: buildx has no choice."""
        if builder.nodes < _SEVERAL:
            return None
        group = NodeGroup(builder.command, builder.name, builder.driver, self._given.programs)
        if not group.look(self._given.jobs):
            return None
        for node, why in group.nodes.lost.items():
            self._given.warn(f"node '{node}' of builder '{builder.name}': {why}; it gets no image")
        return group

    def _build_on_a_node(self, group: NodeGroup, words: list[str], there: Staged, settled: Settled) -> None:
        """Build on the node that suits best; where that one dies meanwhile, once more."""
        with self._given.elsewhere(group.nodes.room):
            try:
                self._try_on_a_node(group, words, there, settled)
            except NodeDied as died:
                again = "the image is tried once more"
                self._given.warn(f"node '{died.node}' of builder '{group.name}': {died.why}; {again}")
                self._try_on_a_node(group, words, there, settled)

    def _try_on_a_node(self, group: NodeGroup, words: list[str], there: Staged, settled: Settled) -> None:
        where, name = settled.recipe.name, group.name
        self._given.doing(f"waits for a node of builder '{name}'")
        with group.nodes.taken(run_platforms(settled)) as node:
            self._given.doing(f"on node '{node.name}' of builder '{name}'")
            try:
                group.build(node, words, there.scratch, where=where, doing=f"{_DOING} on '{node.name}'")
            except NodeDied as died:
                if died.is_gone:
                    group.nodes.lose(died.node, died.why)
                raise
        self._given.say(f"  built on node '{node.name}' of builder '{name}'")

    def _loaded(self, builder: Builder, words: list[str], there: Staged, settled: Settled) -> Made:
        """The image has a name of its own in the engine until it is saved, and none afterwards."""
        archive, name = there.scratch / "image.tar", temporary_name()
        command = [*builder.command, "build", *self._named(), *words]
        try:
            self._run([*command, "--load", "--tag", name, str(there.context)], settled, _DOING)
            self._run([*builder.docker, "save", "--output", str(archive), name], settled, "docker save")
        finally:
            self._given.programs.ask([*builder.docker, "rmi", "--no-prune", name])
        return of_save(archive)

    def _run(self, command: list[str], settled: Settled, doing: str) -> None:
        self._given.programs.run(command, where=settled.recipe.name, doing=doing)

    def _named(self) -> list[str]:
        return ["--builder", self._builder] if self._builder else []

    def _ready(self, plan: BuildPlan) -> Builder:
        builder = self._builders.get("", self._inspect)
        refusal = builder if isinstance(builder, str) else self._lacking(builder, plan)
        if isinstance(builder, str) or refusal is not None:
            hint = "ENGINE=podman and docker build as well"
            raise EngineUnavailable(str(refusal), where=plan.location, hint=hint)
        return builder

    def _lacking(self, builder: Builder, plan: BuildPlan) -> str | None:
        """What of a plan the builder cannot do."""
        system = plan.platform.os
        if not builder.platforms or any(platform.startswith(f"{system}/") for platform in builder.platforms):
            return None
        if builder.driver == _ITSELF:
            return f"buildx's builder is a Docker engine that makes no {system} images"
        return f"buildx's builder runs no {system} programs" if self._runs(plan) else None

    def _runs(self, plan: BuildPlan) -> bool:
        try:
            return self._given.reader.recipe(plan).runs
        except MultiarchError:
            return False  # `build` says what is wrong with the Dockerfile

    def _inspect(self) -> Builder | str:
        """The builder, or why there is none."""
        programs = self._given.programs
        docker = programs.find("docker")
        alone = programs.find("buildx") or programs.find("docker-buildx")
        if docker is not None and programs.ask([docker, "buildx", "version"])[0]:
            command: tuple[str, ...] = (docker, "buildx")
        elif alone is not None:
            command = (alone,)
        else:
            return "docker has no buildx plugin" if docker is not None else "there is no docker in PATH"
        named = [self._builder] if self._builder else []
        works, output = programs.ask([*command, "inspect", *named], seconds=ANSWER_S)
        if not works:
            return f"buildx has no builder that answers: {output}"
        name, driver, endpoint = _NAME.search(output), _DRIVER.search(output), _ENDPOINT.search(output)
        nodes, error = blocks(output), _ERROR.search(output.partition(" Nodes: ")[0])
        failures = [node.failing(driver[1] if driver is not None else "") for node in nodes]
        if error is not None or (failures and all(failures)):
            return f"buildx's builder does not answer: {error[1] if error is not None else failures[0]}"
        itself = driver is not None and driver[1] == _ITSELF
        if itself and docker is None:
            return "buildx's builder is the Docker engine itself, and there is no docker in PATH to take the image out"
        context = ("--context", endpoint[1]) if itself and endpoint is not None and endpoint[1] != "default" else ()
        if context and docker is not None:
            command = (docker, *context, "buildx")  # buildx builds in no engine but that of the context in use
        return Builder(
            command,
            (docker or "", *context),
            name[1] if name is not None else "",
            driver[1] if driver is not None else "",
            tuple(platform for node in nodes for platform in node.platforms),
            len(nodes),
        )
