"""What an image or index is made of, in one model that each format of SBOM is written from.

Nothing in it depends on time, host or order of discovery: equal contents make equal documents, byte for byte.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from urllib.parse import quote

import msgspec

from multiarch_oci.digest import Digest
from multiarch_oci.document import keyed
from multiarch_oci.errors import MultiarchError
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference

TOOL = "scons-multiarch"
"""Who writes the documents. No version of it: a new one that says the same makes no new document."""
LIBRARY, APPLICATION, CONTAINER = "library", "application", "container"


class InvalidSbom(MultiarchError, ValueError):
    """A document of somebody else that is no SBOM which can be taken over."""


class Package(msgspec.Struct, frozen=True, order=True):
    """Something with a name and a version: a library, a program, an image.

    `kind` is LIBRARY, APPLICATION or CONTAINER. `purl` is a package URL (purl-spec), "" where there is none. `licence`
    is an SPDX expression, "" where none is known. `sha256` is that of the package's own bytes, in hexadecimal: never a
    sum of another kind. `properties` are further named values.
    """

    kind: str
    name: str
    version: str = ""
    purl: str = ""
    licence: str = ""
    sha256: str = ""
    properties: tuple[tuple[str, str], ...] = ()


class File(msgspec.Struct, frozen=True, order=True):
    """A file of an image: its path from the root, without a slash in front; sums in hexadecimal."""

    path: str
    sha1: str
    sha256: str


class Part(msgspec.Struct, frozen=True, order=True):
    """What a file of the image says that it, or the image, is made of.

    `path` is the file, "" for what no file of the image says. `main` is the package that the file is, None where it is
    a list of packages. `packages` are what that was made of, or the list.
    """

    path: str
    main: Package | None
    packages: tuple[Package, ...] = ()


class Linked(msgspec.Struct, frozen=True, order=True):
    """A document elsewhere that describes a package of this one; `uri` is its own name, or where it is."""

    uri: str
    sha256: str
    media_type: str = ""


class Bom(msgspec.Struct, frozen=True):
    """All that is said of one image or index, the `subject`.

    `created` is in seconds since 1970. `base` is the image below, `base_documents` its own SBOMs; `taken_from` are
    images that single files come from. `documents` are given SBOMs of the subject. Of an index, `variants` are its
    images. `remarks` say, each as a sentence, what is not described; without any, all is.
    """

    subject: Package
    created: int = 0
    files: tuple[File, ...] = ()
    parts: tuple[Part, ...] = ()
    base: Package | None = None
    base_documents: tuple[Linked, ...] = ()
    taken_from: tuple[Package, ...] = ()
    variants: tuple[Package, ...] = ()
    documents: tuple[Linked, ...] = ()
    remarks: tuple[str, ...] = ()

    def packages(self) -> tuple[Package, ...]:
        """Every package of the subject once, sorted; not the base, nor what files were taken from."""
        own = {package for part in self.parts for package in part.packages}
        return tuple(sorted(own | {part.main for part in self.parts if part.main is not None}))

    def identity(self) -> uuid.UUID:
        """A name for all of it: equal documents have the same, others another (RFC 9562, version 5)."""
        content = keyed(msgspec.to_builtins(self))
        return uuid.uuid5(uuid.NAMESPACE_URL, f"urn:sha256:{hashlib.sha256(content).hexdigest()}")


def purl(kind: str, name: str, version: str = "", qualifiers: Iterable[tuple[str, str]] = (), subpath: str = "") -> str:
    """A package URL (purl-spec): the name with its namespace, percent-encoded; empty qualifiers are left out."""
    path = "/".join(quote(part, safe="") for part in name.strip("/").split("/"))
    url = f"pkg:{kind}/{path}" + (f"@{quote(version, safe='')}" if version else "")
    pairs = [f"{key}={quote(value, safe='/:')}" for key, value in sorted(qualifiers) if value]
    url += f"?{'&'.join(pairs)}" if pairs else ""
    return url + (f"#{quote(subpath, safe='/')}" if subpath else "")


def golang(path: str, version: str) -> str:
    """The package URL of a Go module; purl-spec has its letters small."""
    return purl("golang", path.lower(), version)


def image(
    name: str,
    digest: Digest,
    platform: Platform | None = None,
    *,
    version: str = "",
    origin: Reference | None = None,
) -> Package:
    """An image or index as a package: by digest, its version where one is known.

    `origin` says where it is; our own is wherever it is pushed to, which its SBOM does not depend on.
    """
    qualifiers = [] if platform is None else _of_platform(platform)
    if origin is not None:
        qualifiers += [("repository_url", origin.name), ("tag", origin.tag or "")]
    last = name.rpartition("/")[2].lower()
    sha256 = digest.hex if digest.algorithm == "sha256" else ""
    return Package(CONTAINER, name, version or str(digest), purl("oci", last, str(digest), qualifiers), "", sha256)


def _of_platform(platform: Platform) -> list[tuple[str, str]]:
    return [
        ("arch", platform.architecture),
        ("os", platform.os),
        ("variant", platform.variant),
        ("os-version", platform.os_version),
    ]


def base_image(reference: Reference, platform: Platform | None = None) -> Package:
    """An image of somebody else, as a Dockerfile names it, by its digest."""
    if reference.digest is None:
        raise ValueError("an image without a digest may be any")
    version = reference.tag or str(reference.digest)
    return image(reference.repository, reference.digest, platform, version=version, origin=reference)
