"""The verb of a pin: what a tag that somebody else pushes holds for one platform (behaviour, EXTERNAL)."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from multiarch_oci.config import ImageConfig
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.errors import MultiarchError
from multiarch_oci.image import check_layers
from multiarch_oci.index import Index, as_declared, stands_for
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import is_index
from multiarch_oci.misspelled import corrected
from multiarch_oci.plan import Policy
from multiarch_oci.platform import InvalidPlatform, Platform
from multiarch_oci.publish import publish
from multiarch_oci.receipt import Receipt
from multiarch_oci.reference import Reference
from multiarch_oci.store import Source, Store, read
from multiarch_oci.store.selecting import select, there

_REPAIR = Policy()


class PinMissing(MultiarchError):
    """An external tag that is not there, or that does not hold the wanted platform."""


def pin(
    source: Source,
    reference: Reference,
    platform: Platform,
    *,
    into: Store | None = None,
    into_reference: Reference | None = None,
    previous: Receipt | None = None,
    policy: Policy = _REPAIR,
    say: Callable[[str], object] = str,
    deep: bool = False,
    again: frozenset[Digest] = frozenset(),
    unfinished: frozenset[Digest] = frozenset(),
    intend: Callable[[Digest], object] = str,
) -> Receipt:
    """Find the image of `platform` under `reference`, which may be an index, and say what it is.

    The receipt's reference carries the digest that the tag holds now; its descriptor is the platform's manifest, with
    the platform that is declared (`as_declared`). With `into` (bound to `into_reference`) the image is published there
    first, with the receipt of the last time and the policy as any other tag; what the user must see goes to `say`.
    `deep` and `again` as `copy` has them, `unfinished` as `publish`; `intend` is told what will be published there.
    Idempotent.
    Raises PinMissing, or what `publish` and the places raise.
    """
    where = str(reference)
    held = source.resolve(str(reference.digest) if reference.digest is not None else reference.tag or "latest")
    if held is None:
        raise PinMissing(
            "is not in the registry",
            where=where,
            hint="push it first, or take it out of EXTERNAL; nothing was published",
        )
    chosen = _choose(source, held, platform, where, say)
    manifest = Manifest.from_json(read(source, chosen), where=where, media_type=chosen.media_type)
    config = ImageConfig.from_json(read(source, manifest.config), where=where)
    check_layers(manifest, config, where=where)
    if not stands_for(config.platform, platform):
        raise PinMissing(
            f"is {config.platform}, not {platform}",
            where=where,
            hint=_instead(config.platform, platform),
        )
    # The config was asked, not the entry of an index, which is what somebody wrote beside it.
    found = replace(chosen.bare(), platform=as_declared(config.platform, platform))
    if into is not None and into_reference is not None:
        mountable = (
            {b.digest: reference for b in manifest.blobs()} if into_reference.registry == reference.registry else {}
        )
        done = publish(
            source,
            into,
            chosen.bare(),
            into_reference,
            previous=previous,
            policy=policy,
            mountable=mountable,
            deep=deep,
            again=again,
            unfinished=unfinished,
            intend=lambda: intend(chosen.digest),
        )
        for remark in done.remarks:
            say(remark)
    return Receipt(reference.with_digest(held.digest), found)


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


def _instead(found: Platform, wanted: Platform) -> str:
    """What to write for an image of another platform than the declared: only what can be declared, and pulled."""
    meant = corrected(found, like=wanted)
    try:
        meant.check_known()
    except InvalidPlatform:
        return f"push an image of {wanted}: its config names a platform that no runtime asks for; nothing was published"
    item = f"EXTERNAL={meant}=…"
    item = f"'{item}'" if "(" in item else item  # which a shell would take apart
    return f"write {item}, or push the right image; nothing was published"
