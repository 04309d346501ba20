"""A connection to an engine's API by docker-py, whose errors become ours.

docker-py, which is slow to import, is imported at the first use.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from multiarch_oci.errors import MultiarchError, holds_login, quoted
from multiarch_oci.store.daemon.endpoint import Endpoint, EngineUnreachable

if TYPE_CHECKING:
    import docker

    from multiarch_oci.store.daemon.ssh import Line

_OLDEST = "1.24"
"""The API of the first question, which version the engine speaks; docker-py's own lower bound."""
_START = "start Docker or Podman, or set DOCKER_HOST to the engine's address"


class EngineFailed(MultiarchError):
    """An engine that answered could not do what it was asked for."""


class Client:
    """Connects at the first use, by TCP, TLS, the usual socket, or ssh; `seconds` is how long one answer may take.

    `environment` is ssh's.
    """

    def __init__(self, endpoint: Endpoint, environment: Mapping[str, str], *, seconds: int) -> None:
        self._endpoint = endpoint
        self._environment = environment
        self._seconds = seconds
        self._api: docker.APIClient | None = None
        self._line: Line | None = None

    def close(self) -> None:
        """End the connection; the next use makes another."""
        if self._api is not None:
            self._api.close()
            self._api = None

    @contextmanager
    def asking(self) -> Iterator[docker.APIClient]:
        """The engine's API; what it raises within the block is EngineUnreachable or EngineFailed."""
        import docker
        import requests

        where = self._endpoint.where
        try:
            if self._api is None:
                self._api = self._connected()
            yield self._api
        except docker.errors.APIError as error:
            raise EngineFailed(f"the engine says: {one_line(error.explanation or error)}", where=where) from None
        except (docker.errors.DockerException, requests.RequestException, OSError) as error:
            message = self._line.last_words() if self._line is not None else ""
            hint = self._line.hint(message) if self._line is not None else _START
            what = f"no container engine answers: {message or one_line(error)}"
            if holds_login(where):  # it would be in the words of docker-py, too
                what, where = "no container engine answers", quoted(where)[1:-1]
            raise EngineUnreachable(what, where=where, hint=hint) from None

    def _connected(self) -> docker.APIClient:
        """Ask for the engine's version with the oldest API, then speak its own.

        docker-py would ask by itself, but before its client can be told that a proxy, a .netrc and the authorities of
        the web are no matter of an engine's.
        """
        version = _OLDEST
        for known in (False, True):
            api = self._made(version)
            if not known:
                version = api.version(api_version=False)["ApiVersion"]
        return api

    def _made(self, version: str) -> docker.APIClient:
        import docker

        host, settings = self._endpoint.host, self._tls()
        by_ssh = host.startswith("ssh://")
        if host.startswith("unix://") and not hasattr(socket, "AF_UNIX"):  # Python for Windows has none
            raise OSError(f"this system has no Unix sockets: {host}")
        # Of an address with ssh docker-py wants its own ssh library: it is told another one.
        base = "tcp://ssh.invalid:2375" if by_ssh else host or None
        api = docker.APIClient(base_url=base, version=version, timeout=self._seconds, **settings)  # type: ignore[arg-type]
        api.trust_env = False
        if by_ssh:
            from multiarch_oci.store.daemon.ssh import Line, SshAdapter

            self._line = self._line or Line(host, self._environment)
            api.mount("http://", SshAdapter(self._line, self._seconds))
        return api

    def _tls(self) -> dict[str, object]:
        import docker

        tls = self._endpoint.tls
        if tls is None or not self._endpoint.host.startswith(("tcp://", "https://")):
            return {}
        authority = str(tls.authority) if tls.authority is not None else None
        pair = (str(tls.certificate[0]), str(tls.certificate[1])) if tls.certificate is not None else None
        return {"tls": docker.tls.TLSConfig(client_cert=pair, ca_cert=authority, verify=tls.verify)}


def one_line(what: object) -> str:
    """Words of others, fit for one line."""
    return " ".join(str(what).split())
