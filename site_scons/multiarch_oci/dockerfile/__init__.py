"""Dockerfiles, read exactly as BuildKit reads them.

`parse` gives the instructions as written, `stages` the typed ones stage by stage, `expand` and its sisters the words.
"""

from __future__ import annotations

from multiarch_oci.errors import MultiarchError


class InvalidDockerfile(MultiarchError, ValueError):
    """A Dockerfile, or a word in it, that BuildKit would refuse too; `where` is `<name>:<line>` once it is known."""

    def at(self, where: str | None) -> InvalidDockerfile:
        """Say where it happened; an error that already knows a place keeps it."""
        return self if self.where is not None else InvalidDockerfile(self.what, where=where, hint=self.hint)
