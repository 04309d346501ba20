"""What `go build` is shown beside the files of the tree (`-overlay`), lest its own caches be stale.

An overlay leaves the tree alone and is not recorded in the program; none of what is added here is compiled, so no path
of ours reaches a program or a message. Two things need one:

Headers outside a package. Go hashes every header of a package's folder, whether or not it is included, and none
outside: a header inside it that holds their digest stands for them.

A package in which an mtime was set back. Go's package index (cmd/go, internal/modindex) is keyed by the names, sizes
and mtimes of a folder's files, and is not asked for a folder that holds a young one: so a young file is added whose
name Go ignores. To do without the index altogether (`GODEBUG=goindex=0`) costs a tenth of a second, as Go then reads
the standard library, too.

A package that embeds the folder of such a file would embed it. For a header everything is then compiled again (`-a`);
instead of the young file Go does without its index.
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
from multiarch.golang.recipe import GoBuild, flag_value, flags_of
from multiarch.record import dataclass

_HEADER = "zz_headers_outside.h"
_YOUNG = "_zz_young.txt"
_SPECIAL = r"[*?\[\]]|\\."
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class View:
    """What Go is told: further flags, and whether it may use its package index."""

    flags: tuple[str, ...]
    indexed: bool


@contextlib.contextmanager
def shown(build: GoBuild, environment: Mapping[str, str], hints: Hints) -> Iterator[View]:
    """Lay out what `hints` ask for, for as long as Go runs. OSError where no temporary file can be written."""
    headers = [each for each in hints.headers if not _is_embedded(each[0], _HEADER, hints)]
    flags = ("-a",) if len(headers) < len(hints.headers) else ()
    # Go takes no overlay of its module cache, whose folders have an @ in their names.
    indexed = not hints.no_index and not any(
        "@" in folder or _is_embedded(folder, _YOUNG, hints) for folder in hints.back_dated
    )
    back_dated = hints.back_dated if indexed else ()
    if not headers and not back_dated:
        yield View(flags, indexed)
        return
    named = flag_value(flags_of(build, environment), "overlay")
    replaced = overlaid(build.directory / named) if named else {}
    with tempfile.TemporaryDirectory(prefix="go-overlay-") as temporary:
        for number, (package, digest) in enumerate(headers):
            header = Path(temporary, f"{number}.h")
            header.write_text(f"// {digest}\n", encoding="ascii")
            replaced[str(Path(package, _HEADER))] = str(header)
        young = Path(temporary, _YOUNG)
        young.touch()
        tomorrow = time.time() + _DAY_S  # for as long as a build may take
        os.utime(young, (tomorrow, tomorrow))
        replaced |= {str(Path(folder, _YOUNG)): str(young) for folder in back_dated}
        listed = Path(temporary, "overlay.json")
        listed.write_text(json.dumps({"Replace": replaced}), encoding="utf-8")
        yield View((*flags, f"-overlay={listed}"), indexed)


def _is_embedded(folder: str, name: str, hints: Hints) -> bool:
    """Whether a program would hold a file of this name in this folder: that of a package, or one below it."""
    for above, patterns in hints.embeds:
        if folder == above or folder.startswith(above.rstrip(os.sep) + os.sep):
            path = Path(folder, name).relative_to(above).as_posix()
            if any(may_embed(pattern, path) for pattern in patterns):
                return True
    return False


def may_embed(pattern: str, path: str) -> bool:
    """Whether a pattern of `//go:embed` could take this path: by itself, or with one of the folders above it.

    Of a folder Go takes no name that begins with `.` or `_`, but for `all:`. A pattern (path.Match) is not worked out:
    what stands before the first wildcard of a name and behind its last one decides, in doubt for yes.
    """
    everything, wanted = pattern.startswith("all:"), pattern.removeprefix("all:").split("/")
    names = path.split("/")
    if len(wanted) > len(names) or not all(map(_may_match, wanted, names)):
        return False
    below = names[len(wanted) :]
    return everything or not any(name.startswith((".", "_")) for name in below)


def _may_match(pattern: str, name: str) -> bool:
    parts = re.split(_SPECIAL, pattern)
    return name == pattern if len(parts) == 1 else name.startswith(parts[0]) and name.endswith(parts[-1])
