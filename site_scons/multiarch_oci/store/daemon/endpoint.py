"""Where an engine is, found as the docker command line finds it (docker/cli, cli/context/store)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from multiarch_oci.digest import Digest
from multiarch_oci.document import Document
from multiarch_oci.errors import MultiarchError

_USUAL = "the usual socket"


class EngineUnreachable(MultiarchError):
    """No engine answers where it should be."""


class Tls(msgspec.Struct, frozen=True):
    """Files for TLS, None for those that are not there; without `verify` any certificate of the engine will do."""

    authority: Path | None
    certificate: tuple[Path, Path] | None
    verify: bool


class Endpoint(msgspec.Struct, frozen=True):
    """An address as DOCKER_HOST has it, empty for the usual socket; `context` names the one that says it."""

    host: str = ""
    tls: Tls | None = None
    context: str = ""

    @property
    def where(self) -> str:
        """The address for messages."""
        return self.host or _USUAL


def endpoint_of(environment: Mapping[str, str]) -> Endpoint:
    """DOCKER_HOST's engine, else DOCKER_CONTEXT's, else that of the config's context, else the usual one.

    `environment` also holds DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, DOCKER_CONFIG and HOME (USERPROFILE on Windows).
    EngineUnreachable for a context that is not there.
    """
    home = environment.get("HOME") or environment.get("USERPROFILE")
    configured = environment.get("DOCKER_CONFIG")
    folder = Path(configured) if configured else Path(home, ".docker") if home else None
    host = environment.get("DOCKER_HOST")
    if host:
        return Endpoint(host, _tls(environment, folder))
    name = environment.get("DOCKER_CONTEXT") or _current(folder)
    if not name or name == "default":
        return Endpoint()
    return _of_context(name, folder)


def _tls(environment: Mapping[str, str], folder: Path | None) -> Tls | None:
    """TLS as the variables say it: DOCKER_TLS_VERIFY alone turns it on, with the files of the config's folder."""
    given = environment.get("DOCKER_CERT_PATH")
    verify = bool(environment.get("DOCKER_TLS_VERIFY"))
    if not given and not verify:
        return None
    return _files(Path(given) if given else folder, verify=verify)


def _files(folder: Path | None, *, verify: bool) -> Tls:
    authority, certificate, key = (_there(folder, f"{name}.pem") for name in ("ca", "cert", "key"))
    return Tls(authority, (certificate, key) if certificate and key else None, verify)


def _there(folder: Path | None, name: str) -> Path | None:
    return folder / name if folder is not None and (folder / name).is_file() else None


def _current(folder: Path | None) -> str | None:
    """The config's context; a broken config is an error of those who need it."""
    if folder is None:
        return None
    try:
        return Document.parse((folder / "config.json").read_bytes(), where="config.json").text("currentContext")
    except (OSError, MultiarchError):
        return None


def _of_context(name: str, folder: Path | None) -> Endpoint:
    contexts = Path(folder or "", "contexts")
    key = Digest.of(name.encode()).hex
    file = contexts / "meta" / key / "meta.json"
    try:
        endpoints = Document.parse(file.read_bytes(), where=str(file)).nested("Endpoints")
    except OSError:
        raise EngineUnreachable(
            f"docker's context '{name}' is not there", hint="docker context ls names them; or set DOCKER_HOST"
        ) from None
    engine = None if endpoints is None else endpoints.nested("docker")
    host = None if engine is None else engine.text("Host")
    if engine is None or not host:
        return Endpoint(context=name)
    kept = contexts / "tls" / key / "docker"
    return Endpoint(
        host, _files(kept, verify=engine.members.get("SkipTLSVerify") is not True) if kept.is_dir() else None, name
    )
