"""What decides an SBOM, and how it is written: of an image by what its layers hold, of an index by its members."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import SCons.Node.FS

from multiarch_oci.digest import Digest
from multiarch_oci.document import content_of
from multiarch_oci.errors import MultiarchError
from multiarch_oci.reference import Reference
from multiarch_oci.why import Facts
from scons_multiarch import licences
from scons_multiarch.paths import shown
from scons_multiarch.session import Run
from scons_multiarch.targets import SbomTarget, is_image, is_index, target_of

if TYPE_CHECKING:
    from multiarch_oci.attest.bom import Bom, File, Linked, Package, Part
    from multiarch_oci.attest.readers import Known
    from multiarch_oci.bases import Current
    from multiarch_oci.image import Image
    from multiarch_oci.store import Source
    from multiarch_oci.store.archive import Archive

FORMAT = "1"
"""To be raised when the same facts are to give other bytes."""
_BASE = re.compile(r"base (.+?)(?: for [^ ]+)?\Z")
_OURS = {
    "certifi": ("MPL-2.0", "etc/ssl/certs/ca-certificates.crt"),
    "tzdata": ("Apache-2.0", ""),
}
"""What images get of packages of Python's: the licence, and the file in the image where it is one."""


_CARGO = "Cargo.lock"
_NODE = ("package-lock.json", "npm-shrinkwrap.json")
_LONGEST = 64 << 20


def facts(run: Run, record: SbomTarget, subject: Any) -> Facts:
    """What is said in an SBOM beside what stands in the image or index itself."""
    values = {
        "format": FORMAT,
        "name": record.name,
        "version": record.version,
        "SOURCE_DATE_EPOCH": str(run.settings.epoch),
    }
    if not is_image(subject):
        return Facts(values, {})
    files: dict[str, str] = {}
    for _, lock in _locks(subject):
        files[shown(lock)] = run.tree.stat.digest(lock.rfile().get_abspath())
    for program in _programs(subject):
        values[f"licences in {program}"], of_tree = licences.facts(run, program)
        files |= of_tree
    subject.attributes.state.decide()  # its facts say where its files come from
    values["SBOM of the base"] = _sboms_of_bases(run, subject.attributes.state.facts)
    values = {name: value for name, value in values.items() if value}
    known = f"{Facts(values, files).digest()} {subject.attributes.state.digest_of_facts()}"
    return Facts(values, files, Digest.of(known.encode()).hex)


def _sboms_of_bases(run: Run, made_from: Facts | None) -> str:
    """What images.lock says of the SBOMs of all images that a Dockerfile names."""
    named = {} if made_from is None else made_from.values
    digests = {digest for name, digest in named.items() if _BASE.match(name)}
    if not digests:
        return ""
    entries = run.build.bases().lock().entries
    return ", ".join(sorted({str(e.sbom) for e in entries if e.sbom is not None and str(e.digest) in digests}))


def documents(run: Run, target: list[Any]) -> dict[Path, bytes]:
    """The content of both documents of an image or index, by path. Raises what reading it raises."""
    from multiarch_oci.attest.cyclonedx import to_cyclonedx
    from multiarch_oci.attest.spdx import to_spdx

    bom = bom_of(run, target[0])
    contents = {Path(target[0].get_abspath()): to_spdx(bom), Path(target[1].get_abspath()): to_cyclonedx(bom)}
    target[0].attributes.state.digest = Digest.of(contents[Path(target[0].get_abspath())])
    return contents


def bom_of(run: Run, node: Any) -> Bom:
    """What the image or index is made of that this SBOM speaks of. Raises what reading it raises."""
    from scons_multiarch.receipts import is_json

    record, subject = node.attributes.target, node.sources[0]
    path = Path(subject.get_abspath())
    if is_index(subject) or (target_of(subject) is None and is_json(path)):
        return _of_index(run, record, path)
    return _with_given(_of_image(run, record, subject), node.sources[1:])


