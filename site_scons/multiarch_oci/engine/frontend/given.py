"""Given files: names of a context that lie elsewhere, as a tree of their own, or beside the files of a folder."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from multiarch_oci.engine import GivenFile
from multiarch_oci.engine.frontend import covering
from multiarch_oci.engine.frontend.context import Context
from multiarch_oci.engine.frontend.tree import ROOT, Content, Node, parent
from multiarch_oci.ignorefile import IgnoreFile
from multiarch_oci.layer import Kind

if TYPE_CHECKING:
    from multiarch_oci.heldfiles import HeldFiles

OpenFolder = Callable[[Path, bool], Context]


class GivenTree:
    """Files and folders of several places under the paths that they are given; a Tree.

    A path is what the innermost given one says: a file in a given folder can be replaced by another. `open_folder`
    gives the files of a folder of this machine; its second argument is whether the folder itself was given, not a file.
    Modes and owners are normalised as in every context.
    """

    def __init__(self, files: tuple[GivenFile, ...], open_folder: OpenFolder) -> None:
        self._files = files
        self._open = open_folder
        self._contexts: dict[tuple[Path, bool], Context] = {}
        self._below: dict[str, set[str]] = {"": set()}  # the folders that lead to what is given, and the names in them
        for file in files:
            path = file.path
            while path:
                self._below.setdefault(parent(path), set()).add(path.rpartition("/")[2])
                path = parent(path)

    def gives(self, path: str) -> bool:
        """Whether this path is given, or in a folder that is."""
        return covering(self._files, path) is not None

    def lookup(self, path: str) -> Node | None:
        """As Tree says; raises CannotCopy for what no layer can hold."""
        given = covering(self._files, path)
        node = None if given is None else self._given(given, _inside(given, path))
        return ROOT if node is None and path in self._below else node

    def names(self, path: str) -> tuple[str, ...]:
        """As Tree says."""
        given = covering(self._files, path)
        own = self._below.get(path, set())
        if given is None or given.origin is None or not given.origin.is_dir():
            return tuple(sorted(own))
        return tuple(sorted({*own, *self._context(given.origin).names(_inside(given, path))}))

    def _given(self, given: GivenFile, inside: str) -> Node | None:
        if given.origin is None:
            return None if inside else Node(Kind.FILE, 0o644, content=_content(given.path, given.content))
        if given.origin.is_dir():
            return self._context(given.origin).lookup(inside)
        # A link to a file stands for the file; what is not there is known by the name that it was given.
        file = Path(os.path.realpath(given.origin)) if given.origin.exists() else given.origin
        return None if inside else self._context(file.parent, whole=False).lookup(file.name)

    def _context(self, folder: Path, *, whole: bool = True) -> Context:
        if (folder, whole) not in self._contexts:
            self._contexts[folder, whole] = self._open(folder, whole)
        return self._contexts[folder, whole]


class FilledContext(Context):
    """A context folder with given files beside its own.

    They are there for who names them, or a folder that only they are in: what takes a whole folder of the context, or
    a wildcard, takes what lies there.
    """

    def __init__(
        self,
        folder: Path,
        digest: Callable[[Path], str],
        ignore: IgnoreFile | None,
        *,
        hidden: tuple[str, ...],
        real_paths: Callable[..., list[str]] | None = None,
        followed: tuple[str, ...] = (),
        held: HeldFiles | None = None,
        given: GivenTree,
    ) -> None:
        super().__init__(folder, digest, ignore, hidden=hidden, real_paths=real_paths, followed=followed, held=held)
        self._given = given

    def lookup(self, path: str) -> Node | None:
        """As Tree says."""
        node = None if self._given.gives(path) else super().lookup(path)
        return self._given.lookup(path) if node is None else node

    def names(self, path: str) -> tuple[str, ...]:
        """As Tree says."""
        if self._given.gives(path) or super().lookup(path) is None:
            return self._given.names(path)
        return super().names(path)


class GivenContext(Context):
    """A named context of nothing but given files."""

    def __init__(self, given: GivenTree, digest: Callable[[Path], str]) -> None:
        super().__init__(Path("/"), digest, None)
        self._given = given

    def lookup(self, path: str) -> Node | None:
        """As Tree says."""
        return self._given.lookup(path)

    def names(self, path: str) -> tuple[str, ...]:
        """As Tree says."""
        return self._given.names(path)

    def hides(self, path: str) -> bool:
        """Never: no ignore file is asked."""
        del path
        return False


def _inside(given: GivenFile, path: str) -> str:
    return path[len(given.path) :].strip("/")


def _content(path: str, content: bytes) -> Content:
    digest = hashlib.sha256(content).hexdigest()
    return Content(len(content), lambda: cast("BinaryIO", io.BytesIO(content)), lambda: digest, path)
