"""Text of others in a terminal, HTML, Markdown, mermaid and DOT is data, whatever it is."""

from __future__ import annotations

import html as stdlib_html
import json
from html.parser import HTMLParser

import pytest

from multiarch_oci import quoting

TEXTS = [
    "</script><img src=x onerror=alert(1)>",
    "a `code` | b **bold** [link](javascript:x) <b>",
    "\x1b[31mred\x1b]0;title\x07",
    "::error file=x::no",
    "##[error]no ##vso[task.setvariable]x ##teamcity[message]",
    "a\nb\r\n| c |\n::warning::x",
    "\"quoted\" \\ back\\nslash 'single'",
    "\u202eright\u2066to left\u200b\ufeff \udcff half",
    "& &lt; &#60; #quot; %% ;",
    "",
    " ",
    "1. one",
    "- list",
    "# heading",
    "https://example.com www.example.com @team a_b_c",
]
CONTROLS = {chr(code) for code in (*range(32), 127, *range(0x80, 0xA0))} | set("\u202e\u2066\u200b\ufeff\u2028\udcff")


class Parsed(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str | None] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [value for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("text", TEXTS)
def test_nothing_that_steers_a_terminal_or_a_ci_system_is_left(text: str):
    shown = quoting.visible(text)
    assert not CONTROLS & set(shown)
    assert not shown.lstrip().startswith("::")
    assert not any(word in shown for word in ("##[", "##vso[", "##teamcity["))
    assert shown.encode().decode() == shown


def test_controls_are_shown_and_lines_kept_where_they_are_wanted():
    assert quoting.visible("a\x1b[1mb\r\n\tc\udcff") == "a\\x1b[1mb\\r\\n\\tc\\udcff"
    assert quoting.visible("a\r\n\tc", lines=True) == "a\\r\n\tc"
    assert quoting.visible("x\n  ::error::y", lines=True) == "x\n  : :error::y"
    assert quoting.visible("linux/amd64 → größer, 漢字") == "linux/amd64 → größer, 漢字"


@pytest.mark.parametrize("text", TEXTS)
def test_html_holds_the_text_and_no_element(text: str):
    page = Parsed(f'<p title="{quoting.html(text)}">{quoting.html(text)}</p>')
    assert page.tags == ["p"]
    assert page.text == page.attributes[0] == quoting.visible(text, lines=True)


@pytest.mark.parametrize("text", TEXTS)
def test_json_in_a_page_ends_no_element_and_is_the_same_value(text: str):
    written = quoting.json_in_html({text: [text]})
    assert not set("<>&#") & set(written)
    assert json.loads(written) == {text: [text]}
    printed = quoting.json_in_log(json.dumps({text: [text]}).encode())
    assert json.loads(printed) == {text: [text]}
    assert not [word for word in (b"##[", b"##vso[", b"##teamcity[") if word in printed]


@pytest.mark.parametrize("text", TEXTS)
def test_markdown_has_no_markup_of_the_text(text: str):
    for written in (quoting.markdown(text), quoting.markdown_code(text)):
        assert "\n" not in written
        assert "|" not in written
        assert "<img" not in written
        assert "<b>" not in written
        bare = stdlib_html.unescape(written.removeprefix("<code>").removesuffix("</code>").strip("`"))
        assert bare == quoting.visible(text)
    assert not set("\\`*_[]<>|") & set(quoting.markdown(text))
    assert not quoting.markdown(text).startswith(("#", "-", "+", "1."))


@pytest.mark.parametrize("text", TEXTS)
def test_mermaid_and_dot_keep_to_their_quotes(text: str):
    assert not set('"<>`[]{}|\\&%;') & set(quoting.mermaid(text).replace(";", "", quoting.mermaid(text).count("#")))
    inner = quoting.dot(text)[1:-1]
    assert '"' not in inner.replace("\\\\", "").replace('\\"', "")
    assert inner.replace("\\\\", "\0").replace('\\"', '"').replace("\0", "\\") == quoting.visible(text)


def test_sizes_and_times_are_to_be_read():
    assert [quoting.readable_size(count) for count in (0, 999, 4600)] == ["0 bytes", "999 bytes", "4.6 kB"]
    things = [(1, "tag"), (2, "tag"), (1, "entry"), (0, "entry")]
    assert [quoting.counted(*thing) for thing in things] == ["1 tag", "2 tags", "1 entry", "0 entries"]
    assert [quoting.size_in_words(count) for count in (0, 999, 4600, 300_000_000, 2 * 10**9)] == [
        *("0 B", "999 B", "4.6 kB", "300.0 MB", "2.0 GB"),
    ]
    assert [quoting.seconds_in_words(s) for s in (0.031, 9.994, 12.44, 185)] == [
        "0.03 s",
        "9.99 s",
        "12.4 s",
        "3 min 05 s",
    ]
