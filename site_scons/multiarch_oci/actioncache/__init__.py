"""Entries of a shared cache: what a step made, by the digest of everything that it was made from.

An entry is an OCI image manifest with an `artifactType` of ours and the empty config (image spec 1.1, manifest.md,
"Guidelines for Artifact Usage"), under a tag that is its key. Its layers are what the step made: the files of a
program; of an image its own layers with their diff_ids, and the config. The image's manifest stands in an annotation,
as text, and is no content of its own: who deletes an entry takes no tag of an image along. What was put in is named,
never shown: a build argument may be a secret.

Nothing in an entry is trusted but by a signature (`signing`): whoever may write to the cache may write any entry.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from multiarch_oci.artifact import EMPTY_CONFIG, EMPTY_CONTENT
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest, DigestMismatch
from multiarch_oci.document import LIMIT, Document, InvalidDocument, canonical, key_of
from multiarch_oci.errors import MultiarchError
from multiarch_oci.mediatype import ACTION, ACTION_LIST, MANIFEST

PREFIX = "cache-"
"""How the tag of an entry begins; the key follows."""
_FORMAT = "multiarch action 1"
_OURS = "multiarch."
_KEY, _KIND, _SCOPE, _NAMES = (f"{_OURS}{word}" for word in ("key", "kind", "scope", "facts"))
_SIGNATURE, _IMAGE, _ROOT = (f"{_OURS}{word}" for word in ("signature", "image", "image.annotations"))
_EXECUTABLE, _HEAD, _DIFF_ID = (f"{_OURS}{word}" for word in ("executable", "head", "diff_id"))
_TITLE = "org.opencontainers.image.title"
_MAX_OUTPUTS = 1000
_MAX_NAMES = 4096
_INLINE = 32 << 10
"""Bytes of a config that stand in the entry itself, so that reading it is one request."""


class NoEntry(MultiarchError):
    """An entry that counts for nothing: damaged, of another key, or not signed."""


class Key(msgspec.Struct, frozen=True):
    """What an entry is called: the kind of step, the digest of all its facts, the scope that builds are kept apart by.

    `facts` is hexadecimal. Two kinds or scopes never share an entry.
    """

    kind: str
    facts: str
    scope: str = ""

    @property
    def hex(self) -> str:
        """The key as one digest, in hexadecimal."""
        return key_of([_FORMAT, self.kind, self.scope, self.facts])

    @property
    def tag(self) -> str:
        """The tag of the entry."""
        return f"{PREFIX}{self.hex}"


class Output(msgspec.Struct, frozen=True):
    """A file that a step made, or a blob of an image: its content, and what a file system says of it.

    `head` is the beginning of a program, as far as it says for which machine that is (`executable.essential`).
    """

    descriptor: Descriptor
    name: str = ""
    executable: bool = False
    head: bytes = b""
    diff_id: Digest | None = None
    data: bytes | None = None

    @classmethod
    def from_json(cls, document: Document) -> Output:
        """Read one of the layers of an entry; InvalidDocument, DigestMismatch for an embedded content that is wrong."""
        descriptor = Descriptor.from_json(document)
        noted = dict(descriptor.annotations)
        _check_text(noted, document.where)
        data = _decoded(document.text("data"), document.where)
        if data is not None and (len(data) != descriptor.size or Digest.of(data) != descriptor.digest):
            raise DigestMismatch(f"holds other bytes than those of {descriptor.digest}", where=document.where)
        return cls(
            descriptor.bare(),
            noted.get(_TITLE, ""),
            noted.get(_EXECUTABLE) == "yes",
            _decoded(noted.get(_HEAD), document.where) or b"",
            Digest.parse(noted[_DIFF_ID]) if _DIFF_ID in noted else None,
            data,
        )

    def to_json(self) -> dict[str, object]:
        """The descriptor with what else is known as annotations, and small content within (descriptor.md, `data`)."""
        noted = {
            _TITLE: self.name,
            _EXECUTABLE: "yes" if self.executable else "",
            _HEAD: base64.b64encode(self.head).decode(),
            _DIFF_ID: str(self.diff_id or ""),
        }
        pairs = tuple((name, value) for name, value in noted.items() if value)
        members = replace(self.descriptor, annotations=pairs).to_json()
        if self.data is not None and len(self.data) <= _INLINE:
            members["data"] = base64.b64encode(self.data).decode()
        return members


class ImageText(msgspec.Struct, frozen=True):
    """The manifest of an image, byte for byte, and the annotations under which its tarball lists it."""

    manifest: bytes
    annotations: tuple[tuple[str, str], ...] = ()


class Entry(msgspec.Struct, frozen=True):
    """What a step made. `names` are those of what it was made from; `signature` is a bundle over all the rest."""

    key: Key
    outputs: tuple[Output, ...]
    image: ImageText | None = None
    names: tuple[str, ...] = ()
    signature: str = ""

    @classmethod
    def from_json(cls, content: bytes, key: Key, *, where: str) -> Entry:
        """Read the entry of `key`. NoEntry for a manifest of somebody else's, or of another key; InvalidDocument."""
        document = Document.parse(content, where=where)
        noted = dict(document.pairs("annotations"))
        _check_text(noted, where)
        named = tuple(noted.get(name, "") for name in (_KEY, _KIND, _SCOPE))
        if document.text("artifactType") != ACTION or named != (key.hex, key.kind, key.scope):
            raise NoEntry("is not the entry of this key", where=where)
        layers = document.objects("layers")
        if len(layers) > _MAX_OUTPUTS:
            raise NoEntry(f"names {len(layers)} outputs", where=where)
        image = None
        if _IMAGE in noted:
            root = Document.parse(noted.get(_ROOT, "{}").encode(), where=where)
            pairs = Document({"annotations": root.members}, where).pairs("annotations")
            image = ImageText(noted[_IMAGE].encode(), pairs)
        names = tuple(filter(None, noted.get(_NAMES, "").split(", ")))
        return cls(key, tuple(map(Output.from_json, layers)), image, names, noted.get(_SIGNATURE, ""))

    def signed(self) -> bytes:
        """What a signature is over: key, scope and outputs, and all else that the entry says."""
        return replace(self, signature="").to_json()

    def to_json(self) -> bytes:
        """The manifest; equal entries are equal bytes. Raises NoEntry above the size that registries take."""
        noted: dict[str, str] = {_KEY: self.key.hex, _KIND: self.key.kind}
        if self.key.scope:
            noted[_SCOPE] = self.key.scope
        if self.names:
            noted[_NAMES] = _shortened(self.names)
        if self.image is not None:
            noted[_IMAGE] = self.image.manifest.decode()
            if self.image.annotations:
                noted[_ROOT] = canonical(dict(self.image.annotations)).decode()
        if self.signature:
            noted[_SIGNATURE] = self.signature
        layers = [output.to_json() for output in self.outputs] or [EMPTY_CONFIG.to_json()]
        content = manifest_of(ACTION, layers, annotations=noted)
        if len(content) > LIMIT:
            raise NoEntry(f"would be {len(content)} bytes; registries take {LIMIT}", where=self.key.tag)
        return content

    def output(self, digest: Digest) -> Output | None:
        """The output with this content; None where the entry has none such."""
        return next((output for output in self.outputs if output.descriptor.digest == digest), None)


