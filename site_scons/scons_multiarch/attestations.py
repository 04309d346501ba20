"""What `env.Attest` does: what is promised of an image or index is there, by digest, before its tag is written.

So nobody who follows the tag finds an image without it. The receipt says what refers to the image and how the registry
lists that; whether it still does is asked together with the tags.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from multiarch_oci.digest import Digest, InvalidDigest
from multiarch_oci.document import InvalidDocument, keyed, remembered_as
from multiarch_oci.errors import MultiarchError
from multiarch_oci.why import Facts
from scons_multiarch.beforehand import check
from scons_multiarch.documents import documents_of
from scons_multiarch.paths import shown
from scons_multiarch.process import say
from scons_multiarch.receipts import Intention, ask_all, content_of, last_receipt, spelled
from scons_multiarch.session import Run
from scons_multiarch.signatures import UnusableSigner, fault_of, signed_by, words_of
from scons_multiarch.step import write
from scons_multiarch.targets import ProvenanceTarget, is_attest, target_of
from scons_multiarch.tracking.late import holds_without
from scons_multiarch.tracking.state import reasons

if TYPE_CHECKING:
    from multiarch_oci.receipt import Attested
    from multiarch_oci.reference import Reference
    from multiarch_oci.store.tags import ListingOf, Referring
    from scons_multiarch.receipts import Content
    from scons_multiarch.targets import AttestTarget

_BY_TAG = "tag"
"""`Listed.TAG`, whose module a build with nothing to do need not load."""
MOST_LOOKED_AT = 32
"""Manifests that a run asks for one by one, of those that registries without the referrers API list under a tag."""
SAMPLE = 8
"""… and where there are more subjects than FEW_SUBJECTS."""
FEW_SUBJECTS = 6


def perform(target: list[Any], source: list[Any], env: Any) -> None:
    """Send the image or index by digest, then what refers to it; write the receipt."""
    from multiarch_oci.attesting import attest
    from multiarch_oci.store import copy
    from scons_multiarch.signatures import signer_of

    node, run = target[0], env["MULTIARCH_RUN"]
    record, push = node.attributes.target, node.attributes.push
    content = content_of(run, source[0], record.reference)
    check(push, run)
    _check_tag(run, push, content.root.digest)
    store = run.build.registries.store(record.reference, record.folder, action="push")
    copied = copy(
        content.source,
        store,
        content.root,
        mountable=content.mountable,
        lent=content.lent,
        new=_is_unasked(run, record, source[0], content),
    )
    outcome = attest(
        store,
        content.root,
        record.reference,
        list(_attestations(_files(node), content, record.reference)),
        signer_of(env),
        previous=receipt_of(node),
        policy=run.settings.policy,
        of_run=_of_run(env, node, content, record.reference),
    )
    _forget(run, node)
    step = run.build.current_step()
    if step is not None:
        step.copied = copied + outcome.copied
    for remark in outcome.remarks:
        say(f"  {spelled(remark, target)}")
    state = node.attributes.state
    state.digest, state.published = content.root.digest, replace(outcome, copied=copied + outcome.copied)
    write(Path(node.get_abspath()), outcome.receipt.to_json())


def _is_unasked(run: Run, record: AttestTarget, image: Any, content: Content) -> bool:
    """Whether the image is sent without asking for it: not where the tag to be holds it already, as for a push."""
    from scons_multiarch.pushes import is_unasked

    if not is_unasked(image, content):
        return False
    ask_all(run)
    try:
        return run.build.registries.observed(record.reference, record.folder) != content.root.digest
    except MultiarchError:
        return True  # what is sent meets the same trouble, or has more patience


def _forget(run: Run, node: Any) -> None:
    """What the registry answered about a subject's attestations is not so any more; what is remembered may be wrong."""
    for lookup in (question(node), *looked_at(run).get(node, ())):
        if lookup is not None:
            run.build.registries.forget(lookup)
    lists_of(run).drop(node)


def _check_tag(run: Run, push: Any, digest: Digest) -> None:
    """Raise TagMoved or TagImmutable where the tag may not be written anyhow: then nothing is attached either."""
    if run.settings.policy.repair and not run.settings.policy.immutable:
        return
    from multiarch_oci.publish import decide

    record, previous = push.attributes.target, last_receipt(push)
    decide(
        record.reference,
        digest,
        lambda tag: run.build.registries.observed(record.reference.with_tag(tag), record.folder),
        previous=previous,
        policy=run.settings.policy,
        also=record.also,
        unfinished=Intention(run, record.reference).digests(),
    )