def _with_given(bom: Bom, documents: Iterable[Any]) -> Bom:
    """With the packages of SBOMs of others that are not known by their package URL, and links to these documents."""
    from multiarch_oci.attest.bom import InvalidSbom, Part
    from multiarch_oci.attest.given import LIMIT, read_sbom

    links: dict[Linked, None] = {}
    packages: set[Package] = set()
    for document in documents:
        content = content_of(Path(document.get_abspath()), LIMIT, where=shown(document))
        if content is None:
            raise InvalidSbom("is not there", where=shown(document), hint="sbom= names a file, or what makes one")
        linked, contained = read_sbom(content, where=shown(document))
        links[linked] = None
        packages |= set(contained)
    known = {package.purl for package in bom.packages() if package.purl}
    others = tuple(sorted(package for package in packages if package.purl not in known))
    parts = (*bom.parts, Part("", None, others)) if others else bom.parts
    return msgspec.structs.replace(bom, parts=parts, documents=tuple(sorted(links)))


def _of_index(run: Run, record: SbomTarget, path: Path) -> Bom:
    """An index: its images by digest and platform; what is in them their own SBOMs say, where they have any."""
    from multiarch_oci.attest.bom import Bom, image
    from multiarch_oci.index import Index

    content = path.read_bytes()
    index = Index.from_json(content, where=str(path))
    variants = [image(record.name, entry.digest, entry.platform) for entry in index.manifests]
    subject = image(record.name, index.descriptor().digest, version=record.version)
    return Bom(subject, run.settings.epoch, variants=tuple(variants))


def _of_image(run: Run, record: SbomTarget, node: Any) -> Bom:
    from multiarch_oci.attest.bom import Bom, base_image, image
    from multiarch_oci.attest.contents import own_contents
    from multiarch_oci.engine.export.normalising import ENGINE
    from multiarch_oci.store.archive import Archive

    path = Path(node.get_abspath())
    archive = Archive(path)
    content = archive.image()
    made_from: Facts | None = node.attributes.state.facts if is_image(node) else None
    known = _known(run, record, node)
    files, parts = own_contents(content, _layers_of(run, node, content, archive), known, where=str(path))
    remarks = []
    engine = content.descriptor.annotation(ENGINE)
    if engine is not None and made_from is not None:
        files, parts = _copied(files, parts, made_from)
        remarks.append(f"The image was built by {engine}: what its RUN instructions made is not described here.")
    base = None if content.base is None else base_image(content.base, content.platform)
    documents: tuple[Linked, ...] = ()
    if content.base is not None and content.base.digest is not None:
        documents = _base_documents(run, content.base.digest)
        other = "; the SBOM that its makers published is linked" if documents else ""
        remarks.append(f"What the base {content.base} holds is not described here{other}.")
    parts = (*parts, *_of_ours(files, made_from), *(_of_locks(node) if is_image(node) else ()))
    subject = image(record.name, content.descriptor.digest, content.platform, version=record.version)
    return Bom(
        subject,
        run.settings.epoch,
        files,
        tuple(sorted(parts, key=lambda part: (part.path, part.packages))),
        base,
        documents,
        taken_from=_taken_from(content, made_from),
        remarks=tuple(remarks),
    )


def _layers_of(run: Run, node: Any, image: Image, archive: Archive) -> Source:
    """Where the image's own layers are read: in its tarball, or where a shared cache has them."""
    if not image.shared:
        return archive
    from multiarch_oci.store.sources import Chain
    from scons_multiarch.shared.origins import lent

    sources: list[Source] = [archive]
    lent(run, node, image, sources)
    return Chain(sources)


def _known(run: Run, record: SbomTarget, node: Any) -> Known:
    """What this build knows of the files of an image: which of them are programs that it made, and their licences."""
    from multiarch_oci.attest.ecosystems import cargo_lock
    from multiarch_oci.attest.readers import Known

    programs = list(_programs(node))
    of_modules: dict[tuple[str, str], str] = {}
    for program in programs:
        of_modules |= licences.licences_of(run, program)
    crates = {}
    for program, lock in _locks(node):
        if lock.name == _CARGO and isinstance(program, SCons.Node.FS.File):
            crates[str(program.get_csig())] = cargo_lock(_content(lock))
    return Known(record.version, frozenset(program.get_csig() for program in programs), of_modules, crates)


