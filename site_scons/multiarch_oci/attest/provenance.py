"""SLSA Provenance v1 of an image or index: what it was made from, each thing by its digest (slsa.dev, v1.0).

docs/build-v1.md says what stands where, for BUILD_TYPE. Equal inputs make equal bytes: no time, host, path or random
name is in it. What a run adds to that is a second predicate (`with_run`).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from multiarch_oci.attest.statement import sorted_json
from multiarch_oci.digest import Digest
from multiarch_oci.errors import public

if TYPE_CHECKING:
    from multiarch_oci.platform import Platform
    from multiarch_oci.reference import Reference

BUILD_TYPE = "https://pypi.org/project/scons-multiarch/#build-v1"
"""What the parameters mean; another number when they mean something else (docs/build-v1.md)."""
BUILDER = "https://pypi.org/project/scons-multiarch/#builder-local"
"""Who built: this tool on a machine of its user, which promises nothing more than SLSA's build level 1."""

ENTRY = "multiarchEntry"
"""The digest of what a layer takes over of a name: its kind, whether it is executable, its link's target, its bytes."""

VARIABLES = (
    *("IMAGE", "VERSION", "VERSION_TAG", "REVISION", "PLATFORMS", "ENGINE", "BASE_IMAGE"),
    *("LABELS", "ANNOTATIONS", "BUILD_ARGS"),
)
"""The variables of the command line that decide what an index and its images hold, and stand in its provenance."""

Digests = tuple[tuple[str, str], ...]


class Dependency(msgspec.Struct, frozen=True):
    """Something that decided the bytes: a ResourceDescriptor (in-toto attestation spec, v1/resource_descriptor.md).

    `digests` are by algorithm, in hexadecimal. A file is known by its `name`, all else by its `uri`.
    """

    name: str = ""
    uri: str = ""
    digests: Digests = ()
    annotations: tuple[tuple[str, str], ...] = ()
    content: bytes = b""

    def to_json(self) -> dict[str, object]:
        r"""The JSON object, what is empty left out; a name that is no UTF-8 with its bytes as `\xff`."""
        members: dict[str, object] = {}
        if self.name:
            members["name"] = shown(self.name)
        if self.uri:
            members["uri"] = self.uri
        if self.digests:
            members["digest"] = dict(self.digests)
        if self.annotations:
            members["annotations"] = dict(self.annotations)
        if self.content:
            members["content"] = base64.b64encode(self.content).decode("ascii")
        return members


class Provenance(msgspec.Struct, frozen=True):
    """What is said about one build: what the user gave, what follows from it, and all that it was made from.

    `made` are things that the build made itself on the way (programs), `versions` those of the builder.
    """

    external: Mapping[str, object]
    internal: Mapping[str, object]
    dependencies: tuple[Dependency, ...]
    made: tuple[Dependency, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()

    def predicate(self) -> dict[str, object]:
        """The predicate of type PROVENANCE; a Merkle root sums up the files, and any of them can be held to it."""
        dependencies = merged(self.dependencies)
        files = [dependency for dependency in dependencies if dependency.name and not dependency.uri]
        internal = dict(self.internal)
        if files:
            leaves = [sorted_json([shown(file.name), dict(file.digests)]) for file in files]
            internal["sources"] = {"files": len(files), "root": {"sha256": merkle_root(leaves)}}
        details: dict[str, object] = {"builder": {"id": BUILDER, "version": dict(self.versions)}}
        if self.made:
            details["byproducts"] = [made.to_json() for made in merged(self.made)]
        return {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": self.external,
                "internalParameters": internal,
                "resolvedDependencies": [dependency.to_json() for dependency in dependencies],
            },
            "runDetails": details,
        }


def with_run(predicate: Mapping[str, object], *, invocation: str, started: str, finished: str) -> dict[str, object]:
    """The same predicate with what only one run knows: its id, and when it was (RFC 3339); equal never again."""
    details = predicate["runDetails"]
    assert isinstance(details, Mapping)  # noqa: S101  # `Provenance.predicate` made it
    metadata = {"invocationId": invocation, "startedOn": started, "finishedOn": finished}
    return {**predicate, "runDetails": {**details, "metadata": metadata}}


def without_run(predicate: Mapping[str, object]) -> Mapping[str, object] | None:
    """The predicate that `with_run` was given, by what it made of it; None for any other predicate."""
    details = predicate.get("runDetails")
    if not isinstance(details, Mapping) or "metadata" not in details:
        return None
    builder = details.get("builder")
    if not isinstance(builder, Mapping) or builder.get("id") != BUILDER:
        return None
    return {**predicate, "runDetails": {name: value for name, value in details.items() if name != "metadata"}}


