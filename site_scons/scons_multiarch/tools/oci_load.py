"""Tool: `env.Load`, an image in the local engine (Docker, Podman's socket, or containerd), tracked like a push."""

from __future__ import annotations

from typing import Any

from multiarch_oci.errors import MultiarchError
from multiarch_oci.why import Facts
from scons_multiarch import paths
from scons_multiarch.loads import drifted, engine, perform
from scons_multiarch.receipts import loaded_name, receipt_node
from scons_multiarch.session import Run
from scons_multiarch.settings import prepare
from scons_multiarch.step import Step, add_method, fail, source_of
from scons_multiarch.targets import ImageTarget, LoadTarget, declared_before
from scons_multiarch.tracking.nodes import declare
from scons_multiarch.tracking.state import State

RECEIPTS = {"docker": "receipts/load", "containerd": "receipts/load-containerd"}
"""What images are loaded into, and where its receipts lie. Podman is Docker's: it answers at a socket like Docker's."""


class UnknownEngine(MultiarchError, ValueError):
    """A name that is none of something to load into."""


STEP = Step("Load", perform)


def load(env: Any, image: Any, reference: str, *, main: str | None = None, into: str = "$LOAD_INTO") -> Any:
    """Declare an image to be in the local engine under `reference`, and under `main` on the engine's own platform.

    `main` is by default the tag $VERSION beside `reference`; an empty text means none. `into` is `docker` (or Podman
    at Docker's socket), the default, or `containerd`.
    """
    name, engine_name = (
        loaded_name(env, paths.text(env, "Load: reference", reference)),
        paths.text(env, "Load: into", into),
    )
    engine_name = engine_name or "docker"
    if engine_name not in RECEIPTS:
        fail(UnknownEngine(f"nothing can be loaded into '{engine_name}'", hint=f"into={' or '.join(RECEIPTS)}"))
    named = env.subst("$VERSION") if main is None else paths.text(env, "Load: main", main)
    own = name.with_tag(named) if main is None else loaded_name(env, named) if named else None
    record, source = LoadTarget(name, own, engine_name), source_of(env, image, "env.Load", ImageTarget)
    node = receipt_node(env, name, RECEIPTS[engine_name])
    if declared_before([node], record, [source]):
        return [node]
    nodes = env.OciLoad([node], source)
    run: Run = env["MULTIARCH_RUN"]

    def facts() -> Facts:  # the address as the docker command line finds it: a context is another engine, too
        return Facts({"name": str(name), "engine": engine(run, engine_name).endpoint.host}, {})

    declare(env, nodes, record, State(name.familiar, facts, lambda: drifted(node)))
    env.NoCache(nodes)
    return nodes


def generate(env: Any) -> None:
    """Add `env.Load`."""
    prepare(env)
    env["BUILDERS"]["OciLoad"] = STEP.builder(single_source=True)
    add_method(env, load, "Load")


def exists(_env: Any) -> bool:
    """Always: the engine is looked for when an image is loaded."""
    return True
