r"""Paths of instructions for Windows images, as BuildKit reads them (`util/system`, `NormalizePath`).

Both slashes separate. `C:\app` is absolute; `C:app`, all that the lexer leaves of `C:\app` where `\` escapes, is not.
"""

from __future__ import annotations

import posixpath

from multiarch_oci.windows import InvalidWindowsPath


def slashed(path: str) -> str:
    r"""The path with `/` and without `C:`; InvalidWindowsPath for another drive, another machine, a drive alone."""
    text = path.replace("\\", "/")
    if text.startswith("//"):
        raise InvalidWindowsPath(
            f"'{path}' is on another machine", hint=r"a path in a Windows image begins with C:\ or /"
        )
    drive, colon, rest = text.partition(":")
    if not colon:
        return text
    if drive not in {"c", "C"}:
        raise InvalidWindowsPath(f"'{path}' is not on drive C:, the only one of an image")
    if not rest:
        raise InvalidWindowsPath(f"'{path}' names no path", hint=r"write C:/, or `# escape=`` above and C:\ here")
    return rest


def below(folder: str, path: str) -> str:
    """A path seen from `folder` of a Windows image: absolute, with `/`, cleaned; raises as `slashed`."""
    return posixpath.normpath(posixpath.join("/", slashed(folder) if folder else "/", slashed(path)))
