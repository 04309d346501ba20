"""Paths as builders are given them, and the one name of a target.

Wherever a builder takes a path it takes a text, a `pathlib` path or a node of SCons; wherever it takes several, lists
of any depth, too. Texts are seen from the folder of the SConscript that is being read, `#` is the top, as everywhere in
SCons. What is none of these is an error that names the parameter.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

import SCons.Node
import SCons.Node.Alias
import SCons.Node.FS
from msgspec.structs import replace

from multiarch_oci.errors import MultiarchError
from multiarch_oci.platform import InvalidPlatform, Platform


class NotAPath(MultiarchError, TypeError):
    """A parameter that is given what it does not take."""


def shown(node: Any) -> str:
    """The one name of a node: its path from the top with `/`, absolute outside the tree, whoever declares it.

    `str(node)` is seen from the SConscript that is being read.
    """
    if isinstance(node, SCons.Node.FS.Base):
        return str(node.get_internal_path()).replace(os.sep, "/")
    return str(node)


_SINGLE = (str, SCons.Node.Node, Platform, bytes, os.PathLike, Mapping)
"""What is one thing, most frequent first: to ask an abstract class costs more than all the others."""


def flat(given: Any) -> Iterator[Any]:
    """What is in lists of any depth, or the one thing that is in none; nothing for None."""
    if given is None:
        return
    kind = type(given)  # of most things enough to know
    if kind is SCons.Node.NodeList:  # what builders return: slow to iterate, and to be told from other things
        kind, given = list, given.data
    if kind is not list and kind is not tuple and (isinstance(given, _SINGLE) or not isinstance(given, Iterable)):
        yield given
        return
    for item in given:
        if item is None or type(item) is str:
            yield item
        else:
            yield from flat(item)


def texts(env: Any, parameter: str, given: Any) -> tuple[str, ...]:
    """Texts with their variables replaced: a lone one, or lists of them. Raises NotAPath."""
    return tuple(text(env, parameter, item) for item in flat(given))


def text(env: Any, parameter: str, given: Any) -> str:
    """One text with its variables replaced; a path's is as it is written. Raises NotAPath."""
    if isinstance(given, str):
        return str(env.subst(given)) if "$" in given else given
    if isinstance(given, SCons.Node.FS.Base):
        return str(given.get_abspath())
    if isinstance(given, os.PathLike):
        return str(os.fspath(given))
    raise _no(parameter, given, "a text")


TRUTHS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
"""What can be written for a yes or no, in any case of letters."""


def truth(env: Any, parameter: str, given: Any) -> bool:
    """A yes or no: a bool, 1 or 0, or a text of `TRUTHS`. Raises NotAPath."""
    word = str(given) if isinstance(given, int) else text(env, parameter, given) if isinstance(given, str) else ""
    answer = TRUTHS.get(word.lower())
    if answer is None:
        raise _no(parameter, given, "yes or no")
    return answer


def places(env: Any, parameter: str, given: Any) -> dict[str, str]:
    """`{name: folder or reference}` as texts; a list of one thing is that one. Raises NotAPath."""

    def folder_or_image(name: object, value: Any) -> str:
        where, things = f"{parameter}[{name!r}]", list(flat(value))
        if len(things) != 1 or not isinstance(things[0], (str, os.PathLike, SCons.Node.FS.Base)) or not things[0]:
            raise _no(where, value, "a folder or an image (docker-image://…)")
        return text(env, where, things[0])

    return {text(env, parameter, name): folder_or_image(name, value) for name, value in _pairs(parameter, given)}


def named(env: Any, parameter: str, given: Any) -> dict[str, str]:
    """`{name: value}` or pairs, as texts; numbers are written out. Raises NotAPath."""
    if isinstance(given, (tuple, dict)) and not given:  # the default
        return {}
    pairs = _pairs(parameter, given)
    return {text(env, parameter, name): _value(env, f"{parameter}[{name!r}]", value) for name, value in pairs}


