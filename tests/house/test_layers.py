"""Imports go down, and each foreign module has its room (docs/architecture.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from scons_multiarch.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "site_scons" / "multiarch_oci"
SCONS_HALF = ROOT / "site_scons" / "scons_multiarch"
TOOLS = SCONS_HALF / "tools"
OURS = {
    *("go_binary", "oci_image", "oci_archive", "oci_load", "oci_push", "oci_pin", "oci_index"),
    *("oci_sbom", "oci_provenance", "oci_attest", "oci_resolve", "oci_settings", "oci_targets"),
}

# From the bottom up. A room may import rooms of its own floor that stand before it, and everything below.
FLOORS = (
    (
        "errors", "digest", "document", "mediatype", "architectures", "platform", "reference", "version",
        "statcache", "watching", "heldfiles", "treelock", "once", "pathtable", "quoting",
    ),
    ("descriptor", "config", "manifest", "artifact", "index", "receipt", "baselock"),
    (
        "goregexp", "wildcard", "ignorefile", "dockerfile", "executable", "gzipstream", "tarheader", "tarfields",
        "tarreader", "layer", "windows", "image", "deployment",
    ),
    ("store", "actioncache"),
    ("attest",),
    ("engine", "bases", "programimage"),
    ("golang", "git", "origin", "checkout"),
    ("output", "contents", "diagram", "report", "plan", "verify", "why", "difference"),
    ("publish", "attesting", "signed", "scaffold"),
)  # fmt: skip
ROOMS = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# Below engine/, what engines share: what a Dockerfile asks for, how an engine of others is called, what it hands back.
SHARED = {"frontend", "external", "export"}

# Who may import what from outside (the names of top-level modules).
GUARDED = {
    "docker": {"engine/docker", "store/daemon", "store/auth"},
    "urllib3": {"store/http"},
    "http": {"store/http"},
    "requests": {"store/daemon", "engine/docker"},  # what docker-py raises
    "subprocess": {"golang", "git", "checkout", "engine", "store/daemon", "store/auth", "attest/plugin"},
    "cryptography": {"attest"},
    "nacl": {"attest"},
    "sigstore": {"attest"},
    "ruamel": {"deployment"},
    "SCons": set(),
}


def modules() -> list[Path]:
    return sorted(LIBRARY.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides which room it asks"
            yield node.module or ""


def name_of(path: Path) -> str:
    return path.relative_to(LIBRARY).with_suffix("").as_posix().removesuffix("/__init__")


def room_of(module: str) -> str:
    return module.split(".")[1] if module.startswith("multiarch_oci.") else ""


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_go_down(path: Path):
    own = name_of(path).split("/")[0]
    if own == "__init__" or path == LIBRARY / "__init__.py":
        assert not [m for m in imports(path) if m.startswith("multiarch")]
        return
    assert own in ROOMS, f"{own} has no floor: name its room in docs/architecture.md and here"
    for module in imports(path):
        room = room_of(module)
        if room and room != own:
            assert ROOMS[room] <= ROOMS[own], f"{name_of(path)} imports {module}, which is above it"


def loaded(path: Path) -> set[str]:
    """Return the modules of the library that this one needs to be loaded, its packages among them."""
    names = {name_of(module).removesuffix("__init__").rstrip("/") for module in modules()}
    own = name_of(path).removesuffix("__init__").rstrip("/")
    found = {own}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:  # not in functions, nor for types alone
        asked = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        asked += [f"{node.module}.{alias.name}" for alias in node.names] if isinstance(node, ast.ImportFrom) else []
        asked += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {
            name.removeprefix("multiarch_oci.").replace(".", "/") for name in asked if name.startswith("multiarch_oci.")
        }
    whole = {"/".join(name.split("/")[:length]) for name in found for length in range(1, name.count("/") + 2)}
    return (whole & names) - {own}


def test_imports_go_in_no_circle():
    needs = {name_of(path).removesuffix("__init__").rstrip("/"): loaded(path) for path in modules()}
    while free := [name for name, needed in needs.items() if not needed & set(needs)]:
        for name in free:
            del needs[name]
    assert needs == {}, "threads that begin at different ends of this could wait for each other"


def test_golang_and_store_never_meet_and_engines_do_not_know_each_other():
    for path in modules():
        own = name_of(path)
        asked = {module for module in imports(path) if module.startswith("multiarch_oci.")}
        if own.startswith("golang"):
            assert not [m for m in asked if room_of(m) in ("store", "engine")], own
        if own.startswith("store"):
            assert not [m for m in asked if room_of(m) in ("golang", "engine")], own
        if own.startswith("engine/"):
            mine = own.split("/")[1]
            known = SHARED | {"embedded"} if mine == "rebase" else SHARED  # a rebase does what an engine would do
            others = [m for m in asked if m.startswith("multiarch_oci.engine.") and m.split(".")[2] != mine]
            assert not [m for m in others if m.split(".")[2] not in known], own


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_foreign_modules_have_their_rooms(path: Path):
    own = name_of(path)
    for module in imports(path):
        allowed = GUARDED.get(module.split(".")[0])
        if allowed is not None:
            assert any(own == room or own.startswith(f"{room}/") for room in allowed), f"{own} imports {module}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_the_library_prints_nothing_and_reads_no_environment(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"{name_of(path)}:{node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            assert node.attr not in ("environ", "getenv", "environb"), f"{name_of(path)}:{node.lineno}"


POSIX_ONLY = {"fcntl", "pwd", "grp", "resource", "termios", "posix", "msvcrt", "winreg"}


@pytest.mark.parametrize("path", [*modules(), *sorted(SCONS_HALF.rglob("*.py"))], ids=lambda p: p.stem)
def test_modules_of_one_system_are_imported_where_they_are_used(path: Path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert not POSIX_ONLY & set(names), path


def test_the_library_imports_neither_scons_nor_what_knows_it():
    for path in modules():
        assert not [m for m in imports(path) if m.split(".")[0] in ("SCons", "scons_multiarch")], path


def test_there_are_no_other_tools_and_none_imports_another():
    """SCons loads a Tool under its bare name: who imports it, too, has it twice."""
    assert {path.stem for path in TOOLS.glob("*.py")} - {"__init__"} == OURS
    for path in SCONS_HALF.rglob("*.py"):
        asked = {m.rpartition(".")[2] for m in imports(path) if m.startswith("scons_multiarch.tools")}
        assert not asked, f"{path.stem}: what several Tools use belongs beside tools/"


LONGEST_TOOL = 130
"""Lines: the declaration of one builder, its imports and its docstring. What the step does stands beside tools/."""


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_tool_is_a_translation_of_about_a_hundred_lines(name: str):
    assert len((TOOLS / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= LONGEST_TOOL


def test_each_command_is_a_function_of_a_module_of_commands_which_holds_nothing_else():
    """They are loaded by name when they are asked for, so that no linter sees a name that is wrong."""
    folder = SCONS_HALF / "commands"
    functions = [command.split(":") for command in COMMANDS.values()]
    assert {f"scons_multiarch.commands.{path.stem}" for path in folder.glob("*.py")} == {
        "scons_multiarch.commands.__init__",
        *(module for module, _ in functions),
    }
    for module, function in functions:
        path = SCONS_HALF.parent / f"{module.replace('.', '/')}.py"
        assert function in {n.name for n in ast.parse(path.read_text("utf-8")).body if isinstance(n, ast.FunctionDef)}
    table = ast.parse((folder / "__init__.py").read_text("utf-8")).body
    assert [type(node) for node in table] == [ast.Expr, ast.Assign, ast.Expr], "a docstring and a table"
