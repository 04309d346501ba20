"""Multi-platform container images as tracked SCons targets: `environment()` of an SConstruct has all builders.

The SCons half: what makes SCons targets of programs, images, tags and indexes. The only code that imports SCons.
"""

from __future__ import annotations

import sys
from typing import Any

RELEASE = "0.1.0"
"""The newest release that this code holds (CHANGELOG.md); a wheel says its own version, from git's tags."""

if "SCons.Script" in sys.modules:  # imported by SCons; a script may import this package for what it wants
    from scons_multiarch.installation import check_scons

    check_scons()


def environment(**variables: Any) -> Any:
    """An Environment of SCons with all builders of this tool, for an SConstruct or an SConscript.

    `variables` are those of SCons' Environment (`ENV`, `GOLDFLAGS`, own ones). One that the command line knows, too, as
    `REGISTRY` or `PLATFORMS`, is its default there. `tools=` are further Tools, as `gcc`. The first call sets up the
    process, once; what is wrong with a variable ends SCons with one message, exit status 2.
    """
    from scons_multiarch.process import make_environment

    return make_environment(variables)
