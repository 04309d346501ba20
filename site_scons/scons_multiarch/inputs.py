"""What decides the documents of an image or index (SBOM, provenance), in one digest that costs little to find out.

It is another one wherever their own facts are. It may be another one where those are not: then they are looked at. So
what decides an image or a program stands here by the digest of its facts, and files that have a part in some documents
of the tree (go.mod, licences, images.lock) are inputs of all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiarch_oci.document import key_of
from scons_multiarch import RELEASE, licences, provenances, sboms
from scons_multiarch.context import made_in_tree
from scons_multiarch.dependencies import given_of, ignored
from scons_multiarch.installation import tool_digest
from scons_multiarch.paths import shown
from scons_multiarch.targets import ProgramTarget, SbomTarget, is_index, target_of
from scons_multiarch.tracking.nodes import REVISION
from scons_multiarch.trusted import trust_files
from scons_multiarch.versions import version_file

if TYPE_CHECKING:
    from scons_multiarch.session import Run


def digest(run: Run, subject: Any, sbom: SbomTarget | None, *, provenance: bool) -> str:
    """One sha256 in hexadecimal over all that decides these documents' bytes. Raises MultiarchError, OSError."""
    parts: list[object] = [REVISION, shown(subject), str(subject.env.get("IMAGE_FILE", "")), subject.get_csig()]
    if is_index(subject):
        parts += [] if sbom is None else [sboms.facts(run, sbom, subject).digest()]
        parts += [_of_index(run, subject)] if provenance else []
        return _digest(parts)
    of_image = _of_image(run, subject)
    if sbom is not None:
        parts += [sbom.name, sbom.version, of_image or sboms.facts(run, sbom, subject).digest()]
    if provenance:
        parts.append(of_image or provenances.facts(run, subject).digest())
    return _digest(parts)


def _digest(parts: object) -> str:
    return key_of(parts)


def _of_index(run: Run, index: Any) -> str:
    """What decides the provenance of an index."""
    images = [_of_image(run, image) for image in provenances.images_of(index)]
    if not all(images):
        return provenances.facts(run, index).digest()
    return _digest([images, provenances.own_facts(run, index).digest()])


def _of_image(run: Run, image: Any) -> str:
    """What decides the documents of an image of which all that is made for it is Go programs; "" for any other."""
    return run.build.once(("inputs of documents", image), lambda: _look_at(run, image))


def _look_at(run: Run, image: Any) -> str:
    programs = [child for child in dict.fromkeys(image.children()) if child.has_builder()]
    if not all(isinstance(target_of(node), ProgramTarget) and not node.children() for node in programs):
        return ""
    record, plan = target_of(image), target_of(image).plan
    parts = [_of_tree(run), shown(image), image.get_csig(), _facts_of(image), *_version_words(image.env)]
    parts += [str(given_of(record)), plan.text, str(plan.dockerfile), str(plan.context)]  # what was said of it
    parts += map(repr, (plan.contexts, plan.files, plan.overlays))
    parts += [f"{file.name} {file.digests}" for file in ignored(run, plan)]
    parts += [f"{shown(document)} {document.get_csig()}" for document in record.sboms]
    for program in programs:
        parts += [shown(program), program.get_csig(), _facts_of(program), licences.state(run, program)]
        parts.append(repr(target_of(program).build))
    return _digest(parts) if all(map(_facts_of, [image, *programs])) and _of_tree(run) else ""


def _facts_of(node: Any) -> str:
    """The digest of what a target is made from; "" where that could not be found out."""
    node.attributes.state.decide()
    return str(node.attributes.state.digest_of_facts())


def _version_words(env: Any) -> Iterator[str]:
    """What decides whether the file VERSION has a part in an image."""
    yield str(env.get("VERSION", ""))
    yield str("VERSION" in env.get("SAID_VARIABLES", ()))
    yield str(env.get("DESCRIBED") is not None)


def _of_tree(run: Run) -> str:
    """What documents of any image may be decided by; "" for a tree of which more has to be looked at (`vendor`)."""
    return run.build.once("inputs of all documents", lambda: _look_at_tree(run))


def _look_at_tree(run: Run) -> str:
    from multiarch_oci.attest.licences import files_in
    from multiarch_oci.baselock import FILE

    programs = run.declarations.programs
    modules = run.build.lister().modules() if programs else None
    if modules is not None and modules.are_vendored:
        return ""
    paths = [str(run.tree.root / FILE), str(version_file(run))]
    for folder in () if modules is None else modules.folders:
        paths += map(str, files_in(Path(folder)))
    return _digest(
        [
            [RELEASE, sboms.FORMAT, tool_digest(run), run.settings.epoch, run.build.go_sources() if programs else ""],
            [[path, run.tree.stat.digest(path) if os.path.isfile(path) else ""] for path in sorted(paths)],  # noqa: PTH113
            [] if modules is None else sorted(modules.files.items()),
            [[name, str(digest)] for name, digest in trust_files(run)],
            sorted(made_in_tree(run).nodes),
        ]
    )
