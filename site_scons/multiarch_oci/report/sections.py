"""The sections of the page: each a function of the record, as HTML. All text of others goes through `html`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from multiarch_oci.contents.listing import File
from multiarch_oci.diagram.drawing import cut, inner, style_class
from multiarch_oci.diagram.layout import Box, lay_out
from multiarch_oci.quoting import html, seconds_in_words, size_in_words
from multiarch_oci.report.comparing import CHANGED, GONE, Change, Comparison
from multiarch_oci.report.record import CURRENT, Layer, Node, Run, critical_path
from multiarch_oci.report.timeline import timeline

SLOWEST = 15
MOST_LAYERS = 15
"""How many of the slowest steps and largest layers are shown first."""
OPEN_LAYERS, MOST_USERS = 3, 6
"""Of how many layers the files are seen at once, and how many images of a layer are named."""
FITTING = 1300
"""Pixels of a drawing's width that are made to fit the page; what is wider is scrolled."""
_NUMBERS = ("Took", "Sent", "Than last time", "Size", "Mode")
"""The columns of tables that hold numbers."""
_MINUS = "\N{MINUS SIGN}"
_SHORT = len("sha256:") + 12


def result(run: Run) -> str:
    """What came of the run, in numbers."""
    tiles = [_tile(str(number), outcome, outcome) for outcome, number in run.counts().items()]
    tiles.append(_tile(seconds_in_words(run.seconds), "took"))
    path = critical_path(run.nodes)
    if path:
        longest = sum(node.seconds or 0 for node in path)
        tiles.append(_tile(seconds_in_words(longest), "longest chain of steps"))
    tiles.append(_tile(size_in_words(run.sent), "sent to registries"))
    tiles.append(_tile(size_in_words(run.received), "fetched"))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(number: str, words: str, outcome: str = "") -> str:
    state = f" {style_class('state', outcome)}" if outcome else ""
    return f'<div class="tile{state}"><b>{html(number)}</b><span>{html(words)}</span></div>'


def failures(run: Run, ids: Mapping[str, str]) -> str:
    """What failed, with the whole error; empty where nothing did."""
    failed = [node for node in run.nodes if node.error]
    if not failed:
        return ""
    items = "".join(f"<li>{_link(node, ids)}<pre>{html(node.error)}</pre></li>" for node in failed)
    return _section("failures", "What failed", f'<ul class="failures">{items}</ul>')


def published(run: Run) -> str:
    """What the registries hold now."""
    by_key = {node.key: node for node in run.nodes}
    rows = [
        f"<tr><td><code>{html(node.reference)}</code></td><td><code class=digest>{html(node.digest)}</code></td>"
        f"<td>{html(platforms_of(node, by_key))}</td><td>{_state(node)}</td></tr>"
        for node in run.tags()
    ]
    rows += [
        f"<tr><td><code>{html(reference)}</code></td><td colspan=3>not moved: {html(because)}</td></tr>"
        for reference, because in run.not_moved
    ]
    if not rows:
        return ""
    head = _head(("Tag", "Digest", "Platforms", "State"))
    return _section("published", "Published", f'<div class="wide tall"><table>{head}{"".join(rows)}</table></div>')


def platforms_of(tag: Node, by_key: Mapping[str, Node]) -> str:
    """The platforms that a tag leads to, with the size of each, where it is known."""
    return ", ".join(
        f"{image.platform} {size_in_words(image.size)}" if image.size else image.platform
        for image in _images_below(tag, by_key)
    )


def _images_below(node: Node, by_key: Mapping[str, Node]) -> list[Node]:
    """The images that a tag leads to, in the order of its index."""
    images: dict[str, Node] = {}
    pending = list(reversed(node.sources))
    seen: set[str] = set()
    while pending:
        key = pending.pop()
        below = by_key.get(key)
        if below is None or key in seen:
            continue
        seen.add(key)
        if below.kind in ("image", "pin"):
            images[key] = below
        else:
            pending += reversed(below.sources)
    return list(images.values())


