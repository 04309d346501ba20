"""Tool: `env.Pin`, a tag that somebody else pushes and that belongs in the index (behaviour, EXTERNAL)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from multiarch_oci.reference import Reference
from multiarch_oci.why import Facts
from scons_multiarch import paths
from scons_multiarch.destinations import mark, spread
from scons_multiarch.pins import drifted, perform
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
from scons_multiarch.tracking.nodes import State, declare

if TYPE_CHECKING:
    from multiarch_oci.platform import Platform


STEP = Step("Pin", perform)


def external(env: Any, reference: str, *, platform: Any) -> Any:
    """Declare a tag that somebody else pushes, of one platform; an index is looked into. Returns its receipt.

    An image of another repository is copied to this build's tag for the platform before it joins the index. With
    several registries it is copied to each, under one tag, and there is a receipt for each.
    """
    receipts: list[Any] = []
    for own in spread(env, "$REPOSITORY"):
        receipts += _pin(own, reference, platform, receipts)
    return receipts


def _pin(env: Any, reference: str, platform: Any, before: list[Any]) -> Any:
    target_platform = paths.platform_of("Pin: platform", platform).normalized()
    target_platform.check_known()
    text = paths.text(env, "Pin: reference", reference)
    where, folder = location(text)
    copy = env.subst(f"$REPOSITORY:{_tag_of_copy(before) or f'$VERSION-{target_platform.tag_suffix}'}")
    own, own_folder = location(copy)
    elsewhere = (where.registry, where.repository) != (own.registry, own.repository)
    record = PinTarget(where, folder, target_platform, own if elsewhere else None, own_folder if elsewhere else None)
    node = _receipt(env, where, target_platform, own if before else None)
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
    if before:
        env.Depends(receipt, before)
        node.attributes.first_pin = before[0]
    mark(env, node)
    values = {"reference": text, "platform": str(target_platform), "copied to": str(own) if elsewhere else ""}
    spell = partial(spelled, nodes=receipt)
    declare(env, receipt, record, State(text, lambda: Facts(values, {}), lambda: drifted(node), spell=spell))
    env.NoCache(receipt)
    return receipt


def _tag_of_copy(before: list[Any]) -> str:
    """The tag under which the first registry has the image; "" where it is the first that is asked for."""
    record = target_of(before[0]) if before else None
    return "" if record is None else (record.copy_to or record.reference).tag or ""


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