def _files(node: Any) -> list[Any]:
    """All that is attached, by what the receipt was declared with; of what ATTEST promises what was declared by now."""
    documents = documents_of(node)
    promised = () if documents is None else documents.declare()
    return list(dict.fromkeys([*node.sources[1:], *promised, *node.attributes.__dict__.get("also", ())]))


def _attestations(files: list[Any], content: Content, reference: Reference) -> Any:
    """What the files say of the image, in their order."""
    from multiarch_oci.attesting import Attestation

    name = reference.repository.rpartition("/")[2]
    for file in files:
        yield Attestation.of(Path(file.get_abspath()).read_bytes(), content.root.digest, name, where=shown(file))


def _of_run(env: Any, node: Any, content: Content, reference: Reference) -> Any:
    """The provenance that says of which run it is, where one is attached."""
    from multiarch_oci.attesting import Attestation
    from scons_multiarch.provenances import beside

    file = _full_provenance(env, node)
    if file is None:
        return None
    path, name = beside(Path(file.get_abspath())), reference.repository.rpartition("/")[2]
    return Attestation.of(path.read_bytes(), content.root.digest, name, where=path.name)


def _full_provenance(env: Any, node: Any) -> Any:
    """The provenance of ours that is attached, where PROVENANCE=full has another one attached beside it; or None."""
    if env.get("PROVENANCE") != "full":
        return None
    return next((file for file in _files(node) if isinstance(target_of(file), ProvenanceTarget)), None)


def receipt_of(node: Any) -> Attested | None:
    """What the last run left; None when there is nothing that can be read."""
    from multiarch_oci.receipt import Attested

    path = Path(node.get_abspath())
    try:
        return Attested.from_json(path.read_bytes(), where=str(path))
    except (OSError, InvalidDocument, ValueError):
        return None


def question(node: Any) -> ListingOf | None:
    """What is to be asked of what refers to the subject; None before it was attested for the first time.

    Found once a build: of what was asked before no receipt need be read.
    """
    state = node.attributes.state
    if state.seen is None:
        state.seen = (_question(node),)
    listing: ListingOf | None = state.seen[0]
    return listing


def _question(node: Any) -> ListingOf | None:
    reference, known = node.attributes.target.reference, lists_of(node.attributes.run).known(node)
    if known is not None:
        with suppress(InvalidDigest):
            return known.question(reference)
    known = _read(node)
    return None if known is None else known.question(reference)


class _Known(msgspec.Struct, frozen=True):
    """What a receipt of this sha256 says of its subject, the list that named all that is in it, and what decided that.

    `documents` is the digest of all that decided what ATTEST has attached. Either is "" where it is not known.
    """

    receipt: str
    by: str
    subject: str
    list: str = ""
    documents: str = ""

    def question(self, reference: Reference) -> ListingOf:
        """What asks for it. Raises InvalidDigest."""
        from multiarch_oci.store.tags import ListingOf

        subject = reference.bare.with_digest(Digest.parse(self.subject))
        return ListingOf(subject, self.by, Digest.parse(self.list) if self.list else None)


def _read(node: Any) -> _Known | None:
    """What the receipt says that the last run left; None as for a push without one: it is made again."""
    receipt = receipt_of(node)
    return None if receipt is None else _Known(node.get_csig(), receipt.listed, str(receipt.subject.digest))


def _attached(node: Any) -> frozenset[str]:
    """The digests of what the last run left."""
    receipt = receipt_of(node)
    return frozenset() if receipt is None else frozenset(str(referrer.digest) for referrer in receipt.referrers)


class Lists:
    """The lists of referrers that were seen to name all that was attached, by receipts; kept between runs.

    A registry that has no referrers API says in a line that a list is the same as before, and nothing is read of it.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._path = run.tree.private / "attested.json"
        self._before: dict[str, _Known] = remembered_as(self._path, dict[str, _Known]) or {}
        self._now: dict[str, _Known] = {}
        self._dropped = False

    def known(self, node: Any) -> _Known | None:
        """What is known of a receipt, if it is the one that was seen."""
        known = self._before.get(str(node))
        return known if known is not None and known.receipt == node.get_csig() else None

    def note(self, node: Any, known: _Known) -> None:
        """Remember a list that names all that a receipt says."""
        self._now[str(node)] = known

    def drop(self, node: Any) -> None:
        """Forget what is known of a receipt that was made again: the next run reads it, and asks what it says."""
        self._now.pop(str(node), None)
        if self._before.pop(str(node), None) is not None:
            self._dropped = True

    def save(self) -> None:
        """Keep what this run saw of the receipts that are declared. OSError is the caller's."""
        declared = {str(node) for node, _ in self._run.declarations.attests}
        kept = {name: known for name, known in (self._before | self._now).items() if name in declared}
        if (self._dropped or (self._now and kept != self._before)) and self._run.settings.keeps:
            write(self._path, keyed(msgspec.to_builtins(kept)))


