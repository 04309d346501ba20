"""Keys and signatures of images, as others leave them in a registry: bundles, and cosign's older tags."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from msgspec.structs import replace

from machines.bases import store_of
from multiarch_oci.artifact import Artifact
from multiarch_oci.attest.signing import Asked, signer
from multiarch_oci.attest.statement import COSIGN_SIGNATURE, statement
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import BUNDLE, CONFIG, IN_TOTO, SIMPLE_SIGNING
from multiarch_oci.reference import Reference
from multiarch_oci.store.attaching import attach
from multiarch_oci.store.referrers import listing


class Key:
    """A private key `name`.pem in a folder, its public half `name`.pub beside it."""

    def __init__(self, folder: Path, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.folder, self.file, self.public = folder, folder / f"{name}.pem", folder / f"{name}.pub"
        folder.mkdir(parents=True, exist_ok=True)
        self.file.write_bytes(self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.file.chmod(0o600)
        public = self._key.public_key()
        self.public.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        chosen = signer(Asked(self.file.name), root=folder, password=lambda: None, environment={})
        self.identity = chosen.verifier().identity
        self.signer = chosen

    def bundle(self, digest: Digest, predicate_type: str = COSIGN_SIGNATURE) -> bytes:
        """A bundle about a digest."""
        return self.signer.sign(IN_TOTO, statement(digest, "image", predicate_type, {}))

    def sign(self, image: str, predicate_type: str = COSIGN_SIGNATURE, *, about: Digest | None = None) -> None:
        """Attach a signature to what `image` names; `about` is another digest that it is of."""
        name = Reference.parse(image)
        store = store_of(name)
        subject = store.resolve(str(name.digest) if name.digest else name.tag or "latest")
        assert subject is not None
        bundle = self.bundle(about or subject.digest, predicate_type)
        put_bundle(image, subject, bundle)

    def sign_simply(self, image: str, *, about: Digest | None = None, beside: tuple[tuple[str, str], ...] = ()) -> None:
        """Sign as cosign before 3 did: a tag beside the image; `beside` are further annotations of the signature."""
        name = Reference.parse(image)
        store = store_of(name)
        subject = store.resolve(str(name.digest) if name.digest else name.tag or "latest")
        assert subject is not None
        critical = {
            "identity": {"docker-reference": name.bare.name},
            "image": {"docker-manifest-digest": str(about or subject.digest)},
            "type": "cosign container image signature",
        }
        payload = json.dumps({"critical": critical, "optional": None}).encode()
        signature = base64.b64encode(self._key.sign(payload, ec.ECDSA(hashes.SHA256()))).decode()
        noted = (("dev.cosignproject.cosign/signature", signature), *beside)
        layer = replace(Descriptor.of(SIMPLE_SIGNING, payload), annotations=noted)
        config = b'{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":[]}}'
        manifest = Manifest(Descriptor.of(CONFIG, config), (layer,))
        for descriptor, content in (
            (manifest.config, config),
            (layer, payload),
            (manifest.descriptor(), manifest.to_json()),
        ):
            store.put(descriptor, lambda content=content: io.BytesIO(content))
        store.tag(f"sha256-{subject.digest.hex}.sig", manifest.descriptor())


def put_bundle(image: str, subject: Descriptor, bundle: bytes) -> None:
    """Attach a bundle, or what is called one."""
    store = store_of(Reference.parse(image))
    made = Artifact.of(BUNDLE, subject, Descriptor.of(BUNDLE, bundle))
    attach(store, subject.digest, [(made, bundle)], before=listing(store, subject.digest))
