"""What a whole build would do to its images and tags: a pure function of declared and observed state (`plan`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.errors import MultiarchError, one_line
from multiarch_oci.output import document
from multiarch_oci.plan.policy import Move, Policy, TagImmutable, TagMoved, plan_tag
from multiarch_oci.platform import Platform
from multiarch_oci.quoting import readable_size
from multiarch_oci.reference import Reference

Observed: TypeAlias = "Digest | MultiarchError | None"
"""What a tag names now; None = it is absent; an error = the place did not say."""

LATER = "known after the build"


class Rebuild(Enum):
    """Whether an image would be made again; PERHAPS: when something before it turns out other than it was.

    CACHED: a shared cache has it.
    """

    NO = "no"
    YES = "yes"
    CACHED = "cached"
    PERHAPS = "perhaps"


class ImagePlan(msgspec.Struct, frozen=True):
    """What becomes of one image, and why; `digest` is its manifest's, None when only the build will tell.

    `engine` is who would build it, None when nobody is asked or nobody can; `because` is why others would not.
    `kind` is another word for a file that says something of an image: its SBOM, its provenance.
    """

    target: str
    rebuild: Rebuild
    why: str | None = None
    digest: Digest | None = None
    engine: str | None = None
    because: str = ""
    kind: str = "image"


class Content(msgspec.Struct, frozen=True):
    """A manifest or blob that a push makes be there; `there`: it is, or can be mounted; None = not known."""

    descriptor: Descriptor
    there: bool | None = None


class PinState(msgspec.Struct, frozen=True):
    """A tag that somebody else pushes: `seen` when it was looked at last (None: never), `observed` now."""

    reference: Reference
    platform: Platform
    seen: Digest | None
    observed: Observed


class TagState(msgspec.Struct, frozen=True):
    """A tag that this build writes: what it should hold, held when this tree wrote it last, and holds.

    `digest` is None when only the build will tell. `contents` begins with the manifest; None when nobody knows what
    there will be to send. `also` are the further tags of the same content. `needs` are pins without which nothing is
    published. `refused` is an error that is certain already. What is `unfinished` a push of this tree may have left
    there that did not end. `policed` is False for a tag that no policy protects. `not_moved` are tags that stay as they
    are, whatever they hold, `not_moved_because` says why.
    """

    reference: Reference
    digest: Digest | None
    receipted: Digest | None
    observed: Observed
    contents: tuple[Content, ...] | None = None
    also: tuple[tuple[Reference, Observed], ...] = ()
    needs: tuple[Reference, ...] = ()
    refused: str | None = None
    unfinished: frozenset[Digest] = frozenset()
    policed: bool = True
    not_moved: tuple[Reference, ...] = ()
    not_moved_because: str = ""


class PinPlan(msgspec.Struct, frozen=True):
    """What became of a pin: `unchanged`, `new`, `moved`, `missing` or `unreachable`."""

    reference: Reference
    platform: Platform
    state: str
    old: Digest | None
    new: Digest | None
    error: str | None = None


class PlannedTag(msgspec.Struct, frozen=True):
    """What becomes of one tag: `old` → `new` (None: known after the build, or absent before).

    `upload` is in bytes, an upper bound when `bound`, None when nobody knows. `fails` is the error that the push would
    end in, `error` why the registry could not be asked, `because` why a tag is left alone.
    """

    reference: Reference
    move: Move
    old: Digest | None
    new: Digest | None
    upload: int | None = 0
    bound: bool = False
    fails: str | None = None
    error: str | None = None
    because: str = ""


class AttestPlan(msgspec.Struct, frozen=True):
    """Whether something would be attached to what a tag is to hold, and why; `perhaps`: if what it is about changes."""

    reference: Reference
    attach: Rebuild
    why: str | None = None
    fails: str | None = None  # why nothing can be signed, as far as that is known


class Plan(msgspec.Struct, frozen=True):
    """All that a build would do, in the order of what was declared; `shard`: which part of it, in words and as JSON."""

    images: tuple[ImagePlan, ...]
    pins: tuple[PinPlan, ...]
    tags: tuple[PlannedTag, ...]
    hits: tuple[int, int] | None = None
    attests: tuple[AttestPlan, ...] = ()
    documents: tuple[ImagePlan, ...] = ()
    shard: tuple[str, dict[str, object]] | None = None

    @property
    def upload(self) -> int:
        """The bytes that would be sent, as far as they are known."""
        return sum(tag.upload or 0 for tag in self.tags)

    @property
    def bound(self) -> bool:
        """Whether `upload` is no more than a bound."""
        return any(tag.bound for tag in self.tags)

    @property
    def complete(self) -> bool:
        """Whether `upload` counts every tag."""
        return all(tag.upload is not None for tag in self.tags)

    def lines(self) -> tuple[str, ...]:
        """The plan for the person at the terminal, the sum of it last."""
        lines = [] if self.shard is None else [self.shard[0]]
        lines += [_image_line(image) for image in (*self.images, *self.documents)]
        lines += [*map(_pin_line, self.pins), *map(_attest_line, self.attests), *map(_tag_line, self.tags)]
        if self.hits is not None:
            lines.append(f"cache: has {self.hits[0]} of {self.hits[1]} steps that would run")
        return (*lines, self._sum())

    def to_json(self) -> bytes:
        """The plan as a readable file; no key is ever left out."""
        return document(
            "plan 1",
            {
                "images": [_image_json(image) for image in self.images],
                "pins": [_pin_json(pin) for pin in self.pins],
                "tags": [_tag_json(tag) for tag in self.tags],
                "upload": {"bytes": self.upload, "bound": self.bound, "complete": self.complete},
                **({} if self.hits is None else {"cache": {"hits": self.hits[0], "steps": self.hits[1]}}),
                **({"attestations": list(map(_attest_json, self.attests))} if self.attests else {}),
                **({"documents": list(map(_document_json, self.documents))} if self.documents else {}),
                **({"shard": self.shard[1]} if self.shard else {}),
            },
        )

    def _sum(self) -> str:
        moves = Counter(tag.move for tag in self.tags)
        counted = ", ".join(f"{moves[move]} {move.value}" for move in Move if moves[move])
        failing = sum(tag.fails is not None for tag in self.tags)
        fails = f", {failing} of them would fail" if failing else ""
        sizes = f"{'at most ' if self.bound else ''}{readable_size(self.upload)} to upload"
        more = "" if self.complete else ", and what nobody can tell yet"
        return f"tags: {counted or 'none'}{fails}; {sizes}{more}"


def _image_json(image: ImagePlan) -> dict[str, object]:
    return {
        "target": image.target,
        "rebuild": image.rebuild.value,
        "why": image.why,
        "digest": _text(image.digest),
        "engine": image.engine,
        "because": image.because,
    }


def _document_json(file: ImagePlan) -> dict[str, object]:
    return {"kind": file.kind, "target": file.target, "rebuild": file.rebuild.value, "why": file.why}


def _pin_json(pin: PinPlan) -> dict[str, object]:
    return {
        "reference": str(pin.reference),
        "platform": str(pin.platform),
        "state": pin.state,
        "old": _text(pin.old),
        "new": _text(pin.new),
        "error": pin.error,
    }


def _tag_json(tag: PlannedTag) -> dict[str, object]:
    because = {"because": tag.because} if tag.because else {}
    return {
        "reference": str(tag.reference),
        "action": tag.move.value,
        "old": _text(tag.old),
        "new": _text(tag.new),
        "upload": {"bytes": tag.upload, "bound": tag.bound},
        "fails": tag.fails,
        "error": tag.error,
        **because,
    }


def _attest_json(attest: AttestPlan) -> dict[str, object]:
    fails = {} if attest.fails is None else {"fails": attest.fails}
    return {"reference": str(attest.reference), "attach": attest.attach.value, "why": attest.why, **fails}


def _attest_line(attest: AttestPlan) -> str:
    words = {Rebuild.NO: "unchanged", Rebuild.YES: "attached", Rebuild.PERHAPS: "attached"}[attest.attach]
    why = "" if attest.why is None else f": {attest.why}" if attest.attach is Rebuild.YES else f" {attest.why}"
    fails = "" if attest.fails is None else f"; would fail: {attest.fails}"
    return f"attestations of {attest.reference}: {words}{why}{fails}"


def forecast(
    images: Iterable[ImagePlan],
    pins: Iterable[PinState],
    tags: Iterable[TagState],
    policy: Policy,
    hits: tuple[int, int] | None = None,
    *,
    attests: Iterable[AttestPlan] = (),
    documents: Iterable[ImagePlan] = (),
) -> Plan:
    """Foretell a run: nothing is asked, nothing is raised.

    `hits` is how many of the steps that would run a shared cache has, and how many it may have. What two tags of a
    repository share is counted with the first.
    """
    planned = tuple(_plan_pin(pin) for pin in pins)
    trouble = {pin.reference: pin for pin in planned if pin.state in ("missing", "unreachable")}
    sent: set[tuple[Reference, Digest]] = set()
    planned_tags: list[PlannedTag] = []
    for state in tags:
        planned_tags += _plan_state(state, policy if state.policed else Policy(), trouble, sent)
    return Plan(tuple(images), planned, tuple(planned_tags), hits, tuple(attests), tuple(documents))


def _plan_pin(pin: PinState) -> PinPlan:
    now = pin.observed
    if isinstance(now, MultiarchError):
        return PinPlan(pin.reference, pin.platform, "unreachable", pin.seen, None, one_line(now))
    if now is None:
        return PinPlan(pin.reference, pin.platform, "missing", pin.seen, None)
    state = "new" if pin.seen is None else "unchanged" if pin.seen == now else "moved"
    return PinPlan(pin.reference, pin.platform, state, pin.seen, now)


def _plan_state(
    state: TagState, policy: Policy, trouble: dict[Reference, PinPlan], sent: set[tuple[Reference, Digest]]
) -> Iterator[PlannedTag]:
    """The main tag of a state, then its further tags, those that are left alone last."""
    interrupted = not isinstance(state.observed, MultiarchError) and state.observed in state.unfinished
    receipted = state.observed if interrupted and not isinstance(state.observed, MultiarchError) else state.receipted
    main = _decide(state.reference, state.digest, state.observed, receipted, policy)
    refused = next((_missed(trouble[pin]) for pin in state.needs if pin in trouble), state.refused)
    if main.move is Move.UNKNOWN:
        main = replace(main, upload=None)
    elif refused is not None:
        main = replace(main, fails=refused)
    elif main.move is not Move.KEEP and (main.fails is None or state.digest is None):
        main = _with_upload(main, state, sent)
    yield main
    new = main.move is not Move.KEEP and (interrupted or state.digest is None or state.receipted != state.digest)
    for reference, observed in state.also:
        # As in a push: what a further tag held before was put there on purpose, it moves with each release.
        tag = _decide(
            reference, state.digest, observed, None if isinstance(observed, MultiarchError) else observed, policy
        )
        again = new or (not isinstance(observed, MultiarchError) and observed in state.unfinished)
        if main.move is Move.UNKNOWN:
            yield replace(tag, move=Move.UNKNOWN, error=main.error)
        elif tag.move is Move.UNKNOWN or observed is None or again:
            yield replace(tag, fails=tag.fails if main.fails is None else main.fails)
        else:
            yield PlannedTag(reference, Move.KEEP, tag.old, tag.old)
    for reference in state.not_moved:
        yield PlannedTag(reference, Move.LEAVE, None, None, because=state.not_moved_because)


def _missed(pin: PinPlan) -> str:
    reason = "is not in the registry" if pin.state == "missing" else "cannot be asked for"
    return f"{pin.reference} {reason}; nothing is published without it"


def _decide(
    reference: Reference, digest: Digest | None, observed: Observed, receipted: Digest | None, policy: Policy
) -> PlannedTag:
    if isinstance(observed, MultiarchError):
        return PlannedTag(reference, Move.UNKNOWN, None, digest, error=one_line(observed))
    if digest is not None:
        try:
            move = plan_tag(reference, digest=digest, observed=observed, receipted=receipted, policy=policy).move
        except (TagMoved, TagImmutable) as error:
            return PlannedTag(reference, Move.OVERWRITE, observed, digest, fails=error.what)
        return PlannedTag(reference, move, observed, digest)
    if observed is None:
        return PlannedTag(reference, Move.CREATE, None, None)
    fails = None
    if policy.immutable:
        fails = "exists, and IMMUTABLE=yes: an error unless the build makes what it holds"
    elif observed != receipted and not policy.repair:
        fails = "was pushed by somebody else, and DRIFT=fail: an error unless the build makes what it holds"
    return PlannedTag(reference, Move.OVERWRITE, observed, None, fails=fails)


def _with_upload(tag: PlannedTag, state: TagState, sent: set[tuple[Reference, Digest]]) -> PlannedTag:
    """The bytes that are not there yet; of an image that will be another, those of the one that is there."""
    contents = state.contents
    if contents is None:
        return replace(tag, upload=None)
    if state.digest is None:
        return replace(
            tag, upload=sum(content.descriptor.size for content in contents if not content.there), bound=True
        )
    if contents and contents[0].there:
        return tag  # a manifest that is there is taken to have its blobs
    upload, bound = 0, False
    for content in contents:
        key = (state.reference.bare, content.descriptor.digest)
        if not content.there and key not in sent:
            sent.add(key)
            upload += content.descriptor.size
            bound = bound or content.there is None
    return replace(tag, upload=upload, bound=bound)


def _image_line(image: ImagePlan) -> str:
    words = {Rebuild.NO: "unchanged", Rebuild.CACHED: "from the cache", Rebuild.PERHAPS: "perhaps made again"}
    why = f", {image.why}" if image.why and image.rebuild is not Rebuild.NO else ""
    return f"{image.kind} {image.target}: {words.get(image.rebuild, 'made again')}{why}{_engine_words(image)}"


def _engine_words(image: ImagePlan) -> str:
    """The engine, where it is not the embedded one, which is what nobody wonders about."""
    if not image.because or image.rebuild in (Rebuild.NO, Rebuild.CACHED):
        return ""
    return f"; engine: {image.engine} ({image.because})" if image.engine else f"; no engine can: {image.because}"


def _pin_line(pin: PinPlan) -> str:
    words = {
        "unchanged": f"unchanged, {pin.new}",
        "new": f"seen for the first time, {pin.new}",
        "moved": f"moved, {pin.old} → {pin.new}",
        "missing": "is not in the registry; nothing is published without it",
        "unreachable": f"unreachable: {pin.error}",
    }
    return f"pin {pin.reference} ({pin.platform}): {words[pin.state]}"


def _tag_line(tag: PlannedTag) -> str:
    line = f"tag {tag.reference}: {tag.move.value}"
    if tag.move is Move.UNKNOWN:
        return f"{line}: {tag.error}"
    if tag.move is Move.LEAVE:
        return f"{line}, {tag.because}"
    if tag.move is Move.KEEP:
        return f"{line}, {tag.new}"
    change = f"{tag.old} → {tag.new or LATER}" if tag.old is not None else str(tag.new or f"digest {LATER}")
    at_most = "at most " if tag.bound else ""
    size = "nobody knows how much" if tag.upload is None else f"{at_most}{readable_size(tag.upload)}"
    failing = f"; this would fail: {tag.fails}" if tag.fails is not None else ""
    return f"{line}, {change}, {size} to upload{failing}"


def _text(digest: Digest | None) -> str | None:
    return None if digest is None else str(digest)
