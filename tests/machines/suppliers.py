"""Other people's tools that read what refers to images: cosign verifies it, oras lists it. Keys for them."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .required import go_tool, required

COSIGN = ("github.com/sigstore/cosign/v3/cmd/cosign", "v3.1.3")
ORAS = ("oras.land/oras/cmd/oras", "v1.3.6")

TYPES = {
    "https://slsa.dev/provenance/v1": "slsaprovenance1",
    "https://spdx.dev/Document": "spdxjson",
    "https://cyclonedx.org/bom": "cyclonedx",
}
"""What cosign calls predicate types."""


def build_tools(cache: Path) -> None:
    """Build what comes as source alone, minutes of work, so that it is there when a test wants it."""
    go_tool(*ORAS, cache)
    go_tool(*COSIGN, cache)


@dataclass(frozen=True)
class Keys:
    """A private key as a file that only its owner reads, and its public half."""

    private: Path
    public: Path

    @classmethod
    def make(cls, folder: Path, name: str = "key", *, kind: str = "EC") -> Keys:
        """Make a pair by openssl; `kind` is EC (P-256) or ED25519."""
        private, public = folder / f"{name}.pem", folder / f"{name}-public.pem"
        options = ("-pkeyopt", "ec_paramgen_curve:P-256") if kind == "EC" else ()
        openssl = required("openssl")
        subprocess.run([openssl, "genpkey", "-algorithm", kind, *options, "-out", str(private)], check=True)
        subprocess.run([openssl, "pkey", "-in", str(private), "-pubout", "-out", str(public)], check=True)
        private.chmod(0o600)
        return cls(private, public)


@dataclass(frozen=True)
class Cosign:
    """cosign 3, with a home of its own and nobody on the network to ask."""

    program: Path
    home: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it, whatever it says."""
        environment = os.environ | {"HOME": str(self.home), "COSIGN_PASSWORD": ""}
        command = [str(self.program), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=self.home, check=False, timeout=120
        )

    def verify(self, reference: str, keys: Keys) -> bool:
        """Say whether it takes a reference for signed."""
        return self.run("verify", "--key", str(keys.public), *OFFLINE, reference).returncode == 0

    def attestations(self, reference: str, keys: Keys, predicate_type: str) -> list[dict[str, object]]:
        """Return the statements of a type that it verifies; none when it refuses."""
        type_ = TYPES[predicate_type]
        told = self.run("verify-attestation", "--key", str(keys.public), "--type", type_, *OFFLINE, reference)
        lines = [json.loads(line) for line in told.stdout.splitlines() if line.startswith("{")]
        return [json.loads(base64.b64decode(line["payload"])) for line in lines] if told.returncode == 0 else []

    def sign(
        self, reference: str, *, keys: Keys | None = None, older: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Sign with a key, of its own where none is given, that is made for it; `older` as versions before 3 did."""
        if keys is not None:
            self.run("import-key-pair", "--key", str(keys.private), "--output-key-prefix", "theirs")
        elif not (self.home / "theirs.key").exists():
            self.run("generate-key-pair", "--output-key-prefix", "theirs")
        config = self.home / "signing.json"
        config.write_text('{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json"}', encoding="utf-8")
        how = ("--signing-config", str(config))
        if older:
            how = ("--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false")
        key = str(self.home / "theirs.key")
        return self.run("sign", "--yes", "--key", key, *how, "--allow-http-registry", reference)


OFFLINE = ("--insecure-ignore-tlog=true", "--allow-http-registry")


def cosign(cache: Path, home: Path) -> Cosign:
    """Return cosign, built from its pinned module at first use."""
    home.mkdir(parents=True, exist_ok=True)
    return Cosign(go_tool(*COSIGN, cache), home)


def discovered(cache: Path, reference: str, *, layout: bool = False) -> dict[str, list[str]]:
    """Return what `oras discover` lists: digests by artifact type."""
    how = ("--oci-layout",) if layout else ("--plain-http",)
    command = [str(go_tool(*ORAS, cache)), "discover", *how, "--format", "json", reference]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    listed: dict[str, list[str]] = {}
    for referrer in told.get("referrers") or told.get("manifests") or []:
        listed.setdefault(referrer["artifactType"], []).append(referrer["digest"])
    return listed


def pulled(cache: Path, reference: str, folder: Path) -> dict[str, bytes]:
    """Return what `oras pull` writes into a folder: contents by their names."""
    command = [str(go_tool(*ORAS, cache)), "pull", "--plain-http", "--output", str(folder), reference]
    subprocess.run(command, capture_output=True, check=True)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