def graph(run: Run, ids: Mapping[str, str]) -> str:
    """The targets and what is made of what, coloured by what became of them."""
    boxes = [box_of(node, f"#{ids[node.key]}") for node in run.nodes]
    drawing = lay_out(boxes)
    size = f'viewBox="0 0 {drawing.width} {drawing.height}" width="{drawing.width}" height="{drawing.height}"'
    size += ' class="fits"' if drawing.width <= FITTING else ""
    body = (
        '<div class="board"><div class="scroll" id="graph-scroll" tabindex="0" role="region" aria-label="the graph">'
        f'<svg {size} role="group" aria-label="graph of the targets">{inner(boxes, drawing)}</svg></div>'
        '<aside id="inspector" aria-live="polite"><p>Choose a target: click it, or use the arrow keys. '
        "Its reason, digests and layers are shown here.</p></aside></div>"
    )
    return _section("graph", "Graph", body)


def box_of(node: Node, link: str = "") -> Box:
    """A target as a node of a drawing."""
    took = f" · {seconds_in_words(node.seconds)}" if node.seconds is not None else ""
    weight = f" · {size_in_words(node.size)}" if node.size and node.kind in ("program", "image", "archive") else ""
    why = "; ".join(node.reasons) or node.last_reason
    title = f"{node.key}\n{node.outcome}{f': {why}' if why else ''}"
    return Box(
        key=node.key,
        label=f"{node.kind} {node.title}",
        detail=f"{node.outcome}{took}{weight}",
        kind=node.kind,
        state=node.outcome,
        group=node.group,
        row=node.platform,
        sources=node.sources,
        link=link,
        title=title,
    )


def slowest(run: Run, ids: Mapping[str, str], comparison: Comparison | None) -> str:
    """Where the time went: the timeline, the slowest steps, the chain that no further thread would shorten."""
    ran = run.ran()
    if not ran:
        return _section("time", "What took longest", "<p>No step ran: everything was up to date.</p>")
    most = ran[0].seconds or 1.0
    rows = "".join(_slow_row(node, most, ids, comparison) for node in ran[:SLOWEST])
    path = critical_path(run.nodes)
    chain = " → ".join(f"{_link(node, ids)} {seconds_in_words(node.seconds or 0)}" for node in path)
    longest = sum(node.seconds or 0 for node in path)
    words = (
        f'<p class="chain">The longest chain of steps took <b>{seconds_in_words(longest)}</b> of '
        f"{seconds_in_words(run.seconds)}: {chain}. More threads do not shorten it.</p>"
    )
    head = _head(("Step", "Took", "", "Sent", "Than last time"))
    table = f'<div class="wide"><table class="slow">{head}{rows}</table></div>'
    return _section("time", "What took longest", f"{timeline(run, ids)}{words}{table}")


def _slow_row(node: Node, most: float, ids: Mapping[str, str], comparison: Comparison | None) -> str:
    share = round((node.seconds or 0) / most * 100, 1)
    filled = f'<rect width="{share}%" height="10" rx="3"/>'
    bar = f'<svg class="share {style_class("state", node.outcome)}" width="160" height="10">{filled}</svg>'
    longer = comparison.slower(node) if comparison is not None else None
    than = "" if longer is None else f"{'+' if longer >= 0 else _MINUS}{seconds_in_words(abs(longer))}"
    sent = size_in_words(node.sent) if node.sent else ""
    return (
        f'<tr><td>{html(node.verb)} <a href="#{ids[node.key]}">{html(node.title)}</a></td><td class=number>'
        f"{seconds_in_words(node.seconds or 0)}</td>"
        f"<td>{bar}</td><td class=number>{sent}</td><td class=number>{than}</td></tr>"
    )


