"""What leans on SCons' insides is in one table, which is held against the code of both sides (scons_multiarch.tracking)."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import scons_multiarch.tracking

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^(\w+\.[\w.]+): (SCons\..*)\n    (\S+)::(\w+)$", re.MULTILINE)
HOOKS = {
    hook: (code.split(", "), test, name) for hook, code, test, name in ROW.findall(scons_multiarch.tracking.__doc__)
}

# The first 12 digits of the sha256 of each function's text in the SCons that is pinned. Another number here: read what
# changed in SCons and the hook that names it, run its test, and then write the new number.
SEEN = {
    "SCons.Action.ActionBase.get_contents": "5a0e735ad915",
    "SCons.Action.FunctionAction.__init__": "90b2bedd0793",
    "SCons.Action.FunctionAction.execute": "1d021c1778ad",
    "SCons.Action.FunctionAction.get_presig": "df9e82b7b33f",
    "SCons.Action._ActionAction.__call__": "55015d30921d",
    "SCons.Builder.BuilderBase._create_nodes": "0c105790369f",
    "SCons.Builder.BuilderBase._execute": "d6ca4db4b02a",
    "SCons.CacheDir.CacheDir.cachepath": "8db0773af150",
    "SCons.CacheDir.CacheDir.push": "3aaad16d100b",
    "SCons.CacheDir.CacheDir.retrieve": "4273599e0c6d",
    "SCons.Environment.OverrideEnvironment.__getattr__": "b4b7dffa134e",
    "SCons.Executor.Executor.get_action_targets": "fbac263d7c46",
    "SCons.Executor.Executor.get_contents": "b644f9ce55e5",
    "SCons.Executor.Executor.nullify": "50954cf46ec6",
    "SCons.Node.FS.Base.get_labspath": "c953cb754bdf",
    "SCons.Node.FS.Base.srcnode": "b57b8d068be1",
    "SCons.Node.FS.Dir.get_csig": "f57fa900f037",
    "SCons.Node.FS.Dir.glob": "6287ea5ba44f",
    "SCons.Node.FS.Dir.is_up_to_date": "21d88d433c4c",
    "SCons.Node.FS.Dir.prepare": "d17d4ab10d69",
    "SCons.Node.FS.Dir.sconsign": "95a915dbb840",
    "SCons.Node.FS.Dir.srcdir_list": "1878708118b9",
    "SCons.Node.FS.Entry.disambiguate": "892bc0984563",
    "SCons.Node.FS.File._morph": "5ffd392754ad",
    "SCons.Node.FS.File.built": "4c0f91ba1bb3",
    "SCons.Node.FS.File.changed": "101cee6c9ffb",
    "SCons.Node.FS.File.exists": "03b59583178b",
    "SCons.Node.FS.File.get_cachedir_bsig": "fd24fb59f18c",
    "SCons.Node.FS.File.get_cachedir_csig": "ab251d3890f7",
    "SCons.Node.FS.File.get_csig": "ff4543d5724a",
    "SCons.Node.FS.File.get_stored_info": "53e32f72bee8",
    "SCons.Node.FS.File.is_up_to_date": "c5f137c31eee",
    "SCons.Node.FS.File.make_ready": "abd773533ddf",
    "SCons.Node.FS.File.prepare": "9a7102272ec0",
    "SCons.Node.FS.File.push_to_cache": "4d37c1234c48",
    "SCons.Node.FS.File.release_target_info": "8989d5658622",
    "SCons.Node.FS.File.remove": "88dbfe195942",
    "SCons.Node.FS.File.retrieve_from_cache": "bd21ae1049b1",
    "SCons.Node.FS.File.visited": "1906135c73d5",
    "SCons.Node.FS.FileNodeInfo": "5fae728f7466",
    "SCons.Node.FS.RootDir._lookup_abs": "ed5f477c9bd1",
    "SCons.Node.Node.Decider": "87035019cef5",
    "SCons.Node.Node.add_to_implicit": "33172ca06c4b",
    "SCons.Node.Node.built": "6f88f3254588",
    "SCons.Node.Node.changed": "2848efccf4ba",
    "SCons.Node.Node.children": "3fd03ea7818d",
    "SCons.Node.Node.get_binfo": "8a6fdf44229f",
    "SCons.Node.Node.get_build_env": "93de23d3b0e5",
    "SCons.Node.Node.missing": "031b09540940",
    "SCons.Node.Node.scan": "39864efd19bf",
    "SCons.Node.Node.visited": "5118d95b9987",
    "SCons.Node.exists_file": "b9b4c68b74a4",
    "SCons.Node.store_info_file": "207f31197cf8",
    "SCons.SConsign.Base.store_info": "522d96deb5c7",
    "SCons.SConsign.DB.write": "3912492b9315",
    "SCons.SConsign.Get_DataBase": "7e60b511b790",
    "SCons.SConsign.Reset": "7252477e06d6",
    "SCons.SConsign.write": "705676108233",
    "SCons.Script.Interactive.SConsInteractiveCmd.do_build": "315e4f5226df",
    "SCons.Script.Interactive.interact": "84057b8ee982",
    "SCons.Script.Main.BuildTask.do_failed": "ece429f4b0ae",
    "SCons.Script.Main.BuildTask.execute": "9dbc0af7d805",
    "SCons.Script.Main.BuildTask.failed": "8b672f254220",
    "SCons.Script.Main.BuildTask.needs_execute": "9598bdb65686",
    "SCons.Script.Main._build_targets": "b0da33a0fb6a",
    "SCons.Script.Main._main": "d7ee3acc0337",
    "SCons.Script.Main.main": "8d8b29212ce0",
    "SCons.Script._Add_Targets": "abe4c502e42e",
    "SCons.Script._Set_Default_Targets": "31eabbc05607",
    "SCons.Script._Set_Default_Targets_Has_Been_Called": "a1fa7a8bbba3",
    "SCons.Taskmaster.Job.NewParallel.__init__": "eaa2eda30b28",
    "SCons.Taskmaster.Job.NewParallel._maybe_start_worker": "7c3f365509e2",
    "SCons.Taskmaster.Job.NewParallel._work": "271f5d10b5f1",
    "SCons.Taskmaster.Task.execute": "083b9392edf2",
    "SCons.Taskmaster.Taskmaster._find_next_ready_node": "57b0a2f803f5",
    "SCons.Util.envs.MethodWrapper.clone": "faf911fa6237",
    "SCons.dblite._Dblite.__init__": "26419bcf7ae0",
    "SCons.dblite._Dblite.__setitem__": "16e4d7de80a0",
    "SCons.dblite._Dblite.close": "3b768e9d52ce",
    "SCons.dblite._Dblite.opener": "035275e70d8f",
    "SCons.dblite._Dblite.sync": "f400d14d5c85",
}


def resolved(name: str) -> Any:
    """Return what a dotted name of a module, class or function stands for."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise ImportError(name)


