"""SBOMs as CycloneDX 1.6 in JSON (cyclonedx.org/docs/1.6/json)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from multiarch_oci.attest.bom import APPLICATION, TOOL, Bom, File, Linked, Package, Part
from multiarch_oci.config import instant
from multiarch_oci.document import readable

Members = dict[str, object]


def to_cyclonedx(bom: Bom) -> bytes:
    """The document's bytes: equal for equal contents. Its serial number is a name of these very contents."""
    metadata: Members = {
        "timestamp": instant(bom.created),
        "tools": {"components": [{"type": "application", "name": TOOL}]},
        "component": _component(bom.subject) | _described(bom.documents),
    }
    if bom.remarks:
        metadata["properties"] = [{"name": f"{TOOL}:remark", "value": remark} for remark in bom.remarks]
    members: Members = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{bom.identity()}",
        "version": 1,
        "metadata": metadata,
        "components": _components(bom),
        "dependencies": _dependencies(bom),
    }
    aggregate = "incomplete" if bom.remarks else "complete"
    members["compositions"] = [{"aggregate": aggregate, "assemblies": [_ref(bom.subject)]}]
    return readable(members)


def _components(bom: Bom) -> list[Members]:
    paths = _paths(bom.parts)
    made = []
    if bom.base is not None:
        made.append(_component(bom.base) | _described(bom.base_documents))
    made += [{**_component(source), "scope": "excluded"} for source in bom.taken_from if source != bom.base]
    made += [_component(variant) for variant in bom.variants]
    made += [_component(package, paths.get(package, ())) for package in bom.packages()]
    return made + [_file(file) for file in bom.files]


def _paths(parts: Iterable[Part]) -> dict[Package, tuple[str, ...]]:
    """The files of the image that say of a package that it is there."""
    paths: dict[Package, tuple[str, ...]] = {}
    for part in parts:
        for package in dict.fromkeys(filter(None, (part.main, *part.packages))):
            if part.path:
                paths[package] = tuple(sorted({*paths.get(package, ()), part.path}))
    return paths


def _component(package: Package, paths: tuple[str, ...] = ()) -> Members:
    members: Members = {"type": package.kind, "bom-ref": _ref(package), "name": package.name}
    if package.version:
        members["version"] = package.version
    if package.sha256:
        members["hashes"] = [{"alg": "SHA-256", "content": package.sha256}]
    if package.licence:
        simple = re.fullmatch(r"[A-Za-z0-9.-]+", package.licence)  # all else is an expression: `Apache-2.0+`, `(MIT)`
        members["licenses"] = [{"license": {"id": package.licence}} if simple else {"expression": package.licence}]
    if package.purl:
        members["purl"] = package.purl
    if package.properties:
        members["properties"] = [{"name": name, "value": value} for name, value in package.properties]
    if paths:
        members["evidence"] = {"occurrences": [{"location": f"/{path}"} for path in paths]}
    return members


def _described(documents: tuple[Linked, ...]) -> Members:
    references = [
        {"type": "bom", "url": linked.uri, "hashes": [{"alg": "SHA-256", "content": linked.sha256}]}
        for linked in documents
    ]
    return {"externalReferences": references} if references else {}


def _file(file: File) -> Members:
    hashes = [{"alg": "SHA-1", "content": file.sha1}, {"alg": "SHA-256", "content": file.sha256}]
    return {"type": "file", "bom-ref": _file_ref(file.path), "name": f"/{file.path}", "hashes": hashes}


def _dependencies(bom: Bom) -> list[Members]:
    """What each component is made of; of a list of packages that is the subject."""
    needs: dict[str, set[str]] = {_ref(bom.subject): {_ref(variant) for variant in bom.variants}}
    needs[_ref(bom.subject)] |= set() if bom.base is None else {_ref(bom.base)}
    for part in bom.parts:
        owner = needs[_ref(bom.subject)]
        if part.main is not None:
            owner.add(_ref(part.main))
            owner = needs.setdefault(_ref(part.main), set())
        owner |= {_ref(package) for package in part.packages}
        if part.main is not None and part.main.kind == APPLICATION:
            needs.setdefault(_file_ref(part.path), set()).add(_ref(part.main))
    listed = {_file_ref(file.path) for file in bom.files}
    for reference in listed:
        needs[_ref(bom.subject)].add(reference)
    known = {_ref(bom.subject), *listed, *(str(component["bom-ref"]) for component in _components(bom))}
    return [
        {"ref": reference, "dependsOn": sorted(needs[reference] - {reference})}
        for reference in sorted(needs)
        if reference in known
    ]


def _ref(package: Package) -> str:
    """How a component is named in the document: readable, and another one for everything that differs."""
    return f"{package.purl or package.name}|{hashlib.sha256(repr(package).encode('utf-8')).hexdigest()[:12]}"


def _file_ref(path: str) -> str:
    return f"file:/{path}"
