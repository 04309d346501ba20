"""What an image is made from, each thing by its name, so that a change of it can be explained to the user."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import msgspec

from multiarch_oci.digest import Digest, is_sha256
from multiarch_oci.document import key_of
from multiarch_oci.engine import Base, BuildPlan, NamedContext
from multiarch_oci.engine.frontend import FILE, ContextFile, ContextInputs, digest_in
from multiarch_oci.gzipstream import COMPRESSOR
from multiarch_oci.platform import Platform

MARK = "multiarch.inputs"
"""The label in the Dockerfile that an engine gets, for its cache's sake, and in no image (`external.marks`)."""
_BASE = "base "
_STATE = 4
"""The words of `file_state`."""
FORMAT = "layers 1"
"""Part of every layer's key: to be raised when equal entries are to give other bytes."""


def describe(plan: BuildPlan, inputs: ContextInputs) -> tuple[dict[str, str], dict[str, str]]:
    """Everything that the image's bytes depend on: values by name (arguments, bases, versions), and files by path.

    A file stands for its kind, whether it is executable, where it links to, and its contents. A missing source is a
    value: the build says so, and its appearance is a change. OSError for the Dockerfile alone is the caller's.
    """
    name = plan.name if plan.text else _shown(str(plan.dockerfile), str(plan.context))
    values = {
        "platform": str(plan.platform),
        "stage": plan.target,
        "SOURCE_DATE_EPOCH": str(plan.epoch),
        "compressor": f"{COMPRESSOR}, {FORMAT}",
        "foreign": ", ".join(plan.foreign),
    }
    missing = [
        *inputs.missing,
        *(f"{context.name}//{path}" for context in inputs.named for path in context.inputs.missing),
    ]
    values |= {"missing": ", ".join(missing)}
    values |= {
        f"context {context.name}": f"docker-image://{context.image}"
        if context.image
        else "a folder"
        if context.folder
        else "files"
        for context in inputs.contexts
    }
    values |= dict(plan.remarks)
    values |= {f"build argument {name}": value for name, value in plan.build_args}
    values |= {f"label {name}": value for name, value in plan.labels}
    values |= {_base(plan, base.name, base.platform): str(base.digest) for base in plan.bases}
    files = {file.path or ".": file_state(plan, None, file) for file in inputs.files}
    for named in inputs.named:  # no path of the context holds two slashes
        files |= {f"{named.name}//{file.path}": file_state(plan, named.context, file) for file in named.inputs.files}
    recipe = plan.digest()
    files[name] = f"{files[name]} {recipe}" if name in files else recipe  # where it is copied, too, its mode counts
    return values, files


def apart_from(plan: BuildPlan, inputs: ContextInputs, name: str, platform: Platform) -> str:
    """One digest, in hexadecimal, over all of `describe` but the base of this name: equal where nothing else differs.

    An image's tarball keeps it, so that it says itself what it was made from. `plan.bases` say their ENV and ONBUILD.
    """
    values, files = describe(plan, inputs)
    values.pop(_base(plan, name, platform), None)
    return key_of([sorted(values.items()), sorted(files.items())])


class Taken(msgspec.Struct, frozen=True):
    """What `describe` says of one file: the `state` that a layer takes over ("" where it is no more than read).

    `digest` is the sha256 of its bytes in hexadecimal; "" for what is no file, or cannot be read.
    """

    name: str
    state: str
    digest: str


def taken(files: Mapping[str, str]) -> Iterator[Taken]:
    """The files that `describe` gave, each in its parts; a Dockerfile that is copied, too, has both."""
    for name, text in files.items():
        kind = text.partition(" ")[0]
        if kind == FILE:
            words = text.split(" ")
            digest = words[_STATE - 1] if is_sha256(words[_STATE - 1]) else ""
            yield Taken(name, " ".join(words[:_STATE]), digest)
        elif is_sha256(kind):
            yield Taken(name, "", kind)
        else:
            yield Taken(name, text if text.endswith(" ") else text.rpartition(" ")[0], "")


def bases_in(values: Mapping[str, str], platform: Platform) -> Iterator[Base]:
    """The bases in what `describe` gave for a platform, without what their configs say."""
    for name, digest in values.items():
        if name.startswith(_BASE):
            spelled, _, other = name[len(_BASE) :].partition(" for ")
            yield Base(spelled, Platform.parse(other) if other else platform, Digest.parse(digest))


def has_bases(values: Mapping[str, str]) -> bool:
    """Whether what `describe` gave names a base."""
    return any(name.startswith(_BASE) for name in values)


def _base(plan: BuildPlan, name: str, platform: Platform) -> str:
    """What a base is called: a Dockerfile that builds on one platform for another has the same base for both."""
    return f"{_BASE}{name}" + (f" for {platform}" if platform != plan.platform else "")


def _shown(path: str, folder: str) -> str:
    """A path as seen from the context, where it is below it."""
    above = folder if folder.endswith(os.sep) else folder + os.sep
    below = os.path.normcase(path).startswith(os.path.normcase(above))
    return path[len(above) :].replace(os.sep, "/") if below else path


def file_state(plan: BuildPlan, context: NamedContext | None, file: ContextFile) -> str:
    """What a file of a context (None: the plan's own) is, in a line: kind, mode, link, contents."""
    content = ""
    if file.kind == FILE:
        try:
            content = digest_in(plan, context, file.path)
        except OSError:
            content = "unreadable"  # the build says so
    return " ".join((file.kind, "executable" if file.executable else "plain", file.target, content))
