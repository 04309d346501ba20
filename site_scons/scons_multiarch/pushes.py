"""What a push does: content, manifest and tags into a registry or folder, the receipt, and whether they still stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import SCons.Node

from scons_multiarch.beforehand import check
from scons_multiarch.process import say
from scons_multiarch.receipts import (
    Intention,
    ask_all,
    content_of,
    keep_receipt,
    last_receipt,
    not_moved,
    own_digests,
    receipt_at,
    spelled,
    unfinished,
)
from scons_multiarch.tracking.nodes import reasons, state_of


def perform(target: list[Any], source: list[Any], env: Any) -> None:
    """Publish the source and write the receipt; remarks go to the terminal."""
    from multiarch_oci.mediatype import is_index
    from multiarch_oci.publish import publish

    node, run = target[0], env["MULTIARCH_RUN"]
    record, state = node.attributes.target, node.attributes.state
    reference = record.reference
    check(node, run)
    content, root, mountable, _ = content_of(run, source[0], reference)
    mend = state.mend
    intention = Intention(run, reference)
    previous, unfinished_digests = last_receipt(node), intention.digests()
    run.build.registries.forget(reference)
    if record.folder is None:
        run.build.registries.knew(reference, own_digests(previous, unfinished_digests))
    step = run.build.current_step()
    done = publish(
        content,
        run.build.registries.store(reference, record.folder, action="push"),
        root,
        reference,
        previous=previous,
        policy=run.settings.policy,
        also=record.also,
        mountable=mountable,
        deep=mend is not None and not is_index(root.media_type),  # what an index names is the work of its children
        again=mend or frozenset(),
        new=is_new(source[0]),
        unfinished=unfinished_digests,
        intend=lambda: intention.note(root.digest),
        sending=id if step is None else step.sending,
    )
    if step is not None:
        step.copied = done.copied
    say_not_moved(node)
    for remark in done.remarks:
        say(f"  {spelled(remark, target)}")
    state.digest, state.published = root.digest, done
    keep_receipt(node, done.receipt)
    intention.clear()


def is_new(node: Any) -> bool:
    """Whether this run made the image, so that no registry can hold it; what SCons' cache had was made by another."""
    state = state_of(node)
    return node.get_state() == SCons.Node.executed and (state is None or not state.retrieved)


def drifted(node: Any) -> str | None:
    """Why the registry is not as this push left it; None when it is."""
    if not node.attributes.run.settings.asks:
        say_not_moved(node)
    if reasons(node):
        return None  # it is pushed in any case, and asks then
    run, record = node.attributes.run, node.attributes.target
    ask_all(run)
    receipt = receipt_at(Path(node.get_abspath()))
    observed = run.build.registries.observed(record.reference, record.folder)
    if receipt is None or observed is None:
        return "it is not in the registry"
    if observed != receipt.descriptor.digest:
        # By somebody, or by a run of this tree that was killed before it wrote its receipt.
        return f"it is not as pushed last: {receipt.descriptor.digest} → {observed}"
    if unfinished(run) and Intention(run, record.reference).digests():
        return "its last push did not end"
    for tag in record.also:
        if run.build.registries.observed(record.reference.with_tag(tag), record.folder) is None:
            return f"the tag {tag} is not in the registry"
    return None


def say_not_moved(node: Any) -> None:
    """Say, once a run, which of TAGS stay where they are as the version is a pre-release."""
    tags, because = not_moved(node)
    for tag in tags:
        words = spelled(f"{tag} is not moved: {because}", [node])
        if node.attributes.run.build.is_new(words):
            say(f"  {words}")
