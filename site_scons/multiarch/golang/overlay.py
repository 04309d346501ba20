"""What `go build` is shown in place of files of the tree (`-overlay`), lest its own caches be stale.

An overlay leaves the tree alone and is not recorded in the program. Two things need one:

Headers outside a package. Go hashes every header of a package's folder, whether or not it is included, and none
outside: a header inside it that holds their digest stands for them. A package that embeds all of its folder (`*`) would
embed that, too; for such a one everything is compiled again (`-a`).

A package in which an mtime was set back. Go's package index (cmd/go, internal/modindex) is keyed by the names, sizes
and mtimes of a folder's files, and asks no folder that has a young one: so one file is replaced by a copy of itself
that is young. To do without the index altogether (`GODEBUG=goindex=0`) costs a tenth of a second, as Go then reads the
standard library, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from multiarch.golang.inputs import Hints
from multiarch.golang.project import overlaid
from multiarch.golang.recipe import GoBuild, flag_value, flags_of, trims_paths
from multiarch.record import dataclass

_HEADER = "zz_headers_outside.h"
_SPECIAL = r"[*?\[\]]|\\."
_DAY_S = 86_400
_OTHERS_TOOLS = ("cover", "toolexec", "compiler")
_NAMES_A_PLACE = (b'"C"', b"//line ", b"/*line ")


@dataclass(frozen=True, slots=True)
class View:
    """What Go is told: flags, whether it may use its index, and how many files of the tree it sees as copies."""

    flags: tuple[str, ...]
    indexed: bool
    copies: int


@contextlib.contextmanager
def shown(build: GoBuild, environment: Mapping[str, str], hints: Hints) -> Iterator[View]:
    """Lay out what `hints` ask for, for as long as Go runs.

    The index may not be used where a package with a file that was set back holds none that can be replaced, or where
    paths of sources reach the program, or tools that are not Go's own. OSError for a source that cannot be read.
    """
    flags = ("-a",) if hints.afresh else ()
    named = flag_value(flags_of(build, environment), "overlay")
    replaced = overlaid(build.directory / named) if named else {}
    copies = _copies(build, environment, hints, replaced)
    if not hints.headers and not copies:
        yield View(flags, indexed=not hints.back_dated, copies=0)
        return
    with tempfile.TemporaryDirectory(prefix="go-overlay-") as temporary:
        folder = Path(temporary)
        for number, (package, digest) in enumerate(hints.headers):
            header = folder / f"{number}.h"
            header.write_text(f"// {digest}\n", encoding="ascii")
            replaced[str(Path(package, _HEADER))] = str(header)
        young = time.time() + _DAY_S  # for as long as a build may take
        for number, (path, content) in enumerate((copies or {}).items()):
            copy = folder / f"{number}.go"
            copy.write_bytes(content)
            os.utime(copy, (young, young))
            replaced[path] = str(copy)
        listed = folder / "overlay.json"
        listed.write_text(json.dumps({"Replace": replaced}), encoding="utf-8")
        yield View((*flags, f"-overlay={listed}"), indexed=copies is not None, copies=len(copies or ()))


def may_embed_header(pattern: str) -> bool:
    """Whether an embed pattern could take a header that is shown in its package's folder, which the program would hold.

    A pattern of path.Match is not worked out: what stands before its first wildcard and behind its last one decides.
    """
    parts = re.split(_SPECIAL, pattern.removeprefix("all:"))
    return len(parts) > 1 and "/" not in pattern and _HEADER.startswith(parts[0]) and _HEADER.endswith(parts[-1])


def _copies(
    build: GoBuild, environment: Mapping[str, str], hints: Hints, replaced: Mapping[str, str]
) -> dict[str, bytes] | None:
    """A file of each package that was set back, and what is in it; None where that will not do for one of them."""
    foreign = any(flag.lstrip("-").startswith(_OTHERS_TOOLS) for flag in flags_of(build, environment))
    if hints.back_dated and (foreign or not trims_paths(build)):
        return None
    found = {}
    for folder, names in hints.back_dated:
        chosen = next(_plain(folder, names, replaced), None)
        if chosen is None:
            return None
        found[chosen[0]] = chosen[1]
    return found


def _plain(folder: str, names: tuple[str, ...], replaced: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """The Go files of a package that are the same wherever they lie: no cgo, and no `//line` with a name beside it."""
    for name in names:
        path = Path(folder, name)
        if name.endswith(".go") and os.sep not in name and "/" not in name and str(path) not in replaced:
            content = path.read_bytes()
            if not any(sign in content for sign in _NAMES_A_PLACE):
                yield str(path), content
