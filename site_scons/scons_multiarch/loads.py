"""What a load does: an image into the local engine, its receipt, and whether the engine still has it."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scons_multiarch.images import host_of_engines
from scons_multiarch.process import say
from scons_multiarch.receipts import content_of, keep_receipt, receipt_at
from scons_multiarch.session import Run

if TYPE_CHECKING:
    from multiarch_oci.digest import Digest
    from multiarch_oci.reference import Reference


def engine(run: Run, into: str) -> Any:
    """The engine that DOCKER_HOST names, or the usual socket; or containerd. Asked for nothing yet."""

    def docker() -> Any:
        from multiarch_oci.store.daemon.daemon import Daemon

        return Daemon(run.settings.environment)

    def containerd() -> Any:
        from multiarch_oci.store.daemon.containerd import Containerd

        return Containerd(run.settings.environment, host_of_engines())

    return run.build.once(f"load into {into}", containerd if into == "containerd" else docker)


def perform(target: list[Any], source: list[Any], env: Any) -> None:
    """Load the image when the engine runs its platform; on the engine's own platform it gets the main tag, too."""
    from multiarch_oci.receipt import Receipt
    from multiarch_oci.store.archive import write_release
    from multiarch_oci.store.daemon.daemon import runnable

    node, run = target[0], env["MULTIARCH_RUN"]
    record = node.attributes.target
    name, main = record.name, record.main
    content = content_of(run, source[0], name)
    root, platform = content.root, content.platform
    local_engine = engine(run, record.into)
    with run.build.once("loading", threading.Lock):  # an engine unpacks archives one after the other anyway
        host = local_engine.platform()
        if platform is None or not runnable(host, [platform]):
            say(f"  {name.familiar}: left out, the engine runs {host}")
            keep_receipt(node, Receipt(name, root))
            return
        with tempfile.TemporaryDirectory(dir=run.tree.private) as folder:
            archive = Path(folder) / "image.tar"
            write_release(archive, content.source, root, name)
            identity = local_engine.load(archive, name)
        if platform.matches(host) and host.architecture == platform.architecture and main is not None:
            local_engine.tag(identity, main)
    node.attributes.state.digest = root.digest
    keep_receipt(node, Receipt(name.with_digest(identity), root))


def drifted(node: Any) -> str | None:
    """Why the engine is not as this load left it; None when it is, or when it runs no image of this platform."""
    receipt = receipt_at(Path(node.get_abspath()))
    record = node.attributes.target
    name, main = record.name, record.main
    if receipt is None or receipt.reference.digest is None:
        return None
    local_engine = engine(node.attributes.run, record.into)
    identity = local_engine.identity(name)
    if identity is not None and main is not None and _lost(local_engine, node, main, receipt.reference.digest):
        return f"{main.familiar} does not name it"
    if identity is None:
        return "it is not in the engine"
    return None if identity == receipt.reference.digest else "the engine has another image of this name"


def _lost(engine: Any, node: Any, main: Reference, identity: Digest) -> bool:
    """Whether the main tag, which is to name the image of the engine's own platform, names no such image."""
    from multiarch_oci.store.archive import read_image

    host, platform = engine.platform(), read_image(Path(node.sources[0].get_abspath())).platform
    if not platform.matches(host) or host.architecture != platform.architecture:
        return False
    held = engine.identity(main)
    # Of several variants that the engine runs, one has the tag; only the engine's own may insist.
    return held is None or (held != identity and platform.variant == host.variant)
