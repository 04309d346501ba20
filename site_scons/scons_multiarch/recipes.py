"""What an image is made by where no Dockerfile stands as it is: a generated one, and stages that are replaced."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from multiarch_oci.engine import OURS, BuildPlan, GivenFile, NamedContext
from multiarch_oci.errors import MultiarchError
from scons_multiarch import paths

if TYPE_CHECKING:
    from multiarch_oci.platform import Platform
    from scons_multiarch.session import Run

ARGUMENTS = ("TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT")
"""BuildKit's names of what is built for, which texts of an image may hold, as a Dockerfile may."""


class Contradiction(MultiarchError, ValueError):
    """Parameters of an image that do not go together."""


def text_for(env: Any, parameter: str, given: Any, platform: Platform) -> str:
    """A text for a platform, with SCons' variables replaced, and `$TARGETARCH` and its like as in a Dockerfile."""
    text = paths.for_platform(parameter, given, platform)
    if isinstance(text, str) and "$" in text:
        values = (str(platform), platform.os, platform.architecture, platform.variant)
        return str(env.subst(text, overrides=dict(zip(ARGUMENTS, values, strict=True))))
    return paths.text(env, parameter, text)


def parts_of(
    env: Any,
    contents: Sequence[Any],
    platform: Platform,
    *,
    has_dockerfile: bool,
    own: Mapping[str, Any],
    contexts: Any,
    stages: Any,
) -> tuple[dict[str, Any], list[Any]]:
    """The members of a plan that say what an image is made by, beside a Dockerfile or in the place of one.

    With them the nodes that stages are replaced by. `own` are the parameters of an image without a Dockerfile. Raises
    Contradiction, NoProgramImage, InvalidContext.
    """
    named: dict[str, Any] = {"contexts": _contexts(env, contexts)} if contexts else {}
    if not has_dockerfile:
        if stages:
            hint = 'name it: dockerfile="Dockerfile"'
            raise Contradiction("stages= is for an image with a Dockerfile", where="Image", hint=hint)
        return named | _without_dockerfile(env, contents, platform, **own), []
    for name in (name for name, value in own.items() if value not in (None, False)):
        what = f"{name}= is for an image without a Dockerfile"
        raise Contradiction(what, where="Image", hint="say dockerfile=None, or write it into the Dockerfile")
    if not stages:
        return named, []
    from scons_multiarch.stages import Stages

    replaced = Stages(env, contents, platform)
    named["contexts"] = (*named.get("contexts", ()), *replaced.contexts(stages))
    names = [context.name for context in named["contexts"]]
    for name in (name for name in names if names.count(name) > 1):
        what = f"'{name}' is both a context and a stage, or two stages"
        raise Contradiction(what, where="Image: stages", hint="say once what stands for it")
    return {**named, "remarks": tuple(replaced.remarks.items())}, replaced.nodes


def _without_dockerfile(
    env: Any, contents: Sequence[Any], platform: Platform, *, base_image: Any, assets: Any, zoneinfo: bool
) -> dict[str, Any]:
    """The Dockerfile of an image of one program, the only one of its `contents`. Raises NoProgramImage."""
    from multiarch_oci.programimage import ProgramImage, certificates, zones

    run: Run = env["MULTIARCH_RUN"]
    base = text_for(env, "Image: base_image", env.get("BASE_IMAGE", "") if base_image is None else base_image, platform)
    program, elsewhere = _in_context(run, _program(contents), "program")
    folder: str = ""
    data: tuple[GivenFile, ...] = ()
    if assets:
        node = paths.folder(env, "Image: assets", env.Dir(assets) if isinstance(assets, str) else assets)
        folder, data = _in_context(run, node, "assets")
    image = ProgramImage(platform, program, base, folder, zoneinfo)
    authorities, times = certificates(), zones() if zoneinfo else None
    parts = {"text": image.dockerfile(), "files": (*image.given(authorities, times), *elsewhere, *data)}
    # As ko has it, so that no link in an image leads to nothing.
    return {**parts, "remarks": image.remarks(authorities, times), "followed": (folder,) if folder else ()}


def _contexts(env: Any, given: Any) -> tuple[NamedContext, ...]:
    """The named contexts, as they are given: texts with variables, or nodes of folders. Raises InvalidContext."""
    from multiarch_oci.engine.frontend.named import named_contexts

    here = Path(env.fs.getcwd().srcnode().get_abspath())
    texts = paths.places(env, "Image: contexts", given)
    top = str(env["MULTIARCH_RUN"].tree.root) + os.sep
    return named_contexts({name: re.sub(r"^#/?", lambda _: top, text) for name, text in texts.items()}, here)


def _program(contents: Sequence[Any]) -> Any:
    import SCons.Node.FS

    from multiarch_oci.programimage import NoProgramImage

    hint = "write a Dockerfile for anything else; assets= takes a folder of data"
    names = ", ".join(map(paths.shown, contents)) or "nothing"
    if len(contents) != 1:
        what = f"an image without a Dockerfile holds one program, and was given {names}"
        raise NoProgramImage(what, where="Image: contents", hint=hint)
    if not isinstance(contents[0], SCons.Node.FS.File) and type(contents[0]) is not SCons.Node.FS.Entry:
        raise NoProgramImage(
            f"an image without a Dockerfile holds one program, and {names} is no file",
            where="Image: contents",
            hint=hint,
        )
    return contents[0]


def _in_context(run: Run, node: Any, name: str) -> tuple[str, tuple[GivenFile, ...]]:
    """The path of a node in the context; what lies outside of the project is given under a name below OURS."""
    if not node.has_builder() and node.srcnode().rexists():
        node = node.srcnode().rfile()
    file = Path(node.get_abspath())
    if file.is_relative_to(run.tree.root):
        return file.relative_to(run.tree.root).as_posix(), ()
    path = f"{OURS}/{name}/{file.name}"
    return path, (GivenFile(path, file),)


def with_ours(plan: BuildPlan) -> BuildPlan:
    """A plan whose Dockerfile names files of ours, with these."""
    from multiarch_oci.programimage import NoProgramImage, Packaged, certificates, given, zone_files, zones

    authorities = certificates()
    files, remarks = given(authorities), [("certifi", authorities.version)]
    times: Packaged | None
    try:
        times = zones()
    except NoProgramImage:
        times = None  # a Dockerfile that takes them says that they are missing
    if times is not None:
        files, remarks = (*files, *zone_files(times)), [*remarks, ("tzdata", times.version)]
    return replace(plan, files=files, remarks=(*plan.remarks, *remarks))


def lay_out(run: Run, plan: BuildPlan) -> None:
    """Write the files of ours that a plan gives into the tree, so that `docker build` finds them, too."""
    from multiarch_oci.store.atomic import replacing

    for given in plan.files:
        target = run.tree.root / given.path
        if not given.path.startswith(f"{OURS}/") or (given.origin is not None and not given.origin.is_file()):
            continue
        content = given.origin.read_bytes() if given.origin is not None else given.content
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file() or target.read_bytes() != content:
            with replacing(target) as file:
                file.write(content)
