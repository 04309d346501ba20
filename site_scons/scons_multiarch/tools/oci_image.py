"""Tool: `env.Image`, what a Dockerfile makes for one platform, as a tarball (OCI layout, base by descriptor)."""

from __future__ import annotations

from typing import Any

from multiarch_oci.engine import GENERATED, BuildPlan
from scons_multiarch import paths
from scons_multiarch.engines import named_engine
from scons_multiarch.images import facts, host_of_engines, keep, perform, unkept, with_bases
from scons_multiarch.session import Run
from scons_multiarch.settings import prepare
from scons_multiarch.sources import dockerfile_of, recipe_path, scan
from scons_multiarch.step import Step, add_method
from scons_multiarch.targets import ImageTarget, declared_before, platform_for, without_around
from scons_multiarch.tracking.nodes import declare, track
from scons_multiarch.tracking.state import State

STEP = Step("Image", perform)


def image(
    env: Any,
    target: Any,
    contents: Any = (),
    *,
    dockerfile: Any = None,
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
    rebase: Any = None,
    contexts: Any = (),
    stages: Any = None,
    base_image: Any = None,
    assets: Any = None,
    zoneinfo: Any = False,
    sbom: Any = (),
) -> Any:
    """Declare an image. `contents` are built first; what else the Dockerfile copies is found, whoever makes it.

    With `dockerfile=None` the contents are one program, and the image is that (see `scons dockerfile`): over
    `base_image`, by default BASE_IMAGE, with a folder of `assets` as ko's `kodata`, and with `zoneinfo` time zones.

    `platform` defaults to that of the contents; `foreign` are globs of files in the image that may be of another
    machine, also when they are started; `stage` is the Dockerfile's stage to build, by default its last. `endpoint` is
    the address or the context of the engine `docker`, `builder` the builder of the engine `buildx`; `secrets`
    (`id=token,src=file`) and `ssh` (`default`) are for RUN, and no part of what is remembered; `network` (`none`,
    `host`) is what RUN may reach. `rebase=False`: the engine builds it, too, when nothing but the base changed; by
    default REBASE says it. `contexts` say what names in the Dockerfile mean: folders, from the SConscript's, or images
    (`docker-image://ref`). `stages` say what stands in the place of its stages: `{"build": "/app"}` the program of the
    contents, `{"build": {"/app": node}}` any files; both may be of the platform, as `build_args`. `sbom`: SBOMs of it.
    """
    run: Run = env["MULTIARCH_RUN"]
    given = track(env, paths.nodes(env, "Image: contents", contents))
    target_platform = platform_for(given, platform)
    sources = list(given)
    recipe = [] if dockerfile is None else [dockerfile_of(env, dockerfile, target_platform)]
    parts: dict[str, Any] = {}
    own = {"base_image": base_image, "assets": assets, "zoneinfo": paths.truth(env, "Image: zoneinfo", zoneinfo)}
    if not recipe or contexts or stages or any(own.values()):
        from scons_multiarch.recipes import parts_of

        parts, nodes = parts_of(
            env, given, target_platform, has_dockerfile=bool(recipe), own=own, contexts=contexts, stages=stages
        )
        sources += [node for node in track(env, nodes) if node not in sources]
    arguments = paths.named_for(env, "Image: build_args", build_args, target_platform)
    plan = BuildPlan(
        platform=target_platform,
        dockerfile=recipe_path(recipe[0]) if recipe else run.tree.root / GENERATED,
        context=run.tree.root,
        file_digest=run.tree.digest,
        held=run.tree.held,
        build_args=(*env.get("BUILD_ARGS", ()), *arguments.items()),
        labels=(*env.get("LABELS", ()), *paths.named(env, "Image: labels", labels).items()),
        target=paths.text(env, "Image: stage", stage),
        epoch=run.settings.epoch,
        foreign=paths.texts(env, "Image: foreign", foreign),
        build_platform=run.build.once("host of engines", host_of_engines) if target_platform.os == "linux" else None,
        secrets=paths.texts(env, "Image: secrets", secrets),
        ssh=paths.texts(env, "Image: ssh", ssh),
        network=paths.text(env, "Image: network", network),
        **parts,
    )
    moves = env.get("REBASE", True) if rebase is None else paths.truth(env, "Image: rebase", rebase)
    engine_options = paths.text(env, "Image: endpoint", endpoint), paths.text(env, "Image: builder", builder)
    record = ImageTarget(
        plan, named_engine(env, engine), *engine_options, moves, tuple(paths.nodes(env, "Image: sbom", sbom))
    )
    return _declare(env, paths.file(env, "Image: target", target), record, [*recipe, *sources])


def _declare(env: Any, node: Any, record: ImageTarget, sources: list[Any]) -> Any:
    """The targets of an image that is made from these files, its Dockerfile first."""
    run: Run = env["MULTIARCH_RUN"]
    sources, around = without_around(sources, node)
    if declared_before([node], record, sources):
        return [node]
    nodes = env.OciImage([node], sources)
    run.declarations.hide(name := paths.shown(node))
    state = State(
        name,
        lambda: facts(run, node),
        lambda: unkept(run, node),
        scan=lambda: scan(node, env, around),
        taken=lambda: keep(run, with_bases(run, record.plan)[0]),
        kind="image",
    )
    declare(env, [node], record, state)
    return nodes


def generate(env: Any) -> None:
    """Add `env.Image`."""
    prepare(env)
    env["BUILDERS"]["OciImage"] = STEP.builder()
    add_method(env, image, "Image")


def exists(_env: Any) -> bool:
    """Always: the embedded engine needs nothing, and the others are found when they are asked."""
    return True
