"""Started by sconsw: SCons, and one line instead of a traceback where Ctrl-C comes while it is still being imported.

Like the script `scons`, and unlike `-m SCons`, this lets no module of the current folder hide an installed one.
`site_init.py` gives Ctrl-C back to Python, and so to SCons, when all of SCons is there.
"""

import _signal as signal  # `signal` itself imports for a millisecond, and could be interrupted
import os
import sys


def _interrupted(_number: int, _frame: object) -> None:
    os.write(2, b"\nscons: Build interrupted.\n")
    os._exit(2)  # an exception in the middle of an import could be caught, or told with a traceback


if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else the shell wants it ignored
        signal.signal(signal.SIGINT, _interrupted)
    del sys.path[0]  # this script's folder
    sys.argv[0] = "scons"
    from SCons.Script.Main import main

    sys.exit(main())
