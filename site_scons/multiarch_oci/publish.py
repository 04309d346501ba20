"""The verbs of a push and of a pin (behaviour, section 4, and EXTERNAL).

`publish` makes one reference hold one image or index, and is sure that it does; `pin` looks up what a tag that somebody
else pushes holds for one platform.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from multiarch_oci.config import ImageConfig
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.errors import MultiarchError
from multiarch_oci.image import check_layers
from multiarch_oci.index import Index, as_declared, stands_for
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import is_index
from multiarch_oci.plan.policy import Move, Policy, TagMoved, TagPlan, plan_tag
from multiarch_oci.platform import InvalidPlatform, Platform
from multiarch_oci.receipt import Receipt
from multiarch_oci.reference import Reference
from multiarch_oci.store import Copied, Source, Store, copy, read
from multiarch_oci.store.selecting import select, there

ATTEMPTS = 3
"""How often a tag is written, in all, that somebody else writes at the same time."""
_AT_ONCE = 8
_NOTHING: Mapping[Digest, Reference] = MappingProxyType({})


class NotVisible(MultiarchError):
    """A tag that its registry took, and still does not show."""


class Published(msgspec.Struct, frozen=True):
    """What a push established and did: `also` are the further tags that it wrote, `remarks` what the user must see."""

    receipt: Receipt
    move: Move
    copied: Copied
    remarks: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


class Tagging(msgspec.Struct, frozen=True):
    """How a tag is written: what it may hold before, and how much of what it then holds is looked at.

    `previous` is the receipt of the last time. What is `unfinished` was left by pushes of this tree that did not end: a
    tag that holds it was moved by nobody else. `intend` is called with what the tag is about to hold before the first
    tag is written, for the caller to remember it as unfinished until the receipt is kept. `deep` and `again` as `copy`
    has them: a tag that holds the right thing already is mended below.
    """

    previous: Receipt | None = None
    policy: Policy = Policy()
    unfinished: frozenset[Digest] = frozenset()
    intend: Callable[[Digest], object] = str
    deep: bool = False
    again: frozenset[Digest] = frozenset()

    @property
    def own(self) -> frozenset[Digest]:
        """What the tag may have held by pushes of this tree."""
        return self.unfinished if self.previous is None else self.unfinished | {self.previous.descriptor.digest}


_FIRST = Tagging()


def publish(
    source: Source,
    store: Store,
    root: Descriptor,
    reference: Reference,
    tagging: Tagging = _FIRST,
    *,
    also: tuple[str, ...] = (),
    mountable: Mapping[Digest, Reference] = _NOTHING,
    lent: Mapping[Digest, Reference] = _NOTHING,
    new: bool = False,
    sending: Callable[[Descriptor], object] = id,
) -> Published:
    """Let the tag of `reference` hold `root`: children first, the tag last, read back and compared.

    Idempotent; a tag that already holds `root` is adopted and nothing is sent. The tags in `also` are written when
    `root` is new under this reference, or when they are absent; otherwise they are left alone. `mountable`, `lent`,
    `new` and `sending` as `copy` has them. Every tag that was written is read back; the store waits there for a place
    that shows late what it took, whose tag is not written again. When somebody else writes the main tag at the same
    time, it is, ATTEMPTS times in all. Raises TagMoved or TagImmutable as the policy says, TagMoved when the other one
    does not give in, NotVisible when a tag still holds what it did.
    """
    decided, others = _decided(store, root, reference, tagging, also)
    copied = Copied(present=(root,))
    # The tag itself comes last: where this push is cut off between two tags, the next one finds it still to be written,
    # and with it those in `also`.
    written = tuple(plan.reference.tag or "" for plan in others)
    names = written if decided.move is Move.KEEP else (*written, reference.tag or "")
    remarks = [plan.remark for plan in (decided, *others) if plan.remark]
    if names:
        tagging.intend(root.digest)
    if names or tagging.deep or tagging.again:
        send = partial(copy, source, store, root, mountable=mountable, lent=lent, new=new, sending=sending)
        copied = send(tags=names, deep=tagging.deep, again=tagging.again)
        before = {reference: tagging.own | _digests(decided), **{plan.reference: _digests(plan) for plan in others}}
        remarks += _settle(store, root, reference, tagging.policy, before)
    return Published(Receipt(reference, root), decided.move, copied, tuple(remarks), written)


def decide(
    reference: Reference,
    digest: Digest,
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
    interrupted = observed is not None and observed in unfinished
    receipted = observed if interrupted else kept
    main = plan_tag(reference, digest=digest, observed=observed, receipted=receipted, policy=policy)
    new = main.move is not Move.KEEP and (interrupted or kept != digest)
    others = []
    for name in also:
        held = observe(name)
        if held is not None and not new and held not in unfinished:
            continue
        # What a further tag held before is what this tree or another put there on purpose: it moves with each release.
        tag = reference.with_tag(name)
        plan = plan_tag(tag, digest=digest, observed=held, receipted=held, policy=policy, further=True)
        if plan.move is not Move.KEEP:
            others.append(plan)
    return main, others


def _decided(
    store: Store, root: Descriptor, reference: Reference, tagging: Tagging, also: tuple[str, ...]
) -> tuple[TagPlan, list[TagPlan]]:
    """`decide`, by what the tags of a store hold now."""

    def observe(name: str) -> Digest | None:
        held = store.resolve(name)
        return None if held is None else held.digest

    previous, policy, unfinished = tagging.previous, tagging.policy, tagging.unfinished
    return decide(reference, root.digest, observe, previous=previous, policy=policy, also=also, unfinished=unfinished)


def _digests(plan: TagPlan) -> frozenset[Digest]:
    return frozenset() if plan.observed is None else frozenset([plan.observed])


def _settle(
    store: Store,
    root: Descriptor,
    reference: Reference,
    policy: Policy,
    before: Mapping[Reference, frozenset[Digest]],
) -> list[str]:
    """Read back every tag that was written; the main one is written again, as the policy allows, over somebody else's.

    `before` are the tags and what each may have held: a tag that still holds that, or nothing, is not visible, and was
    waited for. Returns remarks.
    """
    remarks: list[str] = []
    for tag, held in _read_back(store, [tag for tag in before if tag != reference]).items():
        if held is None or held.digest in before[tag] - {root.digest}:
            raise _not_visible(tag, root, held)
        if held.digest != root.digest:
            remarks.append(f"{tag} holds {held.digest} right after {root.digest} was pushed: somebody else moved it")
    for tries_left in reversed(range(ATTEMPTS)):
        there = store.resolve(reference.tag or "")
        if there is not None and there.digest == root.digest:
            if is_index(root.media_type):
                read(store, there)  # verified while it is read: the bytes there are the bytes of the index
            return remarks
        if there is None or there.digest in before[reference]:
            raise _not_visible(reference, root, there)
        story = (
            f"holds {there.digest} right after {root.digest} was pushed: somebody else pushes this tag at the same time"
        )
        if not policy.repair or policy.immutable or not tries_left:
            hint = "run the same command again when the other push has ended"
            raise TagMoved(story, where=str(reference), hint=hint)
        remarks.append(f"{reference} {story}; it is written again")
        store.tag(reference.tag or "", root)
    raise AssertionError  # pragma: no cover  # the last round returns or raises


def _read_back(store: Store, tags: list[Reference]) -> dict[Reference, Descriptor | None]:
    """What tags hold that were just written, all asked at once."""
    if not tags:
        return {}
    from concurrent.futures import ThreadPoolExecutor  # start-up

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(tags, pool.map(lambda tag: store.resolve(tag.tag or ""), tags), strict=True))


def _not_visible(tag: Reference, root: Descriptor, held: Descriptor | None) -> NotVisible:
    there = "is not there" if held is None else f"still holds {held.digest}"
    return NotVisible(
        f"{there} although the registry took {root.digest}, and was waited for",
        where=str(tag),
        hint="it shows late what it takes, or drops it; run the same command again: what was sent is not sent again",
    )


class PinMissing(MultiarchError):
    """An external tag that is not there, or that does not hold the wanted platform."""


def pin(
    source: Source,
    reference: Reference,
    platform: Platform,
    *,
    into: Store | None = None,
    into_reference: Reference | None = None,
    tagging: Tagging = _FIRST,
    say: Callable[[str], object] = str,
) -> Receipt:
    """Find the image of `platform` under `reference`, which may be an index, and say what it is.

    The receipt's reference carries the digest that the tag holds now; its descriptor is the platform's manifest, with
    the platform that is declared (`as_declared`). With `into` (bound to `into_reference`) the image is published there
    first, as any other tag; what the user must see goes to `say`. Idempotent. Raises PinMissing, or what `publish` and
    the places raise.
    """
    where = str(reference)
    held = source.resolve(str(reference.digest) if reference.digest is not None else reference.tag or "latest")
    if held is None:
        hint = "push it first, or take it out of EXTERNAL; nothing was published"
        raise PinMissing("is not in the registry", where=where, hint=hint)
    chosen = _choose(source, held, platform, where, say)
    manifest = Manifest.from_json(read(source, chosen), where=where, media_type=chosen.media_type)
    config = ImageConfig.from_json(read(source, manifest.config), where=where)
    check_layers(manifest, config, where=where)
    if not stands_for(config.platform, platform):
        what = f"is {config.platform}, not {platform}"
        raise PinMissing(what, where=where, hint=_instead(config.platform, platform))
    if into is not None and into_reference is not None:
        near = into_reference.registry == reference.registry
        mountable = {blob.digest: reference for blob in manifest.blobs()} if near else {}
        for remark in publish(source, into, chosen.bare(), into_reference, tagging, mountable=mountable).remarks:
            say(remark)
    # The config was asked, not the entry of an index, which is what somebody wrote beside it.
    image = replace(chosen.bare(), platform=as_declared(config.platform, platform))
    return Receipt(reference.with_digest(held.digest), image)


def _choose(
    source: Source, held: Descriptor, platform: Platform, where: str, say: Callable[[str], object]
) -> Descriptor:
    if not is_index(held.media_type):
        return held
    index = Index.from_json(read(source, held), where=where, media_type=held.media_type)
    chosen = select(source, index, platform, serves=stands_for, where=where)
    if chosen is None:
        known = there(source, index, where=where) or "no platform"
        raise PinMissing(f"is an index without {platform}", where=where, hint=f"it holds {known}")
    if chosen.version:
        say(f"{where}: {platform} is {chosen.version}")
    return chosen.descriptor


def _instead(image: Platform, declared: Platform) -> str:
    """What to write for an image of another platform than the declared: only what can be declared, and pulled."""
    meant = image.corrected(like=declared)
    try:
        meant.check_known()
    except InvalidPlatform:
        return (
            f"push an image of {declared}: its config names a platform that no runtime asks for; nothing was published"
        )
    item = f"EXTERNAL={meant}=…"
    item = f"'{item}'" if "(" in item else item  # which a shell would take apart
    return f"write {item}, or push the right image; nothing was published"
