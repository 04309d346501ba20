"""Which of several machines makes which images: a pure function of what is declared, and of what it cost before.

Nobody is asked: every machine that has the same declarations, the same number of machines and the same costs divides
alike. Where they differ an image is made twice, or by the last machine; nothing is wrong then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from multiarch_oci.document import Document, InvalidDocument
from multiarch_oci.errors import quoted
from multiarch_oci.output import document

FILE = "shards.json"
"""The file of measured costs, beside the SConstruct: `{"format": "multiarch shards 1", "seconds": {target: 1.25}}`."""
MOST = 999
"""The largest number of machines."""
_FORMAT = "shards 1"
_LONGEST_S = 10_000_000
_UNKNOWN_MS = 1000
"""What a step costs where nothing like it was measured."""
_PIECES = 8
"""Images that share a program stay together up to this part of a machine's share."""


class Shard(msgspec.Struct, frozen=True):
    """One of `count` machines; `number` begins with 1."""

    number: int
    count: int

    @property
    def is_last(self) -> bool:
        """Whether this is the machine that makes what no other one has made."""
        return self.number == self.count

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


class Work(msgspec.Struct, frozen=True, order=True):
    """An image to be made: its platform, its target, and the targets of the steps that it needs before (programs)."""

    platform: str
    image: str
    needs: tuple[str, ...] = ()


class _Group(msgspec.Struct, frozen=True):
    """Images that one machine makes, as they need the same programs; costs are in milliseconds."""

    works: tuple[Work, ...]
    costs: Mapping[str, int]

    @property
    def own(self) -> int:
        """What the images cost, without what they need."""
        return sum(self.costs[work.image] for work in self.works)

    def beside(self, made: Iterable[str]) -> int:
        """What the group costs a machine that makes these programs anyway."""
        return self.own + sum(self.costs[name] for name in set(self.works[0].needs) - set(made))


def divided(works: Iterable[Work], count: int, seconds: Mapping[str, float]) -> tuple[tuple[str, ...], ...]:
    """The images of each of `count` machines, what costs most first; each image is in one part, a part may be empty.

    `seconds` are those of steps by target; what was not measured counts as the mean of what was, of its kind. Images
    that need the same programs stay on one machine, so that those are made once, unless they are a large part of it
    all. The largest group first, each goes to the machine that has least to do then.
    """
    ordered = sorted(set(works))
    costs = _costs(ordered, seconds)
    groups = _groups(ordered, costs, count)
    loads, made, parts = [0] * count, [set[str]() for _ in range(count)], [list[str]() for _ in range(count)]
    for group in sorted(groups, key=lambda group: (-group.beside(()), group.works)):
        number = min(range(count), key=lambda number: (loads[number] + group.beside(made[number]), number))
        loads[number] += group.beside(made[number])
        made[number].update(group.works[0].needs)
        parts[number] += [work.image for work in group.works]
    return tuple(map(tuple, parts))


def _costs(works: Sequence[Work], seconds: Mapping[str, float]) -> dict[str, int]:
    """Milliseconds of each step, as whole numbers: every machine adds them up alike."""
    images = [work.image for work in works]
    needs = sorted({name for work in works for name in work.needs} - set(images))
    costs: dict[str, int] = {}
    for names in (images, needs):
        known = {name: max(1, round(seconds[name] * 1000)) for name in names if name in seconds}
        mean = sum(known.values()) // len(known) if known else _UNKNOWN_MS
        costs |= {name: known.get(name, max(1, mean)) for name in names}
    return costs


def _groups(works: Sequence[Work], costs: Mapping[str, int], count: int) -> list[_Group]:
    """The works by the programs that they need; those of many images in pieces."""
    alike: dict[object, list[Work]] = defaultdict(list)
    for work in works:
        alike[work.needs or work].append(work)
    whole = [_Group(tuple(group), costs) for group in alike.values()]
    largest = sum(group.beside(()) for group in whole) // (_PIECES * count)
    return [piece for group in whole for piece in _pieces(group, max(largest, group.beside(()) - group.own))]


def _pieces(group: _Group, largest: int) -> Iterable[_Group]:
    """A group cut so that the images of a piece cost no more than `largest`; an image alone may."""
    piece: list[Work] = []
    cost = 0
    for work in group.works:
        if piece and cost + group.costs[work.image] > largest:
            yield _Group(tuple(piece), group.costs)
            piece, cost = [], 0
        piece.append(work)
        cost += group.costs[work.image]
    yield _Group(tuple(piece), group.costs)


def seconds_of(content: bytes, *, where: str) -> dict[str, float]:
    """Read the file of costs. Raises InvalidDocument for anything else, also for a time that is none."""
    parsed = Document.parse(content, where=where)
    if parsed.text("format") != f"multiarch {_FORMAT}":
        raise InvalidDocument("is no file of costs", where=where, hint="`shards report.json` writes one")
    inner = parsed.nested("seconds")
    members = {} if inner is None else inner.members
    return {name: _seconds(name, value, where) for name, value in members.items()}


def measured(content: bytes, *, where: str) -> dict[str, float]:
    """The seconds of each program and image that a report (of a build with a cache) says was made, by target.

    Raises InvalidDocument for what is no report.
    """
    parsed = Document.parse(content, where=where, limit=64 << 20)
    if parsed.text("format") != "multiarch report 1":
        raise InvalidDocument("is no report", where=where, hint="REPORT=report.json writes one")
    times: dict[str, float] = {}
    for step in parsed.objects("steps"):
        value = step.members.get("seconds")
        if value is not None and step.text("step") in ("Compile", "Image"):
            times[step.required("target")] = _seconds("seconds", value, step.where)
    return times


def file_of(seconds: Mapping[str, float]) -> bytes:
    """The file of costs, sorted, to the millisecond."""
    return document(_FORMAT, {"seconds": {name: round(float(seconds[name]), 3) for name in sorted(seconds)}})


def _seconds(name: str, value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _LONGEST_S:
        raise InvalidDocument(f"{quoted(name)} is no number of seconds", where=where)
    return float(value)
