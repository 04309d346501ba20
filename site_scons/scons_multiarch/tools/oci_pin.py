"""Tool: `env.Pin`, a tag that somebody else pushes and that belongs in the index (behaviour, EXTERNAL)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from multiarch_oci.reference import Reference
from multiarch_oci.why import Facts
from scons_multiarch import paths
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
from scons_multiarch.targets import PinTarget, declared_before
from scons_multiarch.tracking.nodes import State, declare

if TYPE_CHECKING:
    from multiarch_oci.platform import Platform


STEP = Step("Pin", perform)


def external(env: Any, reference: str, *, platform: Any) -> Any:
    """Declare a tag that somebody else pushes, of one platform; an index is looked into. Returns its receipt.

    An image of another repository is copied to this build's tag for the platform before it joins the index.
    """
    target_platform = paths.platform_of("Pin: platform", platform).normalized()
    target_platform.check_known()
    text = paths.text(env, "Pin: reference", reference)
    where, folder = location(text)
    copy = env.subst(f"$REPOSITORY:$VERSION-{target_platform.tag_suffix}")
    own, own_folder = location(copy)
    elsewhere = (where.registry, where.repository) != (own.registry, own.repository)
    record = PinTarget(where, folder, target_platform, own if elsewhere else None, own_folder if elsewhere else None)
    node = _receipt(env, where, target_platform)
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
    values = {"reference": text, "platform": str(target_platform), "copied to": str(own) if elsewhere else ""}
    spell = partial(spelled, nodes=receipt)
    declare(env, receipt, record, State(text, lambda: Facts(values, {}), lambda: drifted(node), spell=spell))
    env.NoCache(receipt)
    return receipt


def _receipt(env: Any, reference: Reference, platform: Platform) -> Any:
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
