"""What a push does: content, manifest and tags into a registry or folder, the receipt, and whether they still stand."""

from __future__ import annotations

from typing import Any

import SCons.Node
from msgspec.structs import replace

from scons_multiarch.beforehand import check
from scons_multiarch.process import say
from scons_multiarch.receipts import (
    NOT_THERE,
    Content,
    Intention,
    content_of,
    keep_receipt,
    last_receipt,
    left_and_observed,
    not_moved,
    spelled,
    unfinished,
    writing,
)
from scons_multiarch.tracking.state import reasons, state_of


def perform(target: list[Any], source: list[Any], env: Any) -> None:
    """Publish the source and write the receipt; remarks go to the terminal."""
    from multiarch_oci.mediatype import is_index
    from multiarch_oci.publish import publish

    node, run = target[0], env["MULTIARCH_RUN"]
    record, state = node.attributes.target, node.attributes.state
    reference = record.reference
    check(node, run)
    content = content_of(run, source[0], reference)
    root = content.root
    run.build.registries.forget(reference)
    store, tagging = writing(node, reference, record.folder, last_receipt(node))
    if is_index(root.media_type):
        tagging = replace(tagging, deep=False)  # what an index names is the work of its children
    step = run.build.current_step()
    done = publish(
        content.source,
        store,
        root,
        reference,
        tagging,
        also=record.also,
        mountable=content.mountable,
        lent=content.lent,
        new=is_unasked(source[0], content),
        sending=id if step is None else step.sending,
    )
    if step is not None:
        step.copied = done.copied
    say_not_moved(node)
    for remark in done.remarks:
        say(f"  {spelled(remark, target)}")
    state.digest, state.published = root.digest, done
    keep_receipt(node, done.receipt)
    Intention(run, reference).clear()


def is_new(node: Any) -> bool:
    """Whether this run made the image, so that no registry can hold it; what SCons' cache had was made by another."""
    state = state_of(node)
    return node.get_state() == SCons.Node.executed and (state is None or not state.retrieved)


def is_unasked(node: Any, content: Content) -> bool:
    """Whether the registry is not asked for the manifest before its blobs are sent or mounted.

    So it is for an image that this run made, or took from a shared cache that lends its few blobs.
    """
    state = state_of(node)
    return is_new(node) or (content.few and state is not None and state.shared)


def drifted(node: Any) -> str | None:
    """Why the registry is not as this push left it; None when it is."""
    if not node.attributes.run.settings.asks:
        say_not_moved(node)
    if reasons(node):
        return None  # it is pushed in any case, and asks then
    known = left_and_observed(node)
    if known is None:
        return NOT_THERE
    receipt, observed = known
    if observed != receipt.descriptor.digest:
        # By somebody, or by a run of this tree that was killed before it wrote its receipt.
        return f"it is not as pushed last: {receipt.descriptor.digest} → {observed}"
    run, record = node.attributes.run, node.attributes.target
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
