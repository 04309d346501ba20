"""A graph as mermaid and as DOT, for the tools that draw these; labels are data there."""

from __future__ import annotations

from collections.abc import Sequence

from multiarch_oci.diagram.layout import Box
from multiarch_oci.quoting import dot, mermaid

_SHAPES = {
    "program": ("[[", "]]"),
    "index": ("{{", "}}"),
    "push": ("([", "])"),
    "tag": ("([", "])"),
    "file": ("[", "]"),
}
_DOT_SHAPES = {"program": "component", "index": "hexagon", "push": "cds", "tag": "cds", "pin": "cds", "file": "note"}
_COLOURS = {
    "failed": ("#ffebe9", "#cf222e"),
    "interrupted": ("#ffebe9", "#cf222e"),
    "made": ("#ddf4ff", "#0969da"),
    "repaired": ("#fff8c5", "#9a6700"),
    "cached": ("#fbefff", "#8250df"),
    "up to date": ("#dafbe1", "#1a7f37"),
    "not reached": ("#f6f8fa", "#6e7781"),
}


def as_mermaid(boxes: Sequence[Box]) -> str:
    """A flowchart from left to right, coloured by state where the nodes have one."""
    names = {box.key: f"n{number}" for number, box in enumerate(boxes)}
    lines = ["flowchart LR"]
    for box in boxes:
        begin, end = _SHAPES.get(box.kind, ("[", "]"))
        detail = f"<br>{mermaid(box.detail)}" if box.detail else ""
        style = f":::{_class(box.state)}" if box.state else ""
        lines.append(f'    {names[box.key]}{begin}"{mermaid(box.label)}{detail}"{end}{style}')
    lines += [f"    {names[source]} --> {names[box.key]}" for box in boxes for source in box.sources if source in names]
    for state in dict.fromkeys(box.state for box in boxes if box.state):
        fill, stroke = _COLOURS.get(state, _COLOURS["not reached"])
        lines.append(f"    classDef {_class(state)} fill:{fill},stroke:{stroke},color:#1f2328")
    return "\n".join(lines) + "\n"


def as_dot(boxes: Sequence[Box]) -> str:
    """A directed graph from left to right, for `dot` of Graphviz."""
    lines = [
        "digraph targets {",
        "    rankdir=LR;",
        '    node [shape=box, style="rounded,filled", fillcolor="#f6f8fa", color="#6e7781", fontname="sans-serif"];',
        '    edge [color="#8c959f"];',
    ]
    for box in boxes:
        label = f"{dot(box.label)[:-1]}\\n{dot(box.detail)[1:]}" if box.detail else dot(box.label)
        shape = _DOT_SHAPES.get(box.kind)
        more = f", shape={shape}" if shape else ""
        if box.state:
            fill, stroke = _COLOURS.get(box.state, _COLOURS["not reached"])
            more += f', fillcolor="{fill}", color="{stroke}"'
        if box.title:
            more += f", tooltip={dot(box.title)}"
        lines.append(f"    {dot(box.key)} [label={label}{more}];")
    known = {box.key for box in boxes}
    lines += [f"    {dot(source)} -> {dot(box.key)};" for box in boxes for source in box.sources if source in known]
    return "\n".join([*lines, "}", ""])


def _class(state: str) -> str:
    return state.replace(" ", "_")
