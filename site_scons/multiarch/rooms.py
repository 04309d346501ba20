"""Packages that open their rooms when one is first asked for.

A package that loads its rooms as it is loaded itself is a circle: each room waits for the package, and the package for
the room. Two threads that begin at different rooms then wait for each other, and Python lets one of them see a module
that is half there. So no package does, and every import is one of something further down.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping


def opener(package: str, rooms: Mapping[str, tuple[str, ...]]) -> Callable[[str], object]:
    """Return the `__getattr__` (PEP 562) of a package; `rooms` says which names stand in which of its modules.

    No name may be that of a module of the package, which would take its place once it is loaded.
    """
    found = {name: room for room, names in rooms.items() for name in names}

    def open_room(name: str) -> object:
        if name not in found:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(importlib.import_module(f"{package}.{found[name]}"), name)

    return open_room
