"""Tool: `env.Provenance`, what an image or index was made from, as an in-toto Statement (SLSA Provenance v1)."""

from __future__ import annotations

from typing import Any

from multiarch_oci.why import Facts
from scons_multiarch import paths
from scons_multiarch.session import Run
from scons_multiarch.settings import prepare
from scons_multiarch.step import Step, add_method, source_of, write
from scons_multiarch.targets import (
    ImageTarget,
    IndexTarget,
    ProvenanceTarget,
    WrongSource,
    declared_before,
    of_run,
    target_of,
)
from scons_multiarch.tracking.nodes import declare
from scons_multiarch.tracking.state import State, undrifted


def perform(target: list[Any], _source: list[Any], env: Any) -> None:
    """Write the statement; with PROVENANCE=full another one beside it, which says of which run it is."""
    from scons_multiarch.provenances import statements

    full = env.get("PROVENANCE") == "full"
    for path, content in statements(env["MULTIARCH_RUN"], target[0], full=full).items():
        write(path, content)


STEP = Step("Provenance", perform)


def facts(run: Run, subject: Any) -> Facts:
    """What decides the statement; the module is loaded for the first that is decided."""
    from scons_multiarch import provenances

    return provenances.facts(run, subject)


def provenance(env: Any, target: Any, image: Any) -> Any:
    """Declare the provenance of an image or of an index."""
    source = source_of(env, image, "env.Provenance", ImageTarget, IndexTarget)
    if target_of(source) is None:
        hint = "give it what env.Image or env.Index returned"
        raise WrongSource("is made by another builder, so nothing is known of it", where=paths.shown(source), hint=hint)
    run: Run = env["MULTIARCH_RUN"]
    node = paths.file(env, "Provenance: target", target)
    record = ProvenanceTarget(env.get("IMAGE_FILE", "") or source.name)
    if declared_before([node], record, [source]):
        return [node]
    nodes = env.OciProvenance([node], source)
    run.declarations.hide_targets(nodes)
    run.declarations.hide(of_run(paths.shown(node)))
    full = env.get("PROVENANCE") == "full"
    drifted = (lambda: _drifted(node)) if full else undrifted
    kind = "" if full else "provenance"
    declare(env, nodes, record, State(paths.shown(node), lambda: facts(run, source), drifted, kind=kind))
    if full:  # SCons' own cache has the statement alone
        node.set_nocache()
    return nodes


def _drifted(node: Any) -> str | None:
    from scons_multiarch import provenances

    return provenances.drifted(node)


def generate(env: Any) -> None:
    """Add `env.Provenance`."""
    prepare(env)
    env["BUILDERS"]["OciProvenance"] = STEP.builder(single_source=True)
    add_method(env, provenance, "Provenance")


def exists(_env: Any) -> bool:
    """Always."""
    return True
