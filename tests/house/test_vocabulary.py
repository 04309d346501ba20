"""Words that the project does not use, and literals that have one home."""

from __future__ import annotations

import ast
import re
import tokenize
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
# Words that do not say what a variable holds; a noun does. `place`: a store is a store, a position a position.
EMPTY = {"found", "each", "said", "wanted", "asked", "left", "one", "place"}


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


# `installation` knows how the process was started; `bootstrap` and `__main__` are how; `multiarch init` and the
# SConstruct that it proposes know one command only.
STARTED = {"installation.py", "bootstrap.py", "__main__.py", "init.py", "proposal.py"}


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name not in STARTED], ids=identify)
def test_a_text_names_the_command_that_was_started_and_no_other(path: Path):
    """`{command()} load` in the SCons half; the library knows no command, and names the target alone."""
    spelled = re.compile(
        r"(?<![\w./-])(?:scons|multiarch) (?:-|[a-z]+-|images|load|push|clean|plan|why|verify|run)\b|sconsw "
    )
    assert not [found for found in literals(code(path)) if spelled.search(found[1]) or "./sconsw" in found[1]]


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name != "platform.py"], ids=identify)
def test_platforms_are_formatted_in_platform_only(path: Path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\{[\w.]*os\}/\{[\w.]*(arch|architecture)\}", text), identify(path)


@pytest.mark.parametrize("path", SOURCES, ids=identify)
def test_no_mutable_module_global_is_rebound(path: Path):
    assert not [node.lineno for node in ast.walk(code(path)) if isinstance(node, ast.Global)], identify(path)


# Answers are printed after a build, or instead of one; steps print side by side, and by one write, as `say` does.
STEPS = [
    path for path in SOURCES if path.parents[0].name != "commands" and path.name not in {"process.py", "__main__.py"}
]


@pytest.mark.parametrize("path", STEPS, ids=identify)
def test_a_step_prints_whole_lines(path: Path):
    calls = [node.func for node in ast.walk(code(path)) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if isinstance(call, ast.Name) and call.id == "print"]


@pytest.mark.parametrize("path", SOURCES, ids=identify)
def test_no_todo_is_left(path: Path):
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", path.read_text(encoding="utf-8")), identify(path)


def names(path: Path) -> list[str]:
    """Every name in the code of a module; none of comments, docstrings and texts."""
    with tokenize.open(path) as stream:
        return [token.string for token in tokenize.generate_tokens(stream.readline) if token.type == tokenize.NAME]


@pytest.mark.parametrize("path", SOURCES, ids=identify)
def test_names_say_what_they_hold_in_words_of_the_field(path: Path):
    words = set(names(path))
    private = {name: PRIVATE[part] for name in words for part in name.lower().split("_") if part in PRIVATE}
    assert private == {}, f"{identify(path)}: the field's word is the one on the right"
    assert {name for name in words if name.strip("_") in EMPTY} == set(), f"{identify(path)}: what is it that it holds?"
