"""A container engine on this machine or another, over Docker's API (moby, api/swagger.yaml): images get in by `load`.

Podman's Docker-compatible socket works as well. Room by room: `daemon` (what is asked of it), `endpoint` (where it is),
`client` (the connection), `ssh` (a connection by ssh, as `ssh://winbox` wants it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from multiarch.rooms import opener

if TYPE_CHECKING:
    from multiarch.store.daemon.client import Client, EngineFailed, one_line
    from multiarch.store.daemon.daemon import Daemon, runnable
    from multiarch.store.daemon.endpoint import Endpoint, EngineUnreachable, endpoint_of

__all__ = ["Client", "Daemon", "Endpoint", "EngineFailed", "EngineUnreachable", "endpoint_of", "one_line", "runnable"]

__getattr__ = opener(
    __name__,
    {
        "client": ("Client", "EngineFailed", "one_line"),
        "daemon": ("Daemon", "runnable"),
        "endpoint": ("Endpoint", "EngineUnreachable", "endpoint_of"),
    },
)