def _locks(node: Any) -> Iterator[tuple[Any, Any]]:
    """The lock files of other languages among what the contents of an image are made of, each with what is made."""
    for made in dict.fromkeys(node.children()):
        for source in made.sources if made.has_builder() and target_of(made) is None else ():
            if isinstance(source, SCons.Node.FS.File) and source.name in (_CARGO, *_NODE):
                yield made, source


def _of_locks(node: Any) -> Iterator[Part]:
    """What lock files of npm say of the contents that are made by them."""
    from multiarch_oci.attest.bom import Part
    from multiarch_oci.attest.ecosystems import package_lock

    for _, lock in _locks(node):
        packages = package_lock(_content(lock)) if lock.name in _NODE else ()
        if packages:
            yield Part("", None, packages)


def _content(node: Any) -> bytes:
    return content_of(Path(node.rfile().get_abspath()), _LONGEST, where=shown(node)) or b""


def _programs(node: Any) -> Iterator[Any]:
    """The files that builders make and an image is made of, its scanned sources among them."""
    for source in dict.fromkeys(node.children()):  # what the Dockerfile names stands there once more
        if isinstance(source, SCons.Node.FS.File) and source.has_builder():
            yield source


def _copied(
    files: tuple[File, ...], parts: tuple[Part, ...], made_from: Facts
) -> tuple[tuple[File, ...], tuple[Part, ...]]:
    """Of an image that another engine made, the files that it copied: their contents are among the image's facts."""
    contents = {state.rpartition(" ")[2] for state in made_from.files.values()}
    kept = tuple(file for file in files if file.sha256 in contents)
    paths = {file.path for file in kept}
    return kept, tuple(part for part in parts if part.path in paths)


def _base_documents(run: Run, base: Digest) -> tuple[Linked, ...]:
    """The SBOM that images.lock has for a base, where its registry has it."""
    from multiarch_oci.attest.bom import Linked

    documents = set()
    for entry in run.build.bases().lock().entries:
        if entry.digest == base and entry.sbom is not None:
            name = Reference.parse(entry.name)
            documents.add(Linked(f"https://{name.registry}/v2/{name.repository}/blobs/{entry.sbom}", entry.sbom.hex))
    return tuple(sorted(documents))


def published_sbom(run: Run, base: Current) -> Digest | None:
    """The SBOM that was published with a base; where that cannot be found out the one that is known of these bytes."""
    from multiarch_oci.attest.published import published_sbom
    from multiarch_oci.store.registry import Registry

    store = run.build.registries.store(base.name)
    if not isinstance(store, Registry):
        return None
    try:
        return published_sbom(store, base.chosen.digest, base.chosen.index)
    except MultiarchError:
        return None if base.entry is None or base.is_stale() else base.entry.sbom


def _of_ours(files: tuple[File, ...], made_from: Facts | None) -> Iterator[Part]:
    """The packages whose files we give to images: certificates, time zones."""
    from multiarch_oci.attest.bom import LIBRARY, Package, Part, purl

    values: Mapping[str, str] = {} if made_from is None else made_from.values
    paths = {file.path for file in files}
    for name, (licence, path) in _OURS.items():
        if name in values:
            version = values[name]
            package = Package(LIBRARY, name, version, purl("pypi", name, version), licence)
            yield Part(path if path in paths else "", package)


def _taken_from(image: Image, made_from: Facts | None) -> tuple[Package, ...]:
    """The images beside the base that a Dockerfile names: files come from them, or were made in them."""
    from multiarch_oci.attest.bom import base_image

    base = None if image.base is None else image.base.digest
    named = {} if made_from is None else made_from.values
    images = set()
    for value, digest in named.items():
        match = _BASE.match(value)
        if match is not None and digest != str(base):
            images.add(base_image(Reference.parse(match[1]).with_default_tag().with_digest(Digest.parse(digest))))
    return tuple(sorted(images))
