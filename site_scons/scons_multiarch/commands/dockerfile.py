"""The command `dockerfile`: the Dockerfile of every image, also of those that have none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from multiarch_oci.engine import OURS
from multiarch_oci.errors import MultiarchError
from multiarch_oci.ignorefile import IgnoreFile
from scons_multiarch.graph import ordered
from scons_multiarch.images import inputs_of
from scons_multiarch.installation import command
from scons_multiarch.targets import is_image

if TYPE_CHECKING:
    from multiarch_oci.engine import BuildPlan


_ELSEWHERE = (f"{OURS}/assets/", f"{OURS}/program/")
"""Where what lies outside of the project is in the context; the rest of OURS is laid out by a build."""


class NoImage(MultiarchError):
    """Targets that lead to no image."""


def run(env: Any, targets: list[Any]) -> int:
    """`dockerfile [T]`: the Dockerfile of the images that targets lead to, by default of all; several with headings.

    One text alone is printed as it is: `scons -Q dockerfile > Dockerfile` makes the same images. Where it would not,
    comments above it say why.
    """
    roots = targets or [env.Alias("images")[0]]
    plans = [node.attributes.target.plan for node in ordered(roots) if is_image(node)]
    if not plans:
        names = ", ".join(map(str, roots))
        hint = "name an image, as in _output/images, or a target that holds one"
        raise NoImage(f"{names} leads to no image", where="dockerfile", hint=hint)
    texts: dict[str, list[BuildPlan]] = {}
    for plan in plans:
        texts.setdefault(_text(plan), []).append(plan)
    for text, same in texts.items():
        if len(texts) > 1:
            others = [plan for plan in plans if plan not in same]
            print(_heading(same, others))  # noqa: T201  # the answer
        for remark in dict.fromkeys(remark for plan in same for remark in _remarks(env, plan)):
            print(f"# {remark}")  # noqa: T201  # the answer
        print(text, end="" if text.endswith("\n") else "\n", flush=True)  # noqa: T201  # the answer
    return 0


def _text(plan: BuildPlan) -> str:
    try:
        return plan.read().decode("utf-8", "replace")
    except FileNotFoundError:
        raise NoImage("is not there yet", where=plan.name, hint=f"the build makes it: {command()} images") from None


def _remarks(env: Any, plan: BuildPlan) -> Iterator[str]:
    """Where a generated Dockerfile, written down, would make another image: links, ignore files, what is elsewhere."""
    if not plan.text:
        return
    elsewhere = [file for file in plan.files if file.origin is not None and file.path.startswith(_ELSEWHERE)]
    for given in elsewhere:
        yield f"{given.path} is {given.origin}, outside of the project: copy it there first"
    inputs = inputs_of(env["MULTIARCH_RUN"], plan)
    for folder in plan.followed:
        origin = next((given.origin for given in elsewhere if given.path == folder), None) or plan.context / folder
        if any(link.is_symlink() for link in (origin, *origin.rglob("*"))):
            yield f"{folder} holds links: the image has what they lead to, and this COPY would take the links"
    for name in ("Dockerfile.dockerignore", ".dockerignore"):
        file = plan.context / name
        if not file.is_file():
            continue
        ignored = replace(inputs, ignore=IgnoreFile.parse(file.read_bytes(), name=name))
        taken = (*inputs.missing, *(taken.path for taken in inputs.files if taken.kind != "DIRECTORY"))
        paths = sorted(path for path in taken if not ignored.reaches(path))
        if paths:
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            yield f"{name} leaves out {paths[0]}{more}, which the image has: it is not asked without a Dockerfile"
        return


def _heading(plans: list[BuildPlan], others: list[BuildPlan]) -> str:
    """What a text is for, as a comment: the platforms, and what the file is called, or could be."""
    platforms = ", ".join(dict.fromkeys(str(plan.platform) for plan in plans))
    if not plans[0].text:
        return f"# {platforms}: {plans[0].name}"
    taken = {name for plan in others for name in plan.platform.dockerfiles()}
    names = [
        name
        for name in plans[0].platform.dockerfiles()
        if name not in taken and all(name in plan.platform.dockerfiles() for plan in plans)
    ]
    return f"# {platforms}: {names[-1] if names else plans[0].platform.dockerfiles()[0]}"
