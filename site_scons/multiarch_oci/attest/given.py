"""SBOMs that somebody else wrote, taken over into ours: SPDX 2 and CycloneDX, in JSON.

What is taken over are packages with name, version, package URL, licence and SHA-256. All else they say stays where it
is: the document is linked. They are untrusted: of any size and shape.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from multiarch_oci.attest.bom import APPLICATION, CONTAINER, LIBRARY, InvalidSbom, Linked, Package
from multiarch_oci.attest.licences import expression
from multiarch_oci.document import Document, InvalidDocument
from multiarch_oci.mediatype import CYCLONEDX_JSON, SPDX_JSON

LIMIT = 256 << 20
"""Bytes of the largest document that is read."""
_DEEPEST = 64
_HINT = "an SBOM is SPDX 2.3 or CycloneDX 1.6 in JSON"
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!$&-;=?-Z_a-z~%\[\]]+\Z")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}\Z")
_LINE = re.compile(r"[^\x00-\x1f\x7f]{1,2000}\Z")
_KINDS = {"application": APPLICATION, "firmware": APPLICATION, "container": CONTAINER, "operating-system": APPLICATION}


def read_sbom(content: bytes, *, where: str) -> tuple[Linked, tuple[Package, ...]]:
    """The document as a link, and its packages, each once. Raises InvalidSbom for what is no SBOM in JSON."""
    try:
        document = Document.parse(content, where=where, limit=LIMIT)
        if document.text("bomFormat") == "CycloneDX":
            packages, uri, kind = set(_cyclonedx(document)), _bom_link(document), CYCLONEDX_JSON
        elif (document.text("spdxVersion") or "").startswith("SPDX-2."):
            packages, uri, kind = set(_spdx(document)), document.text("documentNamespace") or "", SPDX_JSON
        else:
            raise InvalidSbom("is no SBOM that can be taken over", where=where, hint=_HINT)
    except InvalidDocument as error:
        raise InvalidSbom(error.what, where=error.where, hint=_HINT) from None
    sha256 = hashlib.sha256(content).hexdigest()
    usable = uri if _URI.match(uri) else f"urn:sha256:{sha256}"
    return Linked(usable, sha256, kind), tuple(sorted(packages))


def _bom_link(document: Document) -> str:
    """How documents name a CycloneDX document elsewhere (cyclonedx.org, "BOM-Link")."""
    serial = (document.text("serialNumber") or "").removeprefix("urn:uuid:")
    return f"urn:cdx:{serial}/{document.integer('version') or 1}" if serial else ""


def _spdx(document: Document) -> Iterator[Package]:
    for package in document.objects("packages"):
        name = _line(package.text("name"))
        if not name:
            continue
        purls = [
            reference.text("referenceLocator")
            for reference in package.objects("externalRefs")
            if reference.text("referenceType") == "purl"
        ]
        sums = [
            checksum.text("checksumValue")
            for checksum in package.objects("checksums")
            if checksum.text("algorithm") == "SHA256"
        ]
        kind = _KINDS.get((package.text("primaryPackagePurpose") or "").lower(), LIBRARY)
        licence = expression(_stated(package.text("licenseDeclared")) or _stated(package.text("licenseConcluded")))
        version = _line(package.text("versionInfo"))
        yield Package(kind, name, version, _purl(next(iter(purls), None)), licence, _sha256(next(iter(sums), None)))


def _cyclonedx(document: Document, depth: int = 0) -> Iterator[Package]:
    for component in document.objects("components"):
        name, kind = _line(component.text("name")), component.text("type") or ""
        if name and kind != "file":
            full = f"{component.text('group')}/{name}" if component.text("group") else name
            sums = [entry.text("content") for entry in component.objects("hashes") if entry.text("alg") == "SHA-256"]
            yield Package(
                _KINDS.get(kind, LIBRARY),
                _line(full),
                _line(component.text("version")),
                _purl(component.text("purl")),
                _licence(component),
                _sha256(next(iter(sums), None)),
            )
        if depth < _DEEPEST:
            yield from _cyclonedx(component, depth + 1)


def _licence(component: Document) -> str:
    """The one licence that a component is said to have; of several nobody says here how they go together."""
    choices = component.objects("licenses")
    if len(choices) != 1:
        return ""
    licence = choices[0].nested("license")
    return expression(choices[0].text("expression") or (licence.text("id") if licence is not None else None) or "")


def _stated(licence: str | None) -> str:
    return "" if licence in (None, "NOASSERTION", "NONE") else licence or ""


def _line(text: str | None) -> str:
    return text if text and _LINE.match(text) else ""


def _purl(text: str | None) -> str:
    return text if text and text.startswith("pkg:") and _URI.match(text) else ""


def _sha256(text: str | None) -> str:
    return text.lower() if text and _SHA256.match(text) else ""
