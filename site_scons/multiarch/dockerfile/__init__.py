"""Dockerfiles, read exactly as BuildKit reads them.

`parse` gives the instructions as written, `stages` the typed ones stage by stage, `expand` and its sisters the words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from multiarch.rooms import opener

if TYPE_CHECKING:
    from multiarch.dockerfile.errors import InvalidDockerfile
    from multiarch.dockerfile.instructions import (
        Add,
        Arg,
        Argument,
        Cmd,
        Command,
        Copy,
        Entrypoint,
        Env,
        Expose,
        Healthcheck,
        InlineFile,
        Label,
        Maintainer,
        Onbuild,
        Pair,
        Run,
        Shell,
        Stage,
        StopSignal,
        User,
        Volume,
        Workdir,
        expanded,
    )
    from multiarch.dockerfile.parser import Dockerfile, Heredoc, Instruction, parse
    from multiarch.dockerfile.shell import Expansion, expand, expand_heredoc, expand_names, expand_words

__all__ = [
    "Add",
    "Arg",
    "Argument",
    "Cmd",
    "Command",
    "Copy",
    "Dockerfile",
    "Entrypoint",
    "Env",
    "Expansion",
    "Expose",
    "Healthcheck",
    "Heredoc",
    "InlineFile",
    "Instruction",
    "InvalidDockerfile",
    "Label",
    "Maintainer",
    "Onbuild",
    "Pair",
    "Run",
    "Shell",
    "Stage",
    "StopSignal",
    "User",
    "Volume",
    "Workdir",
    "expand",
    "expand_heredoc",
    "expand_names",
    "expand_words",
    "expanded",
    "parse",
]

__getattr__ = opener(
    __name__,
    {
        "errors": ("InvalidDockerfile",),
        "instructions": (
            "Add",
            "Arg",
            "Argument",
            "Cmd",
            "Command",
            "Copy",
            "Entrypoint",
            "Env",
            "Expose",
            "Healthcheck",
            "InlineFile",
            "Label",
            "Maintainer",
            "Onbuild",
            "Pair",
            "Run",
            "Shell",
            "Stage",
            "StopSignal",
            "User",
            "Volume",
            "Workdir",
            "expanded",
        ),
        "parser": ("Dockerfile", "Heredoc", "Instruction", "parse"),
        "shell": ("Expansion", "expand", "expand_heredoc", "expand_names", "expand_words"),
    },
)
