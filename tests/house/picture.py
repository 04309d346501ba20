"""The picture of the house in docs/architecture.md, drawn from the imports: `python tests/house/picture.py` renews it.

An arrow says that modules of one room import modules of another; what follows from other arrows is left out.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- drawn by tests/house/picture.py -->\n", "<!-- end of the picture -->\n"
GROUPS = {
    "words": "errors digest document mediatype architectures platform reference version statcache treelock once pathtable",
    "records": "descriptor config manifest artifact index receipt",
    "making": "goregexp wildcard ignorefile executable gzipstream tarheader tarfields tarreader layer windows image",
    "answers": "output plan forecast verify why difference",
    "verbs": "publish attesting signed",
}
OF_GROUP = {module: group for group, modules in GROUPS.items() for module in modules.split()}


def room(name: str) -> str:
    """The room in the picture of a module, by its dotted name."""
    parts = name.split(".")
    if parts[0] == "scons_multiarch":
        return f"scons_multiarch/{parts[1]}" if parts[1:] and parts[1] in ("tools", "commands") else "scons_multiarch"
    inside = parts[1:]
    if inside[:1] == ["engine"]:
        if inside[1:2] and inside[1] in ("buildx", "docker", "podman"):
            return "engine/buildx, docker, podman"
        return "/".join(inside[:2])
    return OF_GROUP.get(inside[0], inside[0])


def arrows() -> set[tuple[str, str]]:
    """Each pair of rooms of which the first imports the second."""
    folder = ROOT / "site_scons"
    sources = {
        ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"): path
        for path in folder.rglob("*.py")
        if path.parent != folder
    }
    found = set()
    for name, path in sources.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for asked in asked_by(node, sources):
                if asked.count(".") and name.count("."):
                    found.add((room(name), room(asked)))
    return {(one, other) for one, other in found if one != other}


def asked_by(node: ast.AST, sources: dict[str, Path]) -> list[str]:
    """The modules of ours that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name in sources]
    if isinstance(node, ast.ImportFrom) and node.module:
        names = (f"{node.module}.{alias.name}" for alias in node.names)
        return [name if name in sources else node.module for name in names if node.module in sources]
    return []


def reduced(pairs: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """The arrows that do not follow from others."""
    kept = set(pairs)
    for pair in sorted(pairs):
        if reaches(kept - {pair}, *pair):
            kept.discard(pair)
    return sorted(kept)


def reaches(pairs: set[tuple[str, str]], start: str, goal: str) -> bool:
    seen, pending = set(), [start]
    while pending:
        here = pending.pop()
        if here == goal:
            return True
        if here not in seen:
            seen.add(here)
            pending += [other for one, other in pairs if one == here]
    return False


def picture() -> str:
    """The picture, in the language of Mermaid."""
    pairs = reduced(arrows())
    rooms = sorted({name for pair in pairs for name in pair})
    numbers = {name: f"r{number}" for number, name in enumerate(rooms)}
    lines = [f'    {numbers[name]}["{name}"]' for name in rooms]
    lines += [f"    {numbers[one]} --> {numbers[other]}" for one, other in pairs]
    return "\n".join(["```mermaid", "graph TD", *lines, "```", ""])


def page(text: str) -> str:
    """The page with the present picture; ValueError when it has no place for one."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("docs/architecture.md has no place for the picture")
    return before + BEGIN + picture() + END + after


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
