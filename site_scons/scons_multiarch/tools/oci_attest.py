"""Tool: `env.Attest`, what is said of an image or index and by whom it is signed, in its registry (behaviour, 8)."""

from __future__ import annotations

from functools import partial
from typing import Any

from multiarch_oci.why import Facts
from scons_multiarch import paths
from scons_multiarch.documents import Documents, is_promised, join, promise
from scons_multiarch.receipts import receipt_node, spelled
from scons_multiarch.settings import prepare
from scons_multiarch.step import Step, add_method
from scons_multiarch.targets import AttestTarget, PushTarget, WrongSource, check_source, declared_before, target_of
from scons_multiarch.tracking.nodes import declare
from scons_multiarch.tracking.state import State


def perform(target: list[Any], source: list[Any], env: Any) -> None:
    """Attach what is promised; the module is loaded by the first that does."""
    from scons_multiarch import attestations

    attestations.perform(target, source, env)


STEP = Step("Attest", perform)


def attest(env: Any, push: Any, files: Any = ()) -> Any:
    """Declare what stands in the registry before the tag of a push is written: signatures by SIGN, and `files`.

    These are SBOMs (SPDX or CycloneDX as JSON) and in-toto statements about the image, whoever makes them. Without any,
    and without SIGN, nothing is promised and nothing declared. Of what env.Push returned for several registries each
    gets a receipt. What ATTEST and SIGN promise of the push of a chain is attached beside the files, by one receipt.
    `files` may be Documents, too, which are declared where the receipt cannot do without.
    """
    if isinstance(files, Documents):
        return _promised(env, push, files)
    documents = paths.nodes(env, "Attest: files", files)
    if not documents and not env.get("SIGN"):
        return []
    receipts: list[Any] = []
    for node in paths.nodes(env, "Attest: push", push):
        check_source(node, "env.Attest", (PushTarget,))
        if target_of(node) is None:
            raise WrongSource("is no push", where=paths.shown(node), hint="give it what env.Push returned")
        promised = next(filter(is_promised, node.depends or ()), None)
        receipts += _attest(env, node, documents) if promised is None else [join(env, promised, documents)]
    return receipts


def _promised(env: Any, pushes: Any, documents: Documents) -> list[Any]:
    receipts = [receipt for push in pushes for receipt in _attest(env, push, [])]
    for receipt in receipts:
        promise(receipt, documents, partial(_needs, receipt))
    return receipts


def _attest(env: Any, push: Any, files: list[Any]) -> Any:
    pushed: PushTarget = target_of(push)
    record, sources = AttestTarget(pushed.reference, pushed.folder), [push.sources[0], *files]
    node = receipt_node(env, pushed.reference, "receipts/attestations")
    if declared_before([node], record, sources):
        return [node]
    before = list(push.depends or ())  # of an index: its images, and what is said of them
    receipt = env.OciAttest([node], sources)
    node.attributes.push = push
    env["MULTIARCH_RUN"].declarations.attests.append((node, env))
    if push.check_attributes("registry") is not None:
        node.attributes.registry = push.attributes.registry
    text = push.attributes.state.subject
    spell = partial(spelled, nodes=receipt)
    declare(env, receipt, record, State(text, lambda: _facts(env, text, node), lambda: _drifted(node), spell=spell))
    # As env.Depends and env.Requires, which first look through what they are given, of nodes that are known.
    node.add_dependency(before)
    node.add_prerequisite(list(push.prerequisites or ()))
    push.add_dependency([node])
    node.set_nocache()
    return receipt


def _facts(env: Any, text: str, node: Any) -> Facts:
    from scons_multiarch import attestations

    return attestations.facts(env, text, node)


def _needs(node: Any) -> bool:
    from scons_multiarch import attestations

    return not attestations.stands_alone(node)


def _drifted(node: Any) -> str | None:
    from scons_multiarch import attestations

    return attestations.drifted(node)


def generate(env: Any) -> None:
    """Add `env.Attest`."""
    prepare(env)
    env["BUILDERS"]["OciAttest"] = STEP.builder()
    add_method(env, attest, "Attest")


def exists(_env: Any) -> bool:
    """Always."""
    return True
