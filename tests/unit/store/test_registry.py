"""The pure parts of a registry's repository; the rest is asked of real ones in tests/integration."""

from __future__ import annotations

from pathlib import Path

import pytest

from multiarch.reference import InvalidReference, Reference
from multiarch.store.auth import Credentials
from multiarch.store.http import Settings, Transport
from multiarch.store.registry import Registry, _next_page, resolve_all


@pytest.mark.parametrize(
    ("header", "target"),
    [
        (None, None),
        ("", None),
        ("</v2/a/tags/list?n=2&last=b>; rel=next", "/v2/a/tags/list?n=2&last=b"),
        ('</a,b;c>; rel="next"', "/a,b;c"),
        ('</p>; rel=prev, </n>; title="x, y"; rel="last next"', "/n"),
        ("</n>; rel=prev", None),
        ("</n> rel=next", None),
        ("nonsense; rel=next", None),
    ],
)
def test_the_next_page_is_read_from_the_link_header(header: str | None, target: str | None) -> None:
    assert _next_page(header) == target


def test_a_name_that_is_none_is_never_asked_for() -> None:
    transport = Transport(Settings(), Credentials({}, Path("/nowhere")))
    store = Registry(transport, Reference("127.0.0.1:1", "a"))
    for name in ("../../x", "a b", "", "sha256:short", "v1?x=1"):
        with pytest.raises(InvalidReference):
            store.resolve(name)


def test_no_references_are_no_questions() -> None:
    assert resolve_all(Transport(Settings(), Credentials({}, Path("/nowhere"))), []) == {}