def for_platform(parameter: str, given: Any, platform: Platform) -> Any:
    """What is meant for a platform: of a function its answer, of a mapping from platforms their entry, else itself.

    A key without a version of Windows serves all versions that have none of their own. Raises NotAPath where there is
    nothing for the platform; what else goes wrong in a function is raised as it is.
    """
    nothing = NotAPath(f"there is nothing for {platform}", where=parameter, hint="add it, or leave it out of PLATFORMS")
    # SCons' lists of nodes can be called, too.
    if callable(given) and not isinstance(given, (SCons.Node.Node, Iterable, type)):
        try:
            return given(platform)
        except KeyError as error:  # {"amd64": …}[platform.architecture]
            if error.args and str(error.args[0]) in _words(platform):
                raise nothing from None
            raise
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is None:  # it does not take a platform
                raise NotAPath(f"takes a function of the platform: {error}", where=parameter) from None
            raise
    if not isinstance(given, Mapping) or not given or None in (platforms := [_platform(key) for key in given]):
        return given
    values = dict(zip(platforms, given.values(), strict=True))
    for key in (platform.normalized(), replace(platform.normalized(), os_version="", os_features=())):
        if key in values:
            return values[key]
    raise nothing


def _words(platform: Platform) -> set[str]:
    """The words that a function of the platform may look something up by."""
    parts = (platform.os, platform.architecture, platform.variant, platform.os_version)
    return {*parts, str(platform), platform.slug, platform.directory, platform.tag_suffix}


def _platform(key: Any) -> Platform | None:
    """The platform that a key of a mapping names; None for any other word."""
    if isinstance(key, Platform):
        return key.normalized()
    if not isinstance(key, str) or "/" not in key:
        return None
    try:
        platform = Platform.parse(key)
        platform.check_known(key)
    except InvalidPlatform:
        return None
    return platform


def named_for(env: Any, parameter: str, given: Any, platform: Platform) -> dict[str, str]:
    """`named`, where all of it or each value may be for a platform: a function of it, or a mapping from platforms."""
    if isinstance(given, (tuple, Mapping)) and not given:  # the default
        return {}
    values = for_platform(parameter, given, platform)
    if isinstance(values, Mapping):
        values = {name: for_platform(f"{parameter}[{name!r}]", value, platform) for name, value in values.items()}
    return named(env, parameter, values)


def _pairs(parameter: str, given: Any) -> list[tuple[Any, Any]]:
    if given is None:
        return []
    try:
        pairs = list(given.items() if isinstance(given, Mapping) else given)
        if not all(isinstance(pair, (tuple, list)) for pair in pairs):
            raise _no(parameter, given, 'a dictionary: {"name": "value"}')
        return [(name, value) for name, value in pairs]
    except (TypeError, ValueError) as error:
        if isinstance(error, MultiarchError):
            raise
        raise _no(parameter, given, 'a dictionary: {"name": "value"}') from None


def _value(env: Any, parameter: str, given: Any) -> str:
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return str(given)
    if isinstance(given, SCons.Node.Node) and not isinstance(given, SCons.Node.FS.Base):
        return str(given)  # a Value
    return text(env, parameter, given)


def platform_of(parameter: str, given: Any) -> Platform:
    """A platform, or the text that names it. Raises NotAPath, InvalidPlatform."""
    if isinstance(given, Platform):
        return given
    if not isinstance(given, str):
        raise _no(parameter, given, 'a platform: "linux/arm64"')
    return Platform.parse(given)


def platforms_of(env: Any, parameter: str, given: Any) -> tuple[Platform, ...]:
    """Platforms in lists of any depth; a text may name several, with commas."""
    platforms = []
    for item in flat(given):
        parts = [part for part in text(env, parameter, item).split(",") if part] if isinstance(item, str) else [item]
        platforms += [platform_of(parameter, part) for part in parts]
    return tuple(platforms)


def file(env: Any, parameter: str, given: Any) -> Any:
    """The node of one file. Raises NotAPath."""
    node = _file_named(env, parameter, given) if isinstance(given, str) else None
    if node is None:
        node = one_path(env, parameter, given)
    if isinstance(node, SCons.Node.FS.Dir):
        raise _is_no_file(parameter, given, node)
    if not isinstance(node, SCons.Node.FS.Base):
        raise _no(parameter, given, "a file")
    if type(node) is SCons.Node.FS.Entry:
        node = env.fs.File(node)
    return node


def _file_named(env: Any, parameter: str, given: str) -> Any:
    """The node of a file by its name, without SCons' detour by an Entry: a large build names hundreds of files.

    None where one has to look closer. Raises NotAPath for the name of a folder.
    """
    name = text(env, parameter, given)
    try:
        node = env.fs.File(name) if name else None
    except TypeError:  # a folder, or a path through a file
        return None
    if node is not None and not node.has_builder() and _is_folder(node):
        raise _is_no_file(parameter, given, node)
    return node


def _is_no_file(parameter: str, given: Any, node: Any) -> NotAPath:
    hint = None if node is given else "something else is in the way; move it aside, or name another file"
    return _no(parameter, given, "a file", but=f"{shown(node)} is a folder", hint=hint)


