"""Run by SCons before the SConstruct.

Where PYTHONDONTWRITEBYTECODE is set, as images of Python do, every start would compile the library and the Tools anew,
which costs as much as all the rest of a run with nothing to do. What is compiled goes to the tree's private folder.
"""

import sys
from pathlib import Path

if sys.dont_write_bytecode and sys.pycache_prefix is None:
    sys.pycache_prefix = str(Path.cwd() / ".multiarch" / "pycache")
    sys.dont_write_bytecode = False
