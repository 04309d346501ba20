"""The files of a base image, read from its layers only when an answer depends on them.

A COPY to `/app` needs nothing of the base. One to `/usr/local/bin`, `/bin` or `/home/me` does: the folder may be a link
(`/bin` → `usr/bin`), or have a mode or owner of its own (`/tmp`), which the new layer must repeat. So the layers of a
Linux base are read when a path begins with a name that bases are known to have, or that the base's own config names.
Anything else is taken as not being there: the limit of a sparse base. The layers of a Windows base are read for
`COPY --from` alone.
"""

from __future__ import annotations

from multiarch_oci.engine.embedded.archives import TarContents
from multiarch_oci.engine.frontend.bases import BaseImage
from multiarch_oci.engine.frontend.tree import ROOT, CannotCopy, Node, Overlay, node_table, parent
from multiarch_oci.pathtable import PairList, PathTable
from multiarch_oci.tarheader import HARDLINK

_USUAL = frozenset(
    # The root of the Filesystem Hierarchy Standard, and what Linux distributions have beside it.
    ["bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "media", "mnt", "opt", "proc", "root"],
).union(["run", "sbin", "srv", "sys", "tmp", "usr", "var"])
_WINDOWS_FILES = "Files"


class BaseTree:
    """A Tree over the layers of a base image."""

    def __init__(self, image: BaseImage) -> None:
        self._image = image
        self._files: Overlay | None = None
        self._usual = frozenset() if image.config.platform.os == "windows" else _USUAL | _named(image)

    def settle(self) -> None:
        """Read the layers, once; raises what the base's registry raises, and CannotCopy for a damaged layer."""
        if self._files is None:
            files = Overlay()
            for index in range(len(self._image.layers)):
                self._apply(files, index)
            self._files = files

    def lookup(self, path: str) -> Node | None:
        """As Tree says, within the limit above."""
        if not path:
            return ROOT
        if self._files is None and path.split("/", 1)[0] in self._usual:
            self.settle()
        return None if self._files is None else self._files.lookup(path)

    def names(self, path: str) -> tuple[str, ...]:
        """As Tree says; what is not read has no names."""
        return () if self.lookup(path) is None or self._files is None else self._files.names(path)

    def _apply(self, files: Overlay, index: int) -> None:
        descriptor, source = self._image.layers[index], self._image.source
        digest = str(descriptor.digest)
        contents = TarContents(
            lambda: source.open(descriptor),
            lambda: digest,
            self._image.layer_name(index),
            diff_id=self._image.diff_id(index),
        )
        added = node_table()
        links = PairList()
        for path, member in contents.members():
            inside = self._inside(path)
            if not inside:
                continue
            if files.whiteout(inside):
                continue
            if member.typeflag == HARDLINK:
                links.append(inside, self._inside(contents.path(member.target)))
            else:
                _keep(added, inside, contents.node(path, member))
        for path, node in added.pairs():
            _put(files, path, node)
        for path, target in links:
            linked = files.lookup(target)
            if linked is None or linked.is_directory:
                raise CannotCopy(f"layer {digest}: '{path}' is a hard link to '{target}', which is no file")
            _put(files, path, linked)

    def _inside(self, path: str) -> str:
        if self._image.config.platform.os != "windows":
            return path
        top, _, inside = path.partition("/")
        return inside if top == _WINDOWS_FILES else ""


def _keep(added: PathTable[Node], path: str, node: Node | None) -> None:
    if node is not None:  # what no system knows is nothing that COPY could take
        added.pop(path)
        added.put(path, node)


def _put(files: Overlay, path: str, node: Node) -> None:
    missing = []
    above = parent(path)
    while (there := files.lookup(above)) is None or not there.is_directory:
        missing.append(above)
        above = parent(above)
    for folder in reversed(missing):
        files.put(folder, ROOT)
    files.put(path, node)


def _named(image: BaseImage) -> frozenset[str]:
    """The first names of the paths that the base's config speaks of."""
    config = image.config
    words = [config.working_dir, config.variable("HOME") or "", *config.volumes, *(config.entrypoint or ())[:1]]
    words += [*(config.cmd or ())[:1], *(config.variable("PATH") or "").split(":")]
    return frozenset(word.strip("/").split("/", 1)[0] for word in words if word.startswith("/")) - {""}
