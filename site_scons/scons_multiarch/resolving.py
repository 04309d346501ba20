"""What `env.Resolve` declares, and what its step does: deployment files in which images are named by digest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import SCons.Node.FS
import SCons.Script

from multiarch_oci.errors import MultiarchError
from multiarch_oci.why import Facts
from scons_multiarch import paths as paths_of
from scons_multiarch.beforehand import check_resolved
from scons_multiarch.cli import add_targets, check_when_read
from scons_multiarch.process import say
from scons_multiarch.receipts import receipt_at
from scons_multiarch.step import Step, fail, write
from scons_multiarch.targets import Chain, PushTarget, ResolveTarget, declared_before, target_of
from scons_multiarch.tracking.nodes import declare
from scons_multiarch.tracking.phases import after_reading
from scons_multiarch.tracking.state import State, undrifted

FOLDER = "#/_output/deploy"
_OUTPUT = "_output/"


class NoImage(MultiarchError, TypeError):
    """What `env.Resolve` cannot name in a deployment file."""


def perform(target: list[Any], source: list[Any], _env: Any) -> None:
    """Write the file with references in the place of names; one in which nothing changes is not touched."""
    from multiarch_oci.deployment import Published, resolve

    record, where = target[0].attributes.target, paths_of.shown(source[0])
    images = {}
    for name, number in record.names:
        receipt = source[1 + number]
        kept = receipt_at(Path(receipt.get_abspath()))
        if kept is None:
            raise NoImage("is no receipt of a push", where=paths_of.shown(receipt), hint="remove it, and run again")
        images[name] = Published(target_of(receipt).reference, kept.descriptor.digest)
    content = Path(source[0].get_abspath()).read_bytes()
    resolved = resolve(content, images, name=where, paths=record.paths, where=where)
    if not resolved.names:
        say(f"  {where} names none of these images: {', '.join(images)}")
    output = Path(target[0].get_abspath())
    if not output.is_file() or output.read_bytes() != resolved.content:
        write(output, resolved.content)


STEP = Step("Resolve", perform)


def resolve_files(env: Any, files: Any, images: Any, *, paths: Any = (), into: Any = FOLDER) -> Any:
    """Declare deployment files, each below the folder `into` by its path from the top, that name `images` by digest.

    `images` is what `env.GoImage` or `env.MultiarchImage` returned, the push of an index or image, or several; or a
    mapping from the names that the files use. With several registries the first is named.
    """
    pushes = _pushes(env, images)
    receipts = list(dict.fromkeys(pushes.values()))
    record = ResolveTarget(
        tuple((name, receipts.index(push)) for name, push in pushes.items()),
        paths_of.texts(env, "Resolve: paths", paths),
    )
    folder = env.fs.Dir(paths_of.text(env, "Resolve: into", into))
    made: list[Any] = []
    for given in paths_of.flat(files):
        source = _source(env, given)
        node = folder.File(_path(source))
        if not declared_before([node], record, [source, *receipts]):
            made += _declare(env, node, record, source, receipts)
        elif node not in made:
            made.append(node)
    env["MULTIARCH_RUN"].declarations.hide_targets(made)
    add_targets(env, {"resolve": made})
    for chain in _chains(images):
        env.Alias(f"{chain.name}:resolve", made)
    check_when_read(env)
    run = env["MULTIARCH_RUN"]
    after_reading(lambda _: _check_asked_for(run), name="resolve")  # after `targets`: aliases are known
    return made


def _source(env: Any, given: Any) -> Any:
    """The node of a deployment file; a folder is none. Raises NotAPath."""
    source = paths_of.source(env, "Resolve: files", given)
    if isinstance(source, SCons.Node.FS.Dir):
        shown = paths_of.shown(source)
        hint = f'name its files, as env.Glob("{shown}/*.yaml") does'
        raise paths_of.NotAPath(f"takes files, and {shown} is a folder", where="Resolve: files", hint=hint)
    return source


def _check_asked_for(run: Any) -> None:
    """End the run before its first step where a file that it was asked for cannot be made; a session asks later."""
    if SCons.Script.GetOption("help") or SCons.Script.GetOption("clean") or run.settings.interactive:
        return
    try:
        check_resolved()
    except MultiarchError as error:
        fail(error)


def _declare(env: Any, node: Any, record: ResolveTarget, source: Any, receipts: list[Any]) -> list[Any]:
    if "OciResolve" not in env["BUILDERS"]:
        env["BUILDERS"]["OciResolve"] = STEP.builder()
    nodes: list[Any] = env.OciResolve([node], [source, *receipts])

    def find() -> Facts:
        for receipt in receipts:
            push = target_of(receipt)
            if push.folder is not None:
                what = f"{receipt.attributes.state.subject} is in a folder, and no cluster pulls from one"
                raise NoImage(what, where=paths_of.shown(source), hint="name a registry: REGISTRY=host/team")
        names = ", ".join(f"{name}={receipts[number].attributes.state.subject}" for name, number in record.names)
        return Facts({"images": names, "paths": ", ".join(record.paths)}, {})

    declare(env, nodes, record, State(paths_of.shown(node), find, undrifted))
    return nodes


def _path(source: Any) -> str:
    """The path of a file from the top; of one that a step makes from the folder of outputs, of one outside its name."""
    path = paths_of.shown(source if source.has_builder() else source.srcnode()).removeprefix(_OUTPUT)
    return path.rpartition("/")[2] if Path(path).is_absolute() or path.startswith("..") else path


def _chains(images: Any) -> Iterator[Chain]:
    given = images.values() if isinstance(images, Mapping) else [images]
    return (image for entry in given for image in paths_of.flat(entry) if isinstance(image, Chain))


def _pushes(env: Any, images: Any) -> dict[str, Any]:
    """The receipt of each image by every name that files may give it."""
    if isinstance(images, Mapping):
        return {str(name): _push(env, item) for name, given in images.items() for item in [*paths_of.flat(given)][:1]}
    pushes: dict[str, Any] = {}
    for item in paths_of.flat(images):
        push = _push(env, item)
        pushes[item.name if isinstance(item, Chain) else target_of(push).reference.repository] = push
    last = Counter(name.rpartition("/")[2] for name in pushes)
    short = {name.rpartition("/")[2]: push for name, push in pushes.items() if last[name.rpartition("/")[2]] == 1}
    if not pushes:
        raise NoImage("Resolve: images are none", hint="give what env.GoImage returned")
    return short | pushes


def _push(env: Any, given: Any) -> Any:
    """The receipt of the push of an image; of several registries the first one's. Raises NoImage."""
    node = given.published[0] if isinstance(given, Chain) else paths_of.nodes(env, "Resolve: images", given)[0]
    if not isinstance(target_of(node), PushTarget):
        what = f"{paths_of.shown(node)} is no push"
        raise NoImage(what, where="Resolve: images", hint="give what env.GoImage or env.Push returned")
    return node
