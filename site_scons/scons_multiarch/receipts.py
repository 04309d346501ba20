"""What pushes, pins, loads and archives share: receipts, tags, what an image file holds."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from multiarch_oci.digest import Digest
from multiarch_oci.document import InvalidDocument
from multiarch_oci.errors import MultiarchError
from multiarch_oci.reference import Reference
from scons_multiarch.graph import reachable_nodes
from scons_multiarch.paths import shown
from scons_multiarch.registries import location
from scons_multiarch.session import Run
from scons_multiarch.step import write
from scons_multiarch.targets import (
    AttestTarget,
    PinTarget,
    PushTarget,
    is_attest,
    is_index,
    is_pin,
    is_remote,
    target_of,
)
from scons_multiarch.tracking.state import state_of

if TYPE_CHECKING:
    from multiarch_oci.descriptor import Descriptor
    from multiarch_oci.index import Index
    from multiarch_oci.platform import Platform
    from multiarch_oci.publish import Tagging
    from multiarch_oci.receipt import Receipt
    from multiarch_oci.store import Source
    from multiarch_oci.store.layout import Layout
    from multiarch_oci.store.registry import Registry
    from multiarch_oci.store.tags import Question


_FEW = 2
"""A layer and the config."""
NOT_THERE = "it is not in the registry"
"""Why a push or pin runs whose tag, or receipt, is gone."""


class TwoPushes(MultiarchError, ValueError):
    """One reference that two things of a build claim."""


class Content(msgspec.Struct, frozen=True):
    """An image or index: where to read it from, what it is, which of its blobs other repositories may hold.

    `platform` is that of an image. `lent` are the blobs that a shared cache holds, from where they can be mounted, and
    `few`: there is no other, and asking for the manifest would cost no less than mounting them.
    """

    source: Source
    root: Descriptor
    mountable: Mapping[Digest, Reference]
    platform: Platform | None
    lent: Mapping[Digest, Reference] = MappingProxyType({})
    few: bool = False


class Intention:
    """What pushes of this tree that did not end may have left under a tag: it was not somebody else who moved it.

    Written before a tag is, removed once the receipt says what it holds. Lost with .multiarch, as any memory.
    """

    def __init__(self, run: Run, reference: Reference) -> None:
        self._reference = reference
        self._repairs = run.settings.policy.repair
        name = hashlib.sha256(str(reference).encode()).hexdigest()
        self._path = run.tree.private / "pushes" / f"{name}.json"

    def digests(self) -> frozenset[Digest]:
        """What the tag may hold by such a push; empty when the last one ended."""
        try:
            content = self._path.read_bytes()
        except OSError:
            return frozenset()
        from multiarch_oci.receipt import Intent

        try:
            return frozenset(Intent.from_json(content, where=str(self._path)).digests)
        except (InvalidDocument, ValueError):
            return frozenset()

    def note(self, digest: Digest) -> None:
        """Remember, should this process be killed, that the tag is about to hold this.

        Where a tag that was moved is repaired, it is not waited for until this is on the disk, which can take as long
        as several questions: a machine that loses its power meanwhile leaves a tag that is said to be moved, once.
        """
        from multiarch_oci.receipt import Intent
        from multiarch_oci.store.atomic import replacing

        intent = Intent(self._reference, tuple(sorted(self.digests() | {digest}, key=str)))
        with replacing(self._path, durable=not self._repairs) as file:
            file.write(intent.to_json())

    def clear(self) -> None:
        """Forget: the receipt says what the tag holds."""
        self._path.unlink(missing_ok=True)


def unfinished(run: Run) -> bool:
    """Whether any push of an earlier run of this tree did not end; asked once a run, as the runs before are over."""

    def look() -> bool:
        folder = run.tree.private / "pushes"
        try:
            return folder.is_dir() and any(folder.iterdir())
        except OSError:
            return True  # each is looked for by itself, then

    return bool(run.build.once("unfinished", look))


def receipt_path(reference: Reference, kind: str = "receipts") -> str:
    """Where the receipt of a reference lies, from the top; `:` of a port is no character of a file name everywhere."""
    registry = reference.registry.replace(":", "_").replace("[", "").replace("]", "")
    return f"_output/{kind}/{registry}/{reference.repository}/{reference.tag}.json"


def receipt_node(env: Any, reference: Reference, kind: str = "receipts") -> Any:
    """The file of a receipt, at the top whatever SConscript is being read.

    It knows as `former` where earlier versions kept it: below the folder of the SConscript.
    """
    path = receipt_path(reference, kind)
    node = env.fs.File(f"#/{path}")
    if env.fs.getcwd() is not env.fs.Top:
        node.attributes.former = env.fs.File(path)
    return node


def last_receipt(node: Any) -> Receipt | None:
    """What the last push, pin or load of a target left, also where an earlier version kept it; None when nothing."""
    receipt, former = receipt_at(Path(node.get_abspath())), node.check_attributes("former")
    return receipt_at(Path(former.get_abspath())) if receipt is None and former is not None else receipt


def keep_receipt(node: Any, receipt: Receipt) -> None:
    """Write a target's receipt; the one where an earlier version kept it goes, with the folders that leaves empty."""
    write(Path(node.get_abspath()), receipt.to_json())
    former = node.check_attributes("former")
    if former is None:
        return
    try:
        file = Path(former.get_abspath())
        file.unlink()
        folder = file.parent
        while folder.name != "_output":
            folder.rmdir()
            folder = folder.parent
        folder.rmdir()
    except OSError:
        pass  # there is none, or a folder holds something else


