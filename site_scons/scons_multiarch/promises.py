"""What `verify` says of attestations: who signed what, what is wrong, what refers to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from multiarch_oci.document import InvalidDocument
from multiarch_oci.errors import MultiarchError, one_line
from scons_multiarch.receipts import last_receipt, receipt_path, spelled
from scons_multiarch.targets import PushTarget, is_attest, target_of

if TYPE_CHECKING:
    from multiarch_oci.attest.verifying import Verifier
    from multiarch_oci.descriptor import Descriptor
    from multiarch_oci.receipt import Attested, Receipt
    from multiarch_oci.signed import Promised
    from multiarch_oci.verify import Finding
    from scons_multiarch.session import Run


class Fault(NamedTuple):
    """What is wrong, and with what this build made: a push, a pin, or what is attached before a push.

    `beyond`: nothing that the command line says repairs it.
    """

    node: Any
    finding: Finding
    beyond: bool = False


def attest_of(push: Any) -> Any:
    """The receipt of what is attached before a push writes its tag; None where nothing is declared."""
    return next(filter(is_attest, push.depends or ()), None)


def is_promising(node: Any) -> bool:
    """Whether something was promised of what a push writes, now or by the run that wrote what is there."""
    return attest_of(node) is not None or (_path(node).is_file() and not _is_former(node, _read(node)))


def _path(push: Any) -> Path:
    run: Run = push.attributes.run
    return run.tree.root / receipt_path(push.attributes.target.reference, "receipts/attestations")


def look_at(env: Any, nodes: list[Any]) -> tuple[list[str], list[Fault]]:
    """Check what refers to what pushes wrote: lines on who signed what and on each fault, and the faults.

    Looked at are those that something was promised of; where it is said whose signatures count, all that were made.
    """
    from multiarch_oci.signed import check
    from multiarch_oci.verify import Problem

    verifier = _verifier(env)
    every = [node for node in nodes if isinstance(target_of(node), PushTarget)]
    pushes = [push for push in every if is_promising(push) or (verifier is not None and last_receipt(push) is not None)]
    if not pushes:
        return [], []
    answers = check([_promised(push, verifier) for push in pushes])
    lines: list[str] = []
    faults: list[Fault] = []
    for push, answer in zip(pushes, answers, strict=True):
        attest = attest_of(push)
        lines += [spelled(line, pushes) for line in (answer.line, *map(str, answer.findings)) if line]
        for finding in answer.findings:
            beyond = attest is None or (finding.problem is Problem.UNSIGNED and not env["SIGN"])
            faults.append(Fault(attest or push, finding, beyond))
    orphans = list(_orphans(pushes))
    return lines + [spelled(str(orphan.finding), pushes) for orphan in orphans], faults + orphans


def _promised(push: Any, verifier: Verifier | None) -> Promised:
    """What a push has to have left: where nothing is declared, a signature by the one who is named."""
    from multiarch_oci.receipt import Attested
    from multiarch_oci.signed import Promised

    run, record = push.attributes.run, push.attributes.target
    store = run.build.registries.store(record.reference, record.folder)
    receipt = _read(push)
    if _is_former(push, receipt):
        receipt = None
    indexes: tuple[Descriptor, ...] = ()
    if not is_promising(push) and (pushed := last_receipt(push)) is not None:
        receipt = Attested(record.reference, pushed.descriptor.bare(), "", "", ())
        indexes = tuple(known.descriptor.bare() for known in _indexes(run, push))
    return Promised(record.reference, store, receipt, verifier, indexes)


def _is_former(push: Any, receipt: Attested | None) -> bool:
    """Whether what was attested is not what the push wrote last: it was edited, and pushed without, since."""
    pushed = None if receipt is None else last_receipt(push)
    return receipt is not None and pushed is not None and receipt.subject.digest != pushed.descriptor.digest


def _indexes(run: Run, push: Any) -> Iterator[Receipt]:
    """The receipts of the indexes that are made of what a push writes: what they name may be older."""
    for other in run.declarations.targets:
        if isinstance(target_of(other), PushTarget) and push in (other.depends or ()):
            receipt = last_receipt(other)
            if receipt is not None:
                yield receipt


def _orphans(pushes: list[Any]) -> Iterator[Fault]:
    """What in the repositories of these pushes refers to what is not there; each repository is looked through once."""
    from multiarch_oci.signed import orphans
    from multiarch_oci.verify import Finding, Problem

    for push in {push.attributes.target.reference.bare: push for push in pushes}.values():
        record = push.attributes.target
        try:
            words = list(orphans(push.attributes.run.build.registries.store(record.reference, record.folder)))
        except MultiarchError as error:
            words = [f"cannot be looked through: {one_line(error)}"]
        for text in words:
            finding = Finding(0, record.reference.bare, Problem.UNKNOWN if "cannot" in text else Problem.ORPHAN, text)
            yield Fault(push, finding, beyond=True)


def _verifier(env: Any) -> Verifier | None:
    """Whose signatures count: of SIGN, or of SIGN_KEY or SIGN_IDENTITY alone; None where nobody is named."""
    from scons_multiarch.signatures import verifier_of_run

    return verifier_of_run(env)


def _read(push: Any) -> Attested | None:
    """The receipt of what was attested last; None where there is none that can be read."""
    from multiarch_oci.receipt import Attested

    path = _path(push)
    try:
        return Attested.from_json(path.read_bytes(), where=str(path))
    except (OSError, InvalidDocument, ValueError):
        return None
