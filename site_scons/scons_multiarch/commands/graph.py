"""The command `graph`: what is made of what, as mermaid, DOT or SVG; nothing is built, and no registry is asked."""

from __future__ import annotations

import sys
from typing import Any

from multiarch_oci.diagram.drawing import svg
from multiarch_oci.diagram.layout import Box
from multiarch_oci.diagram.texts import as_dot, as_mermaid
from multiarch_oci.errors import MultiarchError, quoted
from scons_multiarch.graph import made_below, ordered, steps_before
from scons_multiarch.naming import groups, key_of, kind_of, platform_shown, reference_of, title_of
from scons_multiarch.session import Run
from scons_multiarch.variables import UnknownWord

_MARKDOWN = {".md": "mermaid", ".markdown": "mermaid"}
_ENDINGS = {
    ".svg": "svg",
    ".dot": "dot",
    ".gv": "dot",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    "": "mermaid",
} | _MARKDOWN
_MARK = "multiarch graph 1"
"""By this, in a comment, a later run knows the file as its own (`output`)."""


class NothingMade(MultiarchError):
    """Targets that nothing makes."""


def run(env: Any, targets: list[Any]) -> int:
    """`graph [T]`: print, or write to OUTPUT, what T is made of; by default of all that is published."""
    run: Run = env["MULTIARCH_RUN"]
    output = next(iter(run.settings.outputs.get("OUTPUT", ())), None)
    ending = "" if output is None else output.path.suffix.lower()
    kind = env["FORMAT"] or _ENDINGS.get(ending)
    if kind is None:
        hint = "end it in .svg, .dot, .mmd or .md, or say FORMAT=, too"
        raise UnknownWord(f"{quoted(ending)} is the ending of no format of a graph", where="OUTPUT", hint=hint)
    roots = targets or [env.Alias("push-manifest")[0]]
    ordered(roots)  # what only a Dockerfile knows of is a source from then on
    nodes = made_below(roots)
    if not nodes:
        names = ", ".join(map(str, roots))
        raise NothingMade(f"nothing makes {names}", where="graph", hint="name a target, as in push-manifest")
    text = _text(kind, boxes(run, nodes))
    if output is None:
        print(text, end="")  # noqa: T201  # the answer
        return 0
    if ending in _MARKDOWN and kind == "mermaid":
        text = f"<!-- {_MARK} -->\n\n```mermaid\n{text}```\n"
    sys.stdout.flush()
    output.write(text.encode())
    return 0


def boxes(run: Run, nodes: list[Any]) -> list[Box]:
    """The targets as nodes of a drawing, sources first."""
    of_image = groups(run)
    known = set(nodes)
    drawn = []
    for node in nodes:
        kind, group = kind_of(node), of_image.get(node, "")
        platform = str(platform_shown(node, kind) or "")
        drawn.append(
            Box(
                key=key_of(node),
                label=f"{kind} {title_of(node, kind, group, platform)}",
                detail=reference_of(node) or key_of(node),
                kind=kind,
                group=group,
                row=platform,
                sources=tuple(key_of(source) for source in steps_before(node) if source in known),
                title=key_of(node),
            )
        )
    return drawn


def _text(kind: str, drawn: list[Box]) -> str:
    if kind == "svg":
        return f"<!-- {_MARK} -->\n{svg(drawn, name='the targets of this build')}"
    return f"// {_MARK}\n{as_dot(drawn)}" if kind == "dot" else f"%% {_MARK}\n{as_mermaid(drawn)}"
