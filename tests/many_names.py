"""Do one thing with an archive of very many members, in a process of its own, and say what memory that took.

    python many_names.py KIND NUMBER FOLDER

prints the MiB by which the process grew from then on when it had all modules and the packed archive. Linux alone.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from hostile_tars import filled, header
from multiarch_oci.digest import Digest
from multiarch_oci.engine.export.repacking import repack
from multiarch_oci.engine.export.whole import names_of
from multiarch_oci.engine.frontend.bases import BaseImage, load
from multiarch_oci.engine.frontend.tree import Overlay
from multiarch_oci.engine.rebase.basefiles import files_of
from workshop import Workshop, elf

DOCKERFILES = {
    "into": "FROM big\nCOPY x /usr/\nCOPY x /bin/\n",
    "started": 'FROM big\nCOPY x /app/\nENTRYPOINT ["/usr/bin/first"]\n',
    "one": "FROM scratch\nCOPY --from=big /usr/bin/first /\n",
    "all": "FROM scratch\nCOPY --from=big / /\n",
    "add": "FROM scratch\nADD big.tar.gz /\n",
}
KINDS = (*DOCKERFILES, "names", "rebase", "repack")


def members(number: int) -> Iterator[bytes]:
    """An archive: a program, a link, and so many files, folders, links and hard links in 200 folders."""
    yield from (header(b"usr/", 0, b"5"), header(b"usr/bin/", 0, b"5"), header(b"bin", 0, b"2", b"usr/bin"))
    program = elf("amd64")
    yield header(b"usr/bin/first", len(program), mode=b"0000755\0") + filled(program)
    for folder in range(200):
        yield header(b"usr/share/some/folder%d/" % folder, 0, b"5")
    kinds = (b"0", b"0", b"0", b"0", b"0", b"0", b"1", b"2", b"5", b"0")
    for count in range(number):
        kind = kinds[count % len(kinds)]
        name = b"usr/share/some/folder%d/name-of-a-file-%d" % (count % 200, count)
        link = {b"1": b"usr/bin/first", b"2": b"../where/it/leads/%d" % count}.get(kind, b"")
        content = b"#!/bin/sh\n" if count % 30 == 0 else b""
        yield header(name, len(content), kind, link, mode=b"0000755\0") + filled(content)
    yield bytes(1024)


def used() -> int:
    """The most memory that this process ever had, in KiB."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise RuntimeError("no VmHWM")


def image_of(shop: Workshop) -> BaseImage:
    return load(shop.bases[0], lambda _: shop.store, where="here")


def task(kind: str, number: int, folder: Path) -> Callable[[], object]:
    """What is to be measured; all that it needs is made now."""
    packed = folder / "big.tar.gz"
    with packed.open("wb") as sink, gzip.GzipFile("", "wb", 1, sink, mtime=0) as stream:
        for part in members(number):
            stream.write(part)
    content = packed.read_bytes()
    hashing = hashlib.sha256()
    with gzip.open(packed) as stream:
        while block := stream.read(1 << 16):
            hashing.update(block)
    diff_id = Digest("sha256", hashing.hexdigest())
    shop = Workshop(folder)
    shop.write("x", b"x")
    shop.packed_base("big", (content, diff_id))
    if kind in DOCKERFILES:
        return partial(shop.build, DOCKERFILES[kind])
    if kind == "names":
        return partial(names_of, image_of(shop))
    if kind == "rebase":
        return partial(files_of, image_of(shop))
    return partial(repack, lambda: io.BytesIO(content), diff_id, io.BytesIO(), Overlay(), epoch=0, where="here")


if __name__ == "__main__":
    done = task(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
    before = used()
    done()
    sys.stdout.write(f"{(used() - before) // 1024}\n")
