"""The report as one page: no network, nothing beside the file, and no script or style but those that are in it.

A Content-Security-Policy allows exactly these, by their hashes (CSP Level 3, section 2.3.1). Text of others is in the
page as text, and once more as JSON, which nothing executes.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from pathlib import Path

import msgspec

from multiarch_oci.diagram.drawing import style_class
from multiarch_oci.quoting import html, json_in_html, seconds_in_words, visible
from multiarch_oci.report import sections
from multiarch_oci.report.comparing import Comparison
from multiarch_oci.report.record import Run

_HEAD = "<!doctype html><!-- multiarch report 1 -->"
"""By this a later run knows the file as its own (`output`)."""
_SECTIONS = (
    ("published", "Published"),
    ("changes", "Changes"),
    ("graph", "Graph"),
    ("time", "Time"),
    ("layers", "Layers"),
    ("targets", "Targets"),
)


def page(run: Run, comparison: Comparison | None) -> bytes:
    """The whole page. Equal records are equal bytes."""
    style, script = _asset("page.css"), _asset("page.js")
    ids = {node.key: f"t{number}" for number, node in enumerate(run.nodes)}
    title = f"{'failed' if run.failed else 'built'}: {_names(run)}"
    body = "".join(
        (
            sections.result(run),
            sections.failures(run, ids),
            sections.published(run),
            sections.changed(comparison, ids, moment(comparison.before.began) if comparison is not None else ""),
            sections.graph(run, ids),
            sections.slowest(run, ids, comparison),
            sections.layers(run),
            sections.targets(run, ids),
        )
    )
    present = [(anchor, name) for anchor, name in _SECTIONS if f'<section id="{anchor}"' in body]
    links = "".join(f'<a href="#{anchor}">{name}</a>' for anchor, name in present)
    allowed = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    policy = f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
    return "".join(
        (
            f'{_HEAD}\n<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">',
            f"<title>{html(title)}</title><style>{style}</style></head>\n<body>",
            '<a class="skip" href="#targets">Skip to all targets</a>',
            f'<header><div class="titles"><h1>{html(_names(run))}</h1>{_when(run)}</div>',
            f'<nav aria-label="sections">{links}</nav>{_controls(run)}</header>\n<main>{body}</main>\n',
            f'<script type="application/json" id="run">{json_in_html(_data(run))}</script>\n',
            f"<script>{script}</script></body></html>\n",
        )
    ).encode()


def moment(seconds: float) -> str:
    """A time since 1970 in words, in UTC: whoever reads a page may be elsewhere."""
    return dt.datetime.fromtimestamp(seconds, dt.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _names(run: Run) -> str:
    groups = list(dict.fromkeys(node.group for node in run.nodes if node.group))
    if not groups:
        return "build report"
    more = f" and {len(groups) - 3} more" if len(groups) > 3 else ""  # noqa: PLR2004  # a heading
    return ", ".join(map(visible, groups[:3])) + more


def _when(run: Run) -> str:
    words = " ".join(run.words) or "the default targets"
    outcome = "failed" if run.failed else "succeeded"
    state = "failed" if run.failed else "up-to-date"
    return (
        f'<p><span class="state state-{state}">{outcome}</span> <code>{html(words)}</code>, '
        f"{html(moment(run.began))}, {seconds_in_words(run.seconds)}</p>"
    )


def _controls(run: Run) -> str:
    chips = "".join(
        f'<button type="button" class="chip {style_class("state", outcome)}" aria-pressed="true" '
        f'data-state="{html(outcome)}">{html(outcome)} {number}</button>'
        for outcome, number in run.counts().items()
    )
    return (
        '<div class="controls"><input id="filter" type="search" placeholder="Filter targets  ( / )" '
        f'aria-label="filter targets by name, reason or digest">{chips}'
        '<button type="button" id="theme" title="light or dark">◐<span class="unseen"> light or dark</span></button>'
        "</div>"
    )


def _data(run: Run) -> object:
    """The record for the script of the page, and for other programs; requests are in the trace."""
    return msgspec.to_builtins(msgspec.structs.replace(run, requests=()))


def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
