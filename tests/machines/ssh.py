"""A real sshd on loopback, with keys of its own: the machine at the far end of `ssh://`."""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from multiarch_oci.store.atomic import locked

from .registry import free_port
from .required import missing, required

OPTIONS = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile {folder}/pid
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
SetEnv DOCKER_HOST={docker} PATH={path}
"""


@dataclass(frozen=True)
class Far:
    """The far end: its address, and the folder with its keys."""

    folder: Path
    port: int

    @property
    def address(self) -> str:
        """The address as `endpoint=` takes it."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"

    def client(self, *, key: str = "user", known: bool = True) -> str:
        """Return a folder for PATH whose `ssh` uses this key, and knows the host or does not."""
        place = self.folder / f"client-{key}-{known}"
        place.mkdir(exist_ok=True)
        host = (self.folder / "host.pub").read_text(encoding="ascii")
        (place / "known").write_text(f"[127.0.0.1]:{self.port} {host}" if known else "", encoding="ascii")
        script = place / "ssh"
        told = f"-F none -o IdentitiesOnly=yes -i {self.folder / key} -o UserKnownHostsFile={place / 'known'}"
        script.write_text(f'#!/bin/sh\nexec {required("ssh")} {told} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
        return str(place)


@contextmanager
def serving(folder: Path, docker: str, path: str) -> Iterator[Far]:
    """Run sshd until the block ends; what runs there has `docker` as DOCKER_HOST and `path` as PATH."""
    program = required("sshd")
    for name in ("host", "user", "stranger"):
        key(folder / name)
    port = free_port()
    config = folder / "config"
    config.write_text(OPTIONS.format(port=port, folder=folder, docker=docker, path=path), encoding="utf-8")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd locks its helper in
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stderr=log)
    try:
        _wait(process, port, folder / "log")
        yield Far(folder, port)
    finally:
        process.terminate()
        process.wait(30)


def key(place: Path) -> Path:
    """Make a key without a password; its public half lies beside it."""
    command = [required("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", place.name, "-f", str(place)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return place


@contextmanager
def agent(folder: Path, name: str) -> Iterator[str]:
    """Run ssh-agent with one new key called `name`; give its socket."""
    address = str(folder / "agent")
    process = subprocess.Popen([required("ssh-agent"), "-D", "-a", address], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not Path(address).exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        environment = os.environ | {"SSH_AUTH_SOCK": address}
        subprocess.run([required("ssh-add"), "-q", str(key(folder / name))], env=environment, check=True)
        yield address
    finally:
        process.terminate()
        process.wait(30)


KEYS = """\
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
)

// Prints the comment of every key that the agent at SSH_AUTH_SOCK holds (draft-miller-ssh-agent, 4.4).
func main() {
	agent, err := net.Dial("unix", os.Getenv("SSH_AUTH_SOCK"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "no agent:", err)
		os.Exit(1)
	}
	_, _ = agent.Write([]byte{0, 0, 0, 1, 11})
	head := make([]byte, 9)
	_, _ = io.ReadFull(agent, head)
	for range binary.BigEndian.Uint32(head[5:]) {
		text(agent)
		fmt.Println(text(agent))
	}
}

func text(agent io.Reader) string {
	size := make([]byte, 4)
	_, _ = io.ReadFull(agent, size)
	said := make([]byte, binary.BigEndian.Uint32(size))
	_, _ = io.ReadFull(agent, said)
	return string(said)
}
"""


def keys(cache: Path) -> bytes:
    """Return a static program that lists the keys of the agent that it finds."""
    kept = cache / f"keys-{hashlib.sha256(KEYS.encode()).hexdigest()[:12]}"
    with locked(cache / ".keys.lock"):
        if not kept.exists():
            source = cache / "keys.go"
            source.write_text(KEYS, encoding="utf-8")
            environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": ""}
            made = kept.with_suffix(".new")
            subprocess.run([required("go"), "build", "-o", str(made), str(source)], env=environment, check=True)
            made.replace(kept)
    return kept.read_bytes()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as asking:
            if asking.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    missing("sshd", f"it did not come up:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
