"""The timeline of a run as SVG: a row a thread, a bar a step, and in each bar when bytes were on their way for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from multiarch_oci.diagram.drawing import style_class
from multiarch_oci.quoting import html, seconds_in_words, size_in_words
from multiarch_oci.report.record import Node, Request, Run
from multiarch_oci.report.trace import thread_rows

_ROW, _BAR, _TOP = 30, 20, 22
"""Heights of a row, of a bar, and of the room for the times, in pixels; the page's style has the same."""
_TICKS = 8
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
_LABELLED = 7.0
"""Percents of the width that a bar needs for its name to be written on it."""
_LETTERS_A_PERCENT = 1.4
_THINNEST = 0.0012


def timeline(run: Run, ids: Mapping[str, str]) -> str:
    """The drawing; `ids` are the anchors of targets on the page, by key. It takes the width that it is given."""
    rows = thread_rows(run.nodes)
    length = max([run.seconds, *((node.began or 0) + (node.seconds or 0) for node in run.nodes)]) or 1.0
    height = _TOP + _ROW * len(rows) + 8
    busy = _busy(run.requests)
    bars = [
        _bar(node, rows[node.thread], length, ids.get(node.key, ""), busy.get(node.key, []))
        for node in run.nodes
        if node.ran
    ]
    names = "".join(f"<span>worker {row}</span>" for row in rows.values())
    return (
        f'<div class="timeline"><div class="threads" aria-hidden="true">{names}</div>'
        f'<svg width="100%" height="{height}" role="group" aria-label="timeline of the steps">'
        f"{''.join(_axis(length, height))}{''.join(bars)}</svg></div>"
    )


def _axis(length: float, height: int) -> list[str]:
    step = next((step for step in _STEPS if length / step <= _TICKS), length / _TICKS)
    parts = []
    for number in range(int(length / step) + 1):
        position = _percent(number * step / length)
        label = f"{number * step:g} s" if step < 60 else f"{number * step / 60:g} min"  # noqa: PLR2004  # seconds
        parts.append(f'<line class="tick" x1="{position}" x2="{position}" y1="{_TOP - 6}" y2="{height}"/>')
        parts.append(f'<text class="time" x="{position}" y="11">{label}</text>')
    return parts


def _bar(node: Node, row: int, length: float, anchor: str, busy: list[tuple[float, float]]) -> str:
    began, seconds = node.began or 0.0, node.seconds or 0.0
    x, width, y = began / length, seconds / length, _TOP + _ROW * (row - 1)
    moved = f", {size_in_words(node.sent)} sent" if node.sent else ""
    title = f"{node.verb} {node.title}: {seconds_in_words(seconds)}, {node.outcome}{moved}"
    parts = [
        f"<title>{html(title)}</title>",
        f'<rect x="{_percent(x)}" y="{y}" width="{_percent(max(width, _THINNEST))}" height="{_BAR}" rx="3"/>',
    ]
    for start, end in busy:
        parts.append(
            f'<rect class="moving" x="{_percent(start / length)}" y="{y + _BAR - 4}" '
            f'width="{_percent(max(end - start, 0) / length)}" height="4"/>'
        )
    if width * 100 > _LABELLED:
        most = int(width * 100 * _LETTERS_A_PERCENT)
        name = f"{node.verb} {node.title}"
        label = name if len(name) <= most else f"{name[: most - 1]}…"
        parts.append(
            f'<svg x="{_percent(x)}" y="{y}" width="{_percent(width)}" height="{_BAR}" overflow="hidden">'
            f'<text x="6" y="14">{html(label)}</text></svg>'
        )
    return f'<a href="#{html(anchor)}" class="{html(style_class("state", node.outcome))}">{"".join(parts)}</a>'


def _busy(requests: Iterable[Request]) -> dict[str, list[tuple[float, float]]]:
    """When bytes were on their way for each target: intervals that do not overlap, by its key."""
    spans: dict[str, list[tuple[float, float]]] = {}
    for request in sorted(requests, key=lambda request: request.began):
        if not request.node or not request.sent + request.received:
            continue
        known, end = spans.setdefault(request.node, []), request.began + request.seconds
        if known and request.began <= known[-1][1]:
            known[-1] = (known[-1][0], max(known[-1][1], end))
        else:
            known.append((request.began, end))
    return spans


def _percent(part: float) -> str:
    return f"{min(max(part, 0.0), 1.0) * 100:.3f}%"
