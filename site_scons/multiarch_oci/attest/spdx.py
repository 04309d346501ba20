"""SBOMs as SPDX 2.3 in JSON (spdx.github.io/spdx-spec/v2.3, schemas/spdx-schema.json)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

from multiarch_oci.attest.bom import APPLICATION, CONTAINER, TOOL, Bom, File, Linked, Package, Part
from multiarch_oci.config import instant
from multiarch_oci.document import readable

NAMESPACE = "https://spdx.org/spdxdocs"
"""Where names of documents begin that no web site of their own has (SPDX 2.3, 6.5)."""
_UNKNOWN = "NOASSERTION"
_PURPOSES = {APPLICATION: "APPLICATION", CONTAINER: "CONTAINER"}
_SUMS = ("go:sum", "npm:integrity")
"""Sums of other tools' own kinds: references, and no checksum of the package (7.21)."""
_DOCUMENT = "SPDXRef-DOCUMENT"


def to_spdx(bom: Bom) -> bytes:
    """The document's bytes: equal for equal contents. Its namespace names the subject's digest, and these contents."""
    members: dict[str, object] = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": _DOCUMENT,
        "name": bom.subject.name,
        "documentNamespace": namespace(bom),
        "creationInfo": {"created": instant(bom.created), "creators": [f"Tool: {TOOL}"]},
    }
    if bom.remarks:
        members["comment"] = " ".join(bom.remarks)
    links = {**_links("base", bom.base_documents), **_links("given", bom.documents)}
    if links:
        members["externalDocumentRefs"] = [_external(name, linked) for name, linked in links.items()]
    packages = dict.fromkeys((bom.base, *bom.taken_from, *bom.variants, *bom.packages()))
    members["packages"] = [_subject(bom), *(_package(package) for package in packages if package is not None)]
    if bom.files:
        binaries = {part.path for part in bom.parts if part.main is not None and part.main.kind == APPLICATION}
        members["files"] = [_file(file, binary=file.path in binaries) for file in bom.files]
    members["relationships"] = [
        {"spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": other}
        for element, kind, other in dict.fromkeys(_relationships(bom))
    ]
    return readable(members)


def namespace(bom: Bom) -> str:
    """The name of the document in the world (6.5): the subject's digest, and a name of these very contents."""
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", bom.subject.name)
    return f"{NAMESPACE}/{name}-sha256-{bom.subject.sha256}-{bom.identity()}"


def _links(kind: str, documents: Iterable[Linked]) -> dict[str, Linked]:
    return {f"DocumentRef-{kind}-{number}": document for number, document in enumerate(documents, 1)}


def _external(name: str, linked: Linked) -> dict[str, object]:
    checksum = {"algorithm": "SHA256", "checksumValue": linked.sha256}
    return {"externalDocumentId": name, "spdxDocument": linked.uri, "checksum": checksum}


def _subject(bom: Bom) -> dict[str, object]:
    """The image: what of it was looked at are its own files (7.8, 7.9)."""
    members = _package(bom.subject)
    if bom.files:
        together = "".join(sorted(file.sha1 for file in bom.files))
        code = hashlib.sha1(together.encode("ascii"), usedforsecurity=False).hexdigest()
        members |= {"filesAnalyzed": True, "packageVerificationCode": {"packageVerificationCodeValue": code}}
        members["licenseInfoFromFiles"] = [_UNKNOWN]
    return members


def _package(package: Package) -> dict[str, object]:
    members: dict[str, object] = {"SPDXID": _id(package), "name": package.name}
    if package.version:
        members["versionInfo"] = package.version
    members |= {
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": _UNKNOWN,
        "licenseDeclared": package.licence or _UNKNOWN,
        "copyrightText": _UNKNOWN,
        "supplier": _UNKNOWN,
        "primaryPackagePurpose": _PURPOSES.get(package.kind, "LIBRARY"),
    }
    if package.sha256:
        members["checksums"] = [{"algorithm": "SHA256", "checksumValue": package.sha256}]
    references = [("PACKAGE-MANAGER", "purl", package.purl)] if package.purl else []
    references += [("OTHER", name, value) for name, value in package.properties if name in _SUMS]
    if references:
        members["externalRefs"] = [
            {"referenceCategory": category, "referenceType": kind, "referenceLocator": locator}
            for category, kind, locator in references
        ]
    others = [f"{name}={value}" for name, value in package.properties if name not in _SUMS]
    if others:
        members["comment"] = "\n".join(others)
    return members


def _file(file: File, *, binary: bool) -> dict[str, object]:
    members: dict[str, object] = {"SPDXID": _file_id(file.path), "fileName": f"./{file.path}"}
    if binary:
        members["fileTypes"] = ["BINARY"]
    members["checksums"] = [
        {"algorithm": "SHA1", "checksumValue": file.sha1},
        {"algorithm": "SHA256", "checksumValue": file.sha256},
    ]
    return members | {
        "licenseConcluded": _UNKNOWN,
        "licenseInfoInFiles": [_UNKNOWN],
        "copyrightText": _UNKNOWN,
    }


def _relationships(bom: Bom) -> Iterator[tuple[str, str, str]]:
    subject = _id(bom.subject)
    yield _DOCUMENT, "DESCRIBES", subject
    yield from ((_id(variant), "VARIANT_OF", subject) for variant in bom.variants)
    if bom.base is not None:
        yield subject, "DESCENDANT_OF", _id(bom.base)
        for name in _links("base", bom.base_documents):
            yield _id(bom.base), "DESCRIBED_BY", f"{name}:{_DOCUMENT}"
    for name in _links("given", bom.documents):
        yield subject, "DESCRIBED_BY", f"{name}:{_DOCUMENT}"
    yield from ((_id(source), "BUILD_DEPENDENCY_OF", subject) for source in bom.taken_from)
    yield from ((subject, "CONTAINS", _file_id(file.path)) for file in bom.files)
    yield from ((subject, "CONTAINS", _id(package)) for package in bom.packages())
    listed = {file.path for file in bom.files}
    for part in bom.parts:
        yield from _of_part(part, subject, is_listed=part.path in listed)


def _of_part(part: Part, subject: str, *, is_listed: bool) -> Iterator[tuple[str, str, str]]:
    """How a file, and what it is made of, belong together (11.1)."""
    if part.main is None:
        if is_listed:
            yield _file_id(part.path), "DEPENDENCY_MANIFEST_OF", subject
        return
    if is_listed and part.main.kind == APPLICATION:
        yield _id(part.main), "GENERATES", _file_id(part.path)
    elif is_listed:
        yield _file_id(part.path), "METAFILE_OF", _id(part.main)
    yield from ((_id(part.main), "DEPENDS_ON", _id(package)) for package in part.packages)


def _id(package: Package) -> str:
    """An identifier of the document (7.2): readable, and another one for everything that differs."""
    readable_part = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{package.name}-{package.version}")[:80].strip("-")
    return f"SPDXRef-Package-{readable_part}-{_short(repr(package))}"


def _file_id(path: str) -> str:
    readable_part = re.sub(r"[^A-Za-z0-9.-]+", "-", path)[-80:].strip("-")
    return f"SPDXRef-File-{readable_part}-{_short(path)}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]
