"""Words that the project does not use, and literals that have one home."""

from __future__ import annotations

import ast
import re
import tokenize
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "site_scons" / "multiarch_oci"
SOURCES = sorted((ROOT / "site_scons").rglob("*.py"))
FORBIDDEN = re.compile(r"(^|_)(utils?|helpers?|common|misc|managers?|handlers?|services?)($|_)")

# Words of our own, for what the specifications, Docker, Go, SCons and HTTP have a word for: as a name or a part of one.
PRIVATE = {
    "met": "warm",
    "scout": "probe",
    "wish": "token request",
    "glance": "cached inputs",
    "harvest": "export",
    "lending": "secrets",
    "handing": "external",
    "told": "reported, known",
    "ahead": "prefetch",
    "manner": "options",
}
# Names that do not say what they hold, and private words: how often they still stand in site_scons. It only goes down.
CEILINGS = {
    "found": 0,
    "wanted": 0,
    "each": 0,
    "place": 0,
    "left": 0,
    "told": 0,
    "asked": 0,
    "said": 0,
    "one": 0,
    "ahead": 0,
}


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


def names(path: Path) -> list[str]:
    """Every name in the code of a module, as often as it stands there; none of comments, docstrings and texts."""
    with tokenize.open(path) as stream:
        return [token.string for token in tokenize.generate_tokens(stream.readline) if token.type == tokenize.NAME]


def test_names_say_what_they_hold_in_words_of_the_field():
    counts: Counter[str] = Counter()
    for path in SOURCES:
        for name in names(path):
            counts.update({name} & CEILINGS.keys() | set(name.lower().split("_")) & PRIVATE.keys())
    more = {word: f"{count}, at most {CEILINGS.get(word, 0)}" for word, count in counts.items()}
    more = {word: text for word, text in more.items() if counts[word] > CEILINGS.get(word, 0)}
    assert more == {}, f"a noun says more, or a word of the field: {PRIVATE}"
