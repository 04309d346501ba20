"""The pages about the house say what the house is."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHANGES = 10


def test_every_file_of_where_is_there() -> None:
    text = (ROOT / "docs" / "where.md").read_text(encoding="utf-8")
    files = re.findall(r"`((?:site_scons|tests|docs)/[^`]+)`", text)
    assert [file for file in files if not (ROOT / file).is_file()] == []
    parts = text.split("\n## ")[1:]
    assert len(parts) == CHANGES
    assert all("`site_scons/" in part for part in parts)


def test_the_picture_is_that_of_the_imports() -> None:
    spec = importlib.util.spec_from_file_location("picture", Path(__file__).with_name("picture.py"))
    assert spec is not None
    assert spec.loader is not None
    picture = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(picture)
    text = picture.PAGE.read_text(encoding="utf-8")
    assert picture.page(text) == text, "run: python tests/house/picture.py"
