"""Where the nodes of a graph stand when it is drawn: in columns, from sources to what is made of them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

WIDTH, HEIGHT = 228, 46
"""Of a node, in pixels."""
ACROSS, DOWN = 48, 14
"""The room between two columns, and between two nodes of a column."""
STEP = HEIGHT + DOWN
MARGIN = 16
_ROUNDING = 0.5
_T = TypeVar("_T", bound=Hashable)


class Box(msgspec.Struct, frozen=True):
    """One node of the image `group`; `row` names what stands in one row with it there, its platform. Both may be empty.

    `label` and `detail` are its two lines, `kind` and `state` words that style it, `sources` are keys; `link` is where
    a click leads, and `title` what is shown over it.
    """

    key: str
    label: str
    detail: str = ""
    kind: str = ""
    state: str = ""
    group: str = ""
    row: str = ""
    sources: tuple[str, ...] = ()
    link: str = ""
    title: str = ""


class Drawing(msgspec.Struct, frozen=True):
    """The nodes with their upper left corners, and the size of the whole, in pixels."""

    corners: Mapping[str, tuple[int, int]]
    width: int
    height: int


def sources_first(roots: Iterable[_T], sources_of: Callable[[_T], Sequence[_T]]) -> list[_T]:
    """All that leads to `roots`, and themselves, each once and behind its sources, in whatever depth.

    Where sources go in a circle, one of it stands before what it is made of.
    """
    order: list[_T] = []
    entered: set[_T] = set()
    pending = [(root, False) for root in reversed([*roots])]
    while pending:
        item, is_done_below = pending.pop()
        if is_done_below:
            order.append(item)
        elif item not in entered:
            entered.add(item)
            pending.append((item, True))
            pending += [(source, False) for source in reversed(sources_of(item))]
    return order


def columns(boxes: Iterable[Box]) -> dict[str, int]:
    """For each node the length of the longest way to it, by key; a source that is no node of the graph is none."""
    sources = {box.key: box.sources for box in boxes}
    depth: dict[str, int] = {}
    for key in sources_first(sources, lambda key: sources.get(key, ())):
        if key in sources:
            depth[key] = 1 + max((depth.get(source, -1) for source in sources[key]), default=-1)
    return depth


def lay_out(boxes: Iterable[Box]) -> Drawing:
    """Place the nodes: a group after the other, the rows of each below each other; the rest where it is nearest."""
    graph = list(boxes)
    depth = columns(graph)
    tops: dict[str, float] = {}
    groups: dict[str, list[Box]] = {}
    for box in graph:
        if box.group or box.row:
            groups.setdefault(box.group, []).append(box)
    top = 0.0
    for group in groups.values():
        _place_rows([box for box in group if box.row], depth, tops, top)
        _place_between([box for box in group if not box.row], depth, tops, top)
        top = max(tops[box.key] for box in group) + STEP
    _place_between([box for box in graph if box.key not in tops], depth, tops, 0.0)
    corners = {box.key: (MARGIN + depth[box.key] * (WIDTH + ACROSS), MARGIN + round(tops[box.key])) for box in graph}
    width = max((x for x, _ in corners.values()), default=0) + WIDTH + MARGIN
    height = max((y for _, y in corners.values()), default=0) + HEIGHT + MARGIN
    return Drawing(corners, width, height)


def _place_rows(boxes: list[Box], depth: Mapping[str, int], tops: dict[str, float], top: float) -> None:
    """Place the rows of a group from `top` on; what has one row and column stands below each other."""
    rows: dict[str, list[Box]] = {}
    for box in boxes:
        rows.setdefault(box.row, []).append(box)
    for row in rows.values():
        filled: dict[int, int] = {}
        for box in row:
            number = filled.get(depth[box.key], 0)
            filled[depth[box.key]] = number + 1
            tops[box.key] = top + number * STEP
        top += max(filled.values()) * STEP


def _place_between(boxes: list[Box], depth: Mapping[str, int], tops: dict[str, float], least: float) -> None:
    """Place nodes without a row, column by column, each as near to its sources' middle as there is room."""
    if not boxes:
        return
    taken: dict[int, list[float]] = {}
    for key, top in tops.items():
        if top >= least - STEP:
            taken.setdefault(depth[key], []).append(top)
    for tops_of_column in taken.values():
        tops_of_column.sort()
    for box in sorted(boxes, key=lambda box: depth[box.key]):
        near = [tops[source] for source in box.sources if source in tops]
        middle = max(least, (min(near) + max(near)) / 2) if near else least
        others = taken.setdefault(depth[box.key], [])
        tops[box.key] = _nearest_free(middle, others, least)
        insort(others, tops[box.key])


def _nearest_free(position: float, taken: list[float], least: float) -> float:
    """The position nearest to this one that is a step away from all that are taken (sorted), and at least `least`."""

    def is_free(top: float) -> bool:
        number = bisect_left(taken, top)
        around = taken[max(0, number - 1) : number + 1]
        return top >= least and all(abs(top - other) >= STEP - _ROUNDING for other in around)

    candidates = [position, *(top + STEP for top in taken), *(top - STEP for top in taken)]
    return min(filter(is_free, candidates), key=lambda top: (abs(top - position), top))
