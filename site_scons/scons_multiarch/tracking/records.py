"""What SCons recorded of the dependencies of a target, by their names.

Records hold names as `SCons.Node.FS.FileBuildInfo.convert_to_sconsign` writes them: from the top, with `/`.
"""

from __future__ import annotations

import os
from itertools import chain
from typing import Any

from scons_multiarch.tracking.state import Nodes


def by_name(made: Any, children: Nodes) -> tuple[list[Any], list[str]]:
    """What was recorded of each of a target's children, None of a new one; and the names of those that are no more.

    `made` is the build information that is stored for the target.
    """
    lists = (getattr(made, name, ()) for name in ("bsources", "bdepends", "bimplicit"))  # of none that was never made
    names = map(str, chain.from_iterable(lists))
    recorded = dict(zip(names, chain(made.bsourcesigs, made.bdependsigs, made.bimplicitsigs), strict=False))
    present = [str(child).replace(os.sep, "/") for child in children]
    return [recorded.get(name) for name in present], sorted(recorded.keys() - set(present))
