"""Tool: `env.Archive`, an image with all its layers in one file that `docker load`, `podman load` and skopeo take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from multiarch.why import Facts
from oci_nodes import declare, undrifted
from oci_receipts import content_of, loaded_name
from oci_steps import Step, add_method


def perform(target: list[Any], source: list[Any], env: Any) -> None:
    """Write the archive; base layers come from the cache or the base's registry."""
    from multiarch.store.release import write_release

    reference = target[0].attributes.name
    content, root, _, _ = content_of(env["MULTIARCH_RUN"], Path(source[0].get_abspath()), reference)
    write_release(Path(target[0].get_abspath()), content, root, reference)
    target[0].attributes.digest = root.digest


STEP = Step("Archive", perform)


def archive(env: Any, target: str, image: Any, *, reference: str) -> Any:
    """Declare the self-contained archive of an image, to be loaded under `reference`."""
    text = env.subst(reference)
    nodes = env.OciArchive(env.subst(target), image)
    nodes[0].attributes.name = loaded_name(env, reference)
    env["MULTIARCH_RUN"].hide(nodes)
    declare(env, nodes, lambda: Facts({"reference": text}, {}), str(nodes[0]).replace(os.sep, "/"), undrifted)
    return nodes


def generate(env: Any) -> None:
    """Add `env.Archive`."""
    env["BUILDERS"]["OciArchive"] = STEP.builder(single_source=True)
    add_method(env, archive, "Archive")


def exists(_env: Any) -> bool:
    """Always."""
    return True
