"""Tool: `env.Archive`, an image with all its layers in one file that `docker load`, `podman load` and skopeo take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from multiarch_oci.why import Facts
from scons_multiarch import paths
from scons_multiarch.receipts import content_of, loaded_name
from scons_multiarch.settings import prepare
from scons_multiarch.step import Step, add_method, source_of
from scons_multiarch.targets import ArchiveTarget, ImageTarget, declared_before
from scons_multiarch.tracking.nodes import declare
from scons_multiarch.tracking.state import State, undrifted


def perform(target: list[Any], source: list[Any], env: Any) -> None:
    """Write the archive; base layers come from the cache or the base's registry."""
    from multiarch_oci.store.archive import write_release

    name = target[0].attributes.target.name
    content = content_of(env["MULTIARCH_RUN"], source[0], name)
    write_release(Path(target[0].get_abspath()), content.source, content.root, name)
    target[0].attributes.state.digest = content.root.digest


STEP = Step("Archive", perform)


def archive(env: Any, target: Any, image: Any, *, reference: str) -> Any:
    """Declare the self-contained archive of an image, to be loaded under `reference`."""
    text, source = paths.text(env, "Archive: reference", reference), source_of(env, image, "env.Archive", ImageTarget)
    record = ArchiveTarget(loaded_name(env, text), text)
    node = paths.file(env, "Archive: target", target)
    if declared_before([node], record, [source]):
        return [node]
    nodes = env.OciArchive([node], source)
    env["MULTIARCH_RUN"].declarations.hide_targets(nodes)
    declare(env, nodes, record, State(paths.shown(node), lambda: Facts({"reference": text}, {}), undrifted))
    return nodes


def generate(env: Any) -> None:
    """Add `env.Archive`."""
    prepare(env)
    env["BUILDERS"]["OciArchive"] = STEP.builder(single_source=True)
    add_method(env, archive, "Archive")


def exists(_env: Any) -> bool:
    """Always."""
    return True
