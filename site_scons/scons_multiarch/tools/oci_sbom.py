"""Tool: `env.Sbom`, what an image or index is made of, as SPDX 2.3 and CycloneDX 1.6 in JSON."""

from __future__ import annotations

from typing import Any

from multiarch_oci.why import Facts
from scons_multiarch import paths
from scons_multiarch.session import Run
from scons_multiarch.settings import prepare
from scons_multiarch.step import Step, add_method, source_of, write
from scons_multiarch.targets import ImageTarget, IndexTarget, SbomTarget, declared_before, is_image, is_index, target_of
from scons_multiarch.tracking.nodes import declare, track
from scons_multiarch.tracking.state import State, undrifted


def perform(target: list[Any], _source: list[Any], env: Any) -> None:
    """Write both documents of an image or index."""
    from scons_multiarch.sboms import documents

    for path, content in documents(env["MULTIARCH_RUN"], target).items():
        write(path, content)


STEP = Step("Sbom", perform)


def facts(run: Run, record: SbomTarget, subject: Any) -> Facts:
    """What decides the documents; the module is loaded for the first that is decided."""
    from scons_multiarch import sboms

    return sboms.facts(run, record, subject)


def sbom(env: Any, target: Any, image: Any, *, name: Any = None, version: Any = None) -> Any:
    """Declare the SBOM of an image or index: `<target>.spdx.json` and `<target>.cdx.json`.

    `name` is what the image is called in it, by default IMAGE, `version` that of the image and of the programs that
    this build makes: by default VERSION, and of an image the release, where VERSION is git's.
    """
    run: Run = env["MULTIARCH_RUN"]
    source = source_of(env, image, "env.Sbom", ImageTarget, IndexTarget)
    prefix = paths.file(env, "Sbom: target", target)
    nodes = [prefix.dir.File(f"{prefix.name}.{ending}") for ending in ("spdx.json", "cdx.json")]
    of_build = env.get("VERSION", "") if is_index(source) else env.get("RELEASE", env.get("VERSION", ""))
    record = SbomTarget(
        paths.text(env, "Sbom: name", env.get("IMAGE") or prefix.name if name is None else name),
        paths.text(env, "Sbom: version", of_build if version is None else version),
    )
    sources = list(dict.fromkeys([source, *(target_of(source).sboms if is_image(source) else ())]))
    if declared_before(nodes, record, sources):
        return nodes
    nodes = env.OciSbom(nodes, track(env, sources))
    run.declarations.hide_targets(nodes)
    node = nodes[0]
    declare(env, nodes, record, State(paths.shown(node), lambda: facts(run, record, source), undrifted, kind="sbom"))
    return nodes


def generate(env: Any) -> None:
    """Add `env.Sbom`."""
    prepare(env)
    env["BUILDERS"]["OciSbom"] = STEP.builder()
    add_method(env, sbom, "Sbom")


def exists(_env: Any) -> bool:
    """Always."""
    return True
