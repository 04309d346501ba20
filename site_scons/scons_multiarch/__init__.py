"""Multi-platform container images as tracked SCons targets: `environment()` of an SConstruct has all builders.

The SCons half: what makes SCons targets of programs, images, tags and indexes. The only code that imports SCons.
"""

from __future__ import annotations

import enum
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scons_multiarch.sconstruct import Environment

RELEASE = "0.1.0"
"""The newest release that this code holds (CHANGELOG.md); a wheel says its own version, from git's tags."""


class Provided(enum.Enum):
    """What stages= of `env.Image` can name that is no file of the project."""

    PROGRAM = "the image's own program"
    CA_CERTIFICATES = "the certificates of authorities, of the package certifi"
    ZONEINFO = "the time zones, of the package tzdata"


PROGRAM = Provided.PROGRAM
"""In stages=: the program that this image is made of, its only content."""
CA_CERTIFICATES = Provided.CA_CERTIFICATES
"""In stages=: the certificates of authorities as one file, as most distributions have it."""
ZONEINFO = Provided.ZONEINFO
"""In stages=: the compiled time zones, a folder."""

if "SCons.Script" in sys.modules:  # imported by SCons; a script may import this package for what it wants
    from scons_multiarch.installation import check_scons

    check_scons()


def environment(**variables: Any) -> Environment:
    """An Environment of SCons with all builders of this tool, for an SConstruct or an SConscript.

    `variables` are those of SCons' Environment (`ENV`, `GOLDFLAGS`, own ones). One that the command line knows, too, as
    `REGISTRY` or `PLATFORMS`, is its default there. `tools=` are further Tools, as `gcc`. The first call sets up the
    process, once; what is wrong with a variable ends SCons with one message, exit status 2.
    """
    from scons_multiarch.process import make_environment

    made: Environment = make_environment(variables)
    return made
