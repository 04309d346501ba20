"""A real registry on a free loopback port, in a folder of its own, ended by its process id."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .required import go_tool

DISTRIBUTION = ("github.com/distribution/distribution/v3/cmd/registry", "v3.0.0")

# The one account of registries with Basic authentication; bcrypt at the lowest cost, as `htpasswd -B -C 4` writes it.
USER, PASSWORD = "tester", "correct horse"
HTPASSWD = f"{USER}:$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e\n"

MANIFEST_TYPES = ", ".join(  # noqa: FLY002 - one type a line reads better
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
# A registry on loopback is never behind the proxy that the machine may have.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
LOGGED = re.compile(r'"([A-Z]+) (\S+) HTTP/[0-9.]+" (\d{3}) ')


@dataclass(frozen=True)
class Request:
    """One line of the registry's access log."""

    method: str
    path: str
    status: int


def registry_program(cache: Path, flavour: str) -> list[str]:
    """Return the command that serves: `debian` is docker-registry from PATH when there, `v3` is always our own."""
    found = shutil.which("docker-registry") if flavour == "debian" else None
    return [found or str(go_tool(*DISTRIBUTION, cache))]


def free_port() -> int:
    """Return a loopback port that was free a moment ago; another process may take it, so callers retry."""
    with hold_port() as probe:
        return int(probe.getsockname()[1])


