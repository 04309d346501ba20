"""The programs in an image against its platform (behaviour §5): the one it starts must be right, others are told."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping

from multiarch import windows
from multiarch.config import ImageConfig
from multiarch.dockerfile import Cmd, Entrypoint
from multiarch.engine.reading.recipe import Recipe
from multiarch.engine.reading.tree import LinkLoop, Node, is_absolute, resolve
from multiarch.executable import Machine, agrees, check, identify, read_head
from multiarch.layer import Kind
from multiarch.platform import Platform
from multiarch.wildcard import Wildcard
from multiarch.windows import InvalidWindowsPath

_SIMPLE = re.compile(r"\s*(?:exec\s+)?([\w./+:\\-]+)")
_MENTIONED = 5


def starter(recipe: Recipe, config: ImageConfig) -> str:
    """File and line of the ENTRYPOINT, or else CMD, that says what the image starts; empty when its base says it."""
    kind = Entrypoint if config.entrypoint else Cmd
    number: int | None = recipe.target
    while number is not None:
        for command in reversed(recipe.commands(number)):
            if isinstance(command, kind):
                return recipe.where(command.line)
        number = recipe.stages[number].below
    return ""


def check_programs(
    own: Mapping[str, Node],
    config: ImageConfig,
    foreign: tuple[str, ...],
    warn: Callable[[str], None],
    *,
    told_in: str = "",
) -> None:
    """Raise WrongMachine when the program of ENTRYPOINT or CMD is in `own` and of another machine than the config's.

    `own` is what the image's own layers leave, by path; of a content no more than its head is read. `told_in` is where
    the Dockerfile says what is started.
    Every other executable of another machine is told to `warn`, unless a glob of `foreign` matches its path.
    """
    platform = config.platform
    started = {path for word in _started(config) for path in _found(config, own, word)}
    silenced = [Wildcard(glob.strip("/")) for glob in foreign]
    mentioned = []
    for path, node in sorted(own.items()):
        machine = _machine(node, platform)
        if machine is None or agrees(machine, platform):
            continue
        if path in started:
            check(machine, platform, where=f"{told_in}: /{path}" if told_in else f"/{path}")
        if not any(glob.matches(path) for glob in silenced):
            mentioned.append(f"/{path} ({machine})")
    if mentioned:
        more = f" and {len(mentioned) - _MENTIONED} more" if len(mentioned) > _MENTIONED else ""
        warn(f"the image is {platform}, but holds {', '.join(mentioned[:_MENTIONED])}{more}")


def _machine(node: Node, platform: Platform) -> Machine | None:
    if node.kind is not Kind.FILE or node.content is None:
        return None
    if platform.os != "windows" and not node.mode & 0o111:
        return None
    return identify(read_head(node.content.open))


def _started(config: ImageConfig) -> Iterator[str]:
    """The words that name what a container starts: the program, and behind a shell the program of its line."""
    words = config.entrypoint or config.cmd or ()
    if not words:
        return
    yield words[0]
    shell = config.shell or (("cmd", "/S", "/C") if config.platform.os == "windows" else ("/bin/sh", "-c"))
    if words[: len(shell)] == shell and len(words) > len(shell):
        simple = _SIMPLE.match(words[len(shell)])
        if simple is not None:
            yield simple[1]


def _found(config: ImageConfig, own: Mapping[str, Node], word: str) -> Iterator[str]:
    """The paths in the image's own layers that a started word may mean, links followed."""
    on_windows = config.platform.os == "windows"
    tree = _Names(own, fold=on_windows)
    for candidate in _candidates(config, word, on_windows=on_windows):
        try:
            path = resolve(tree, candidate)
        except LinkLoop:
            continue
        node = tree.lookup(path)
        if node is not None and node.kind is Kind.FILE:
            yield tree.spelled(path)
            return


def _candidates(config: ImageConfig, word: str, *, on_windows: bool) -> Iterator[str]:
    separators = ("/", "\\") if on_windows else ("/",)
    if is_absolute(word, config.platform.os):
        places = [word]
    elif any(separator in word for separator in separators):
        places = [f"{config.working_dir or '/'}/{word}"]
    else:
        path = config.variable("PATH") or ""
        folders = path.split(";" if on_windows else ":")
        places = [
            f"{folder}/{word}" for folder in ([config.working_dir or "/"] if on_windows else []) + folders if folder
        ]
    for place in places:
        if not on_windows:
            yield posixpath.normpath(place).strip("/")
            continue
        try:
            inside = windows.normalise(place)
        except InvalidWindowsPath:
            continue
        yield from (inside, f"{inside}.exe")


class _Names:
    """A Tree over a mapping; on Windows the case of letters does not count."""

    def __init__(self, nodes: Mapping[str, Node], *, fold: bool) -> None:
        self._nodes = nodes
        self._fold = fold
        self._spelled = {path.lower(): path for path in nodes} if fold else {}

    def spelled(self, path: str) -> str:
        """The path as the image has it."""
        return self._spelled.get(path.lower(), path)

    def lookup(self, path: str) -> Node | None:
        """As Tree says."""
        return self._nodes.get(self.spelled(path))

    def names(self, path: str) -> tuple[str, ...]:
        """As Tree says; nobody lists this tree."""
        del path
        return ()
