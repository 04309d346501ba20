"""The command `dockerfile`: the Dockerfile of every image, also of those that have none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from multiarch_oci.errors import MultiarchError
from scons_multiarch.graph import ordered
from scons_multiarch.installation import command
from scons_multiarch.targets import is_image

if TYPE_CHECKING:
    from multiarch_oci.engine import BuildPlan


class NoImage(MultiarchError):
    """Targets that lead to no image."""


def run(env: Any, targets: list[Any]) -> int:
    """`dockerfile [T]`: the Dockerfile of the images that targets lead to, by default of all; several with headings.

    One text alone is printed as it is: `scons -Q dockerfile > Dockerfile` makes the same images.
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
        print(text, end="" if text.endswith("\n") else "\n", flush=True)  # noqa: T201  # the answer
    return 0


def _text(plan: BuildPlan) -> str:
    try:
        return plan.read().decode("utf-8", "replace")
    except FileNotFoundError:
        raise NoImage("is not there yet", where=plan.name, hint=f"the build makes it: {command()} images") from None


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
