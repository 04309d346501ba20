"""Entries of a shared cache: as manifests, and what counts for nothing."""

from __future__ import annotations

import io
import json

import pytest
from msgspec.structs import replace

from multiarch_oci.actioncache import Entry, ImageText, Key, NoEntry, Output
from multiarch_oci.actioncache.cache import ActionCache
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest, DigestMismatch
from multiarch_oci.document import InvalidDocument
from multiarch_oci.errors import MultiarchError
from multiarch_oci.store.memory import Memory

KEY = Key("program", "ab" * 32)
CONTENT = b"a program"
OUTPUT = Output(Descriptor.of("application/octet-stream", CONTENT), "demo", executable=True, head=b"\x7fELF")
ENTRY = Entry(KEY, (OUTPUT,), names=("flags", "go"))


def test_an_entry_is_read_as_it_was_written():
    image = Entry(
        KEY, (replace(OUTPUT, data=CONTENT, diff_id=OUTPUT.descriptor.digest),), ImageText(b"{}", (("a", "b"),))
    )
    for entry in (ENTRY, image):
        assert Entry.from_json(entry.to_json(), KEY, where="x") == entry


def test_an_entry_is_a_manifest_of_the_image_specification():
    document = json.loads(ENTRY.to_json())
    assert document["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert document["artifactType"] == "application/vnd.multiarch.action.v1+json"
    assert document["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert document["layers"][0]["digest"] == str(Digest.of(CONTENT))


def test_kinds_scopes_and_facts_make_other_keys():
    keys = {KEY, replace(KEY, kind="image"), replace(KEY, scope="pulls"), replace(KEY, facts="cd" * 32)}
    assert len({key.tag for key in keys}) == 4


@pytest.mark.parametrize(
    "key", [replace(KEY, facts="cd" * 32), replace(KEY, scope="other"), replace(KEY, kind="image")]
)
def test_the_entry_of_another_key_is_none(key: Key):
    with pytest.raises(NoEntry):
        Entry.from_json(ENTRY.to_json(), key, where="x")


def test_text_that_no_encoding_holds_is_an_error_of_ours():
    for name in ("multiarch.image", "multiarch.signature", "other"):
        document = json.loads(ENTRY.to_json())
        document["annotations"][name] = "\ud800"
        with pytest.raises(InvalidDocument):
            Entry.from_json(json.dumps(document).encode(), KEY, where="x")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"artifactType":"application/vnd.multiarch.action.v1+json"}'])
def test_what_is_no_entry_is_an_error_of_ours(content: bytes):
    with pytest.raises(MultiarchError):
        Entry.from_json(content, KEY, where="x")


def test_embedded_bytes_are_those_of_the_digest():
    document = json.loads(Entry(KEY, (replace(OUTPUT, data=CONTENT),)).to_json())
    document["layers"][0]["data"] = "AAAA"
    with pytest.raises(DigestMismatch):
        Entry.from_json(json.dumps(document).encode(), KEY, where="x")
    document["layers"][0]["data"] = "no base64!"
    with pytest.raises(InvalidDocument):
        Entry.from_json(json.dumps(document).encode(), KEY, where="x")


def test_what_is_kept_is_found_and_sent_once():
    cache = ActionCache(Memory())
    assert cache.look(KEY) is None
    contents = {OUTPUT.descriptor.digest: lambda: io.BytesIO(CONTENT)}
    assert cache.keep(ENTRY, contents).sent == len(CONTENT)
    assert cache.keep(ENTRY, contents).present == len(CONTENT)
    entry = cache.look(KEY)
    assert entry == ENTRY
    with cache.store.open(entry.outputs[0].descriptor) as stream:
        assert stream.read() == CONTENT


class Stamp:
    """A seal for tests: the signature is the digest of the content and a secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, entry: Entry) -> str:
        return str(Digest.of(entry.signed() + self._secret))

    def check(self, entry: Entry) -> None:
        if entry.signature != self.sign(entry):
            raise NoEntry("is signed by somebody else")


def test_with_a_seal_only_entries_that_it_signed_count():
    store = Memory()
    contents = {OUTPUT.descriptor.digest: lambda: io.BytesIO(CONTENT)}
    ActionCache(store).keep(ENTRY, contents)
    with pytest.raises(NoEntry, match="not signed"):
        ActionCache(store, seal=Stamp(b"ours")).look(KEY)
    ActionCache(store, seal=Stamp(b"theirs")).keep(ENTRY, contents)
    with pytest.raises(NoEntry):
        ActionCache(store, seal=Stamp(b"ours")).look(KEY)
    ActionCache(store, seal=Stamp(b"ours")).keep(ENTRY, contents)
    entry = ActionCache(store, seal=Stamp(b"ours")).look(KEY)
    assert entry is not None
    assert entry.outputs == ENTRY.outputs


def test_a_signature_is_over_all_that_an_entry_says():
    seal = Stamp(b"ours")
    for other in (
        replace(ENTRY, outputs=(replace(OUTPUT, executable=False),)),
        replace(ENTRY, key=replace(KEY, scope="x")),
        replace(ENTRY, names=()),
        replace(ENTRY, image=ImageText(b"{}")),
    ):
        assert seal.sign(other) != seal.sign(ENTRY)
