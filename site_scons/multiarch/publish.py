"""The verb of a push: make one reference hold one image or index, and be sure that it does (behaviour, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from multiarch.descriptor import Descriptor
from multiarch.digest import Digest
from multiarch.mediatype import is_index
from multiarch.plan import Move, Policy, TagMoved, TagPlan, plan_tag
from multiarch.receipt import Receipt
from multiarch.record import dataclass
from multiarch.reference import Reference
from multiarch.store import Copied, Source, Store, copy, read

ATTEMPTS = 3
"""How often a tag is written, in all, that somebody else writes at the same time."""
_NOTHING: Mapping[Digest, Reference] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Published:
    """What a push established and did; `remarks` are lines that the user must see."""

    receipt: Receipt
    move: Move
    copied: Copied
    remarks: tuple[str, ...] = ()


def publish(
    source: Source,
    store: Store,
    root: Descriptor,
    reference: Reference,
    *,
    previous: Receipt | None,
    policy: Policy,
    also: tuple[str, ...] = (),
    mountable: Mapping[Digest, Reference] = _NOTHING,
    deep: bool = False,
    again: frozenset[Digest] = frozenset(),
    new: bool = False,
    unfinished: frozenset[Digest] = frozenset(),
    intend: Callable[[], object] = str,
) -> Published:
    """Let the tag of `reference` hold `root`: children first, the tag last, read back and compared.

    Idempotent; a tag that already holds `root` is adopted and nothing is sent. The tags in `also` are written when
    `root` is new under this reference, or when they are absent; otherwise they are left alone. `deep`, `again`, `new`
    as `copy` has them: a tag that holds `root` already is mended below. When somebody else writes the tag at the same
    time, it is written again, ATTEMPTS times in all. What is `unfinished` was left by pushes of this tree that did not
    end: a tag that holds it was moved by nobody else. `intend` is called before the first tag is written, for the
    caller to remember `root` as unfinished until the receipt is kept. Raises TagMoved or TagImmutable as the policy
    says, and TagMoved when the other one does not give in.
    """

    def observe(name: str) -> Digest | None:
        held = store.resolve(name)
        return None if held is None else held.digest

    decided, others = decide(
        reference, root.digest, observe, previous=previous, policy=policy, also=also, unfinished=unfinished
    )
    copied = Copied(present=(root,))
    # The tag itself comes last: where this push is cut off between two tags, the next one finds it still to be written,
    # and with it those in `also`.
    names = [plan.reference.tag or "" for plan in others]
    names += [reference.tag or ""] if decided.move is not Move.KEEP else []
    if names:
        intend()
    if names or deep or again:
        copied = copy(source, store, root, tags=tuple(names), mountable=mountable, deep=deep, again=again, new=new)
    remarks = [plan.remark for plan in (decided, *others) if plan.remark]
    if names or deep or again:
        remarks += _settle(store, root, reference, policy)
    return Published(Receipt(reference, root), decided.move, copied, tuple(remarks))


def decide(
    reference: Reference,
    wanted: Digest,
    observe: Callable[[str], Digest | None],
    *,
    previous: Receipt | None,
    policy: Policy,
    also: tuple[str, ...] = (),
    unfinished: frozenset[Digest] = frozenset(),
) -> tuple[TagPlan, list[TagPlan]]:
    """What becomes of the tag of `reference`, and those of the further tags that are to be written now.

    `observe` says what a tag of the repository holds. Raises as `publish` for a tag that must not be moved.
    """
    observed = observe(reference.tag or "")
    kept = None if previous is None else previous.descriptor.digest
    left = observed is not None and observed in unfinished
    receipted = observed if left else kept
    main = plan_tag(reference, wanted=wanted, observed=observed, receipted=receipted, policy=policy)
    new = main.move is not Move.KEEP and (left or kept != wanted)
    others = []
    for name in also:
        held = observe(name)
        if held is not None and not new and held not in unfinished:
            continue
        # What a further tag held before is what this tree or another put there on purpose: it moves with each release.
        tag = reference.with_tag(name)
        plan = plan_tag(tag, wanted=wanted, observed=held, receipted=held, policy=policy, further=True)
        if plan.move is not Move.KEEP:
            others.append(plan)
    return main, others


def _settle(store: Store, root: Descriptor, reference: Reference, policy: Policy) -> list[str]:
    """Read back what was published; where it is not that, write the tag again as the policy allows. Returns remarks."""
    remarks: list[str] = []
    while True:
        found = store.resolve(reference.tag or "")
        if found is not None and found.digest == root.digest:
            if is_index(root.media_type):
                read(store, found)  # verified while it is read: the bytes there are the bytes of the index
            return remarks
        held = "nothing" if found is None else str(found.digest)
        story = f"holds {held} right after {root.digest} was pushed: somebody else pushes this tag at the same time"
        if not policy.repair or policy.immutable or len(remarks) + 1 == ATTEMPTS:
            hint = "run the same command again when the other push has ended"
            raise TagMoved(story, where=str(reference), hint=hint)
        remarks.append(f"{reference} {story}; it is written again")
        store.tag(reference.tag or "", root)
