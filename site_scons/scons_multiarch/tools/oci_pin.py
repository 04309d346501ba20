"""Tool: `env.Pin`, a tag that somebody else pushes and that belongs in the index (behaviour, EXTERNAL)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from multiarch_oci.reference import Reference
from multiarch_oci.why import Facts
from scons_multiarch import paths
from scons_multiarch.destinations import is_one_of_several, mark, spread
from scons_multiarch.receipts import (
    TwoPushes,
    receipt_node,
    spelled,
)
from scons_multiarch.registries import location
from scons_multiarch.session import Run
from scons_multiarch.settings import prepare
from scons_multiarch.step import Step, add_method
from scons_multiarch.targets import PinTarget, declared_before, target_of
from scons_multiarch.tracking.nodes import declare
from scons_multiarch.tracking.state import State

if TYPE_CHECKING:
    from multiarch_oci.platform import Platform


def perform(target: list[Any], source: list[Any], env: Any) -> None:
    """Look at the tag, take it over where it lies elsewhere, and write the receipt."""
    from scons_multiarch import pins  # start-up: most builds have none

    pins.perform(target, source, env)


def drifted(node: Any) -> str | None:
    """Why the tag is not as it was seen."""
    from scons_multiarch import pins  # start-up

    return pins.drifted(node)


STEP = Step("Pin", perform)


def external(env: Any, reference: str, *, platform: Any) -> Any:
    """Declare a tag that somebody else pushes, of one platform; an index is looked into. Returns its receipt.

    An image of another repository is copied to this build's tag for the platform before it joins the index. With
    several registries there is one receipt of what was seen, the index's member, and one of the copy in each of them:
    they depend on it alone, so that one that is down keeps none of the others from being finished.
    """
    registries = list(spread(env, "$REPOSITORY"))
    if len(registries) == 1:
        return _pin(env, reference, platform, copies=True)
    seen = _pin(env, reference, platform, copies=False)
    for own in registries:
        if _is_elsewhere(own, reference):
            seen += _pin(own, reference, platform, copies=True, seen=seen[0])
        else:
            mark(own, seen[0])
    return seen


def _is_elsewhere(env: Any, reference: str) -> bool:
    """Whether what is pinned lies in another repository than this build's."""
    where, _ = location(paths.text(env, "Pin: reference", reference))
    own, _ = location(env.subst("$REPOSITORY:$VERSION"))
    return (where.registry, where.repository) != (own.registry, own.repository)


def _pin(env: Any, reference: str, platform: Any, *, copies: bool, seen: Any = None) -> list[Any]:
    """A pin, and whether it `copies` what lies elsewhere; `seen` is the pin that the copies for registries share."""
    target_platform = paths.platform_of("Pin: platform", platform).normalized()
    target_platform.check_known()
    text = paths.text(env, "Pin: reference", reference)
    where, folder = location(text)
    copy = env.subst(f"$REPOSITORY:{_tag_of_copy(seen) or f'$VERSION-{target_platform.tag_suffix}'}")
    own, own_folder = location(copy)
    elsewhere = copies and _is_elsewhere(env, reference)
    record = PinTarget(where, folder, target_platform, own if elsewhere else None, own_folder if elsewhere else None)
    node = _receipt(env, where, target_platform, None if seen is None else own)
    if declared_before([node], record, []):
        return [node]
    run: Run = env["MULTIARCH_RUN"]
    if elsewhere and run.declarations.claim(own) is not None:
        raise TwoPushes(
            f"would be copied to {copy}, which this build pushes itself",
            where=text,
            hint=f"{target_platform} may stand in PLATFORMS or in EXTERNAL, once",
        )
    receipt = env.OciPin([node], [])
    if seen is not None:
        env.Depends(receipt, seen)
        node.attributes.seen_by = seen
        mark(env, node)
    values = {"reference": text, "platform": str(target_platform), "copied to": str(own) if elsewhere else ""}
    values |= {"what refers to it": "is copied"} if elsewhere and env["COPY_REFERRERS"] else {}
    spell = partial(spelled, nodes=receipt)
    declare(env, receipt, record, State(text, lambda: Facts(values, {}), lambda: drifted(node), spell=spell))
    env.NoCache(receipt)
    return [node]


def _tag_of_copy(seen: Any) -> str:
    """The tag under which one of the build's own registries has the image; "" where none of them has it yet."""
    return "" if seen is None or not is_one_of_several(seen) else target_of(seen).reference.tag or ""


def _receipt(env: Any, reference: Reference, platform: Platform, copy: Reference | None) -> Any:
    if copy is not None:
        return receipt_node(env, copy, f"receipts/copies/{platform.slug}")
    name = reference if reference.tag else reference.with_tag(str(reference.digest).replace(":", "-"))
    return receipt_node(env, name, f"receipts/pins/{platform.slug}")


def generate(env: Any) -> None:
    """Add `env.Pin`."""
    prepare(env)
    env["BUILDERS"]["OciPin"] = STEP.builder()
    add_method(env, external, "Pin")


def exists(_env: Any) -> bool:
    """Always."""
    return True