def manifest_of(artifact_type: str, layers: list[dict[str, object]], **further: object) -> bytes:
    """A manifest of ours, with `further` members; the empty config stands within, too (descriptor.md, `data`)."""
    members = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type,
        "config": {**EMPTY_CONFIG.to_json(), "data": base64.b64encode(EMPTY_CONTENT).decode()},
        "layers": layers,
        **further,
    }
    return canonical(members)


def sizes(content: bytes, *, where: str) -> Mapping[Digest, int] | None:
    """The blobs that a manifest of ours names and their sizes in bytes; None for what is not ours. InvalidDocument."""
    document = Document.parse(content, where=where)
    if document.text("artifactType") not in (ACTION, ACTION_LIST):
        return None
    return {layer.digest: layer.size for layer in map(Descriptor.from_json, document.objects("layers"))}


def _check_text(noted: Mapping[str, str], where: str) -> None:
    """Raise InvalidDocument for text that UTF-8 cannot hold: JSON can."""
    try:
        "".join((*noted, *noted.values())).encode()
    except UnicodeEncodeError:
        raise InvalidDocument("holds text that is not UTF-8", where=where) from None


def _shortened(names: tuple[str, ...]) -> str:
    """Names, as many as there is room for."""
    text = ", ".join(sorted(set(names)))
    return text if len(text) <= _MAX_NAMES else f"{text[:_MAX_NAMES].rpartition(', ')[0]}, …"


def _decoded(text: str | None, where: str) -> bytes | None:
    if not text:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidDocument("holds data that is not base64", where=where) from None
