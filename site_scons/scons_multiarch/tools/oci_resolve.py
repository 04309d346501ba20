"""Tool: `env.Resolve`, deployment files in which images are named by digest; what it does is in `resolving`."""

from __future__ import annotations

from typing import Any

from scons_multiarch.settings import prepare
from scons_multiarch.step import add_method


def generate(env: Any) -> None:
    """Add `env.Resolve`, which is loaded by its first call."""
    prepare(env)
    add_method(env, "scons_multiarch.resolving:resolve_files", "Resolve")


def exists(_env: Any) -> bool:
    """Always: `ruamel.yaml` is loaded by the step."""
    return True
