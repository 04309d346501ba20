"""Windows layers: what a Windows engine unpacks (hcsshim `ociwclayer`, go-winio `backuptar`; BuildKit writes the same).

Everything of the file system stands below `Files/`, beside an (empty) `Hives/`; every folder is an entry of its own, once,
before what is in it; PAX records say what Windows keeps beside a file: attributes and security descriptor.
"""

from __future__ import annotations

from collections.abc import Iterable

from multiarch.layer import Entry, InvalidEntry


class InvalidWindowsPath(InvalidEntry):
    """A path or name that no Windows file system takes."""


def normalise(path: str) -> str:
    r"""The path inside a Windows image as an entry's `path`: relative, with `/`.

    `C:\app\demo.exe`, `c:/app/demo.exe`, `\app\demo.exe`, `/app/demo.exe` and `app\demo.exe` are all `app/demo.exe`; the
    root is "". Letter case is kept. Raises InvalidWindowsPath: another drive, a UNC path, `..` above the root, a reserved
    name (`NUL`, `com1.txt`), one of `<>:"|?*` or a control character, a name that ends in a blank or a dot.
    """
    raise NotImplementedError(path)


def entries(contents: Iterable[Entry]) -> tuple[Entry, ...]:
    """The entries of a Windows layer for these of a file system (paths as `normalise` gives them, any order).

    Adds `Files`, `Hives` and every missing parent, and the PAX records; a second folder of the same name but for its
    case is merged into the first, any other such pair raises InvalidEntry. Owners and modes are dropped: Windows has
    neither. What comes out is for `layer.write`; a file system's entries go in, never those that came out.
    """
    raise NotImplementedError(list(contents))