def receipt_at(path: Path) -> Receipt | None:
    """The receipt of the last push; None when there is none that can be read."""
    from multiarch_oci.receipt import Receipt

    try:
        return Receipt.from_json(path.read_bytes(), where=str(path))
    except (OSError, InvalidDocument, ValueError):
        return None


def writing(
    node: Any, reference: Reference, folder: str | None, previous: Receipt | None
) -> tuple[Registry | Layout, Tagging]:
    """Where a push, or a pin that copies, writes a tag, and how: what this tree left there is not somebody else's.

    The intention that the tagging notes is to be cleared once the receipt is kept.
    """
    from multiarch_oci.publish import Tagging

    run, mend = node.attributes.run, node.attributes.state.mend
    intention = Intention(run, reference)
    tagging = Tagging(
        previous, run.settings.policy, intention.digests(), intention.note, mend is not None, mend or frozenset()
    )
    if folder is None:
        run.build.registries.knew(reference, tagging.own)
    return run.build.registries.store(reference, folder, action="push"), tagging


def left_and_observed(node: Any) -> tuple[Receipt, Digest] | None:
    """The receipt of a push or pin, and what its tag holds now; None where either is missing."""
    run, record = node.attributes.run, node.attributes.target
    ask_all(run)
    receipt = receipt_at(Path(node.get_abspath()))
    observed = run.build.registries.observed(record.reference, record.folder)
    return None if receipt is None or observed is None else (receipt, observed)


def content_of(run: Run, node: Any, reference: Reference) -> Content:
    """What an image's tarball or an index's file holds, to be sent to `reference`; the file is read once."""
    path = Path(node.get_abspath())
    if is_index(node) or (target_of(node) is None and is_json(path)):
        from multiarch_oci.index import Index
        from multiarch_oci.store.memory import Memory

        content = path.read_bytes()
        descriptor = Index.from_json(content, where=str(path)).descriptor()
        memory = Memory(str(path))
        memory.put(descriptor, lambda: io.BytesIO(content))
        return Content(memory, descriptor, {}, None)
    from multiarch_oci.store.archive import Archive
    from multiarch_oci.store.sources import Attributed, Chain, Subject

    archive = Archive(path)
    image = archive.image()
    lenders: dict[Digest, Reference] = {}
    sources: list[Source] = [archive]
    state = state_of(node)
    if image.shared or (state is not None and state.kept_at):
        from scons_multiarch.shared.origins import lent

        lenders = lent(run, node, image, sources)
    if image.base is not None:
        sources.append(Attributed(run.build.registries.source(image.base), Subject.base(str(image.base), None)))
    source = Chain(sources, base=str(image.base)) if image.base is not None else Chain(sources)
    mountable, lenders = (
        {d: r for d, r in origins.items() if r.registry == reference.registry and r.name != reference.name}
        for origins in (image.mountable, lenders)
    )
    blobs = {layer.digest for layer in image.layers} | {image.manifest.config.digest}
    return Content(
        source if len(sources) > 1 else archive,
        image.descriptor.bare(),
        mountable,
        image.platform,
        lenders,
        len(blobs) <= _FEW and blobs <= lenders.keys(),
    )


