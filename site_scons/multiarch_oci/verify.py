"""The deep check of what was published: every document read, every blob asked for (behaviour, `verify`).

What is declared is a list of `Expected`, what is wrong with it a list of `Finding`; nothing is changed.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import msgspec

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import BLOCK, Digest, DigestMismatch
from multiarch_oci.errors import MultiarchError, one_line
from multiarch_oci.image import Image
from multiarch_oci.index import Index, stands_for
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import MANIFESTS, is_foreign, is_index
from multiarch_oci.platform import Platform
from multiarch_oci.receipt import Receipt
from multiarch_oci.reference import Reference
from multiarch_oci.store import BlobMissing, Store, read


class Problem(enum.Enum):
    """What kind of thing is wrong."""

    UNRECORDED = "no receipt"
    UNKNOWN = "not known"
    MISSING = "missing"
    MOVED = "moved"
    DAMAGED = "damaged"
    CONTRADICTION = "contradiction"
    UNSIGNED = "not signed"
    ORPHAN = "orphan"


class Expected(msgspec.Struct, frozen=True):
    """What a tag should hold, as its receipt says.

    `root` is the manifest or index below which everything is checked, None when there is no receipt; `held` is what the
    tag names where that is another (an index that `root` was taken out of). `members` are the receipts of what an
    index must hold, no more and no less. The tags `further` must be there, whatever they hold. Of a `foreign` tag,
    which somebody else pushes to another repository, only what it names is checked.
    """

    reference: Reference
    store: Store
    root: Descriptor | None
    held: Digest | None = None
    members: tuple[Receipt, ...] | None = None
    further: tuple[str, ...] = ()
    foreign: bool = False


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong with what `reference` leads to; `number` is the place of its Expected in the list."""

    number: int
    reference: Reference
    problem: Problem
    what: str
    descriptor: Descriptor | None = None

    def __str__(self) -> str:
        return f"{self.reference}: {self.what}"


_Key: TypeAlias = "tuple[Reference, Digest, Digest | None]"


class _Look(msgspec.Struct, frozen=True):
    """One question still to be asked: a manifest, index or blob in the repository of an Expected.

    A config comes with the `manifest` that names it, as its descriptor and bytes.
    """

    number: int
    descriptor: Descriptor
    manifest: tuple[Descriptor, bytes] | None = None


class _Seen(msgspec.Struct):
    """What an answer brought: what is wrong, what is to be asked next, what is to be compared in the end."""

    findings: list[Finding] = msgspec.field(default_factory=list)
    next: list[_Look] = msgspec.field(default_factory=list)
    platform: tuple[Reference, Digest, Platform] | None = None
    index: tuple[int, Index] | None = None


def verify(expected: Sequence[Expected], *, content: bool = False, workers: int = 8) -> tuple[Finding, ...]:
    """Everything that is wrong, in the order of `expected` and from the tag down; empty when all is right.

    Indexes, manifests and configs are read and verified, every blob but the foreign ones is asked for; with `content`
    every blob is read through. What several tags share is looked at once, for the first of them. `workers` questions
    are under way at once. A place that does not answer is a finding; nothing is raised for it.
    """
    with ThreadPoolExecutor(workers) as pool:
        seen = list(pool.map(_tag, range(len(expected)), expected))
        everything = list(seen)
        visited: set[_Key] = set()
        while looks := list(_fresh(expected, seen, visited)):
            seen = list(pool.map(lambda look: _look(expected[look.number], look, content=content), looks))
            everything += seen
    findings = [finding for answer in everything for finding in answer.findings]
    for number, expectation in enumerate(expected):
        findings += _members(number, expectation, everything)
    return tuple(sorted(findings, key=lambda finding: finding.number))


def _fresh(expected: Sequence[Expected], seen: Iterable[_Seen], visited: set[_Key]) -> Iterator[_Look]:
    """The looks that were not asked for another tag of the same repository."""
    for look in (look for answer in seen for look in answer.next):
        parent = None if look.manifest is None else look.manifest[0].digest
        key = (expected[look.number].reference.bare, look.descriptor.digest, parent)
        if key not in visited:
            visited.add(key)
            yield look


def _tag(number: int, expected: Expected) -> _Seen:
    """What the tag names, against what it should."""
    seen = _Seen()

    def report(problem: Problem, what: str, descriptor: Descriptor | None = None) -> None:
        seen.findings.append(Finding(number, expected.reference, problem, what, descriptor))

    reference, root = expected.reference, expected.root
    if root is None:
        report(Problem.UNRECORDED, "was not pushed from this tree: there is no receipt that says what it should hold")
        return seen
    try:
        digest = expected.held or root.digest
        held = expected.store.resolve(str(reference.digest or reference.tag or "latest"))
        if held is None:
            report(Problem.MISSING, f"is not in the registry; it should hold {digest}", root)
        elif held.digest != digest:
            report(Problem.MOVED, f"holds {held.digest}, not {digest}: somebody moved it", root)
        if expected.foreign:
            return seen
        for tag in expected.further:
            if expected.store.resolve(tag) is None:
                report(Problem.MISSING, f"the tag {tag} beside it is not in the registry", root)
        # Below a tag that is gone its manifest may be gone as well: that is one fault, told once.
        if held is not None or expected.store.has(root):
            seen.next.append(_Look(number, root))
    except MultiarchError as error:
        report(Problem.UNKNOWN, one_line(error))  # the hint speaks of a push
    return seen


