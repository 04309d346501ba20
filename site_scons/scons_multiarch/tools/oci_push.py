"""Tool: `env.Push`, an image or an index under a tag, of which a receipt is kept (behaviour, section 4)."""

from __future__ import annotations

from functools import partial
from typing import Any

from multiarch_oci.why import Facts
from scons_multiarch import paths
from scons_multiarch.beforehand import hold_back
from scons_multiarch.destinations import is_of, is_spread, mark, spread
from scons_multiarch.pushes import drifted, perform
from scons_multiarch.receipts import (
    TwoPushes,
    receipt_node,
    spelled,
)
from scons_multiarch.registries import location
from scons_multiarch.session import Run
from scons_multiarch.settings import prepare
from scons_multiarch.step import Step, add_method, source_of
from scons_multiarch.targets import ImageTarget, IndexTarget, PushTarget, is_attest, is_index, target_of
from scons_multiarch.tracking.nodes import declare
from scons_multiarch.tracking.state import State

STEP = Step("Push", perform)
PUBLISH = Step("Publish", perform)


def push(env: Any, source: Any, reference: str, *, children: Any = (), also: Any = ()) -> Any:
    """Declare the push of an image, or of an index after its `children`; `also` are further tags.

    With several registries a `reference` that is written with `$REPOSITORY` goes to each: a receipt for each of them.
    """
    before = paths.nodes(env, "Push: children", children)
    receipts: list[Any] = []
    for own in spread(env, reference):
        receipts += _push(own, source, reference, [child for child in before if is_of(own, child)], also)
    return receipts


def _push(env: Any, source: Any, reference: str, before: list[Any], also: Any) -> Any:
    text = paths.text(env, "Push: reference", reference)
    where, folder = location(text)
    further = tuple(tag for tag in dict.fromkeys(paths.texts(env, "Push: also", also)) if tag != where.tag)
    record, content = PushTarget(where, folder, further), source_of(env, source, "env.Push", ImageTarget, IndexTarget)
    node = receipt_node(env, where)
    if is_alike(node, record, content, before):
        return [node]
    run: Run = env["MULTIARCH_RUN"]
    taken = run.declarations.claim(where, *map(where.with_tag, further))
    if taken is not None:
        name = f"{text.rpartition(':')[0]}:{taken.tag}"
        raise TwoPushes("is pushed twice in this build", where=name, hint="give each image a tag of its own")
    (env.OciPublish if is_index(content) or before else env.OciPush)([node], content)
    values = {"reference": text}  # a further tag is no input: an absent one is drift, one that is there stays
    spell = partial(spelled, nodes=[node])
    if is_spread(reference):
        mark(env, node)
    declare(env, [node], record, State(text, lambda: Facts(values, {}), lambda: drifted(node), spell=spell))
    if before:
        node.add_dependency(before)
    hold_back(env, content, before, immutable=run.settings.policy.immutable)
    node.set_nocache()
    return [node]


def is_alike(node: Any, record: PushTarget, content: Any, children: list[Any]) -> bool:
    """Whether this push was declared before, and says the same; two different pushes of a tag are found by the tag."""
    if target_of(node) != record or list(node.sources) != [content]:
        return False
    return [child for child in node.depends or () if not is_attest(child)] == list(dict.fromkeys(children))


def generate(env: Any) -> None:
    """Add `env.Push`."""
    prepare(env)
    env["BUILDERS"]["OciPush"] = STEP.builder(single_source=True)
    env["BUILDERS"]["OciPublish"] = PUBLISH.builder(single_source=True)
    add_method(env, push, "Push")


def exists(_env: Any) -> bool:
    """Always."""
    return True