def loaded_name(env: Any, text: str) -> Reference:
    """The name of an image in an engine: its reference, variables replaced, or what stands below a folder registry."""
    where, folder = location(text)
    if folder is None:
        return where
    registry = env.subst("$REPOSITORY").removesuffix(env.get("IMAGE", ""))
    return Reference.parse(text.removeprefix(registry) if registry else f"{where.repository}:{where.tag}")


def is_json(path: Path) -> bool:
    """Whether a file that another builder made, or none, is a JSON object and no archive."""
    with path.open("rb") as file:
        head = file.read(512)
    return head.lstrip()[:1] == b"{" and head[257:262] != b"ustar"


def root_of(node: Any) -> Digest:
    """The digest of an image's tarball or of an index that another builder made."""
    path = Path(node.get_abspath())
    if target_of(node) is None and is_json(path):
        return Digest.of(path.read_bytes())
    return descriptor_of(node).digest


def descriptor_of(node: Any) -> Descriptor:
    """What a member of an index is: an image's tarball or a pin's receipt, as its descriptor with the platform."""
    from multiarch_oci.receipt import Receipt

    path = Path(node.get_abspath())
    if is_pin(node) or (target_of(node) is None and is_json(path)):
        return Receipt.from_json(path.read_bytes(), where=shown(node)).descriptor
    from multiarch_oci.store.archive import read_image

    return read_image(path).descriptor


def assembled(node: Any) -> Index:
    """The index that a target is to be, of members that are there."""
    from multiarch_oci.index import Index

    record = node.attributes.target
    return Index.assemble(
        [descriptor_of(member) for member in node.sources],
        platforms=record.platforms,
        annotations=record.annotations,
        where=shown(node),
    )


def ask_all(run: Run) -> None:
    """Begin to ask for every tag that the targets of this run lead to; only the first call of a run does."""
    run.build.once("tags", lambda: ask_for_tags(run))


def ask_for_tags(run: Run) -> None:
    """Begin to ask for every tag that the targets of this run lead to and that was not asked for yet."""
    # What is declared first is decided first, so it is asked for first.
    nodes = [node for node in reachable_nodes() if is_remote(node) or is_attest(node)]
    questions = [pair for node in reversed(nodes) for pair in questions_of(node)]
    if any(map(is_attest, nodes)):
        from scons_multiarch.attestations import looked_at

        questions += [(reference, None) for manifests in looked_at(run, nodes).values() for reference in manifests]
    run.build.registries.prefetch(questions)


def questions_of(node: Any) -> list[tuple[Question, str | None]]:
    """What is to be asked of a push, pin or attestation, and the folder it is in."""
    if not is_attest(node):
        return [*tags_of(node)]
    from scons_multiarch.attestations import question

    of_subject = question(node)
    return [] if of_subject is None else [(of_subject, node.attributes.target.folder)]


def tags_of(node: Any) -> list[tuple[Reference, str | None]]:
    """Every tag that a push or pin looks at or writes, or that an attestation is for, and the folder it is in."""
    record = node.attributes.target
    tags = [(record.reference, record.folder)]
    if isinstance(record, AttestTarget):
        return tags
    if isinstance(record, PinTarget):
        return tags if record.copy_to is None else [*tags, (record.copy_to, record.copy_folder)]
    return tags + [(record.reference.with_tag(tag), record.folder) for tag in record.also]


def not_moved(node: Any) -> tuple[list[Reference], str]:
    """The further tags of a published index that this run leaves alone, and why: its version is a pre-release."""
    record, settings = target_of(node), node.attributes.run.settings
    tags, because = node.check_attributes("not_moved") or (settings.not_moved, settings.not_moved_because)
    if not isinstance(record, PushTarget) or not node.sources or not is_index(node.sources[0]):
        return [], because
    return [record.reference.with_tag(tag) for tag in tags], because


def spelled(text: str, nodes: list[Any], *, quote: Callable[[str], str] = str) -> str:
    """A text in which folder registries are called as on the command line, not by the host that stands for them."""
    for reference, folder in (pair for node in nodes for pair in tags_of(node)):
        if folder is not None:
            text = text.replace(reference.name, quote(Path(folder).as_posix()))
    return text
