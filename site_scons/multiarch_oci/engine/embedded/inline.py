"""Here-documents as a tree with one file (`COPY <<name /there`)."""

from __future__ import annotations

import hashlib
import io

from multiarch_oci.engine.frontend.tree import ROOT, Content, Node
from multiarch_oci.layer import Kind


def inline_content(content: bytes) -> Content:
    """Bytes that stand in the Dockerfile as the content of a file."""
    return Content(len(content), lambda: io.BytesIO(content), lambda: hashlib.sha256(content).hexdigest())


class InlineTree:
    """A Tree that holds one file of mode 0644."""

    def __init__(self, path: str, content: str) -> None:
        self._path = path.strip("/")
        content_bytes = content.encode("utf-8", "surrogateescape")
        self._node = Node(Kind.FILE, 0o644, content=inline_content(content_bytes))

    def lookup(self, path: str) -> Node | None:
        """As Tree says."""
        if not path:
            return ROOT
        return self._node if path == self._path else None

    def names(self, path: str) -> tuple[str, ...]:
        """As Tree says."""
        return () if path else (self._path,)