def names_of_scons() -> list[str]:
    return sorted({name for code, _, _ in HOOKS.values() for name in code})


@pytest.mark.parametrize("name", names_of_scons())
def test_scons_code_that_hooks_lean_on_is_what_it_was(name: str):
    importlib.import_module("SCons.Script.Main")
    text = inspect.getsource(resolved(name))
    now = hashlib.sha256("\n".join(line.strip() for line in text.splitlines()).encode()).hexdigest()[:12]
    assert SEEN.get(name) == now, f"SCons changed {name}: see the hooks that name it in scons_multiarch.tracking"


def test_nothing_is_remembered_of_code_that_no_hook_names():
    assert sorted(SEEN) == names_of_scons()


@pytest.mark.parametrize("hook", HOOKS)
def test_each_hook_is_there_and_has_its_test(hook: str):
    assert inspect.getdoc(resolved(f"scons_multiarch.tracking.{hook}")), "the hook's docstring says its reason"
    _, file, name = HOOKS[hook]
    tests = [
        node.name for node in ast.parse((ROOT / file).read_text("utf-8")).body if isinstance(node, ast.FunctionDef)
    ]
    assert name in tests


def test_each_override_of_a_class_of_scons_is_in_the_table():
    missing = []
    for path in sorted(Path(scons_multiarch.tracking.__file__).parent.glob("*.py")):
        module = importlib.import_module(f"scons_multiarch.tracking.{path.stem}")
        for kind in [
            kind for kind in vars(module).values() if inspect.isclass(kind) and kind.__module__ == module.__name__
        ]:
            bases = [base for base in kind.__mro__[1:] if base.__module__.startswith("SCons.")]
            own = [
                name for name, value in vars(kind).items() if inspect.isfunction(value) and not name.startswith("__")
            ]
            missing += [
                f"{path.stem}.{kind.__name__}.{name}"
                for name in own
                if any(name in vars(base) for base in bases) and f"{path.stem}.{kind.__name__}.{name}" not in HOOKS
            ]
    assert missing == []


def test_private_names_of_scons_stand_in_this_package_alone():
    half = ROOT / "site_scons" / "scons_multiarch"
    for path in [path for path in half.rglob("*.py") if path.parent.name != "tracking"]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and re.match(r"_[a-zA-Z]", node.attr):
                assert not ast.unparse(node).startswith("SCons."), f"{path}:{node.lineno}: {ast.unparse(node)}"