def folder(env: Any, parameter: str, given: Any) -> Any:
    """The node of one folder. Raises NotAPath."""
    node = one_path(env, parameter, given)
    if type(node) is SCons.Node.FS.Entry and not node.has_builder():
        node = env.fs.Dir(node)
    if not isinstance(node, SCons.Node.FS.Dir):
        raise _no(parameter, given, "a folder", but=f"{shown(node)} is a file")
    return node


def source(env: Any, parameter: str, given: Any) -> Any:
    """The node of the one file or folder that is given. Raises NotAPath."""
    node = one_path(env, parameter, given)
    if not isinstance(node, SCons.Node.FS.Base):
        raise _no(parameter, given, "a path")
    return node


def one_path(env: Any, parameter: str, given: Any) -> Any:
    """The node of the one path that is given, a file or a folder. Raises NotAPath."""
    paths = list(flat(given))
    if len(paths) != 1:
        what = "nothing" if not paths else f"{len(paths)} of them"
        raise NotAPath(f"takes one path, and was given {what}", where=parameter, hint="call the builder once for each")
    return _node(env, parameter, paths[0])


def nodes(env: Any, parameter: str, given: Any) -> list[Any]:
    """The nodes of paths in lists of any depth, files and folders; other nodes (an Alias, a Value) as they are.

    The name of an alias is that alias, as with SCons' own builders. Raises NotAPath.
    """
    lookup = SCons.Node.Alias.default_ans.lookup
    return [(isinstance(item, str) and lookup(item)) or _node(env, parameter, item) for item in flat(given)]


def _node(env: Any, parameter: str, given: Any) -> Any:
    if isinstance(given, SCons.Node.Node):
        return given
    if not isinstance(given, (str, os.PathLike)) or isinstance(os.fspath(given), bytes):
        raise _no(parameter, given, "a path")
    name = text(env, parameter, given)
    if not name:
        raise _no(parameter, given, "a path")
    try:
        node = env.fs.Entry(name)
        if type(node) is not SCons.Node.FS.Entry or node.has_builder():
            return node
        # What nothing says to be a folder yet is a file, as with SCons' own builders.
        return env.fs.Dir(node) if _is_folder(node) else env.fs.File(node)
    except TypeError as error:
        raise _through_a_file(env, parameter, name) or NotAPath(str(error), where=parameter) from None


def _through_a_file(env: Any, parameter: str, name: str) -> NotAPath | None:
    """What is wrong with a path that leads through a file; None where none is known on its way."""
    for above in PurePath(name).parents:
        try:
            node = env.fs.Entry(str(above))
        except TypeError:
            continue
        if not isinstance(node, SCons.Node.FS.File):
            return None
        is_only_named = not node.has_builder() and not os.path.lexists(node.get_abspath())
        hint = f'a folder that is not there yet is named as one: Dir("{shown(node)}")' if is_only_named else None
        return NotAPath(
            f"{name.removeprefix('#/')} lies below {shown(node)}, which is a file", where=parameter, hint=hint
        )
    return None


def _is_folder(node: Any) -> bool:
    """Whether a name is that of a folder, which nothing here makes: here, else among the sources or in a Repository."""
    path = node.get_abspath()
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116  # hundreds in a large build
    except (OSError, ValueError):
        pass
    folders = (node.dir.srcnode(), *node.dir.get_all_rdirs())
    if all(folder is node.dir for folder in folders) or os.path.lexists(path):
        return False
    return any(os.path.isdir(os.path.join(folder.get_abspath(), node.name)) for folder in folders)  # noqa: PTH112, PTH118


def _no(parameter: str, given: Any, expected: str, but: str = "", hint: str | None = None) -> NotAPath:
    problem = but or f"{_brief(given)} is {'an' if _kind(given)[0] in 'aeiou' else 'a'} {_kind(given)}"
    return NotAPath(f"takes {expected}, and {problem}", where=parameter, hint=hint)


def _kind(given: Any) -> str:
    names = {"NoneType": "empty value", "str": "text", "dict": "dictionary", "function": "function"}
    return names.get(type(given).__name__, type(given).__name__)


def _brief(given: Any) -> str:
    words = repr(given) if not isinstance(given, SCons.Node.Node) else shown(given)
    return words if len(words) <= _BRIEF else f"{words[: _BRIEF - 1]}…"


_BRIEF = 60


def items_of(text: str) -> list[str]:
    """The items of EXTERNAL, REGISTRY and ATTEST."""
    return [item for item in (part.strip() for part in text.split(",")) if item]
