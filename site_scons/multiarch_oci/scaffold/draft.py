"""An SConstruct that is being put together: its parts, and what may be written into it."""

from __future__ import annotations

import re

import msgspec

from multiarch_oci.errors import MultiarchError, quoted
from multiarch_oci.reference import Destination
from multiarch_oci.scaffold.dockerfiles import Recipe, is_own, recipe
from multiarch_oci.scaffold.files import Clue, Files
from multiarch_oci.scaffold.golang import free_name

_IMPORT = "import scons_multiarch  # not found? start it as: multiarch"
"""A SCons of another environment prints this line, and so what helps."""
_OURS = re.compile(r"\$\{(?:VERSION|REVISION)\}")


class NotWritten(MultiarchError):
    """A text that SCons would substitute, in a place where nobody meant it to."""


class Draft(msgspec.Struct):
    """An SConstruct that is being put together."""

    files: Files
    variables: dict[str, str] = msgspec.field(default_factory=dict)  # keywords of environment(), as Python
    imports: list[str] = msgspec.field(default_factory=lambda: [_IMPORT])
    body: list[str] = msgspec.field(default_factory=list)
    taken: list[Clue] = msgspec.field(default_factory=list)
    left_out: list[Clue] = msgspec.field(default_factory=list)
    needs: list[Clue] = msgspec.field(default_factory=list)
    recipes: list[Recipe] = msgspec.field(default_factory=list)
    names: set[str] = msgspec.field(default_factory=set)


def literal(text: str) -> str:
    """A text as Python writes it. SCons substitutes it later, so that a `$` may begin nothing but ${VERSION} and such.

    Raises NotWritten for another `$`, and for what is not printable.
    """
    if "$" in _OURS.sub("", text) or not text.isprintable():
        raise NotWritten(f"{quoted(text)} is not written, as SCons would read it otherwise", hint="rename it")
    return repr(text)


def is_plain(path: str) -> bool:
    """Whether a path can be written: letters, digits, `.`, `-`, `_`, `/` and spaces, of ASCII."""
    return re.fullmatch(r"[\w./ -]+", path, re.ASCII) is not None


def by_dockerfile(draft: Draft, name: str) -> bool:
    """Declare an image of the Dockerfile that is there, as it is; whether there is one."""
    dockerfile = recipe(draft.files, name)
    if dockerfile is None:
        return False
    draft.recipes.append(dockerfile)
    draft.taken.append(Clue(f"the Dockerfile of {name}", dockerfile.path))
    own = is_own(dockerfile.path)
    draft.body.append(f"env.MultiarchImage({literal(name)}{'' if own else f', dockerfile={literal(dockerfile.path)}'})")
    return True


def image_name(draft: Draft, text: str, where: str) -> str:
    """A name for an image, and its program; what is no repository's is left out and said."""
    name = text.lower()
    try:
        Destination(None, "out").reference(name)
    except MultiarchError:
        draft.left_out.append(Clue(f"the name {quoted(text)}: it is no repository's; the image is called app", where))
        name = "app"
    name = free_name(name, draft.names)
    draft.names.add(name)
    return name
