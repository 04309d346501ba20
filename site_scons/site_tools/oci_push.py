"""Tool: `env.Push`, an image or an index under a tag, of which a receipt is kept (behaviour, section 4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import SCons.Node

from multiarch.digest import Digest
from multiarch.errors import MultiarchError
from multiarch.why import Facts
from oci_graph import is_done, reachable
from oci_nodes import declare, reasons
from oci_places import place
from oci_receipts import (
    Intention,
    TwoPushes,
    ask_all,
    assembled,
    content_of,
    descriptor_of,
    receipt_at,
    receipt_path,
    spelled,
    unfinished,
)
from oci_run import Run
from oci_steps import Step, add_method, expanded, files, write


def perform(target: list[Any], source: list[Any], env: Any) -> None:
    """Publish the source and write the receipt; remarks go to the terminal."""
    from multiarch.mediatype import is_index
    from multiarch.publish import publish

    node, run = target[0], env["MULTIARCH_RUN"]
    reference, folder = node.attributes.remote
    path = Path(node.get_abspath())
    if run.policy.immutable:
        run.once("immutable", lambda: refuse_early(run))
    content, root, mountable, _ = content_of(run, Path(source[0].get_abspath()), reference)
    mend = node.attributes.mend
    intention = Intention(run, reference)
    run.places.forget(reference)
    done = publish(
        content,
        run.places.store(reference, folder, action="push"),
        root,
        reference,
        previous=receipt_at(path),
        policy=run.policy,
        also=node.attributes.also,
        mountable=mountable,
        deep=mend is not None and not is_index(root.media_type),  # what an index names is the work of its children
        again=mend or frozenset(),
        new=source[0].get_state() == SCons.Node.executed,
        unfinished=intention.digests(),
        intend=lambda: intention.note(root.digest),
    )
    for remark in done.remarks:
        print(f"  {spelled(remark, target)}", flush=True)  # noqa: T201  # a line the user must see
    node.attributes.digest = root.digest
    write(path, done.receipt.to_json())
    intention.clear()


def refuse_early(run: Run) -> None:
    """With IMMUTABLE=yes: find a tag of this run that must not be moved before the first one is written.

    What a tag is to hold is known where its image is made, or all members of its index are; the others' own pushes
    will tell. Raises TagImmutable.
    """
    from multiarch.publish import decide

    ask_all(run)
    for node in (node for node in reversed(reachable()) if not node.check_attributes("copy_to")):
        reference, folder = node.attributes.remote
        wanted = known_digest(node.sources[0])
        if wanted is None:
            continue
        try:
            observed = {tag: run.places.observed(reference.with_tag(tag), folder) for tag in tags(node)}
        except MultiarchError:
            continue  # its own push meets the same trouble
        decide(
            reference,
            wanted,
            observed.__getitem__,
            previous=receipt_at(Path(node.get_abspath())),
            policy=run.policy,
            also=node.attributes.also,
            unfinished=Intention(run, reference).digests(),
        )


def tags(node: Any) -> tuple[str, ...]:
    """The tags that a push writes."""
    return (node.attributes.remote[0].tag, *node.attributes.also)


def known_digest(node: Any) -> Digest | None:
    """The digest of an image or index as this run leaves it; None when it is not known yet."""
    if str(node).endswith(".json"):
        members = node.sources
        known = all(is_done(member) for member in members)
        return assembled(node.get_build_env(), members, str(node)).descriptor().digest if known else None
    return descriptor_of(node).digest if is_done(node) else None


def drifted(node: Any) -> str | None:
    """Why the registry is not as this push left it; None when it is."""
    if reasons(node):
        return None  # it is pushed in any case, and asks then
    run = node.attributes.run
    reference, folder = node.attributes.remote
    ask_all(run)
    receipt = receipt_at(Path(node.get_abspath()))
    found = run.places.observed(reference, folder)
    if receipt is None or found is None:
        return "it is not in the registry"
    if found != receipt.descriptor.digest:
        # By somebody, or by a run of this tree that was killed before it wrote its receipt.
        return f"it is not as pushed last: {receipt.descriptor.digest} → {found}"
    if unfinished(run) and Intention(run, reference).digests():
        return "its last push did not end"
    for tag in node.attributes.also:
        if run.places.observed(reference.with_tag(tag), folder) is None:
            return f"the tag {tag} is not in the registry"
    return None


STEP = Step("Push", perform)
PUBLISH = Step("Publish", perform)


def push(env: Any, source: Any, reference: str, *, children: Any = (), also: Any = ()) -> Any:
    """Declare the push of an image, or of an index after its `children`; `also` are further tags."""
    text = expanded(env, reference)
    where, folder = place(text)
    path = receipt_path(where)
    further = tuple(tag for tag in dict.fromkeys(also) if tag != where.tag)
    run: Run = env["MULTIARCH_RUN"]
    taken = run.claim(where, *map(where.with_tag, further))
    if taken is not None:
        name = f"{text.rpartition(':')[0]}:{taken.tag}"
        raise TwoPushes("is pushed twice in this build", where=name, hint="give each image a tag of its own")
    node = files(env, source)[0]
    make = env.OciPublish if str(node).endswith(".json") else env.OciPush
    receipt = make(path, node)
    attributes = receipt[0].attributes
    attributes.remote, attributes.also = (where, folder), further
    attributes.spell = lambda words: spelled(words, receipt)
    attributes.mend = None  # of `verify`: what the registry holds damaged, when it lost something below a living tag
    values = {"reference": text}  # a further tag is no input: an absent one is drift, one that is there stays
    declare(env, receipt, lambda: Facts(values, {}), text, lambda: drifted(receipt[0]))
    if children:
        env.Depends(receipt, env.Flatten([children]))
    if run.policy.immutable:  # nothing is pushed before it is known what the index will be
        pushes = [child for child in env.Flatten([children]) if not child.check_attributes("copy_to")]
        env.Requires(pushes, [child.sources[0] for child in pushes])
    receipt[0].set_nocache()
    return receipt


def generate(env: Any) -> None:
    """Add `env.Push`."""
    env["BUILDERS"]["OciPush"] = STEP.builder(single_source=True)
    env["BUILDERS"]["OciPublish"] = PUBLISH.builder(single_source=True)
    add_method(env, push, "Push")


def exists(_env: Any) -> bool:
    """Always."""
    return True
