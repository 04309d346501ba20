"""Words that the project does not use, and literals that have one home."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "site_scons" / "multiarch_oci"
SOURCES = sorted((ROOT / "site_scons").rglob("*.py"))
FORBIDDEN = re.compile(r"(^|_)(utils?|helpers?|common|misc|managers?|handlers?|services?)($|_)")


def identify(path: Path) -> str:
    return path.relative_to(ROOT / "site_scons").as_posix()


def code(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def literals(tree: ast.Module) -> list[tuple[int, str]]:
    """All string constants but the docstrings."""
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents
    ]


@pytest.mark.parametrize("path", SOURCES, ids=identify)
def test_no_room_and_no_class_is_called_by_a_word_that_means_nothing(path: Path):
    assert not FORBIDDEN.search(path.stem.lower()), path
    for node in ast.walk(code(path)):
        if isinstance(node, ast.ClassDef):
            snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.name).lower()
            snake = snake.replace("credential_helper", "").replace("_helper_failed", "")  # Docker's own word
            assert not FORBIDDEN.search(snake), f"{identify(path)}:{node.lineno} {node.name}"


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name != "mediatype.py"], ids=identify)
def test_media_types_are_spelled_in_mediatype_only(path: Path):
    found = [(line, text) for line, text in literals(code(path)) if "application/vnd." in text]
    assert not found, identify(path)


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name != "platform.py"], ids=identify)
def test_platforms_are_formatted_in_platform_only(path: Path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\{[\w.]*os\}/\{[\w.]*(arch|architecture)\}", text), identify(path)


@pytest.mark.parametrize("path", SOURCES, ids=identify)
def test_no_mutable_module_global_is_rebound(path: Path):
    assert not [node.lineno for node in ast.walk(code(path)) if isinstance(node, ast.Global)], identify(path)


@pytest.mark.parametrize("path", SOURCES, ids=identify)
def test_no_todo_is_left(path: Path):
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", path.read_text(encoding="utf-8")), identify(path)
