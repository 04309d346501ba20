"""Tool: the variables of the command line, checked before anything is built (behaviour, section 2)."""

from __future__ import annotations

from typing import Any

from scons_multiarch.settings import prepare


def generate(env: Any) -> None:
    """Fill the environment with the variables; the version is one of them, and has to be there."""
    prepare(env, versioned=True)


def exists(_env: Any) -> bool:
    """Always: nothing beside SCons and the library is needed."""
    return True
