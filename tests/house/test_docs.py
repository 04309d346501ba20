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


def test_the_drawing_names_every_module_of_the_scons_half() -> None:
    drawing = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("```")[1]
    modules = {path.stem for path in (ROOT / "site_scons" / "scons_multiarch").glob("*.py")} - {"__init__"}
    assert sorted(modules - set(re.findall(r"\w+", drawing))) == []


def test_no_file_holds_two_versions_of_itself() -> None:
    files = [
        *ROOT.glob("*"),
        *(path for name in ("docs", "site_scons", "tests", "examples") for path in (ROOT / name).rglob("*")),
    ]
    texts = [path for path in files if path.is_file() and path.suffix in (".md", ".py", ".toml", "")]
    assert len(texts) > 300
    assert [path for path in texts if re.search(rb"(?m)^(<<<<<<<|>>>>>>>) ", path.read_bytes())] == []
