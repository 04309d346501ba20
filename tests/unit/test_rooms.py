from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

import multiarch
from multiarch.errors import MultiarchError
from multiarch.rooms import opener

LIBRARY = Path(multiarch.__file__).parent
MODULES = sorted(
    ".".join(("multiarch", *path.relative_to(LIBRARY).with_suffix("").parts)).removesuffix(".__init__")
    for path in LIBRARY.rglob("*.py")
)
PACKAGES = [name for name in MODULES if "__all__" in vars(importlib.import_module(name))]
TOGETHER = """
import importlib, sys, threading
sys.path.insert(0, {root!r})
sys.setswitchinterval(1e-6)
names, failures = {names!r}, []
ready = threading.Barrier(len(names))

def load(name):
    ready.wait()
    try:
        importlib.import_module(name)
    except BaseException as error:
        failures.append(f"{{name}}: {{type(error).__name__}}: {{error}}")

threads = [threading.Thread(target=load, args=(name,)) for name in names]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
sys.exit("\\n".join(failures) or None)
"""


def test_a_name_is_found_in_its_room_and_another_one_nowhere() -> None:
    open_room = opener("multiarch", {"errors": ("MultiarchError",)})
    assert open_room("MultiarchError") is MultiarchError
    with pytest.raises(AttributeError, match="module 'multiarch' has no attribute 'Nothing'"):
        open_room("Nothing")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_of_a_package_is_there_and_is_no_module_of_it(package: str) -> None:
    loaded = importlib.import_module(package)
    assert [name for name in loaded.__all__ if not hasattr(loaded, name)] == []
    assert [name for name in loaded.__all__ if f"{package}.{name}" in MODULES] == []


@pytest.mark.parametrize("seed", range(4))
def test_rooms_may_be_loaded_by_several_threads_at_once(seed: int) -> None:
    names = Random(seed).sample(MODULES, 10)  # noqa: S311  # a seed that replays is the point
    code = TOGETHER.format(root=str(LIBRARY.parent), names=names)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
