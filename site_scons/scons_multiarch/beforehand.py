"""What is looked at before a run writes its first tag: whether the members of an index can be one, and IMMUTABLE.

What a tag is to hold is known once its image is made. So what writes a tag waits for the images that tell
(`hold_back`), and looks at all of them before it writes (`check`): whichever is the first, nothing is half done.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiarch_oci.errors import MultiarchError
from scons_multiarch import paths
from scons_multiarch.graph import is_done, reachable, reachable_nodes
from scons_multiarch.receipts import (
    Intention,
    ask_all,
    assembled,
    descriptor_of,
    last_receipt,
    receipt_at,
    receipt_path,
    root_of,
)
from scons_multiarch.targets import (
    PinTarget,
    PushTarget,
    ResolveTarget,
    is_attest,
    is_image,
    is_index,
    is_pin,
    target_of,
)
from scons_multiarch.versions import check_tree

if TYPE_CHECKING:
    from multiarch_oci.descriptor import Descriptor
    from multiarch_oci.digest import Digest
    from multiarch_oci.receipt import Receipt
    from multiarch_oci.reference import Reference
    from multiarch_oci.store import Source
    from scons_multiarch.session import Run


def hold_back(env: Any, index: Any, children: Sequence[Any], *, immutable: bool) -> None:
    """Let those of the children of an index that write a tag wait for what they look at beforehand."""
    if not children:
        return
    writing = [child for child in children if writes(child)]
    images = [child.sources[0] for child in writing if not is_pin(child)]
    attests = [node for child in writing for node in child.depends if is_attest(node)]  # they write, and no tag
    if immutable:  # nothing is pushed before it is known what the index will be
        env.Requires(writing, images)
        env.Requires(attests, images)
    members = several_windows(list(index.sources) if is_index(index) else images)
    if members:  # their versions, which their bases say, are known before anything is pushed
        env.Requires([*writing, *attests], list(filter(is_image, members)))
        for child in writing:
            child.attributes.beside = members, index


def writes(node: Any) -> bool:
    """Whether a target writes a tag: a push does, and a pin that copies."""
    record = target_of(node)
    return isinstance(record, PushTarget) or (isinstance(record, PinTarget) and record.copy_to is not None)


def several_windows(members: Sequence[Any]) -> list[Any]:
    """The Windows members of an architecture that more than one of these is of: a version tells them apart."""
    known = [member for member in members if is_image(member) or is_pin(member)]
    windows = [member for member in known if target_of(member).platform.os == "windows"]
    architectures = [target_of(member).platform.architecture for member in windows]
    return [member for member in windows if architectures.count(target_of(member).platform.architecture) > 1]


def check(node: Any, run: Run) -> None:
    """Raise IncompleteIndex, TagImmutable, NotAsTagged or NoImage where a run, about to write a tag, could not end."""
    check_tree(run, node)
    run.build.once("resolved", check_resolved)
    if node.check_attributes("beside"):
        _check_versions(run, *node.attributes.beside)
    if run.settings.policy.immutable:
        registry = node.check_attributes("registry")
        run.build.once(("immutable", registry), lambda: _refuse_early(run, registry))


def check_resolved() -> None:
    """Raise NoImage where this run is to write a deployment file of an image that no cluster can pull."""
    for node in reachable_nodes():
        if isinstance(target_of(node), ResolveTarget):
            node.attributes.state.decide()
            if node.attributes.state.failure is not None:
                raise node.attributes.state.failure


def _check_versions(run: Run, members: Sequence[Any], index: Any) -> None:
    """Raise IncompleteIndex when two of these Windows members would be one entry of the index."""
    from multiarch_oci.index import Index

    known = {member: descriptor for member in members if (descriptor := _member(run, member)) is not None}
    platforms = [target_of(member).platform for member in known]
    Index.assemble(known.values(), platforms=platforms, where=paths.shown(index))


def _member(run: Run, member: Any) -> Descriptor | None:
    if not is_pin(member):
        return descriptor_of(member)
    receipt = _looked_at(run, member)
    return None if receipt is None else receipt.descriptor


def _looked_at(run: Run, pin: Any) -> Receipt | None:
    """What a pin of this run will say, looked at before it copies; None where it is not asked for, or fails."""

    def look() -> Receipt | None:
        from multiarch_oci.publish import pin as look_up

        record = target_of(pin)
        try:
            return look_up(outside(run, record), record.reference, record.platform)
        except MultiarchError:
            return None  # its own step meets the same trouble

    return run.build.once(("looked at", pin), look) if pin in reachable() else None


def outside(run: Run, record: PinTarget) -> Source:
    """Where a pin is read, which is named in what goes wrong there."""
    from multiarch_oci.store.sources import Attributed, Subject

    subject = Subject(f"external {record.reference}", None, "see EXTERNAL, and the network")
    return Attributed(run.build.registries.store(record.reference, record.folder), subject)


def copied_receipt(run: Run, copy_to: Reference) -> Path:
    """Where the receipt of a copy lies: that of a push of its tag; the platform may have been ours, or become so."""
    return run.tree.root / receipt_path(copy_to)


def _refuse_early(run: Run, registry: str | None) -> None:
    """With IMMUTABLE=yes: find a tag of this run that must not be moved before the first one is written.

    What a tag is to hold is known where its image is made, or all members of its index are; the others' own pushes
    will tell. Of several registries only this one is looked at. Raises TagImmutable.
    """
    from multiarch_oci.publish import decide

    ask_all(run)
    for node in filter(writes, reversed(reachable())):
        if node.check_attributes("registry") != registry:
            continue
        digest = _known_digest(run, node)
        if digest is None:
            continue
        reference, folder, also, previous = _written(run, node)
        try:
            observed = {
                tag: run.build.registries.observed(reference.with_tag(tag), folder)
                for tag in (reference.tag or "", *also)
            }
        except MultiarchError:
            continue  # its own step meets the same trouble
        decide(
            reference,
            digest,
            observed.__getitem__,
            previous=previous,
            policy=run.settings.policy,
            also=also,
            unfinished=Intention(run, reference).digests(),
        )


def _written(run: Run, node: Any) -> tuple[Reference, str | None, tuple[str, ...], Receipt | None]:
    """The tag that a target writes, the folder that it is in, further tags, and what the last run left of it."""
    record = target_of(node)
    if isinstance(record, PinTarget) and record.copy_to is not None:
        return record.copy_to, record.copy_folder, (), receipt_at(copied_receipt(run, record.copy_to))
    return record.reference, record.folder, record.also, last_receipt(node)


def _known_digest(run: Run, node: Any) -> Digest | None:
    """The digest that a tag of this run is to hold; None when it is not known yet."""
    if is_pin(node):
        receipt = _looked_at(run, node)
        return None if receipt is None else receipt.descriptor.digest
    source = node.sources[0]
    if is_index(source):
        return assembled(source).descriptor().digest if all(map(is_done, source.sources)) else None
    return root_of(source) if is_done(source) else None
