"""What a provenance of ours says that is needed to build the same again; read as the word of a stranger.

Nothing of it becomes a command, a path out of the folder that is built in, or a text in which SCons would replace
variables: what could be one is a reason not to build (`Irreproducible`).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping

import msgspec

from multiarch_oci.attest.provenance import BUILD_TYPE, VARIABLES
from multiarch_oci.document import Document
from multiarch_oci.errors import MultiarchError, quoted

PACKAGES = ("compressor", "certifi", "tzdata")
"""What packs layers, certificates of authorities, time zones: each by its version."""
_TARGET = r"(?a:\w[\w./@+:-]*)"
_COMMIT = r"[0-9a-f]{40}(?:[0-9a-f]{24})?"
_SHA256 = r"[0-9a-f]{64}"
_GO = r"pkg:generic/go@([0-9]+\.[0-9]+(?:\.[0-9]+)?(?:(?:rc|beta)[0-9]+)?)"
_FLAGS = r"-(?:buildvcs|mod|modcacherw|trimpath|race|v|p|tags)(?:=[\w.,/-]*)?"
"""The flags of GOFLAGS that name no program and no file."""
_VARIANTS = tuple(f"GO{name}" for name in ("386", "AMD64", "ARM", "ARM64", "MIPS", "MIPS64", "PPC64", "RISCV64"))
_WORD = r"[\w.,=-]*"
_SETTLED = ("GOOS", "GOARCH", "GOTOOLCHAIN", "CGO_ENABLED", "GODEBUG")
"""Variables that the build itself sets, of whatever there is in the environment."""


class Irreproducible(MultiarchError):
    """Why something cannot be reproduced: `what` goes on the words "cannot be reproduced because"."""


class Recorded(msgspec.Struct, frozen=True):
    """How something was made.

    `target` is the file that was made; `images` are the tarballs of its platforms, `engines` who made them. `files` are
    those of the tree, with their sha256 in hexadecimal. `revision` is the commit, where it is named. `go` is the
    toolchain's version, "" without one. `lock` is the text of images.lock. `environment` and `variables` are what Go
    and the build were given. `packages` are, by platform, what of this tool's own surroundings decides bytes.
    """

    target: str
    images: Mapping[str, str]
    engines: Mapping[str, str]
    files: Mapping[str, str]
    revision: str
    is_dirty: bool
    go: str
    lock: str
    environment: Mapping[str, str]
    variables: dict[str, str]
    packages: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, predicate: Mapping[str, object], *, where: str) -> Recorded:
        """Read a predicate of type PROVENANCE. Raises InvalidDocument, Irreproducible."""
        document = Document.of(predicate, where=where)
        definition = _nested(document, "buildDefinition")
        if definition.text("buildType") != BUILD_TYPE:
            raise Irreproducible(f"its provenance is of another builder: {quoted(str(definition.text('buildType')))}")
        given, internal = _nested(definition, "externalParameters"), _nested(definition, "internalParameters")
        dependencies = definition.objects("resolvedDependencies")
        images = internal.nested("images")
        parts = (
            {str(given.text("platform")): internal}
            if images is None
            else {platform: _nested(images, platform) for platform in images.members}
        )
        commits = [entry for entry in dependencies if (entry.text("uri") or "").startswith("git+")]
        return cls(
            target=_target(internal),
            images={platform: _target(part) for platform, part in parts.items()},
            engines={platform: part.text("engine") or "" for platform, part in parts.items()},
            files=dict(_files(dependencies)),
            revision=_revision(commits),
            is_dirty=any(dict(entry.pairs("annotations")).get("dirty") == "yes" for entry in commits),
            go=_go(dependencies),
            lock=_lock(dependencies),
            environment=_environment(parts, given),
            variables=dict(_variables(given)),
            packages={platform: dict(_packages(_nested(part, "image"))) for platform, part in parts.items()},
        )


def _nested(document: Document, key: str) -> Document:
    return document.nested(key) or Document.of({}, where=f"{document.where}: {key}")


def _target(part: Document) -> str:
    target = part.required("target")
    if not re.fullmatch(_TARGET, target) or ".." in target.split("/"):
        raise Irreproducible(f"its provenance names the target {quoted(target)}, which is no path in a tree")
    return target


def _files(dependencies: tuple[Document, ...]) -> Iterator[tuple[str, str]]:
    """The files that a repository can hold: what this tool gives itself is none of them, nor is images.lock."""
    for entry in dependencies:
        name, digest = entry.text("name"), dict(entry.pairs("digest")).get("sha256", "")
        of_tree = name != "images.lock" and not entry.text("uri") and not entry.pairs("annotations")
        if name and of_tree and not name.startswith("_output/") and "//" not in name and re.fullmatch(_SHA256, digest):
            yield name, digest


def _revision(commits: list[Document]) -> str:
    for entry in commits:
        revision = dict(entry.pairs("digest")).get("gitCommit", "")
        if not re.fullmatch(_COMMIT, revision):
            raise Irreproducible(f"its provenance names the commit {quoted(revision)}, which is none")
        return revision
    return ""


def _go(dependencies: tuple[Document, ...]) -> str:
    for entry in dependencies:
        uri = entry.text("uri") or ""
        if uri.startswith("pkg:generic/go@"):
            known = re.fullmatch(_GO, uri)
            if known is None:
                raise Irreproducible(f"it was made by {quoted(uri)}, which is no release of Go")
            return known[1]
    return ""


def _lock(dependencies: tuple[Document, ...]) -> str:
    for entry in dependencies:
        if entry.text("name") == "images.lock":
            try:
                return base64.b64decode(entry.text("content") or "", validate=True).decode("utf-8")
            except (binascii.Error, ValueError):
                raise Irreproducible("what its provenance says of images.lock cannot be read") from None
    return ""


def _environment(parts: Mapping[str, Document], given: Document) -> dict[str, str]:
    """The variables that were set where it was made; those that name programs or files nobody takes from a stranger."""
    known: dict[str, str] = {}
    for part in parts.values():
        epoch = _nested(part, "image").text("SOURCE_DATE_EPOCH") or "0"
        known["SOURCE_DATE_EPOCH"] = epoch if re.fullmatch(r"[0-9]{1,12}", epoch) else "0"
        programs = _nested(part, "programs")
        for program in programs.members:
            declared = _declared(given, program)
            for name, value in _nested(programs, program).members.items():
                if name.isupper() and name not in (*_SETTLED, *declared):
                    known[name] = _allowed(name, str(value))
    return known


def _declared(given: Document, program: str) -> tuple[str, ...]:
    """The variables of a program that follow from what the tree itself says: its GOENV, and those of a variant."""
    images = given.nested("images")
    all_given = [given] if images is None else [_nested(images, platform) for platform in images.members]
    for of_image in all_given:
        known = _nested(of_image, "programs").nested(program)
        if known is not None:
            variants = _VARIANTS if (known.text("platform") or "").count("/") > 1 else ()
            return (*_nested(known, "env").members, *variants)
    return ()


def _allowed(name: str, value: str) -> str:
    flags = name == "GOFLAGS" and all(re.fullmatch(_FLAGS, word) for word in value.split())
    constant = name in (*_VARIANTS, "GOEXPERIMENT", "GOFIPS140") and re.fullmatch(_WORD, value)
    if not flags and not constant:
        raise Irreproducible(
            f"{quoted(f'{name}={value}')} was set where it was made, which is not taken from a stranger"
        )
    return value


def _packages(image: Document) -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        value = image.text(name)
        if value:
            yield name, value


def _variables(given: Document) -> Iterator[tuple[str, str]]:
    for name, value in given.pairs("variables"):
        if name not in VARIABLES or "$" in value or "\0" in value:
            raise Irreproducible(f"its provenance has {quoted(f'{name}={value}')}, which nobody takes from a stranger")
        yield name, value
