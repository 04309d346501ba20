"""A Docker engine behind ssh, as the docker command line reaches it: `ssh HOST docker system dial-stdio`.

docker-py does it by a library of its own (paramiko), which is not there and knows less of ssh's settings than ssh does.
Here it is the user's own ssh, with his keys, agent, jump hosts and known hosts; it asks nothing, so a build never waits
for a password. This module loads docker-py: import it where it is used.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from io import BufferedRandom
from typing import IO, Any, cast
from urllib.parse import urlsplit

from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool

from multiarch_oci.digest import BLOCK
from multiarch_oci.store.daemon.endpoint import EngineUnreachable

_OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "-T")
_LAST_WORDS_S = 5
_HINTS = {
    "host key verification failed": "run '{ssh}' once by hand and accept its key, or add it to known_hosts",
    "permission denied": "a build types no password: 'ssh-add' your key, or name it in ~/.ssh/config",
    "could not resolve": "is the name right? '{ssh}' must work by hand",
    "command not found": "docker must be in the PATH that a command run by ssh has there",
    "not recognized": "docker must be in the PATH that a command run by ssh has there",
}
_HINT = "'{ssh} docker version' must work by hand"


class Line:
    """How to reach one host: ssh's command line, and what it said last."""

    def __init__(self, address: str, environment: Mapping[str, str]) -> None:
        """Raise EngineUnreachable when there is no ssh, or the address is none."""
        self.address = address
        self.environment = dict(environment)
        self._last: Connection | None = None
        self.by_hand, words = _words(address)
        program = shutil.which("ssh", path=environment.get("PATH", ""))
        if program is None:
            raise EngineUnreachable("there is no ssh in PATH", where=address, hint="install OpenSSH's client")
        self.command = (program, *_OPTIONS, *words)

    def connect(self) -> socket.socket:
        """Start ssh; what is written to the socket goes to the engine. OSError when ssh cannot be started."""
        self._last = Connection(self.command, self.environment)
        return self._last.near

    def last_words(self) -> str:
        """What ssh complained of, in one line; empty when it did not."""
        return "" if self._last is None else self._last.last_words()

    def hint(self, message: str) -> str:
        """What to do about a complaint."""
        hints = (hint for words, hint in _HINTS.items() if words in message.lower())
        return next(hints, _HINT).format(ssh=self.by_hand)


class Connection:
    """One ssh process with a socket to it. Pipes are no sockets on Windows, so two threads carry the bytes."""

    def __init__(self, command: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self._messages: deque[str] = deque(maxlen=5)
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=dict(environment))
        self.near, self._far = socket.socketpair()
        self._threads = [threading.Thread(target=task, daemon=True) for task in (self._up, self._down, self._listen)]
        for thread in self._threads:
            thread.start()

    def last_words(self) -> str:
        """What ssh printed to its error output; waits a moment for its end, which is why somebody asks."""
        self._threads[-1].join(_LAST_WORDS_S)
        return " ".join(" ".join(self._messages).split())

    def _up(self) -> None:
        sink = _open(self._process.stdin)
        with suppress(OSError):
            while block := self._far.recv(BLOCK):
                sink.write(block)
                sink.flush()
        with suppress(OSError):
            sink.close()

    def _down(self) -> None:
        with _open(self._process.stdout) as stream, suppress(OSError):
            while block := stream.read1(BLOCK):
                self._far.sendall(block)
        with suppress(OSError):
            self._far.shutdown(socket.SHUT_RDWR)
        self._process.wait()
        self._far.close()

    def _listen(self) -> None:
        with _open(self._process.stderr) as stream:
            for line in stream:
                self._messages.append(line.decode("utf-8", "replace").strip())


def _open(pipe: IO[bytes] | None) -> BufferedRandom:
    assert pipe is not None  # noqa: S101  # Popen was asked for it
    return cast("BufferedRandom", pipe)  # one direction of it


def _words(address: str) -> tuple[str, tuple[str, ...]]:
    """How one would say it by hand, and the words behind ssh's options: `ssh://[user@]host[:port][/socket]`."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or host.startswith("-") or parts.password or parts.query or parts.fragment:
        raise EngineUnreachable(
            f"'{address}' is no address of an engine", hint="it is ssh://[user@]host[:port][/path/of/its/socket]"
        )
    user = ("-l", parts.username) if parts.username else ()
    where = ("-p", str(port)) if port else ()
    there = ("--host", f"unix://{parts.path}") if parts.path.strip("/") else ()
    by_hand = " ".join(("ssh", *where, f"{parts.username}@{host}" if parts.username else host))
    return by_hand, (*user, *where, "--", host, "docker", *there, "system", "dial-stdio")


class _OneConnection(UnixHTTPConnection):
    line: Line

    def connect(self) -> None:
        self.sock = self.line.connect()
        self.sock.settimeout(self.timeout)


class _Pool(UnixHTTPConnectionPool):
    line: Line

    def _new_conn(self) -> Any:  # noqa: ANN401  # a class of urllib3, which is not imported here
        made = _OneConnection(self.base_url, self.socket_path, cast("int", self.timeout))
        made.line = self.line
        return made


class SshAdapter(UnixHTTPAdapter):
    """What docker-py's client sends its requests by; connections are kept and used again."""

    def __init__(self, line: Line, seconds: int) -> None:
        super().__init__("http+unix://ssh", seconds)
        self.line = line

    def get_connection(self, url: object, proxies: object = None) -> Any:  # noqa: ANN401  # as above
        """As requests' adapters have it; a proxy is ssh's own matter."""
        del proxies, url
        with self.pools.lock:
            pool = self.pools.get(self.line.address)
            if pool is None:
                pool = self.pools[self.line.address] = _Pool("http://ssh.invalid", "", self.timeout)
                pool.line = self.line
            return pool
