"""Tool: `env.Pin`, a tag that somebody else pushes and that belongs in the index (behaviour, EXTERNAL)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiarch_oci.receipt import Receipt
from multiarch_oci.reference import Reference
from multiarch_oci.why import Facts
from scons_multiarch import paths
from scons_multiarch.receipts import (
    Intention,
    TwoPushes,
    ask_all,
    keep_receipt,
    own_digests,
    receipt_at,
    receipt_node,
    receipt_path,
    spelled,
)
from scons_multiarch.registries import place
from scons_multiarch.session import Run
from scons_multiarch.step import Step, add_method, write
from scons_multiarch.targets import PinTarget, declared_before
from scons_multiarch.tracking import State, declare

if TYPE_CHECKING:
    from multiarch_oci.platform import Platform


def perform(target: list[Any], _source: list[Any], env: Any) -> None:
    """Look at the tag, take it over into our repository when it is in another, and write the receipt."""
    from multiarch_oci.pin import pin
    from multiarch_oci.store.attributed import Attributed, Subject

    node, run = target[0], env["MULTIARCH_RUN"]
    record, state = node.attributes.target, node.attributes.state
    reference, copy_to = record.reference, record.copy_to
    # Kept where a push of that tag would keep it: the platform may have been ours before, or become so.
    copied = run.root / receipt_path(copy_to) if copy_to is not None else None
    intention = None if copy_to is None else Intention(run, copy_to)
    previous = None if copied is None else receipt_at(copied)
    left = frozenset() if intention is None else intention.digests()
    if copy_to is not None and record.copy_folder is None:
        run.places.knew(copy_to, own_digests(previous, left))
    subject = Subject(f"external {reference}", None, "see EXTERNAL, and the network")
    receipt = pin(
        Attributed(run.places.store(reference, record.folder), subject),
        reference,
        record.platform,
        into=None if copy_to is None else run.places.store(copy_to, record.copy_folder, action="push"),
        into_reference=copy_to,
        previous=previous,
        policy=run.policy,
        say=lambda remark: print(f"  {spelled(remark, target)}", flush=True),  # noqa: T201  # a line the user must see
        deep=state.mend is not None,
        again=state.mend or frozenset(),
        unfinished=left,
        intend=lambda digest: intention.note(digest) if intention is not None else None,
    )
    if copied is not None and intention is not None:
        write(copied, Receipt(copy_to, receipt.descriptor).to_json())
        intention.clear()
    state.digest = receipt.descriptor.digest
    keep_receipt(node, receipt)


def drifted(node: Any) -> str | None:
    """Why the tag is not as it was seen; None when it is. A pin with a digest never follows a move."""
    run, record = node.attributes.run, node.attributes.target
    ask_all(run)
    receipt = receipt_at(Path(node.get_abspath()))
    found = run.places.observed(record.reference, record.folder)
    if receipt is None or found is None:
        return "it is not in the registry"
    if found != receipt.reference.digest:
        return f"it moved: {receipt.reference.digest} → {found}"
    copied = record.copy_to
    if copied is not None and run.places.observed(copied, record.copy_folder) != receipt.descriptor.digest:
        return f"{copied} does not hold it"
    return None


STEP = Step("Pin", perform)


def external(env: Any, reference: str, *, platform: Any) -> Any:
    """Declare a tag that somebody else pushes, of one platform; an index is looked into. Returns its receipt.

    An image of another repository is copied to this build's tag for the platform before it joins the index.
    """
    wanted = paths.platform_of("Pin: platform", platform).normalized()
    wanted.check_known()
    text = paths.text(env, "Pin: reference", reference)
    where, folder = place(text)
    copy = env.subst(f"$REPOSITORY:$VERSION-{wanted.tag_suffix}")
    own, own_folder = place(copy)
    elsewhere = (where.registry, where.repository) != (own.registry, own.repository)
    record = PinTarget(where, folder, wanted, own if elsewhere else None, own_folder if elsewhere else None)
    node = _receipt(env, where, wanted)
    if declared_before([node], record, []):
        return [node]
    run: Run = env["MULTIARCH_RUN"]
    if elsewhere and run.claim(own) is not None:
        raise TwoPushes(
            f"would be copied to {copy}, which this build pushes itself",
            where=text,
            hint=f"{wanted} may stand in PLATFORMS or in EXTERNAL, once",
        )
    receipt = env.OciPin([node], [])
    values = {"reference": text, "platform": str(wanted), "copied to": str(own) if elsewhere else ""}
    spell = partial(spelled, nodes=receipt)
    declare(env, receipt, record, State(text, lambda: Facts(values, {}), lambda: drifted(node), spell=spell))
    env.NoCache(receipt)
    return receipt


def _receipt(env: Any, reference: Reference, platform: Platform) -> Any:
    name = reference if reference.tag else reference.with_tag(str(reference.digest).replace(":", "-"))
    return receipt_node(env, name, f"receipts/pins/{platform.slug}")


def generate(env: Any) -> None:
    """Add `env.Pin`."""
    env["BUILDERS"]["OciPin"] = STEP.builder()
    add_method(env, external, "Pin")


def exists(_env: Any) -> bool:
    """Always."""
    return True
