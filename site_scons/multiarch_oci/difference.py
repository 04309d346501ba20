"""The first difference of two images: where it lies, so that somebody can look at it.

Layers first, as what is in them is what matters: layer, file, byte. Then the config and the manifest, member by member.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from typing import BinaryIO

import msgspec

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import BLOCK
from multiarch_oci.document import Document
from multiarch_oci.engine.frontend.packing import decompressed
from multiarch_oci.errors import quoted
from multiarch_oci.manifest import Manifest
from multiarch_oci.store import Source, read
from multiarch_oci.tarfields import Member
from multiarch_oci.tarreader import TarReader

_LONGEST = 120


class Side(msgspec.Struct, frozen=True):
    """One of two images: where it is read from, its manifest's descriptor, and what it is called."""

    source: Source
    root: Descriptor
    name: str


def first_difference(first: Side, other: Side) -> str | None:
    """The first difference in words, `first` before `other`; None for equal manifests.

    What both take over from a base is not read. Raises what the sources raise, InvalidDocument and InvalidArchive.
    """
    if first.root.digest == other.root.digest:
        return None
    manifests = tuple(read(side.source, side.root.bare()) for side in (first, other))
    parsed = [
        Manifest.from_json(content, where=side.name) for content, side in zip(manifests, (first, other), strict=True)
    ]
    return (
        _in_layers(first, other, *(manifest.layers for manifest in parsed))
        or _in_config(first, other, *(manifest.config for manifest in parsed))
        or in_documents("manifest", *manifests)
        or "manifest: the bytes, though both say the same"
    )


def _in_layers(first: Side, other: Side, ours: tuple[Descriptor, ...], theirs: tuple[Descriptor, ...]) -> str | None:
    for number, (layer, counterpart) in enumerate(zip(ours, theirs, strict=False), 1):
        if layer.digest != counterpart.digest:
            words = _in_layer(first.source, layer, other.source, counterpart, f"layer {number}")
            return words or f"layer {number}: packed in another way, with the same contents"
    if len(ours) != len(theirs):
        return f"{len(ours)} layers in {first.name}, {len(theirs)} in {other.name}"
    return None


def _in_layer(ours: Source, layer: Descriptor, theirs: Source, counterpart: Descriptor, where: str) -> str | None:
    with _archive(ours, layer, where) as first, _archive(theirs, counterpart, where) as second:
        for member, twin in zip_longest(first, second):
            words = _in_member(first, member, second, twin)
            if words is not None:
                return f"{where}, {words}"
    return None


@contextmanager
def _archive(source: Source, layer: Descriptor, where: str) -> Iterator[TarReader]:
    with source.open(layer.bare()) as packed:
        yield TarReader(decompressed(packed, where), where)


def _in_member(first: TarReader, member: Member | None, second: TarReader, twin: Member | None) -> str | None:
    if member is None or twin is None:
        there = member or twin
        assert there is not None  # noqa: S101  # zip_longest ends with the longer one
        return f"{_shown(there.name)} is in one of the two alone"
    if member.name != twin.name:
        return f"{_shown(member.name)} stands where the other has {_shown(twin.name)}"
    for field in ("typeflag", "mode", "uid", "gid", "mtime", "target", "device", "size"):
        value, counterpart = getattr(member, field), getattr(twin, field)
        if value != counterpart and field != "size":
            return f"{_shown(member.name)}: {field} {_value(field, value)}, in the other {_value(field, counterpart)}"
    if member.is_file:
        with first.open() as ours, second.open() as theirs:
            at = _first_byte(ours, theirs)
        if at is not None:
            sizes = f", {member.size} and {twin.size} bytes long" if member.size != twin.size else ""
            return f"{_shown(member.name)}: byte {at}{sizes}"
    return None


def _first_byte(ours: BinaryIO, theirs: BinaryIO) -> int | None:
    """Where two contents begin to differ, counted from 0; None when they do not."""
    at = 0
    while True:
        block, counterpart = ours.read(BLOCK), theirs.read(BLOCK)
        if block != counterpart:
            pairs = enumerate(zip(block, counterpart, strict=False))
            return at + next((i for i, (byte, other) in pairs if byte != other), min(len(block), len(counterpart)))
        if not block:
            return None
        at += len(block)


def _in_config(first: Side, other: Side, config: Descriptor, counterpart: Descriptor) -> str | None:
    if config.digest == counterpart.digest:
        return None
    contents = read(first.source, config.bare()), read(other.source, counterpart.bare())
    return in_documents("config", *contents) or "config: the bytes, though both say the same"


def in_documents(name: str, ours: bytes, theirs: bytes) -> str | None:
    """The first member in which two JSON documents differ, called `name`; None when they say the same."""
    members = (Document.parse(content, where=name).members for content in (ours, theirs))
    return _in_values(name, *members)


def _in_values(path: str, value: object, counterpart: object) -> str | None:
    """The first member that differs, by its path: `config.config.Env[1]`."""
    if isinstance(value, Mapping) and isinstance(counterpart, Mapping):
        for key in dict.fromkeys((*value, *counterpart)):
            words = _in_values(f"{path}.{key}", value.get(key), counterpart.get(key))
            if words is not None:
                return words
        return None
    if isinstance(value, list) and isinstance(counterpart, list):
        for number, (item, twin) in enumerate(zip_longest(value, counterpart)):
            words = _in_values(f"{path}[{number}]", item, twin)
            if words is not None:
                return words
        return None
    if value == counterpart and type(value) is type(counterpart):
        return None
    return f"{_shown(path)[1:-1]}: {_value('', value)}, in the other {_value('', counterpart)}"


def _shown(text: str) -> str:
    return quoted(text, _LONGEST)


def _value(field: str, value: object) -> str:
    if field == "mode" and isinstance(value, int):
        return f"{value:04o}"
    return "nothing" if value is None else quoted(value if isinstance(value, str) else repr(value), _LONGEST)