def hold_port(port: int = 0) -> socket.socket:
    """Keep a loopback port, by default any free one, as one that refuses: the system gives it to nobody else.

    Else what asks a server that was stopped could meet that of a test beside it, which asked for any port.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", port))  # and does not listen
    return held


class Registry:
    """One running registry. `host` stays the same over `stop` and `start`."""

    def __init__(self, program: list[str], folder: Path, auth: dict[str, Any] | None = None) -> None:
        self.storage = folder / "storage"
        self.storage.mkdir(parents=True)
        self.folder = folder
        self.log = folder / "log"
        self._program = program
        self._auth = auth
        self._process: subprocess.Popen[bytes] | None = None
        self._held: socket.socket | None = None
        self._seen = 0  # of the log, in bytes
        self._port = 0
        self._instance = secrets.token_hex(8)
        self._start_anywhere()

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`, as it stands in references."""
        return f"127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """The root of the registry."""
        return f"http://{self.host}"

    def start(self) -> None:
        """Serve again, on the same port and storage; nothing happens when it runs already."""
        if self._held is not None:
            self._held.close()
            self._held = None
        if self._process is None and not self._serve():
            raise RuntimeError(f"the registry did not come back on {self.host}:\n{self._tail()}")

    def stop(self) -> None:
        """End the process; connections to the port are refused from now on. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._held = hold_port(self._port)

    def empty(self) -> None:
        """Throw away every repository and blob, while it runs: all at once, also where it is just being written to."""
        aside = self.folder / f"thrown-away-{secrets.token_hex(4)}"
        with contextlib.suppress(FileNotFoundError):
            (self.storage / "docker").rename(aside)
            shutil.rmtree(aside, ignore_errors=True)  # what is still being written there is in nobody's way

    def requests(self) -> list[Request]:
        """Return what was asked since the last call of `requests`, the oldest first, our own questions included."""
        settled = self._settle()
        fresh = self._fresh()
        self._seen += len(fresh)
        lines = LOGGED.finditer(fresh.decode(errors="replace"))
        return [Request(m[1], m[2], int(m[3])) for m in lines if m[2] != settled]

    def _fresh(self) -> bytes:
        """Return what the log holds behind what was seen; the log of a whole session is many megabytes."""
        with self.log.open("rb") as log:
            log.seek(self._seen)
            return log.read()

    def _settle(self) -> str:
        """Wait until a question of our own stands in the log: what was answered before it is written there by then."""
        path = f"/v2/?settled={secrets.token_hex(8)}"
        if self._process is None:
            return path
        connection = http.client.HTTPConnection(self.host, timeout=10)
        try:
            connection.request("GET", path)
            connection.getresponse().read()
        finally:
            connection.close()
        end = time.monotonic() + 10
        while path.encode() not in self._fresh():
            assert time.monotonic() < end, f"{self.log} lacks a request that was answered"
            time.sleep(0.002)
        return path

    def repository(self, name: str) -> Path:
        """Return the folder that the registry keeps for a repository."""
        return self.storage / "docker" / "registry" / "v2" / "repositories" / name

    def blob(self, digest: str) -> Path:
        """Return the file that holds the bytes of a blob, for all repositories: to be damaged or removed."""
        algorithm, encoded = digest.split(":")
        return self.storage / "docker" / "registry" / "v2" / "blobs" / algorithm / encoded[:2] / encoded / "data"

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository, sorted; none when the repository is unknown."""
        folder = self.repository(repository) / "_manifests" / "tags"
        return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []

    def delete_tag(self, repository: str, tag: str) -> None:
        """Take away one tag and leave its manifest: the API of 2.8 cannot, so it is done in the storage."""
        shutil.rmtree(self.repository(repository) / "_manifests" / "tags" / tag)

    def delete_manifest(self, repository: str, digest: str) -> None:
        """Take away a manifest, and with it all tags that name it, by the API."""
        self.ask("DELETE", f"/v2/{repository}/manifests/{digest}")

    def digest(self, repository: str, tag: str) -> str | None:
        """Return the digest that a tag names now; None when the tag is absent."""
        try:
            return str(self.ask("HEAD", f"/v2/{repository}/manifests/{tag}")[1]["Docker-Content-Digest"])
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def manifest(self, repository: str, name: str) -> tuple[bytes, str]:
        """Return the exact bytes and the media type of a manifest or index, by tag or digest."""
        content, headers = self.ask("GET", f"/v2/{repository}/manifests/{name}")
        return content, str(headers["Content-Type"])

    def json(self, repository: str, name: str) -> Any:
        """Return a manifest or index as parsed JSON."""
        return json.loads(self.manifest(repository, name)[0])

    def put_manifest(self, repository: str, tag: str, content: bytes, media_type: str) -> str:
        """Put a manifest under a tag, as anybody else would do; return its digest."""
        headers = self.ask("PUT", f"/v2/{repository}/manifests/{tag}", content, {"Content-Type": media_type})[1]
        return str(headers["Docker-Content-Digest"])

    def move_tag(self, repository: str, tag: str, to: str) -> str:
        """Make `tag` name what `to` (a tag or digest of the same repository) names; return the digest."""
        return self.put_manifest(repository, tag, *self.manifest(repository, to))

    def put_blob(self, repository: str, content: bytes, digest: str) -> None:
        """Upload one blob in one request."""
        location = str(self.ask("POST", f"/v2/{repository}/blobs/uploads/", b"")[1]["Location"])
        path = location.removeprefix(self.url)
        glue = "&" if "?" in path else "?"
        self.ask("PUT", f"{path}{glue}digest={digest}", content, {"Content-Type": "application/octet-stream"})

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[bytes, Any]:
        """Send one request, with the test account's password where there is one.

        Raises:
            urllib.error.HTTPError: any answer of 400 and more.
        """
        request = urllib.request.Request(self.url + path, data=body, method=method)  # noqa: S310 - always http
        request.add_header("Accept", MANIFEST_TYPES)
        if self._auth and "htpasswd" in self._auth:
            secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            request.add_header("Authorization", f"Basic {secret}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        with OPENER.open(request, timeout=30) as answer:
            return answer.read(), answer.headers

    def _start_anywhere(self) -> None:
        for _ in range(10):
            self._port = free_port()
            if self._serve():
                return
        raise RuntimeError(f"no registry came up:\n{self._tail()}")

    def _serve(self) -> bool:
        """Start the process and wait until it answers; False when it ended instead, as when its port was taken."""
        settings: dict[str, Any] = {
            "version": 0.1,
            "log": {"level": "warn"},
            # No descriptor cache: tests take things out of the storage behind the registry's back.
            "storage": {
                "filesystem": {"rootdirectory": str(self.storage)},
                "delete": {"enabled": True},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            # As a registry must be set up for Windows bases whose layers Microsoft keeps.
            "validation": {"manifests": {"urls": {"allow": ["^https://mcr\\.microsoft\\.com/"]}}},
            "http": {
                "addr": self.host,
                "secret": "the same over restarts",
                "headers": {"X-Instance": [self._instance]},
            },
        }
        if self._auth:
            settings["auth"] = self._auth
        config = self.folder / "config.yml"
        config.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
        environment = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
        environment["OTEL_TRACES_EXPORTER"] = "none"
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*self._program, "serve", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            if self._answers():
                self._process = process
                return True
            time.sleep(0.02)
        process.kill()
        process.wait()
        return False

    def _answers(self) -> bool:
        """Say whether it is this registry that answers, not another process that took the port first."""
        try:
            with OPENER.open(self.url + "/v2/", timeout=2) as answer:
                return bool(answer.headers["X-Instance"] == self._instance)
        except urllib.error.HTTPError as error:
            return bool(error.headers["X-Instance"] == self._instance)
        except OSError:
            return False

    def _tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-2000:] if self.log.exists() else ""
