"""Any module of the library may be the first that is imported, by any thread: no imports go in a circle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

import multiarch_oci

LIBRARY = Path(multiarch_oci.__file__).parent
MODULES = sorted(
    ".".join((multiarch_oci.__name__, *path.relative_to(LIBRARY).with_suffix("").parts)).removesuffix(".__init__")
    for path in LIBRARY.rglob("*.py")
)
TOGETHER = """
import importlib, sys, threading
import msgspec  # another's; the first thread of a run has it before there is a second one
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


@pytest.mark.parametrize("seed", range(4))
def test_modules_may_be_imported_by_several_threads_at_once(seed: int) -> None:
    names = Random(seed).sample(MODULES, 10)  # noqa: S311  # a seed that replays is the point
    code = TOGETHER.format(root=str(LIBRARY.parent), names=names)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
