"""The summary of a run in Markdown, as CI systems show it (GitHub Flavored Markdown); others' text is data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from multiarch_oci.diagram.texts import as_mermaid
from multiarch_oci.quoting import html, markdown, markdown_code, seconds_in_words, size_in_words, visible
from multiarch_oci.report.comparing import CHANGED, Change, Comparison
from multiarch_oci.report.record import CACHED, CURRENT, MADE, REPAIRED, Node, Run
from multiarch_oci.report.sections import box_of, platforms_of, short

HEAD = "<!-- multiarch summary 1 -->"
"""By this a later run knows the file as its own (`output`)."""
_MOST, _MOST_DRAWN = 30, 40
"""Rows of a table, and nodes of a graph, beyond which a number stands for the rest."""


def summary(run: Run, comparison: Comparison | None) -> bytes:
    """The whole file."""
    parts = [HEAD, _result(run), *_failures(run), *_published(run), *_built(run), *_changed(comparison), *_graph(run)]
    return ("\n\n".join(parts) + "\n").encode()


def _result(run: Run) -> str:
    words = " ".join(run.words)
    counts = ", ".join(f"{number} {outcome}" for outcome, number in run.counts().items()) or "nothing to do"
    what = f" {markdown_code(words)}" if words else ""
    sent = f", {size_in_words(run.sent)} sent" if run.sent else ""
    title = "Build failed" if run.failed else "Build"
    return f"## {title}{what}\n\n{counts}; {seconds_in_words(run.seconds)}{sent}."


def _failures(run: Run) -> Iterator[str]:
    for node in run.nodes:
        if node.error:
            lines = html(node.error).replace("`", "&#96;").replace("\n", "<br>")
            yield f"### {markdown(f'{node.kind} {node.title}')} failed\n\n<pre>{lines}</pre>"


def _published(run: Run) -> Iterator[str]:
    by_key = {node.key: node for node in run.nodes}
    rows = []
    for node in run.tags():
        platforms = platforms_of(node, by_key)
        rows.append((markdown_code(node.reference), markdown_code(node.digest), markdown(platforms), node.outcome))
    rows += [
        (markdown_code(reference), "", markdown(f"not moved: {because}"), "") for reference, because in run.not_moved
    ]
    if rows:
        yield _table("### Published", ("Tag", "Digest", "Platforms", "State"), rows)


def _built(run: Run) -> Iterator[str]:
    rows = []
    for node in sorted(run.nodes, key=lambda node: -(node.seconds or 0)):
        if node.outcome in (MADE, REPAIRED, CACHED):
            took = seconds_in_words(node.seconds) if node.seconds is not None else ""
            size = size_in_words(node.size) if node.size else ""
            rows.append((node.outcome, markdown(f"{node.kind} {node.title}"), _why(node), took, size))
    if rows:
        yield _table("### Why it was built", ("", "Target", "Why", "Took", "Size"), rows)
    current = sum(node.outcome == CURRENT for node in run.nodes)
    if current:
        yield f"{current} up to date."


def _why(node: Node) -> str:
    return markdown("; ".join(node.reasons) or ("not built before" if node.ran else ""))


def _changed(comparison: Comparison | None) -> Iterator[str]:
    if comparison is None:
        return
    if not comparison.changes:
        yield "### Since the last run\n\nNothing changed."
        return
    rows = [_change(change) for change in comparison.changes]
    yield _table("### Since the last run", ("Target", "Change", "Digest", "Files"), rows)


def _change(change: Change) -> tuple[str, ...]:
    old, new = change.before, change.after
    digest = markdown_code(short(change.node.digest)) if change.node.digest else ""
    if change.what == CHANGED and old is not None and new is not None:
        digest = f"{markdown_code(short(old.digest))} → {markdown_code(short(new.digest))}"
    files = [f"{markdown_code(f'/{file.path}')} {file.what}" for file in change.files[:3]]
    rest = len(change.files) + change.more - len(files)
    more = [f"and {rest} more"] if rest > 0 else []
    return markdown(f"{change.node.kind} {change.node.title}"), change.what, digest, ", ".join([*files, *more])


def _graph(run: Run) -> Iterator[str]:
    """The graph for those systems that draw mermaid; a large one is no picture any more."""
    if 1 < len(run.nodes) <= _MOST_DRAWN:
        drawn = as_mermaid([box_of(node) for node in run.nodes])
        yield f"<details><summary>Graph</summary>\n\n```mermaid\n{drawn}```\n\n</details>"


def _table(title: str, names: Sequence[str], rows: Sequence[Iterable[str]]) -> str:
    lines = [title, "", _row(names), _row(["---"] * len(names)), *map(_row, rows[:_MOST])]
    if len(rows) > _MOST:
        lines += ["", f"and {len(rows) - _MOST} more"]
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(visible(cell) for cell in cells)} |"
