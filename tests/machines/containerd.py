"""A real containerd with a folder and a socket of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .builders import serving
from .engine import Tool
from .required import missing, required

CONFIG = """\
version = 2
root = "{folder}/data"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{folder}/sock"
[ttrpc]
  address = "{folder}/sock.ttrpc"
"""


@contextmanager
def containerd(folder: Path) -> Iterator[tuple[dict[str, str], Tool]]:
    """Run containerd; give the variables with which ctr finds it, and ctr in the namespace of Kubernetes."""
    program, ctr = required("containerd"), required("ctr")
    if os.geteuid() != 0:
        missing("containerd", "it wants root")
    config = folder / "config.toml"
    config.write_text(CONFIG.format(folder=folder), encoding="utf-8")
    address = str(folder / "sock")
    variables = {"CONTAINERD_ADDRESS": address}
    with serving([program, "--config", str(config)], folder, [ctr, "--address", address, "version"], dict(os.environ)):
        yield variables, Tool(ctr, "--address", address, "--namespace", "k8s.io")
