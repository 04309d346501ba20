"""How the process that runs SCons is set up: once, before an SConstruct is read."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from pathlib import Path

import SCons.Script
import SCons.Tool


def set_up(root: Path) -> None:
    """Prepare this process; harmless when it was done already.

    Where PYTHONDONTWRITEBYTECODE is set, as images of Python do, every start would compile the library and the Tools
    anew, which costs as much as all the rest of a run with nothing to do. What is compiled goes to `root`'s private
    folder.

    A graph is many small objects that all stay; looking through them for garbage again and again, each time 700 more
    have come, is a fifth of a run with nothing to do. So is the last look of all, when the interpreter ends: what is
    frozen by then is left to the system, which takes the memory back at once.

    Ctrl-C is given back to Python, and so to SCons, where `launch.py` had taken it while SCons was imported.

    SCons' default environment looks for compilers when it is first used, half of SCons' start; nothing here needs it.
    """
    if sys.dont_write_bytecode and sys.pycache_prefix is None:
        sys.pycache_prefix = str(root / ".multiarch" / "pycache")
        sys.dont_write_bytecode = False
    if getattr(signal.getsignal(signal.SIGINT), "__name__", "") == "_interrupted":  # of launch.py: SCons is there now
        signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.set_threshold(50_000, 20, 50)
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
    tools = str(Path(__file__).parent / "tools")
    if tools not in SCons.Tool.DefaultToolpath:
        SCons.Tool.DefaultToolpath.insert(0, tools)
    SCons.Script.DefaultEnvironment(tools=[])
