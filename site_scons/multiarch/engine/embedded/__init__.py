"""The embedded engine: Dockerfiles without RUN, executed in this process, with no daemon and no root.

Room by room: `recipe` (stages, what the target needs, variables), `context` (the folder as the Dockerfile sees it),
`building` (instructions in order, over `configuring` and `copying`), `bases` and `layertree` (what a FROM takes over),
`programs` (the machine check), `assembling` (the tarball), `inputs` (what a build system asks before).
"""

from __future__ import annotations

from multiarch.engine.embedded.bases import OpenSource
from multiarch.engine.embedded.engine import EmbeddedEngine
from multiarch.engine.embedded.inputs import ContextFile, ContextInputs
from multiarch.engine.embedded.recipe import BaseWanted
from multiarch.engine.embedded.telling import describe

__all__ = ["BaseWanted", "ContextFile", "ContextInputs", "EmbeddedEngine", "OpenSource", "describe"]
