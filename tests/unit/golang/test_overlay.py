from __future__ import annotations

import pytest

from multiarch.golang.overlay import may_embed_header


@pytest.mark.parametrize(
    ("pattern", "may"),
    [
        ("*", True), ("all:*", True), ("*.h", True), ("zz*", True), ("[a-z]*", True), ("?z_headers_outside.*", True),
        ("*.txt", False), ("folder", False), ("zz", False), ("folder/*", False), ("*/x.h", False), ("a*", False),
        ("\\\\*.txt", False), ("all:folder", False), ("[a-z].txt", False),
    ],
)  # fmt: skip
def test_a_pattern_that_could_take_the_header(pattern: str, may: bool):
    assert may_embed_header(pattern) == may