def _look(expected: Expected, look: _Look, *, content: bool) -> _Seen:
    """Ask one question; whatever goes wrong is a finding."""
    seen = _Seen()
    descriptor = look.descriptor

    def report(problem: Problem, what: str) -> None:
        text = f"{_name(look)} {what}"
        seen.findings.append(Finding(look.number, expected.reference, problem, text, descriptor))

    try:
        document = _fetch(expected.store, look, content=content)
    except BlobMissing:
        report(Problem.MISSING, f"({descriptor.size} bytes) is not in the registry, or not whole")
        return seen
    except DigestMismatch as error:
        report(Problem.DAMAGED, f"is damaged: {error.what}")
        return seen
    except MultiarchError as error:
        report(Problem.UNKNOWN, f"cannot be checked: {one_line(error)}")
        return seen
    try:
        if document is not None:
            _follow(expected, look, document, seen)
    except MultiarchError as error:  # the bytes are right: somebody published a document that is wrong
        report(Problem.CONTRADICTION, error.what)
    return seen


def _fetch(store: Store, look: _Look, *, content: bool) -> bytes | None:
    """The bytes of a document; None of a blob that is there. BlobMissing, DigestMismatch, or what the place raises."""
    descriptor = look.descriptor
    if look.manifest is not None or descriptor.media_type in MANIFESTS:
        return read(store, descriptor)
    if not store.has(descriptor):
        raise BlobMissing("is not there", where=str(descriptor.digest))
    if content:
        with store.open(descriptor) as stream:
            while stream.read(BLOCK):
                pass
    return None


def _follow(expected: Expected, look: _Look, content: bytes, seen: _Seen) -> None:
    """Read a document and note what it leads to."""
    number, descriptor = look.number, look.descriptor
    where = str(descriptor.digest)
    if look.manifest is not None:
        parent, manifest = look.manifest
        image = Image.of(parent.bare(), manifest, content, frozenset(), where=where)
        seen.platform = (expected.reference.bare, parent.digest, image.platform)
    elif is_index(descriptor.media_type):
        index = Index.from_json(content, where=where, media_type=descriptor.media_type)
        seen.index = (number, index)
        seen.next += [_Look(number, entry.bare()) for entry in index.manifests]
    else:
        read_out = Manifest.from_json(content, where=where, media_type=descriptor.media_type)
        seen.next.append(_Look(number, read_out.config.bare(), (descriptor, content)))
        layers = (layer.bare() for layer in read_out.layers if not is_foreign(layer.media_type))
        seen.next += [_Look(number, layer) for layer in layers]


def _members(number: int, expected: Expected, everything: Iterable[_Seen]) -> Iterator[Finding]:
    """What an index says of its members, against the receipts of those and against their configs."""
    platforms = {(name, digest): platform for name, digest, platform in (s.platform for s in everything if s.platform)}
    for index in (s.index[1] for s in everything if s.index is not None and s.index[0] == number):
        entries = {entry.digest: entry for entry in index.manifests}
        differences = [] if expected.members is None else list(_differences(index, expected.members))
        for digest, entry in entries.items():
            real = platforms.get((expected.reference.bare, digest))
            if entry.platform is not None and real is not None and _contradict(entry.platform, real):
                differences.append(
                    (digest, f"the index says that {digest} is {entry.platform}, but its config says {real}")
                )
        for digest, what in differences:
            yield Finding(number, expected.reference, Problem.CONTRADICTION, what, entries.get(digest))


def _contradict(entry: Platform, image: Platform) -> bool:
    """Whether an entry says another platform than the image's config, as that is meant; what one leaves out is none."""
    versions = {entry.os_version, image.os_version} - {""}
    return not stands_for(image, entry) or len(versions) > 1


def _differences(index: Index, members: tuple[Receipt, ...]) -> Iterator[tuple[Digest, str]]:
    """Where an index does not name each member once and nothing else."""
    counts = Counter(entry.digest for entry in index.manifests)
    expected = {receipt.descriptor.digest: receipt.reference for receipt in members}
    for digest, reference in expected.items():
        if digest not in counts:
            yield digest, f"the index does not name {digest}, which {reference} is"
    for digest, count in counts.items():
        if digest not in expected:
            yield digest, f"the index names {digest}, which no receipt of this tree knows"
        elif count > 1:
            yield digest, f"the index names {digest} {count} times"


def _name(look: _Look) -> str:
    """What a finding calls the thing it is about."""
    descriptor = look.descriptor
    kind = "config" if look.manifest is not None else "blob"
    if is_index(descriptor.media_type):
        kind = "index"
    elif descriptor.media_type in MANIFESTS:
        kind = "manifest"
    return f"the {kind} {descriptor.digest}"
