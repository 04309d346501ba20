"""A graph as SVG: for a page, which styles it, or as a file of its own."""

from __future__ import annotations

from collections.abc import Sequence

from multiarch_oci.diagram.layout import HEIGHT, WIDTH, Box, Drawing, lay_out
from multiarch_oci.quoting import html

_LETTERS, _SMALL_LETTERS = 29, 33
"""How many letters of a label and of a detail there is room for."""
_BEND = 36
STYLE = """\
svg { font: 12px/1.3 system-ui, sans-serif; background: #fff }
.node rect { fill: #f6f8fa; stroke: #8c959f; rx: 7px }
.node .bar { stroke: none; fill: #8c959f }
.node text { fill: #1f2328 } .node .detail { fill: #59636e; font-size: 11px }
.edge { fill: none; stroke: #afb8c1; stroke-width: 1.4 }
.kind-program .bar { fill: #0969da } .kind-image .bar { fill: #8250df } .kind-push .bar { fill: #1a7f37 }
.kind-index .bar { fill: #9a6700 } .kind-tag .bar { fill: #116329 } .kind-pin .bar { fill: #bc4c00 }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117 } .node rect { fill: #161b22; stroke: #6e7681 } .node text { fill: #e6edf3 }
  .node .detail { fill: #9198a1 } .edge { stroke: #484f58 }
}
"""


def svg(boxes: Sequence[Box], *, name: str) -> str:
    """A file of its own, which looks right on a light and on a dark screen; `name` is what it shows, in words."""
    drawing = lay_out(boxes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {drawing.width} {drawing.height}" '
        f'width="{drawing.width}" height="{drawing.height}" role="img" aria-label="{html(name)}">\n'
        f"<title>{html(name)}</title>\n<style>\n{STYLE}</style>\n{inner(boxes, drawing)}</svg>\n"
    )


def inner(boxes: Sequence[Box], drawing: Drawing) -> str:
    """The edges and nodes alone, as elements of an SVG that has a style for their classes."""
    corners = drawing.corners
    edges = [_edge(corners[source], corners[box.key]) for box in boxes for source in box.sources if source in corners]
    nodes = [_node(box, corners[box.key]) for box in boxes]
    return f'<g class="edges">\n{"".join(edges)}</g>\n<g class="nodes">\n{"".join(nodes)}</g>\n'


def _edge(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1, x2, y2 = start[0] + WIDTH, start[1] + HEIGHT // 2, end[0], end[1] + HEIGHT // 2
    return f'<path class="edge" d="M{x1} {y1}C{x1 + _BEND} {y1} {x2 - _BEND} {y2} {x2} {y2}"/>\n'


def _node(box: Box, corner: tuple[int, int]) -> str:
    x, y = corner
    words = " ".join(style_class(prefix, word) for prefix, word in (("kind", box.kind), ("state", box.state)) if word)
    title = f"<title>{html(box.title)}</title>" if box.title else ""
    detail = f'<text class="detail" x="16" y="35">{html(cut(box.detail, _SMALL_LETTERS))}</text>' if box.detail else ""
    height = 20 if box.detail else 28
    group = (
        f'<g class="node {html(words)}" transform="translate({x} {y})">{title}'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="7"/>'
        f'<rect class="bar" x="0" y="0" width="5" height="{HEIGHT}" rx="2"/>'
        f'<text x="16" y="{height}">{html(cut(box.label, _LETTERS))}</text>{detail}</g>'
    )
    return f'<a href="{html(box.link)}" class="target">{group}</a>\n' if box.link else f"{group}\n"


def style_class(prefix: str, word: str) -> str:
    """The class by which a style knows a kind or a state: `state-up-to-date`."""
    return f"{prefix}-{word.replace(' ', '-')}"


def cut(text: str, most: int) -> str:
    """A text with its middle left out, where it is longer than `most` letters: both its ends tell it from others."""
    if len(text) <= most:
        return text
    end = most // 2
    return f"{text[: most - 1 - end]}…{text[-end:]}"