def lists_of(run: Run) -> Lists:
    """The lists that were seen by earlier runs, and by this one."""
    return run.build.once("attested lists", lambda: Lists(run))


def looked_at(run: Run, receipts: Iterable[Any] | None = None) -> dict[Any, list[Reference]]:
    """The attached manifests that are asked for by digest, by the receipts that name them.

    `receipts` are those that this run was asked for, where that is known.

    A tag goes on listing what was deleted, while the referrers API and a folder do not. Where there are very many they
    would cost more than all else that a build with nothing to do asks: of those some are taken, by chance, so that what
    is deleted is noticed by one of the next runs.
    """

    def choose() -> dict[Any, list[Reference]]:
        import random

        from scons_multiarch.graph import reachable_nodes

        nodes = list(filter(is_attest, reachable_nodes() if receipts is None else receipts))
        random.shuffle(nodes)
        chosen: dict[Any, list[Reference]] = {}
        room = MOST_LOOKED_AT if len(nodes) <= FEW_SUBJECTS else SAMPLE
        for node in nodes:
            listing = question(node) if room else None
            if listing is not None and listing.by == _BY_TAG:
                digests = sorted(_attached(node))[:room]
                chosen[node] = [listing.reference.with_digest(Digest.parse(digest)) for digest in digests]
                room -= len(digests)
        return chosen

    return run.build.once("attached manifests", choose)


def drifted(node: Any) -> str | None:
    """Why the registry does not hold or list what was attached; None when it does."""
    if reasons(node):
        return None  # it is attested in any case, and asks then
    run, record = node.attributes.run, node.attributes.target
    ask_all(run)
    listing = question(node)
    if listing is None:
        return "its receipt cannot be read"
    registries = run.build.registries
    manifests = looked_at(run).get(node, ())
    lost = {str(manifest.digest) for manifest in manifests if registries.observed(manifest, None) is None}
    answer = registries.listed(listing, record.folder)
    if answer is None or answer.digests is not None:  # another list than the one that is known
        lost |= _attached(node) - ((answer and answer.digests) or frozenset())
    if lost:
        return f"{len(lost)} of {len(_attached(node))} attestations are not in the registry"
    _remember(node, listing, answer)
    return None


def _remember(node: Any, listing: ListingOf, answer: Referring | None) -> None:
    """Keep that a list names all that was attached, and what decided that, which is up to date by now."""
    lists = lists_of(node.attributes.run)
    before = lists.known(node) or _Known("", "", "")
    named = before.list if answer is None or answer.state is None else str(answer.state)
    decided = node.attributes.state.decided_by or before.documents
    known = _Known(node.get_csig(), listing.by, str(listing.reference.digest), named, decided)
    if known != before:
        lists.note(node, known)


def stands_alone(node: Any) -> bool:
    """Whether a receipt is up to date, and what it says was attached is what ATTEST promises, by what was known of it.

    Then its documents need not be declared. Nothing is known of one that was written since, or damaged. What decides
    the documents is found out before they are decided: of what is edited meanwhile, it is the state before.
    """
    documents, run = node.attributes.documents, node.attributes.run
    known, decided_by = lists_of(run).known(node), documents.digest(run)
    node.attributes.state.decided_by = decided_by
    if known is None or not decided_by or known.documents != decided_by:
        return False
    made, count = node.get_stored_info().binfo, len(node.depends)
    recorded = made.bdepends[count:], made.bdependsigs[count:]
    return documents.are_as_recorded(run, *recorded) and holds_without(node)


def check_signers(run: Run) -> None:
    """Raise UnusableSigner before the first step where who signs cannot, of what this run was asked to attach."""
    from scons_multiarch.graph import reachable_nodes

    asked_for = set(reachable_nodes())
    for node, env in run.declarations.attests:
        if node in asked_for and (fault := fault_of(env)) is not None:
            raise UnusableSigner(fault)


def facts(env: Any, text: str, node: Any) -> Facts:
    """What decides the receipt beside image and files: the tag, who signs, PROVENANCE. Raises MultiarchError."""
    run: Run = env["MULTIARCH_RUN"]
    signer = run.build.once(("signed by", words_of(env)), lambda: signed_by(env))
    full = {} if _full_provenance(env, node) is None else {"PROVENANCE": "full"}
    return Facts({"reference": text, "signed by": signer, **full}, {})
