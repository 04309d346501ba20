"""ADD of a local archive: a tar, plain or packed by gzip, bzip2, xz or zstd, is unpacked into the destination.

Owners and modes are the archive's, as its bytes say them, and so equal on every host; the time is the image's.
"""

from __future__ import annotations

from multiarch.engine.embedded.archives import TarContents
from multiarch.engine.embedded.copying import Manner
from multiarch.engine.reading.tree import CannotCopy, Node, Overlay, joined, parent, resolve
from multiarch.layer import Kind
from multiarch.record import replace


def unpack(node: Node, image: Overlay, destination: str, manner: Manner) -> bool:
    """Unpack a file that is an archive below `destination`; False, and nothing done, when it is none.

    `--chmod` does not reach into archives, `--chown` does (BuildKit, `file/unpack.go`). Raises CannotCopy.
    """
    if node.kind is not Kind.FILE or node.content is None:
        return False
    contents = TarContents(node.content.open, node.content.key, node.content.origin)
    if not contents.is_archive():
        return False
    top = resolve(image, destination)
    image.make_directories(top, owner=manner.owner or (0, 0))
    for path, member in contents.members():
        target = joined(top, path)
        if not path:
            continue
        inside = _inside(image, top, target)
        if member.islnk():
            linked = image.lookup(_inside(image, top, joined(top, member.linkname.strip("/").removeprefix("./"))))
            found = None if linked is None or linked.is_directory else linked
            if found is None:
                raise CannotCopy(
                    f"{node.content.origin}: '{path}' is a hard link to '{member.linkname}', which is no file"
                )
        else:
            found = contents.node(path, member)
        if found is None:
            raise CannotCopy(
                f"{node.content.origin}: '{path}' is a device or pipe; only files, folders and links can be copied"
            )
        _place(
            image, inside, found if manner.owner is None else replace(found, uid=manner.owner[0], gid=manner.owner[1])
        )
    return True


def _inside(image: Overlay, top: str, target: str) -> str:
    """The target with the links in front of its last name followed; CannotCopy when they lead out of the top."""
    folder = resolve(image, parent(target))
    if top and folder != top and not folder.startswith(f"{top}/"):
        raise CannotCopy(f"'/{target}' would be unpacked through a link to '/{folder}'")
    return joined(folder, target.rpartition("/")[2])


def _place(image: Overlay, target: str, node: Node) -> None:
    image.make_directories(parent(target))
    image.put(target, node)
