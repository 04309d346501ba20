"""Registries that differ from the letter of the distribution spec, one row a quirk: it works, or ends in one error.

Each row names who met it where. The registry is `machines/odd.py`, bent by the row.

OCI distribution spec 1.1: "Pushing blobs", "Pushing Manifests", "Mounting a blob from another repository", "Listing
Tags", "Error Codes"; RFC 9110 §8.4 (Content-Encoding), §11 (challenges), §15.4 (redirects); RFC 6750 (Bearer).
"""

from __future__ import annotations

import base64
import dataclasses
import json
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from integration.quirk_rows import QUIRKS
from integration.quirk_scene import CHUNK, Quirk, Scene
from machines import certificates
from machines.odd import Call, OddRegistry, Reply
from machines.registry import PASSWORD, USER
from multiarch_oci.errors import MultiarchError
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.exchange import Settings
from multiarch_oci.store.http.transport import Transport

QUICK = Settings(backoff=0.01, longest_pause=1.0, chunk=CHUNK, attempts=3, connect_timeout=3, read_timeout=5)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates.write(tmp_path_factory.mktemp("odd") / "certificates")


def context(authority: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(authority / "server.pem", authority / "server-key.pem")
    return made


def scene_of(quirk: Quirk, registry: OddRegistry, beside: OddRegistry, authority: Path) -> Scene:
    beside.state = registry.state
    beside.challenges = quirk.beside_challenges
    beside.bend = lambda call, usual: Reply(403) if call.query.get("signed", call.method) != call.method else usual()
    registry.challenges = quirk.challenges

    def bend(call: Call, usual: Callable[[], Reply]) -> Reply:
        reply = quirk.bend(call, usual)
        given = {name: value.replace("{beside}", beside.url) for name, value in reply.headers.items()}
        return dataclasses.replace(reply, headers=given)

    registry.bend = bend
    login = quirk.login or {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
    inline = json.dumps({"auths": {registry.host: login}})
    settings = replace(QUICK, insecure=(), ca_file=authority / "ca.pem") if quirk.tls else QUICK
    return Scene(registry, beside, Transport(settings, Credentials({"DOCKER_AUTH_CONFIG": inline}, Path("/nowhere"))))


@pytest.mark.parametrize("quirk", QUIRKS, ids=[quirk.name for quirk in QUIRKS])
def test_a_registry_with_a_quirk_is_used_or_refused_in_one_error(quirk: Quirk, authority: Path) -> None:
    other = OddRegistry(tls=context(authority) if quirk.beside_tls else None)
    with OddRegistry(tls=context(authority) if quirk.tls else None) as registry, other as beside:
        scene = scene_of(quirk, registry, beside, authority)
        if quirk.error is None:
            quirk.act(scene)
        else:
            with pytest.raises(MultiarchError) as raised:
                quirk.act(scene)
            assert str(raised.value).replace(registry.host, "HOST").replace(beside.host, "BESIDE") == quirk.error
        if quirk.after is not None:
            assert quirk.after(scene)


def test_each_quirk_is_told_by_somebody_else() -> None:
    assert len({quirk.name for quirk in QUIRKS}) == len(QUIRKS)
    assert {quirk.source.partition("/")[0] for quirk in QUIRKS} == {"https:"}
