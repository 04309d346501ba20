"""Tool: `env.Index`, the index of images and pins as a file, its exact bytes (OCI image spec 1.1, image-index.md)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiarch_oci.why import Facts
from scons_multiarch import paths
from scons_multiarch.destinations import is_copy, is_of
from scons_multiarch.receipts import assembled
from scons_multiarch.settings import prepare
from scons_multiarch.step import Step, add_method, write
from scons_multiarch.targets import ImageTarget, IndexTarget, PinTarget, check_source, declared_before, target_of
from scons_multiarch.tracking.nodes import declare
from scons_multiarch.tracking.state import State, undrifted

if TYPE_CHECKING:
    from multiarch_oci.platform import Platform


def perform(target: list[Any], _source: list[Any], _env: Any) -> None:
    """Assemble the index and write it, and its digest beside it."""
    index = assembled(target[0])
    content = index.to_json()
    target[0].attributes.state.digest = index.descriptor().digest
    write(Path(target[0].get_abspath()), content)
    write(Path(target[1].get_abspath()), f"{index.descriptor().digest}\n".encode())


STEP = Step("Index", perform)


def index(env: Any, target: Any, members: Any, *, platforms: Any, annotations: Any = ()) -> Any:
    """Declare the index of `members`; an error when they are not exactly `platforms`. Returns the JSON's node."""
    declared_platforms = paths.platforms_of(env, "Index: platforms", platforms)
    node = paths.file(env, "Index: target", target)
    beside = node.dir.File(node.name.removesuffix(".json") + ".digest")
    noted = tuple(paths.named(env, "Index: annotations", annotations).items())
    files = [paths.file(env, "Index: members", member) for member in paths.flat(members)]
    sources = [file for file in files if not is_copy(file) and is_of(env, file)]
    for source in sources:
        check_source(source, "env.Index", (ImageTarget, PinTarget))
    record = IndexTarget(declared_platforms, noted, paths.shown(beside))
    nodes = [node, beside]
    if declared_before(nodes, record, sources):
        return nodes[:1]
    _check_declared(declared_platforms, sources, node)
    made = env.OciIndex(nodes, sources)
    values = {"platforms": ", ".join(map(str, declared_platforms))} | {
        f"annotation {key}": value for key, value in noted
    }
    name = paths.shown(node)
    env["MULTIARCH_RUN"].declarations.hide(name, record.digest_file)
    declare(env, nodes, record, State(name, lambda: Facts(values, {}), undrifted))
    return made[:1]


def _check_declared(platforms: tuple[Platform, ...], sources: list[Any], node: Any) -> None:
    if not all(map(target_of, sources)):
        return  # of a file that another builder makes nothing is known
    declared = [target_of(source).platform for source in sources]
    if set(declared) != set(platforms) or not len(platforms) == len(declared) == len(set(platforms)):
        from multiarch_oci.index import check_declared  # start-up

        check_declared(platforms, list(zip(map(paths.shown, sources), declared, strict=True)), where=paths.shown(node))


def generate(env: Any) -> None:
    """Add `env.Index`."""
    prepare(env)
    env["BUILDERS"]["OciIndex"] = STEP.builder()
    add_method(env, index, "Index")


def exists(_env: Any) -> bool:
    """Always."""
    return True
