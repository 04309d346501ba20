"""What a push will do to a tag: a pure function of what is declared and what was observed (behaviour, section 4)."""

from __future__ import annotations

import enum

import msgspec

from multiarch_oci.digest import Digest
from multiarch_oci.errors import MultiarchError
from multiarch_oci.reference import Reference


class TagMoved(MultiarchError):
    """A tag that holds what somebody else put there, where that is declared to be an error."""


class TagImmutable(MultiarchError):
    """A tag that exists with other content, where tags are declared to be immutable."""


class Move(enum.Enum):
    """What happens to a tag."""

    KEEP = "unchanged"
    CREATE = "create"
    OVERWRITE = "move"
    UNKNOWN = "unreachable"
    LEAVE = "not moved"


class Policy(msgspec.Struct, frozen=True):
    """What may be done to a tag that exists: `repair` one that somebody moved; never overwrite when `immutable`."""

    repair: bool = True
    immutable: bool = False


class TagPlan(msgspec.Struct, frozen=True):
    """The decision for one tag; `remark` is the line that the user must see, None when there is nothing to say."""

    reference: Reference
    digest: Digest
    observed: Digest | None
    move: Move
    remark: str | None = None


def plan_tag(
    reference: Reference,
    *,
    digest: Digest,
    observed: Digest | None,
    receipted: Digest | None,
    policy: Policy,
    further: bool = False,
) -> TagPlan:
    """Decide what becomes of a tag that holds `observed` now and held `receipted` when this tree last wrote it.

    A `further` tag is one of those that move with each release. Raises TagImmutable or TagMoved where the policy
    forbids to overwrite.
    """
    if observed == digest:
        return TagPlan(reference, digest, observed, Move.KEEP)
    if observed is None:
        return TagPlan(reference, digest, observed, Move.CREATE)
    change = f"{observed} → {digest}"
    if policy.immutable:
        raise TagImmutable(
            f"exists with other content ({change}), and IMMUTABLE=yes",
            where=str(reference),
            hint=f"this tag moves with each release: leave {reference.tag} out of TAGS, or leave out IMMUTABLE=yes"
            if further
            else "raise VERSION, or remove the tag by hand",
        )
    if observed == receipted:
        return TagPlan(reference, digest, observed, Move.OVERWRITE)
    story = "was pushed by somebody else" if receipted is None else "was moved by somebody"
    if not policy.repair:
        raise TagMoved(
            f"{story} ({change}), and DRIFT=fail",
            where=str(reference),
            hint="look at what it holds; DRIFT=repair overwrites it",
        )
    return TagPlan(reference, digest, observed, Move.OVERWRITE, f"{reference} {story}, it is overwritten: {change}")
