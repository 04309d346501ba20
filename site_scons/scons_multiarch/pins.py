"""What a pin does: a tag that somebody else pushes is looked at, and taken over into our repository where asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiarch_oci.receipt import Receipt
from multiarch_oci.reference import Reference
from scons_multiarch.beforehand import check, copied_receipt, outside
from scons_multiarch.process import say
from scons_multiarch.receipts import (
    NOT_THERE,
    Intention,
    keep_receipt,
    left_and_observed,
    receipt_at,
    spelled,
    writing,
)
from scons_multiarch.step import write
from scons_multiarch.trusted import check_pin, is_trusted

if TYPE_CHECKING:
    from multiarch_oci.store.carrying import Carrying
    from multiarch_oci.store.layout import Layout
    from multiarch_oci.store.registry import Registry
    from scons_multiarch.session import Run
    from scons_multiarch.targets import PinTarget


def perform(target: list[Any], _source: list[Any], env: Any) -> None:
    """Look at the tag, take it over into our repository when it is in another, and write the receipt."""
    from multiarch_oci.publish import Tagging, pin

    node, run = target[0], env["MULTIARCH_RUN"]
    record, state = node.attributes.target, node.attributes.state
    copy_to = record.copy_to
    check(node, run)
    reference = check_pin(run, record, _as_seen(node))
    store, tagging, carrying = None, Tagging(), None
    if copy_to is not None:
        store, tagging = writing(node, copy_to, record.copy_folder, receipt_at(copied_receipt(run, copy_to)))
        carrying = _carrying(run, record, store) if env["COPY_REFERRERS"] else None
    receipt = pin(
        outside(run, record),
        reference,
        record.platform,
        into=carrying or store,
        into_reference=copy_to,
        tagging=tagging,
        say=lambda remark: say(f"  {spelled(remark, target)}"),
    )
    if carrying is not None:
        carrying.take_along(receipt.descriptor.digest)  # where the tag held the image already
    if copy_to is not None:
        write(copied_receipt(run, copy_to), Receipt(copy_to, receipt.descriptor).to_json())
        Intention(run, copy_to).clear()
    state.digest = receipt.descriptor.digest
    keep_receipt(node, receipt)


def _carrying(run: Run, record: PinTarget, into: Registry | Layout) -> Carrying:
    """Where an image is copied to, with what refers to it."""
    from multiarch_oci.store.carrying import Carrying

    return Carrying(run.build.registries.store(record.reference, record.folder), into)


def _as_seen(node: Any) -> Reference:
    """The reference of a pin; what is copied to each of several registries is what one pin has seen for all."""
    reference: Reference = node.attributes.target.reference
    seen_by = node.check_attributes("seen_by")
    receipt = None if seen_by is None else receipt_at(Path(seen_by.get_abspath()))
    digest = None if receipt is None else receipt.reference.digest
    return reference if digest is None else reference.with_digest(digest)


def drifted(node: Any) -> str | None:
    """Why the tag is not as it was seen; None when it is. A pin with a digest never follows a move."""
    known = left_and_observed(node)
    if known is None:
        return NOT_THERE
    receipt, observed = known
    if observed != receipt.reference.digest:
        return f"it moved: {receipt.reference.digest} → {observed}"
    run, record = node.attributes.run, node.attributes.target
    if not is_trusted(run, record, receipt):
        return "the trust file has changed"
    copied = record.copy_to
    if copied is not None and run.build.registries.observed(copied, record.copy_folder) != receipt.descriptor.digest:
        return f"{copied} does not hold it"
    return None
