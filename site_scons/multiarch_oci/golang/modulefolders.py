"""Where the sources of the modules lie that are linked into a program: for what they say beside their code.

As `go build` looks for them: a folder that replaces a module or is in the workspace, the folder `vendor`, the cache of
modules (Go modules reference, "Module cache", "Vendoring", "Workspaces").
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from multiarch_oci.golang.compiler import module_cache
from multiarch_oci.golang.modules import directives, is_local, locate, module_path


class ModuleFolders:
    """The folders of modules, as a program is built from `directory`.

    `environment` is that of `go`, what `go env -w` says in it; `mod_file` the value of `-modfile`.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str], mod_file: str = "") -> None:
        self._project = locate(directory, environment, mod_file)
        self._cache = Path(module_cache(environment))
        self._vendors = tuple(path.parent for path in self._project.vendored)
        self._local: dict[str, Path] = {}
        for root in self._project.roots:
            text = _text(Path(root, "go.mod"))
            self._local.setdefault(module_path(text), Path(root))
        self._replaced = _replaced(self._project.root, dict(self._project.contents).get("go.mod", ""))

    def folder(self, path: str, version: str, replaced: str = "") -> Path | None:
        """The folder of a module as a program names it; None where it is not there.

        `replaced` is the path of the module that it stands for. A version of "" or "(devel)" is of a folder.
        """
        folders = [self._vendors_of(replaced or path)]
        if is_local(path):
            folders = [self._replaced.get(replaced, Path(os.path.normpath(self._project.root / path)))]
        elif version in ("", "(devel)"):
            folders = [self._local.get(path)]
        else:
            folders.append(self._cache / f"{_escaped(path)}@{_escaped(version)}")
        return next((folder for folder in folders if folder is not None and folder.is_dir()), None)

    def is_cached(self, folder: Path) -> bool:
        """Whether a folder is in the cache of modules, where nothing ever changes."""
        return folder.is_relative_to(self._cache)

    def _vendors_of(self, path: str) -> Path | None:
        return next((vendor / path for vendor in self._vendors if (vendor / path).is_dir()), None)


def _replaced(root: Path, text: str) -> dict[str, Path]:
    """The folders that stand for modules, by the module's path."""
    folders = {}
    for verb, *words in directives(text):
        if verb == "replace" and "=>" in words:
            target = words[words.index("=>") + 1 :]
            if len(target) == 1 and is_local(target[0]):
                folders[words[0]] = Path(os.path.normpath(root / target[0]))
    return folders


def _escaped(text: str) -> str:
    """A path or version as the cache has it: `!` and a small letter for a capital one."""
    return "".join(f"!{letter.lower()}" if "A" <= letter <= "Z" else letter for letter in text)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except (OSError, ValueError):
        return ""