def layers(run: Run) -> str:
    """All layers, the largest first, with what is in them."""
    users: dict[str, list[Node]] = {}
    for node in run.nodes:
        for digest in dict.fromkeys(node.layers):
            users.setdefault(digest, []).append(node)
    ranked = sorted(run.layers, key=lambda layer: (-layer.size, layer.digest))
    if not ranked:
        return ""
    parts = [
        _layer(layer, users.get(layer.digest, []), is_open=number < OPEN_LAYERS) for number, layer in enumerate(ranked)
    ]
    first, rest = "".join(parts[:MOST_LAYERS]), "".join(parts[MOST_LAYERS:])
    more = (
        f"<details class=more><summary>{len(parts) - MOST_LAYERS} smaller layers</summary>{rest}</details>"
        if rest
        else ""
    )
    return _section("layers", "Largest layers, and what is in them", f"{first}{more}")


def _layer(layer: Layer, images: Sequence[Node], *, is_open: bool) -> str:
    made_by = layer.made_by or ("a layer of the base" if layer.from_base else "no history says")
    users = list(dict.fromkeys(f"{image.group or image.title} {image.platform}".strip() for image in images))
    more = f" and {len(users) - MOST_USERS} more" if len(users) > MOST_USERS else ""
    names = ", ".join(users[:MOST_USERS]) + more
    unpacked = f", {size_in_words(layer.unpacked)} unpacked" if layer.unpacked is not None else ""
    base = " <span class=tag>base</span>" if layer.from_base else ""
    shown = " open" if is_open else ""
    return (
        f'<details class="layer" id="{html(layer_id(layer.digest))}"{shown}><summary>'
        f"<b class=number>{size_in_words(layer.size)}</b> <code>{html(cut(made_by, 90))}</code>{base} "
        f"<span class=soft>{html(cut(names, 80))}</span></summary>"
        f"<p><code class=digest>{html(layer.digest)}</code>{unpacked}. Made by <code>{html(made_by)}</code>. "
        f"In {html(names) or 'no image'}.</p>{_files(layer)}</details>"
    )


def _files(layer: Layer) -> str:
    if layer.unpacked is None:
        return "<p class=soft>Its content is where the base is, and was not needed here.</p>"
    rows = "".join(_file(file) for file in layer.files)
    more = layer.count - len(layer.files)
    rest = f"<p class=soft>and {more} more</p>" if more > 0 else ""
    return f'<div class="wide"><table>{_head(("File", "Size", "Mode"))}{rows}</table></div>{rest}'


def _file(file: File) -> str:
    target = f" → {file.target}" if file.target else ""
    kind = "" if file.kind == "file" else f" <span class=tag>{html(file.kind)}</span>"
    size = size_in_words(file.size) if file.kind == "file" else ""
    return (
        f"<tr><td><code>/{html(file.path + target)}</code>{kind}</td><td class=number>{size}</td>"
        f"<td class=number>{file.mode:04o}</td></tr>"
    )


def layer_id(digest: str) -> str:
    """The anchor of a layer on the page."""
    return f"layer-{digest.partition(':')[2][:16]}"


def changed(comparison: Comparison | None, ids: Mapping[str, str], when: str) -> str:
    """What changed since the last run; `when` is that run's time in words."""
    title = "What changed since the last run"
    if comparison is None:
        return _section("changes", title, "<p>There is no earlier run with a report in this tree to compare with.</p>")
    before = f"<p>Compared with the run of {html(when)}, which took {seconds_in_words(comparison.before.seconds)}: "
    again = f", {comparison.again} of them made again and the same bytes" if comparison.again else ""
    before += f"{comparison.same} targets are the same{again}.</p>"
    if not comparison.changes:
        return _section("changes", title, f"{before}<p><b>Nothing changed.</b></p>")
    rows = "".join(_change(change, ids) for change in comparison.changes)
    head = _head(("Target", "Change", "Why", "Digest", "Size"))
    return _section("changes", title, f'{before}<div class="wide tall"><table>{head}{rows}</table></div>')


