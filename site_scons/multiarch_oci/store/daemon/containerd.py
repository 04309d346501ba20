"""containerd on this machine, by its own command line `ctr`: images get in by `images import`, as into an engine.

CONTAINERD_ADDRESS and CONTAINERD_NAMESPACE say where, as they do to ctr itself; without a namespace it is `k8s.io`, in
which Kubernetes looks for images.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from multiarch_oci.digest import Digest
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference
from multiarch_oci.store.daemon.client import EngineFailed, one_line
from multiarch_oci.store.daemon.endpoint import Endpoint, EngineUnreachable

NAME = "containerd"
_NAMESPACE = "k8s.io"
_USUAL = "/run/containerd/containerd.sock"
_SECONDS = 600
_TURN_S = 0.2
_GONE = ": not found"
_NOBODY = ("cannot access socket", "connection refused", "failed to dial", "context deadline exceeded")


class Containerd:
    """As Daemon: every method raises EngineUnreachable when nobody answers, and EngineFailed when containerd says no.

    `host` is what containerd runs on: the machine that it is asked from.
    """

    def __init__(self, environment: Mapping[str, str], host: Platform) -> None:
        self._environment = dict(environment)
        self._host = host
        self._namespace = environment.get("CONTAINERD_NAMESPACE") or _NAMESPACE
        self._address = environment.get("CONTAINERD_ADDRESS") or _USUAL
        self.endpoint = Endpoint(f"{NAME}://{self._address}/{self._namespace}")

    @property
    def where(self) -> str:
        """The address, for messages."""
        return self.endpoint.where

    def platform(self) -> Platform:
        """What containers of it run on."""
        return self._host

    def load(self, archive: Path, reference: Reference) -> Digest:
        """Import a release archive; returns the digest of the manifest that it names `reference`. Idempotent."""
        self._ask(["images", "import", str(archive)])
        identity = self.identity(reference)
        if identity is None:
            raise EngineFailed(f"imported {archive}, but has no image {reference}", where=self.where)
        return identity

    def identity(self, reference: Reference) -> Digest | None:
        """The digest of the image's manifest; None when it is not there, or not wholly."""
        try:
            listing = self._ask(["images", "check", f"name=={reference.with_default_tag()}"])
        except EngineFailed as error:
            if _GONE in error.what:
                return None
            raise
        for line in listing.splitlines()[1:]:
            _, _, digest, status, *_ = line.split()
            if status == "complete":
                return Digest.parse(digest)
        return None

    def tag(self, identity: Digest, reference: Reference) -> None:
        """Let this name, too, mean the image of this digest; the name is taken from an image that has it."""
        held = self._ask(["images", "ls", "--quiet", f"target.digest=={identity}"]).split()
        name = str(reference.with_default_tag())
        if not held:
            raise EngineFailed(f"has no image {identity}", where=self.where)
        if name not in held:
            self._ask(["images", "tag", "--force", held[0], name])

    def _ask(self, question: Sequence[str]) -> str:
        program = shutil.which("ctr", path=self._environment.get("PATH", ""))
        if program is None:
            raise EngineUnreachable("there is no ctr in PATH", where=self.where, hint="it comes with containerd")
        command = [program, "--address", self._address, "--namespace", self._namespace, *question]
        try:
            status, printed, complaint = _ran(command, self._environment)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EngineUnreachable(f"ctr does not answer: {one_line(error)}", where=self.where) from None
        message = one_line(complaint.decode("utf-8", "replace"))
        if status and any(words in message for words in _NOBODY):
            hint = "start containerd, or set CONTAINERD_ADDRESS to its socket"
            raise EngineUnreachable(f"containerd does not answer: {message}", where=self.where, hint=hint)
        if status:
            raise EngineFailed(f"containerd says: {message}", where=self.where)
        return printed.decode("utf-8", "replace")


def _ran(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, bytes, bytes]:
    """Exit status, output and error output of a program that ends with who called it.

    It is waited for in turns: an exception that another thread raises in this one gets in between.
    """
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    deadline = time.monotonic() + _SECONDS
    output: tuple[bytes, bytes] | None = None
    try:
        while output is None and time.monotonic() < deadline:
            with suppress(subprocess.TimeoutExpired):
                output = process.communicate(timeout=_TURN_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if output is None:
        raise subprocess.TimeoutExpired(command, _SECONDS)
    return process.returncode, *output
