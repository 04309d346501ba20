"""What `go build` is told and shown beside the files of the tree, lest its own caches be stale.

Headers outside a package. Go hashes every header of a package's folder, whether or not it is included, and none
outside: a header inside it that holds their digest stands for them, by an overlay (`-overlay`). That leaves the tree
alone and is not recorded in the program; nothing that it adds is compiled, so no path of ours reaches a program or a
message. Where a package embeds the folder of such a header, and where the temporary folder lies in one, it would embed
it: then everything is compiled again (`-a`).

A package in which an mtime was set back. Go's package index (cmd/go, internal/modindex) is keyed by the names, sizes
and mtimes of a folder's files: then Go does without it (`GODEBUG=goindex=0`), which costs a tenth of a second.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from multiarch_oci.golang.inputs import Hints
from multiarch_oci.golang.project import overlaid
from multiarch_oci.golang.recipe import GoBuild, flag_value, flags_of

_HEADER = "zz_headers_outside.h"
_SPECIAL = r"[*?\[\]]|\\."


class View(msgspec.Struct, frozen=True):
    """How Go is called: further flags, and whether it may use its package index."""

    flags: tuple[str, ...]
    indexed: bool


@contextlib.contextmanager
def shown(build: GoBuild, environment: Mapping[str, str], hints: Hints) -> Iterator[View]:
    """Lay out what `hints` ask for, for as long as Go runs. OSError where no temporary file can be written.

    With an overlay of the user Go does without its index: of files in the place of others it knows no more either.
    """
    named = flag_value(flags_of(build, environment), "overlay")
    indexed = not named and not hints.no_index
    if not hints.headers:
        yield View((), indexed)
    elif _is_out_of_bounds([folder for folder, _ in hints.headers], environment, hints):
        yield View(("-a",), indexed)
    else:
        replaced = overlaid(build.directory / named) if named else {}
        with tempfile.TemporaryDirectory(prefix="go-overlay-") as temporary:
            for number, (package, digest) in enumerate(hints.headers):
                header = Path(temporary, f"{number}.h")
                header.write_text(f"// {digest}\n", encoding="ascii")
                replaced[str(Path(package, _HEADER))] = str(header)
            listed = Path(temporary, "overlay.json")
            listed.write_text(json.dumps({"Replace": replaced}), encoding="utf-8")
            yield View((f"-overlay={listed}",), indexed)


def _is_out_of_bounds(packages: Sequence[str], environment: Mapping[str, str], hints: Hints) -> bool:
    """Whether in one of these folders no header can be shown; the temporary one counts, too.

    Go takes no overlay of its module cache, and a program would hold what a package embeds: that of the folder, or one
    above it.
    """
    temporary = tempfile.gettempdir()
    folders = [temporary, os.path.realpath(temporary), *packages]
    cache = _module_cache(environment)
    if any(_is_below(folder, cache) for folder in folders):
        return True
    for above, patterns in hints.embeds:
        below = [Path(folder, _HEADER).relative_to(above).as_posix() for folder in folders if _is_below(folder, above)]
        if any(may_embed(pattern, path) for pattern in patterns for path in below):
            return True
    return False


def _is_below(folder: str, above: str) -> bool:
    return folder == above or folder.startswith(above.rstrip(os.sep) + os.sep)


def _module_cache(environment: Mapping[str, str]) -> str:
    """Where the environment says that it is (`go help environment`)."""
    path = environment.get("GOPATH", "").split(os.pathsep)[0]
    home = environment.get("HOME") or environment.get("USERPROFILE") or os.sep
    return environment.get("GOMODCACHE") or os.path.join(path or os.path.join(home, "go"), "pkg", "mod")  # noqa: PTH118


def may_embed(pattern: str, path: str) -> bool:
    """Whether a pattern of `//go:embed` could take this path, or a folder above it or a name below it.

    Nothing is worked out: of each name (path.Match) what stands before the first wildcard and behind the last one
    decides, in doubt for yes; and of a folder that is taken everything counts, though Go leaves out links and names
    that begin with `.` or `_`: what an overlay adds below a link makes it a folder.
    """
    parts = pattern.removeprefix("all:")
    if os.name == "nt":
        parts = parts.replace("\\", "/")
    return all(map(_may_match, parts.split("/"), path.split("/")))


def _may_match(pattern: str, name: str) -> bool:
    parts = re.split(_SPECIAL, pattern)
    return name == pattern if len(parts) == 1 else name.startswith(parts[0]) and name.endswith(parts[-1])