def _change(change: Change, ids: Mapping[str, str]) -> str:
    node, old, new = change.node, change.before, change.after
    digest, size = short(node.digest), size_in_words(node.size) if node.size else ""
    if change.what == CHANGED and old is not None and new is not None:
        digest = f"{short(old.digest)} → {short(new.digest)}"
        size = _grown(old.size, new.size)
    name = f"<code>{html(node.key)}</code>" if change.what == GONE else _link(node, ids)
    why = "; ".join(node.reasons) or node.last_reason
    files = "".join(
        f"<li><b>{html(file.what)}</b> <code>/{html(file.path)}</code> {html(', '.join(file.details))}</li>"
        for file in change.files
    )
    more = f"<li>and {change.more} more</li>" if change.more else ""
    listed = f"<ul class=files>{files}{more}</ul>" if files else ""
    return (
        f"<tr><td>{name}{listed}</td><td>{change.what}</td><td>{html(why)}</td>"
        f"<td><code>{digest}</code></td><td class=number>{size}</td></tr>"
    )


def _grown(old: int | None, new: int | None) -> str:
    if old is None or new is None:
        return ""
    if old == new:
        return size_in_words(new)
    sign = "+" if new > old else _MINUS
    return f"{size_in_words(new)} ({sign}{size_in_words(abs(new - old))})"


def targets(run: Run, ids: Mapping[str, str]) -> str:
    """Every target, and why it was made or left alone."""
    rows = "".join(_target(node, ids[node.key]) for node in run.nodes)
    head = _head(("State", "Target", "Why", "Took", "Size", "Digest"))
    table = f'<div class="wide"><table id="target-table">{head}<tbody>{rows}</tbody></table></div>'
    return _section("targets", "All targets, and why each was built", table)


def _target(node: Node, anchor: str) -> str:
    took = seconds_in_words(node.seconds) if node.seconds is not None else ""
    size = size_in_words(node.size) if node.size is not None else ""
    return (
        f'<tr id="{anchor}" tabindex="-1" data-state="{html(node.outcome)}"><td>{_state(node)}</td>'
        f"<td><b>{html(node.kind)}</b> {html(node.title)}<br><code class=soft>{html(node.key)}</code></td>"
        f"<td>{reason(node)}</td><td class=number>{took}</td><td class=number>{size}</td>"
        f'<td><code class=digest title="{html(node.digest)}">{html(short(node.digest))}</code></td></tr>'
    )


def reason(node: Node) -> str:
    """Why a target was made, or that it was not, and why it was made last."""
    if node.reasons:
        words = "".join(f"<li>{html(words)}</li>" for words in node.reasons)
        return f"<ul class=reasons>{words}</ul>"
    if node.outcome == CURRENT and node.last_reason:
        return f"up to date; made last because: {html(node.last_reason)}"
    if node.ran:
        return "not built before"
    return html(node.outcome)


def short(digest: str) -> str:
    """The first letters of a digest, as people compare them."""
    return digest[:_SHORT]


def _state(node: Node) -> str:
    return f'<span class="state {style_class("state", node.outcome)}">{html(node.outcome)}</span>'


def _link(node: Node, ids: Mapping[str, str]) -> str:
    return f'<a href="#{ids.get(node.key, "")}">{html(node.kind)} {html(node.title)}</a>'


def _head(names: Iterable[str]) -> str:
    cells = (f"<th scope=col{' class=number' if name in _NUMBERS else ''}>{html(name)}</th>" for name in names)
    return f"<thead><tr>{''.join(cells)}</tr></thead>"


def _section(anchor: str, title: str, body: str) -> str:
    return (
        f'<section id="{anchor}" aria-labelledby="{anchor}-title"><h2 id="{anchor}-title">{title}</h2>{body}</section>'
    )
