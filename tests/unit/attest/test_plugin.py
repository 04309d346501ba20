"""Programs that sign: what they are given, and that what they give is believed no more than a stranger's."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from multiarch_oci.attest import plugin
from multiarch_oci.attest.plugin import PluginFailed
from multiarch_oci.attest.signing import Asked, Signer, UnknownSigner, signer
from multiarch_oci.attest.statement import COSIGN_SIGNATURE, statement
from multiarch_oci.digest import Digest
from multiarch_oci.document import UnreadableFile
from multiarch_oci.mediatype import IN_TOTO
from unit.attest.test_signing import make, never, write, write_public

SUBJECT = Digest.of(b"an index")
PAYLOAD = statement(SUBJECT, "registry.example/app", COSIGN_SIGNATURE, {"text": "x" * 200_000})
SITE = Path(plugin.__file__).parents[2]

SIGNS = """
import base64, json, sys
from pathlib import Path
sys.path.insert(0, {site!r})
from multiarch_oci.attest.signing import Asked, signer
request = json.load(sys.stdin)
assert request["version"] == 1 and request["subject"].startswith("sha256:"), request
payload = base64.b64decode(request["payload"])
{change}
key = signer(Asked("key.pem"), root=Path({folder!r}), password=lambda: None, environment={{}})
sys.stdout.buffer.write(key.sign(request["payloadType"], payload))
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the programs are scripts")


def plugin_of(folder: Path, body: str, environment: dict[str, str] | None = None) -> Signer:
    """Make a signer of a Python program."""
    key = make("p256")
    write(folder / "key.pem", key)
    write_public(folder / "trusted.pub", key)
    program = folder / "my plugin"
    program.write_text(f"#!{sys.executable}\n{body}", encoding="utf-8")
    program.chmod(0o755)
    return signer(
        Asked("plugin:./my plugin", "trusted.pub"),
        root=folder,
        password=never,
        environment=dict(os.environ) if environment is None else environment,
    )


def signing(folder: Path, change: str = "") -> str:
    return SIGNS.format(site=str(SITE), folder=str(folder), change=change)


def test_a_plugin_signs_what_it_is_given(tmp_path: Path):
    chosen = plugin_of(tmp_path, signing(tmp_path))
    verified = chosen.verifier().verify(chosen.sign(IN_TOTO, PAYLOAD), subject=SUBJECT)
    assert verified.payload == PAYLOAD


def test_a_plugin_is_found_in_path_and_its_environment_is_the_users(tmp_path: Path):
    body = f"import os\nassert os.environ['COSIGN_PASSWORD'] == 'hunter2'\n{signing(tmp_path)}"
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "COSIGN_PASSWORD": "hunter2"}
    plugin_of(tmp_path, body, environment)
    asked = Asked("plugin:my plugin", "trusted.pub")
    assert signer(asked, root=tmp_path, password=never, environment=environment).sign(IN_TOTO, PAYLOAD)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("payload = payload.replace(b'app', b'xpp')", "signed something else than it was given"),
        (f"payload = payload.replace(b'{SUBJECT.hex}', b'0' * 64)", "is about sha256:000"),
        ("request['payloadType'] = 'text/plain'", "is of type 'text/plain'"),
        ("payload = b'{}'", "its bundle"),
        ("sys.exit(3)", "ended with status 3"),
        ("print('{}'); sys.exit()", "its bundle: is not of type"),
        ("sys.exit()", "its bundle: is not JSON"),
        ("sys.stdout.write('x' * (1 << 20) + 'x')", "gave more than 1048576 bytes"),
        ("print('hello')", "its bundle: is not JSON"),
    ],
)
def test_what_is_no_signature_of_what_it_was_given_is_an_error(tmp_path: Path, change: str, words: str):
    with pytest.raises(PluginFailed) as raised:
        plugin_of(tmp_path, signing(tmp_path, change)).sign(IN_TOTO, PAYLOAD)
    assert words in str(raised.value)
    assert raised.value.where == "SIGN=plugin:./my plugin"


def test_another_key_than_that_of_sign_key_is_an_error(tmp_path: Path):
    chosen = plugin_of(tmp_path, signing(tmp_path))
    write(tmp_path / "key.pem", make("ed25519"))
    with pytest.raises(PluginFailed, match="is signed by another key"):
        chosen.sign(IN_TOTO, PAYLOAD)


def test_a_plugin_that_reads_nothing_or_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(PluginFailed, match="its bundle"):
        plugin_of(tmp_path, "import os; os.close(0)").sign(IN_TOTO, PAYLOAD)
    (tmp_path / "my plugin").unlink()
    with pytest.raises(PluginFailed, match="there is no such program"):
        signer(Asked("plugin:./my plugin", "trusted.pub"), root=tmp_path, password=never, environment={}).sign(
            IN_TOTO, PAYLOAD
        )


def test_a_plugin_that_does_not_end_is_ended_with_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plugin, "TIME_S", 1.5)
    body = "import subprocess, sys\nprint(1, flush=True)\nsubprocess.run(['sleep', '987.25'])"
    start = time.monotonic()
    with pytest.raises(PluginFailed, match="did not end within"):
        plugin_of(tmp_path, body).sign(IN_TOTO, PAYLOAD)
    assert time.monotonic() - start < 20
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [command for command in commands if b"987.25" in command]


def test_a_plugin_needs_somebody_to_verify_it_by(tmp_path: Path):
    for asked in (
        Asked("plugin:x"),
        Asked("plugin:", "key.pub"),
        Asked("keyless"),
        Asked("plugin:x", "a", "b,https://c"),
    ):
        with pytest.raises((UnknownSigner, UnreadableFile)):
            signer(asked, root=tmp_path, password=never, environment={})
