"""Which files of an image its ENTRYPOINT and CMD start: the program, what it hands on to, interpreters and loaders.

Paths are followed as the kernel does, link by link, through the image's own layers and its base's; names without a
folder are looked for in PATH. What cannot be known without running something is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from multiarch_oci import windows
from multiarch_oci.config import ImageConfig
from multiarch_oci.engine.export.shellwords import windows_words
from multiarch_oci.engine.export.wrappers import Command, of_shell, program_name, within
from multiarch_oci.engine.frontend.tree import LinkLoop, Node, Tree, is_absolute, resolve
from multiarch_oci.executable import interpreter, read_head
from multiarch_oci.layer import Kind
from multiarch_oci.windows import InvalidWindowsPath

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_WINDOWS_PATH = r"C:\Windows\system32;C:\Windows"
_PATHEXT = ".COM;.EXE;.BAT;.CMD"
_OF_WINDOWS = frozenset(["cmd", "call", "powershell", "pwsh"])
_DEVICE = re.compile(r"(?://\?|/\?\?|//\.)/")
"""Before a path that is handed on as it is (`\\\\?\\C:\\x`, `\\??\\C:\\x`), as links of Windows have it."""
_STEPS = 32
"""As many commands are read, one handing on to the next; the kernel itself follows five scripts."""


class Start(NamedTuple):
    """A file that is started: its path, and the path by which it is named, links not followed.

    One that is not there has no path; `of` is the file whose interpreter or loader it would be, "" for a command's.
    """

    path: str | None
    named: str
    of: str = ""


def started(config: ImageConfig, own: Mapping[str, Node], whole: Callable[[], Tree]) -> Iterator[tuple[str, str]]:
    """The path of each file that is started, and the path by which it is named, links not followed; see `starts`."""
    for start in starts(config, own, whole):
        if start.path is not None:
            yield start.path, start.named


def starts(config: ImageConfig, own: Mapping[str, Node], whole: Callable[[], Tree]) -> Iterator[Start]:
    """Each file that is started, as far as that can be known, and each interpreter that would be and is not there.

    `own` are the files of the image's own layers, `whole` gives all; it is called when `own` does not tell.
    """
    search = _Search(config, own, whole)
    pending = [(command, "") for command in search.first()]
    for _ in range(_STEPS):
        if not pending:
            return
        command, of = pending.pop()
        program = search.file(command)
        if program is None and of:
            yield Start(None, command.words[0], of)
        if program is not None:
            path, named, node = program
            yield Start(path, named, of)
            head = b"" if node.content is None or search.windows else read_head(node.content.open)
            behind = interpreter(head)
            if behind:  # the loader of a dynamic program, or what reads a script, with the script's own arguments
                arguments = (f"/{named}", *command.words[1:]) if head.startswith(b"#!") else ()
                pending.append((replace(command, words=(*behind, *arguments), by_shell=False), path))
        inner = within(command, windows=search.windows) or of_shell(command, search.shell, windows=search.windows)
        pending += [] if inner is None else [(inner, "")]


class _Search:
    """Where an image of this config finds what it starts."""

    def __init__(self, config: ImageConfig, own: Mapping[str, Node], whole: Callable[[], Tree]) -> None:
        self.windows = config.platform.os == "windows"
        self.shell = config.shell or (("cmd", "/S", "/C") if self.windows else ("/bin/sh", "-c"))
        self._config = config
        self._tree: Tree = _Folded(own, whole) if self.windows else _Whole(own, whole)

    def first(self) -> list[Command]:
        """What the image starts: ENTRYPOINT with CMD as its arguments; on Windows one text may be a command line."""
        words = (*(self._config.entrypoint or ()), *(self._config.cmd or ()))
        if not words:
            return []
        commands = [Command(words)]
        if self.windows and (len(words) == 1 or self._config.args_escaped) and set(words[0]) & set(" \t"):
            commands.append(Command(windows_words(" ".join(words)) or words))
        return commands

    def file(self, command: Command) -> tuple[str, str, Node] | None:
        """Path, named path and node of the program of a command; None when there is none that could be started."""
        if isinstance(self._tree, _Folded) and self._is_of_windows(command):
            return None
        for named in self._candidates(command):
            try:
                path = resolve(self._tree, named)
            except LinkLoop:
                continue
            node = self._tree.lookup(path)
            if node is None or node.kind is not Kind.FILE:
                continue
            if self.windows:
                return _spelled(self._tree, path), named, node
            if node.mode & 0o111:
                return path, named, node
        return None

    def _is_of_windows(self, command: Command) -> bool:
        """Whether a command is one that every Windows has and this image does not replace: its base tells no more."""
        name = program_name(command.words[0], windows=True)
        return name in _OF_WINDOWS and isinstance(self._tree, _Folded) and not self._tree.has_program(name)

    def _candidates(self, command: Command) -> Iterator[str]:
        word = command.words[0]
        if self.windows:
            for text in self._windows_places(command):
                try:
                    inside = windows.normalise(text)
                except InvalidWindowsPath:
                    continue
                yield from (inside, *(f"{inside}{ending.lower()}" for ending in self._endings()))
            return
        folders = [""] if word.startswith("/") else [self._folder(command)]
        if "/" not in word:
            path = command.path
            if path is None:
                path = self._config.variable("PATH")
            here = folders[0]
            given = (_PATH if path is None else path).split(":")
            folders = [entry if entry.startswith("/") else f"{here}/{entry}" for entry in given if entry]
            folders = [] if "$" in (path or "") else folders
        yield from (f"{folder}/{word}".strip("/") for folder in folders if word)

    def _folder(self, command: Command) -> str:
        """The folder in which a command runs."""
        home = self._config.working_dir or "/"
        home = home if is_absolute(home, self._config.platform.os) else f"/{home}"
        if not command.folder:
            return home
        return command.folder if is_absolute(command.folder, self._config.platform.os) else f"{home}/{command.folder}"

    def _windows_places(self, command: Command) -> Iterator[str]:
        word = command.words[0]
        if is_absolute(word, "windows"):
            yield word
            return
        home = self._folder(command).rstrip("/\\")
        bare = word[2:] if word[1:2] == ":" else word
        yield f"{home}/{bare}"
        if not set("/\\:") & set(word):
            path = command.path if command.path is not None else self._variable("PATH")
            yield from (f"{entry.strip(chr(34))}/{word}" for entry in (path or _WINDOWS_PATH).split(";") if entry)

    def _endings(self) -> tuple[str, ...]:
        return tuple(ending for ending in (self._variable("PATHEXT") or _PATHEXT).split(";") if ending)

    def _variable(self, name: str) -> str | None:
        """A variable of the image, whatever the case of its letters."""
        pairs = (line.partition("=") for line in self._config.env)
        return next((value for key, _, value in pairs if key.upper() == name), None)


class _Whole:
    """All files of an image: its own, which lie over those of its base; these are asked for when they have to be."""

    def __init__(self, own: Mapping[str, Node], whole: Callable[[], Tree]) -> None:
        self._own = own
        self._whole = whole
        self._read: Tree | None = None

    def lookup(self, path: str) -> Node | None:
        """As Tree says."""
        node = self._own.get(path)
        if node is not None or not path:
            return node
        if self._read is None:
            self._read = self._whole()
        return self._read.lookup(path)

    def names(self, path: str) -> tuple[str, ...]:
        """As Tree says; nobody lists this tree."""
        del path
        return ()


class _Folded(_Whole):
    """The same of a Windows image, whatever the case of letters; the targets of links as Windows reads them.

    The names of `whole` are in capitals.
    """

    def __init__(self, own: Mapping[str, Node], whole: Callable[[], Tree]) -> None:
        super().__init__(own, whole)
        self._spelled = {path.upper(): path for path in own}
        self._programs = {path.rpartition("/")[2] for path in self._spelled}

    def spelled(self, path: str) -> str:
        """The path as the image has it."""
        return self._spelled.get(path.upper(), path)

    def has_program(self, word: str) -> bool:
        """Whether the image's own layers have a file that may be meant by this name."""
        name = program_name(word, windows=True).upper()
        return any(program == name or program.rpartition(".")[0] == name for program in self._programs)

    def lookup(self, path: str) -> Node | None:
        """As Tree says."""
        node = self._own.get(self.spelled(path)) or super().lookup(path.upper())
        if node is None or node.kind is not Kind.SYMLINK:
            return node
        target = _DEVICE.sub("", node.target.replace("\\", "/"))
        return replace(node, target=target[2:] if target[1:2] == ":" else target)


def _spelled(tree: Tree, path: str) -> str:
    return tree.spelled(path) if isinstance(tree, _Folded) else path
