"""ADD of a local archive: a tar, plain or packed by gzip, bzip2, xz or zstd, is unpacked into the destination.

Owners and modes are the archive's, as its bytes say them, and so equal on every host; the time is the image's.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from multiarch_oci.engine.embedded.archives import TarContents, attributes
from multiarch_oci.engine.embedded.copying import CopyOptions
from multiarch_oci.engine.frontend.tree import CannotCopy, Node, Overlay, joined, parent, resolve
from multiarch_oci.layer import Kind
from multiarch_oci.tarfields import Member
from multiarch_oci.tarheader import HARDLINK


def unpack(node: Node, image: Overlay, destination: str, options: CopyOptions, warn: Callable[[str], None]) -> bool:
    """Unpack a file that is an archive below `destination`; False, and nothing done, when it is none.

    What is damaged behind its first header is an error; before that it is no archive, as with BuildKit, and `warn` is
    told of it.

    `--chmod` does not reach into archives, `--chown` does (BuildKit, `file/unpack.go`). Raises CannotCopy.
    """
    if node.kind is not Kind.FILE or node.content is None:
        return False
    contents = TarContents(node.content.open, node.content.key, node.content.origin)
    if not contents.is_archive(warn):
        return False
    top = resolve(image, destination)
    image.make_directories(top, owner=options.owner or (0, 0))
    unpacking = _Unpacking(image, top, options, node.content.origin)
    for path, member in contents.members():
        if not path:
            continue
        if member.typeflag == HARDLINK:
            unpacking.link(path, contents.path(member.target), member)
        else:
            unpacking.put(path, contents.node(path, member))
    return True


class _Unpacking:
    """One archive on its way into an image; knows which names share a file."""

    def __init__(self, image: Overlay, top: str, options: CopyOptions, origin: str) -> None:
        self._image = image
        self._top = top
        self._options = options
        self._origin = origin
        self._sharing: dict[str, dict[str, None]] = {}  # names, each with all that share its file

    def put(self, path: str, node: Node | None) -> None:
        """Put a member at its path; None is one that no system knows."""
        if node is None:
            raise CannotCopy(
                f"{self._origin}: '{path}' is of no kind that can be copied",
                hint="files, folders, links, devices and pipes can be",
            )
        if node.kind is Kind.CHARACTER and node.device == (0, 0):
            raise CannotCopy(
                f"{self._origin}: '{path}' is the character device 0:0, by which overlayfs says that a file is gone"
            )
        target = self._inside(joined(self._top, path))
        self._image.make_directories(parent(target))
        if self._options.owner is not None:
            node = replace(node, uid=self._options.owner[0], gid=self._options.owner[1])
        self._image.put(target, node)
        self._part(target)

    def link(self, path: str, first: str, member: Member) -> None:
        """Give a file one more name, and what the link's header says of owner, mode and attributes to all its names."""
        first = self._inside(joined(self._top, first))
        linked = self._image.lookup(first)
        if linked is None or linked.is_directory:
            raise CannotCopy(f"{self._origin}: '{path}' is a hard link to '{member.target}', which is no file")
        target = self._inside(joined(self._top, path))
        self._image.make_directories(parent(target))
        uid, gid = self._options.owner or (member.uid, member.gid)
        mode = linked.mode if linked.kind is Kind.SYMLINK else member.mode
        records = tuple(sorted((dict(linked.records) | dict(attributes(member))).items()))
        described = replace(linked, mode=mode, uid=uid, gid=gid, records=records)
        names = self._sharing.setdefault(first, {first: None})
        if target not in names:
            self._part(target)
        if described != linked:
            for name in names:
                if self._image.lookup(name) == linked:  # else it went with its folder
                    self._image.put(name, described)
        self._image.put(target, described)
        names[target] = None
        self._sharing[target] = names

    def _part(self, target: str) -> None:
        """A name that is written anew has a file of its own."""
        self._sharing.pop(target, {}).pop(target, None)

    def _inside(self, target: str) -> str:
        """The target with the links in front of its last name followed; CannotCopy when they lead out of the top."""
        folder = resolve(self._image, parent(target))
        if self._top and folder != self._top and not folder.startswith(f"{self._top}/"):
            raise CannotCopy(f"'/{target}' would be unpacked through a link to '/{folder}'")
        return joined(folder, target.rpartition("/")[2])