def merged(dependencies: Iterable[Dependency]) -> tuple[Dependency, ...]:
    """Each thing once, with all that is known of it, sorted; who says something first is heard."""
    known: dict[tuple[str, str], Dependency] = {}
    for dependency in dependencies:
        key = (dependency.uri, "" if dependency.uri else dependency.name)
        before = known.get(key, dependency)
        digests = {**dict(dependency.digests), **dict(before.digests)}
        noted = {**dict(dependency.annotations), **dict(before.annotations)}
        known[key] = replace(
            before,
            digests=tuple(sorted(digests.items())),
            annotations=tuple(sorted(noted.items())),
            content=before.content or dependency.content,
        )
    return tuple(known[key] for key in sorted(known))


def merkle_root(leaves: Sequence[bytes]) -> str:
    """The Merkle Tree Hash of a list, in hexadecimal (RFC 6962, 2.1): a leaf can be proven without the others."""
    return _tree_hash(leaves).hex()


def _tree_hash(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1  # the largest power of two below the length
    return hashlib.sha256(b"\1" + _tree_hash(leaves[:half]) + _tree_hash(leaves[half:])).digest()


def source(name: str, sha256: str) -> Dependency:
    """A file of the tree, by its path from the top."""
    return Dependency(name, digests=(("sha256", sha256),))


def entry(name: str, state: str, sha256: str | None) -> Dependency:
    """What a Dockerfile copies: a name of the context, its `state` in a line, and the bytes of a file.

    The line is what ENTRY is the sha256 of: `FILE executable  <sha256>`, `SYMLINK plain <target> `.
    """
    digests = [(ENTRY, hashlib.sha256(state.encode("utf-8", "surrogateescape")).hexdigest())]
    digests += [] if sha256 is None else [("sha256", sha256)]
    return Dependency(name, digests=tuple(digests))


def module(path: str, version: str, checksum: str, replaces: str = "") -> Dependency:
    """A Go module; the `h1:` of go.sum is the hash of a folder, and that of no archive or file."""
    digests = (("dirHash", checksum),) if checksum else ()
    noted = (("replaces", replaces),) if replaces else ()
    return Dependency(uri=f"pkg:golang/{_quoted(path, '/')}@{_quoted(version)}", digests=digests, annotations=noted)


def package(kind: str, name: str, version: str, digests: Digests = (), *, role: str = "") -> Dependency:
    """A released thing by its version: the toolchain (`generic/go`), an engine, this tool (`pypi/scons-multiarch`)."""
    uri = f"pkg:{kind}/{_quoted(name)}" + (f"@{_quoted(version)}" if version else "")
    return Dependency(uri=uri, digests=digests, annotations=(("role", role),) if role else ())


def image(reference: Reference, digest: Digest | None, platform: Platform | None, role: str) -> Dependency:
    """An image by its digest (purl-spec, type `oci`); `role` says what for: base, base index, front end, external."""
    name = reference.repository.rpartition("/")[2]
    version = f"@{_quoted(str(digest))}" if digest is not None else ""
    qualifiers = {"repository_url": f"{reference.registry}/{reference.repository}", "tag": reference.tag or ""}
    if platform is not None:
        qualifiers |= {"arch": platform.architecture, "os": platform.os, "variant": platform.variant}
        qualifiers |= {"os_version": platform.os_version}
    query = "&".join(f"{key}={_quoted(value)}" for key, value in sorted(qualifiers.items()) if value)
    digests = () if digest is None else ((digest.algorithm, digest.hex),)
    return Dependency(uri=f"pkg:oci/{_quoted(name)}{version}?{query}", digests=digests, annotations=(("role", role),))


def commit(address: str, revision: str, *, dirty: bool) -> Dependency:
    """The commit that an index names, and whether tracked files were not as it has them."""
    digests = (("gitCommit", revision),)
    noted = (("dirty", "yes" if dirty else "no"),)
    return Dependency(uri=f"git+{address}" if address else "git+file:.", digests=digests, annotations=noted)


def folder_hash(files: Mapping[str, str]) -> str:
    """The directory hash of files by their sha256, as DigestSet has it under `dirHash` (x/mod/sumdb/dirhash, Hash1)."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def shown(text: str) -> str:
    r"""A text of this machine as UTF-8, without logins of URLs in it; other bytes as `\xff`."""
    return public(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _quoted(text: str, safe: str = "") -> str:
    from urllib.parse import quote  # start-up

    return quote(text, safe=safe)
