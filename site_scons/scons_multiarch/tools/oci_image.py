"""Tool: `env.Image`, what a Dockerfile makes for one platform, as a tarball (OCI layout, base by descriptor)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from multiarch_oci.engine import AUTO, NAMES, BuildPlan, EngineUnavailable, NamedContext
from multiarch_oci.errors import MultiarchError
from multiarch_oci.platform import Platform
from scons_multiarch import paths
from scons_multiarch.bases import keep
from scons_multiarch.images import facts, host_of_engines, perform, settled, unkept
from scons_multiarch.session import Run
from scons_multiarch.sources import generated
from scons_multiarch.step import Step, add_method
from scons_multiarch.targets import ImageTarget, declared_before, platform_of
from scons_multiarch.tracking import State, declare, track


class NoDockerfile(MultiarchError, ValueError):
    """A platform for which no Dockerfile is there."""


STEP = Step("Image", perform)


def dockerfile_of(env: Any, candidates: Any, platform: Platform) -> Any:
    """The first Dockerfile that exists or is generated; ends the run when there is none."""
    nodes = [paths.file(env, "Image: dockerfile", name) for name in paths.flat(candidates)]
    for node in nodes:
        env["MULTIARCH_RUN"].note_looked_for(Path(node.srcnode().get_abspath()))
        if node.has_builder() or node.rexists() or node.srcnode().rexists():  # under -n no variant folder gets copies
            return node
    names = ", ".join(map(paths.shown, nodes))
    hint = f"write one of: {names}" if names else 'dockerfile="Dockerfile"'
    raise NoDockerfile(f"there is no Dockerfile for {platform}", hint=hint)


def recipe_path(node: Any) -> Path:
    """Where to read a Dockerfile: one that nothing makes where it was written, its ignore file beside it.

    That is the folder of the sources for one in a variant folder, or a Repository.
    """
    if not node.has_builder() and node.srcnode().rexists():
        node = node.srcnode()
    return Path(node.rfile().get_abspath())


def image(
    env: Any,
    target: Any,
    contents: Any = (),
    *,
    dockerfile: Any,
    platform: Any = None,
    engine: str | None = None,
    build_args: Any = (),
    labels: Any = (),
    foreign: Any = (),
    stage: str = "",
    endpoint: str = "",
    builder: str = "",
    secrets: Any = (),
    ssh: Any = (),
    network: str = "",
    rebase: bool | None = None,
    contexts: Any = (),
) -> Any:
    """Declare an image. `contents` are built first; what else the Dockerfile copies is found, whoever makes it.

    `platform` defaults to that of the contents; `foreign` are globs of files in the image that may be of another
    machine, also when they are started; `stage` is the Dockerfile's stage to build, by default its last. `endpoint` is
    the address or the context of the engine `docker`, `builder` the builder of the engine `buildx`; `secrets`
    (`id=token,src=file`) and `ssh` (`default`) are for RUN, and no part of what is remembered; `network` (`none`,
    `host`) is what RUN may reach.
    `rebase=False`: the engine builds it, too, when nothing but the base changed; by default REBASE says it. `contexts`
    say what names in the Dockerfile mean: folders, from the SConscript's, or images (`docker-image://ref`).
    """
    run: Run = env["MULTIARCH_RUN"]
    given = track(env, paths.nodes(env, "Image: contents", contents))
    if platform is None:
        platform = next(filter(None, map(platform_of, given)), "linux")
    wanted = paths.platform_of("Image: platform", platform)
    for node in given:
        if node.has_builder() and platform_of(node) is None:
            node.attributes.platform = wanted  # a program of Program or Command does not say; `run` looks for its own
    recipe = dockerfile_of(env, dockerfile, wanted)
    plan = BuildPlan(
        platform=wanted,
        dockerfile=recipe_path(recipe),
        context=run.root,
        file_digest=run.stat.digest,
        build_args=(*env.get("BUILD_ARGS", ()), *paths.named(env, "Image: build_args", build_args).items()),
        labels=(*env.get("LABELS", ()), *paths.named(env, "Image: labels", labels).items()),
        target=paths.text(env, "Image: stage", stage),
        epoch=run.epoch,
        foreign=paths.texts(env, "Image: foreign", foreign),
        build_platform=run.once("host of engines", host_of_engines) if wanted.os == "linux" else None,
        secrets=paths.texts(env, "Image: secrets", secrets),
        ssh=paths.texts(env, "Image: ssh", ssh),
        network=paths.text(env, "Image: network", network),
        contexts=_contexts(env, run, contexts),
    )
    moves = env.get("REBASE", True) if rebase is None else rebase
    place = paths.text(env, "Image: endpoint", endpoint), paths.text(env, "Image: builder", builder)
    record = ImageTarget(plan, _engine(env, engine), *place, moves)
    node = paths.file(env, "Image: target", target)
    if declared_before([node], record, [recipe, *given]):
        return [node]
    nodes = env.OciImage([node], [recipe, *given])
    run.hide(nodes)
    state = State(
        paths.shown(node),
        lambda: facts(run, node),
        lambda: unkept(run, node),
        scan=lambda: scan(node, env),
        taken=lambda: keep(run, settled(run, plan)[0].bases),
    )
    declare(env, nodes, record, state)
    return nodes


def _engine(env: Any, given: Any) -> str:
    name = paths.text(env, "Image: engine", given or env.get("ENGINE", AUTO))
    if name not in (AUTO, *NAMES):
        raise EngineUnavailable(f"there is no engine '{name}'", hint=f"there is: {', '.join((AUTO, *NAMES))}")
    return name


def _contexts(env: Any, run: Run, given: Any) -> tuple[NamedContext, ...]:
    """The named contexts, as they are given: texts with variables, or nodes of folders. Raises InvalidContext."""
    if not given:
        return ()
    from multiarch_oci.engine.frontend.named import named_contexts

    here = Path(env.fs.getcwd().srcnode().get_abspath())
    texts = paths.named(env, "Image: contexts", given)
    top = str(run.root) + os.sep
    return named_contexts({name: re.sub(r"^#/?", lambda _: top, text) for name, text in texts.items()}, here)


def scan(node: Any, env: Any) -> list[Any]:
    """The files of the image that something in this build makes, found in what its Dockerfile copies."""
    for source in node.sources:
        if not source.has_builder():
            source.exists()  # a variant folder gets its copy by this question
    plan = node.attributes.target.plan
    if not plan.dockerfile.exists():
        return []
    run = env["MULTIARCH_RUN"]
    run.leave_out_cache(env)
    try:
        # Kept for the decision, which comes next: when something before the image is made, SCons scans again.
        node.attributes.state.seen = _, found = settled(run, plan)
    except MultiarchError:
        return []  # the step says what is wrong with the Dockerfile
    return list(track(env, generated(env, found, node)))


def generate(env: Any) -> None:
    """Add `env.Image`."""
    env["BUILDERS"]["OciImage"] = STEP.builder()
    add_method(env, image, "Image")


def exists(_env: Any) -> bool:
    """Always: the embedded engine needs nothing, and the others are found when they are asked."""
    return True
