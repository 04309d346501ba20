"""The command `verify`: is everything that was pushed still there? With targets, what is wrong is repaired."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import SCons.Script

from multiarch_oci.errors import MultiarchError
from multiarch_oci.quoting import counted
from scons_multiarch.graph import reachable
from scons_multiarch.installation import command
from scons_multiarch.promises import Fault, attest_of, look_at
from scons_multiarch.receipts import last_receipt, spelled
from scons_multiarch.session import Run
from scons_multiarch.targets import PushTarget, is_remote

if TYPE_CHECKING:
    from multiarch_oci.verify import Expected

KEPT = (
    "  hint: some registries keep what they hold and take nothing in its place; remove it from the registry's storage "
    "(delete it, collect garbage), then verify again"
)


UNSIGNED = (
    "  hint: without SIGN this build signs nothing: {} push-manifest SIGN=… where the key is, or have what the tags "
    "hold signed by who signs it; SIGN_KEY and SIGN_IDENTITY say whose signatures count"
)
UNATTESTED = "  hint: this build attaches nothing to these: say ATTEST and SIGN as the push did that left them"


class NothingPushed(MultiarchError):
    """Targets that lead to no tag."""


def run(env: Any, targets: list[Any]) -> int | None:
    """`verify [T]`: print what is wrong; status 1, or 2 when nobody knows. With T, None: T is to be built, repaired."""
    from multiarch_oci.verify import Problem

    roots = targets or [env.Alias("push-manifest")[0]]
    SCons.Script.BUILD_TARGETS[:] = roots
    nodes = list(reversed(reachable()))
    if not nodes:
        raise NothingPushed(
            f"{', '.join(map(str, roots))} pushes nothing, so there is nothing to verify",
            where="verify",
            hint="name a target that pushes: push, push-manifest (the default), or a receipt below _output/receipts",
        )
    faults = look(env, nodes)
    if not faults:
        print(f"everything is there: {counted(len(nodes), 'tag')} checked")  # noqa: T201  # the answer
        return 0
    wrong = {fault.finding.problem for fault in faults} - {Problem.UNKNOWN}
    mended = [fault for fault in faults if not fault.beyond and fault.finding.problem is not Problem.UNKNOWN]
    if not targets or not mended:
        more = f"; {command()} verify push-manifest repairs what it can" if mended and not targets else ""
        print(f"{counted(len(faults), 'fault')} found{more}")  # noqa: T201  # the answer
        say_beyond(env, faults)
        return 1 if wrong else 2
    print(f"{counted(len(faults), 'fault')} found, to be repaired now", flush=True)  # noqa: T201  # the answer
    mend([fault for fault in faults if not fault.beyond])
    affected = [node for node in nodes if any(fault.node in (node, attest_of(node)) for fault in faults)]
    check = SCons.Script.Action(lambda target, source, env: recheck(env, affected), "Verify again")  # noqa: ARG005
    SCons.Script.BUILD_TARGETS[:] = env.AlwaysBuild(env.Alias("verify", roots, check))
    return None


def look(env: Any, nodes: list[Any]) -> list[Fault]:
    """Check what these pushes and pins left, print each finding, and say whose it is."""
    from multiarch_oci.verify import verify as check

    pairs = [(node, expectation) for node in nodes for expectation in expected(node)]
    findings = check([expectation for _, expectation in pairs], content=env["VERIFY"] == "content")
    faults = [Fault(pairs[finding.number][0], finding) for finding in findings]
    for finding in findings:
        print(spelled(str(finding), nodes), flush=True)  # noqa: T201  # the answer
    lines, more = look_at(env, nodes)
    for line in lines:
        print(line, flush=True)  # noqa: T201  # the answer
    return faults + more


def say_beyond(env: Any, faults: list[Fault]) -> None:
    """Print what is to be done about faults that no build of this command line repairs; an orphan says it itself."""
    from multiarch_oci.verify import Problem

    beyond = {fault.finding.problem for fault in faults if fault.beyond} - {Problem.ORPHAN, Problem.UNKNOWN}
    if Problem.UNSIGNED in beyond and not env["SIGN"]:
        print(UNSIGNED.format(command()))  # noqa: T201  # the answer
        beyond -= {Problem.UNSIGNED}
    if beyond:
        print(UNATTESTED)  # noqa: T201  # the answer


def mend(faults: list[Fault]) -> None:
    """Let the pushes that something is wrong with be made again, from the bottom."""
    from multiarch_oci.verify import Problem

    for node, finding, _ in faults:
        damaged = {finding.descriptor.digest} if finding.problem is Problem.DAMAGED and finding.descriptor else set()
        state = node.attributes.state
        state.mend = (state.mend or frozenset()) | damaged
        state.drifted = lambda: "verify found it wrong"


def recheck(env: Any, nodes: list[Any]) -> int:
    """Check again what was repaired; 1 when something is still wrong."""
    from multiarch_oci.verify import Problem

    faults = look(env, nodes)
    if any(fault.finding.problem is Problem.DAMAGED and not fault.beyond for fault in faults):
        print(KEPT)  # noqa: T201  # the answer
    print(f"{counted(len(faults), 'fault')} left" if faults else "repaired: everything is there")  # noqa: T201
    say_beyond(env, faults)
    return 1 if faults else 0


def expected(node: Any) -> Iterator[Expected]:
    """What the receipt of a push or pin says of the registry."""
    from multiarch_oci.verify import Expected

    run: Run = node.attributes.run
    record = node.attributes.target
    receipt = last_receipt(node)
    store = run.build.registries.store(record.reference, record.folder)
    root = None if receipt is None else receipt.descriptor.bare()
    if isinstance(record, PushTarget):
        children = [child for child in node.depends if is_remote(child)]
        receipts = [last_receipt(child) for child in children]
        known = tuple(child_receipt for child_receipt in receipts if child_receipt is not None)
        members = known if children and len(known) == len(children) else None
        yield Expected(record.reference, store, root, members=members, further=record.also)
        return
    copied = record.copy_to
    held = None if receipt is None else receipt.reference.digest
    yield Expected(record.reference, store, root, held=held, foreign=copied is not None)
    if copied is not None:
        yield Expected(copied, run.build.registries.store(copied, record.copy_folder), root)
