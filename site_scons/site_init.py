"""Run by SCons before the SConstruct, with this folder on the module path: the tree's own copy of the tool is used."""

import sys
from pathlib import Path

if sys.pycache_prefix is None:  # as process.set_up explains; and a run writes nothing between the tree's sources
    sys.pycache_prefix = str(Path.cwd() / ".multiarch" / "pycache")
    sys.dont_write_bytecode = False

from scons_multiarch.process import set_up

set_up(Path.cwd())
