"""What the provenance of an image or index says, and when it has to be written anew.

An image's names contents only. The commit, and what was said on the command line, stand in that of the index.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from multiarch_oci.attest import provenance
from multiarch_oci.attest.provenance import Dependency, Provenance
from multiarch_oci.digest import Digest
from multiarch_oci.errors import MultiarchError
from multiarch_oci.why import Facts
from scons_multiarch.dependencies import VERSIONS, bases_of, builders, engine_of, locked, of_image
from scons_multiarch.installation import tool_digest
from scons_multiarch.paths import shown
from scons_multiarch.targets import ImageTarget, IndexTarget, PinTarget, is_index, of_run, target_of

if TYPE_CHECKING:
    from scons_multiarch.session import Run

_REVISION = "org.opencontainers.image.revision"
_SOURCE = "org.opencontainers.image.source"


def facts(run: Run, subject: Any) -> Facts:
    """What decides a provenance beside the file that it is about. Raises MultiarchError, OSError."""
    return _facts_of_index(run, subject) if is_index(subject) else _known(run, subject)[1]


def statements(run: Run, node: Any, *, full: bool) -> dict[Path, bytes]:
    """The files to be written, by path: the statement, and with `full` another one beside it, of this run."""
    from multiarch_oci.attest.statement import PROVENANCE, statement

    source, path, name = node.sources[0], Path(node.get_abspath()), node.attributes.target.name
    predicate = (of_index(run, source) if is_index(source) else _whole(run, source)).predicate()
    digest = Digest.of_file(Path(source.get_abspath())) if is_index(source) else _digest(source)
    written = {path: statement(digest, name, PROVENANCE, predicate)}
    if full:
        written[beside(path)] = statement(digest, name, PROVENANCE, _with_this_run(run, predicate))
    return written


def beside(statement: Path) -> Path:
    """Where the statement lies that says of which run it is, by that of the tracked one."""
    return Path(of_run(str(statement)))


def drifted(node: Any) -> str | None:
    """Why the statement of a run is to be written, and with it the tracked one anew; None when it says the same."""
    from multiarch_oci.attest.statement import Statement

    path = Path(node.get_abspath())
    try:
        tracked, full = (Statement.parse(file.read_bytes(), where=file.name) for file in (path, beside(path)))
    except (OSError, MultiarchError):
        return f"PROVENANCE=full, and there is no {beside(path).name}"
    same = full.subjects == tracked.subjects and provenance.without_run(full.predicate) == tracked.predicate
    return None if same else f"{beside(path).name} is of another build"


def of_index(run: Run, node: Any) -> Provenance:
    """What an index's bytes were decided by: all that its images were, what else belongs to it, and the commit."""
    record: IndexTarget = node.attributes.target
    images = images_of(node)
    parts = {str(image.attributes.target.platform): _whole(run, image) for image in images}
    dependencies = [
        *locked(run, [base for image in images for base in bases_of(image)]),  # before the lines of each
        *(dependency for part in parts.values() for dependency in part.dependencies),
        *_own(run, node),
    ]
    made = [thing for part in parts.values() for thing in part.made]
    for image in images:
        digest = _digest(image)
        made.append(Dependency(shown(image), digests=((digest.algorithm, digest.hex),)))
    external: dict[str, object] = {
        "annotations": {name: provenance.shown(value) for name, value in record.annotations},
        "images": {platform: part.external for platform, part in parts.items()},
    }
    external |= {"variables": variables} if (variables := _variables(node)) else {}
    internal = {"target": shown(node), "images": {platform: part.internal for platform, part in parts.items()}}
    return Provenance(external, internal, tuple(dependencies), tuple(made), VERSIONS)


def _known(run: Run, image: Any) -> tuple[Provenance, Facts]:
    """What decided an image, found out once a build: its own provenance says it, and that of each index."""

    def find() -> tuple[Provenance, Facts]:
        of = of_image(run, image)
        files = {known.name or known.uri: f"{known.digests} {known.annotations}" for known in of.dependencies}
        # By name, as files are: what changed in them is told by the step that makes the image.
        files["what its image was given"] = f"{of.external} {of.internal}"
        files["this tool"] = f"{of.versions} {tool_digest(run)}"
        files["what the build makes on the way"] = str(of.made)
        return of, Facts({}, files)

    return run.build.once(("provenance", image), find)


def _whole(run: Run, image: Any) -> Provenance:
    of, _ = _known(run, image)
    engine = engine_of(image)
    dependencies = (*of.dependencies, *builders(run, image, engine))
    return replace(of, internal={**of.internal, "engine": engine}, dependencies=dependencies)


def _facts_of_index(run: Run, node: Any) -> Facts:
    images = images_of(node)
    files = {f"what {shown(image)} is made from": _known(run, image)[1].digest() + image.get_csig() for image in images}
    own = own_facts(run, node)
    return Facts(own.values, {**files, **own.files})


def own_facts(run: Run, node: Any) -> Facts:
    """What decides the provenance of an index beside its images."""
    files = {known.name or known.uri: f"{known.digests} {known.annotations}" for known in _own(run, node)}
    values = {f"annotation {name}": value for name, value in target_of(node).annotations}
    return Facts(values | {name: str(value) for name, value in _variables(node).items()}, files)


def images_of(node: Any) -> list[Any]:
    """The images of an index that this build makes."""
    return [source for source in node.sources if isinstance(target_of(source), ImageTarget)]


def _digest(image: Any) -> Digest:
    from scons_multiarch.receipts import descriptor_of

    return descriptor_of(image).digest


def _own(run: Run, node: Any) -> Iterator[Dependency]:
    """What belongs to an index beside its images: what somebody else pushed, and the commit that it names itself."""
    from scons_multiarch.receipts import last_receipt

    for pin in node.sources:
        record = target_of(pin)
        receipt = last_receipt(pin) if isinstance(record, PinTarget) else None
        if receipt is not None:
            yield provenance.image(record.reference, receipt.descriptor.digest, record.platform, "external")
    noted = dict(target_of(node).annotations)
    if _REVISION in noted:
        from scons_multiarch.versions import git_of

        changed = run.build.once("changed files", lambda: git_of(run).changed())
        yield provenance.commit(noted.get(_SOURCE, ""), noted[_REVISION], dirty=bool(changed))


def _variables(node: Any) -> dict[str, object]:
    """The variables that the command line or custom.py said; of the user's own, which may be secrets, none."""
    env = node.get_build_env()
    texts: Mapping[str, str] = env.get("VARIABLE_TEXTS", {})
    return {
        name: provenance.shown(texts[name]) for name in provenance.VARIABLES if name in env.get("SAID_VARIABLES", ())
    }


def _with_this_run(run: Run, predicate: Mapping[str, object]) -> dict[str, object]:
    """The predicate with a random id of this run, when it began and when this was written, both in UTC."""
    import uuid
    from datetime import datetime, timezone

    def spelled(moment: datetime) -> str:
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    return provenance.with_run(
        predicate,
        invocation=f"urn:uuid:{run.build.once('invocation', uuid.uuid4)}",
        started=spelled(datetime.fromtimestamp(run.build.recorder().wall, timezone.utc)),
        finished=spelled(datetime.now(timezone.utc)),
    )
