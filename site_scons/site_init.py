"""Run by SCons before the SConstruct.

Where PYTHONDONTWRITEBYTECODE is set, as images of Python do, every start would compile the library and the Tools anew,
which costs as much as all the rest of a run with nothing to do. What is compiled goes to the tree's private folder.

A graph is many small objects that all stay; looking through them for garbage again and again, each time 700 more have
come, is a fifth of a run with nothing to do. So is the last look of all, when the interpreter ends: what is frozen by
then is left to the system, which takes the memory back at once.
"""

import atexit
import gc
import signal
import sys
from pathlib import Path

if sys.dont_write_bytecode and sys.pycache_prefix is None:
    sys.pycache_prefix = str(Path.cwd() / ".multiarch" / "pycache")
    sys.dont_write_bytecode = False

if getattr(signal.getsignal(signal.SIGINT), "__name__", "") == "_interrupted":  # of launch.py: SCons is there now
    signal.signal(signal.SIGINT, signal.default_int_handler)

gc.set_threshold(50_000, 20, 50)
atexit.register(gc.freeze)
