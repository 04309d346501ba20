"""What an image was made from, of what this build found out about its targets: each thing by its digest.

Programs, what other builders make, files that are copied, bases. What this build makes itself on the way is no
dependency: what that is made from is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

import SCons.Node.FS

from multiarch_oci.attest import provenance
from multiarch_oci.attest.provenance import Dependency, Provenance
from multiarch_oci.digest import Digest
from multiarch_oci.engine.frontend import covering
from multiarch_oci.engine.frontend.fingerprint import Taken, bases_in, taken
from multiarch_oci.golang.materials import below
from multiarch_oci.reference import Reference
from scons_multiarch import RELEASE
from scons_multiarch.context import made_in_tree
from scons_multiarch.installation import tool_digest
from scons_multiarch.paths import shown
from scons_multiarch.targets import ImageTarget, ProgramTarget, target_of
from scons_multiarch.tracking.nodes import Tracked
from scons_multiarch.trusted import trust_files
from scons_multiarch.versions import version_file

if TYPE_CHECKING:
    from multiarch_oci.engine import Base, BuildPlan
    from multiarch_oci.golang.recipe import GoBuild
    from multiarch_oci.why import Facts
    from scons_multiarch.session import Run

EMBEDDED = "embedded"
VERSIONS = (("scons-multiarch", RELEASE),)
_PARAMETERS = ("platform", "stage", "engine", "label ", "build argument ", "base ")
"""How the names of facts of an image begin that stand elsewhere in its provenance."""
_ELSEWHERE = ("go", "module ", "CC program", "CXX program", "error")
"""… and of a program."""


_SHA256 = 64
"""Hexadecimal digits."""


def of_image(run: Run, node: Any) -> Provenance:
    """What an image's bytes were decided by, but for what its tarball says itself (`builders`).

    Raises MultiarchError, OSError where that cannot be found out.
    """
    record: ImageTarget = node.attributes.target
    known, gathered = facts_of(node), _Gathered(run)
    gathered.walk(node)
    given, bases = given_of(record), bases_of(node)
    internal = {name: value for name, value in known.values.items() if value and not name.startswith(_PARAMETERS)}
    if record.plan.text:
        internal["dockerfile"] = record.plan.text
    dependencies = [
        *_copied(run, record.plan, known),
        *ignored(run, record.plan),
        *gathered.files(),
        *_version(run, node, [str(given), str(gathered.given)]),
        *_bases(run, bases),
        *locked(run, bases),
        *_trusting(run, bases),
        *gathered.dependencies,
    ]
    inside: dict[str, object] = {"target": shown(node), "image": internal}
    inside |= {"programs": gathered.internal, "commands": gathered.commands}
    external = {**given, "programs": gathered.given} if gathered.given else given
    return Provenance(
        external,
        {name: value for name, value in inside.items() if value},
        tuple(dependencies),
        tuple(gathered.made),
        VERSIONS,
    )


def facts_of(node: Any) -> Facts:
    """What a target is made from, as it was decided, or is now. Raises what finding it raises."""
    state = node.attributes.state
    state.decide()
    if state.failure is not None:
        raise state.failure
    facts: Facts = state.facts
    return facts


def bases_of(image: Any) -> list[Base]:
    """The bases of an image, of which nothing is none."""
    facts = facts_of(image)
    return [base for base in bases_in(facts.values, image.attributes.target.platform) if base.name != "scratch"]


def _bases(run: Run, bases: list[Base]) -> Iterator[Dependency]:
    """The manifest of each base, and the index that named it where that is known."""
    if not bases:
        return
    lock = run.build.bases().lock()
    for base in bases:
        name = _reference(base)
        entry = lock.entry(name, base.platform)
        yield provenance.image(name, base.digest, base.platform, "base")
        if entry is not None and entry.index is not None:
            yield provenance.image(name, entry.index, None, "index of a base")


def locked(run: Run, bases: list[Base]) -> Iterator[Dependency]:
    """images.lock, without the lines of bases that have no part in this: another image's are no reason for a change."""
    if not bases:
        return
    from multiarch_oci.baselock import FILE, lines_of

    try:
        text = (run.tree.root / FILE).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return
    content = lines_of(text, {(str(_reference(base)), str(base.platform)) for base in bases}).encode()
    yield Dependency(FILE, digests=(("sha256", Digest.of(content).hex),), content=content)


def _trusting(run: Run, bases: list[Base]) -> Iterator[Dependency]:
    """The trust files by which the bases of an image were let in, and the keys and roots that these name."""
    for name, digest in trust_files(run) if bases else ():
        shown_name = PurePath(name).name if PurePath(name).is_absolute() else name  # no path of this machine
        yield Dependency(shown_name, digests=((digest.algorithm, digest.hex),), annotations=(("role", "trust"),))


def engine_of(node: Any) -> str:
    """The engine that made an image, as its tarball says."""
    from multiarch_oci.engine.export import normalising

    return normalising.engine_of(Path(node.get_abspath())) or EMBEDDED


def builders(run: Run, node: Any, name: str) -> Iterator[Dependency]:
    """Who built an image: this tool, and an engine of others with its front end, where the Dockerfile names one."""
    own = name == EMBEDDED
    digests = (("dirHash", tool_digest(run)),)
    yield provenance.package("pypi", "scons-multiarch", RELEASE, digests, role="builder, engine" if own else "builder")
    if own:
        return
    from scons_multiarch.engines import version_of_engine

    yield provenance.package("generic", name, version_of_engine(run, name), role="engine")
    from multiarch_oci.dockerfile.parser import directive
    from scons_multiarch.trusted import check_frontend

    plan = node.attributes.target.plan
    pinned = check_frontend(node.attributes.run, plan)
    try:
        text = plan.read().decode("utf-8", "replace").removeprefix("\ufeff")
    except OSError:
        return
    front_end = (directive("syntax", text) or "").partition(" ")[0]
    if front_end:
        reference = Reference.parse(front_end).with_default_tag()
        digest = reference.digest if pinned is None else pinned.digest
        yield provenance.image(reference, digest, None, "front end")


def _reference(base: Base) -> Reference:
    return Reference.parse(base.name).with_default_tag()


def given_of(record: ImageTarget) -> dict[str, object]:
    """What the user said of an image; secrets by their names."""
    plan = record.plan
    given: dict[str, object] = {
        "platform": str(plan.platform),
        "engine": record.engine,
        "buildArgs": {name: provenance.shown(value) for name, value in plan.build_args},
        "labels": {name: provenance.shown(value) for name, value in plan.labels},
        "target": plan.target,
        "secrets": sorted(filter(None, map(_secret, plan.secrets))),
        "ssh": sorted(text.partition("=")[0] for text in plan.ssh),
        "network": plan.network,
        "foreign": list(plan.foreign),
    }
    if not plan.text:
        within = not os.path.isabs(name := plan.name)  # noqa: PTH117  # as text
        given["dockerfile"] = provenance.shown(name) if within else "elsewhere"
    return {name: value for name, value in given.items() if value}


def _secret(text: str) -> str:
    """The name of a secret, of `id=token,src=…`."""
    fields = dict(part.partition("=")[::2] for part in text.split(","))
    return fields.get("id", "")


class _Gathered:
    """What was made on the way to an image: programs, what other builders make of which files, and what of all that."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._files: dict[str, Dependency] = {}  # by path from the top
        self.given: dict[str, object] = {}
        self.internal: dict[str, object] = {}
        self.commands: dict[str, str] = {}
        self.dependencies: list[Dependency] = []
        self.made: list[Dependency] = []

    def files(self) -> Iterator[Dependency]:
        """The files of the tree, but for what this build makes."""
        yield from self._files.values()

    def walk(self, image: Any) -> None:
        """Look at all that is made for an image, whoever makes it; what it copies as it lies there, its facts name."""
        seen: set[Any] = set()
        pending = [child for child in image.children() if child.has_builder()]
        while pending:
            node = pending.pop()
            if node in seen:
                continue
            seen.add(node)
            record = target_of(node)
            if isinstance(record, ProgramTarget):
                self._program(node)
            elif record is None and isinstance(node, SCons.Node.FS.Base):
                self._other(node)
            pending += node.children()

    def _program(self, node: Any) -> None:
        name, of = shown(node), self._run.build.once(("made from", node), lambda: _of_program(self._run, node))
        self._files |= of.files
        self.dependencies += of.dependencies
        self.given[name], self.internal[name] = of.given, of.internal
        self._note_made(node)

    def _other(self, node: Any) -> None:
        """What another builder makes, or the file that it is made from."""
        name = shown(node)
        if node.has_builder():
            signature = getattr(node.get_stored_info().binfo, "bactsig", None)
            self.commands[name] = str(signature or "")
            self._note_made(node)
        elif isinstance(node, SCons.Node.FS.Dir):
            top = Path(node.get_abspath())
            for path in sorted(top.rglob("*")) if top.is_relative_to(self._run.tree.root) else ():
                if path.is_file():
                    self._note_file(path.relative_to(self._run.tree.root).as_posix(), path)
        else:
            self._note_file(name, Path(node.rfile().get_abspath()))

    def _note_file(self, name: str, path: Path) -> None:
        try:
            digest = self._run.tree.stat.digest(str(path))
        except OSError:
            return  # the step says so
        name = name if not os.path.isabs(name) else path.name  # noqa: PTH117  # as text; no path of this machine
        if not _is_made(self._run, name):
            self._files[name] = provenance.source(name, digest)

    def _note_made(self, node: Any) -> None:
        if isinstance(node, Tracked):
            digest = node.get_csig()  # a shared cache may have the bytes, and this machine none
        else:
            path = Path(node.get_abspath())
            digest = self._run.tree.stat.digest(str(path)) if path.is_file() else ""
        if len(digest) == _SHA256:
            self.made.append(provenance.source(shown(node), digest))


def _is_made(run: Run, name: str) -> bool:
    """Whether this build makes what lies at a path from the top, or a folder that it lies in."""
    there, end = made_in_tree(run).nodes, len(name)
    while end > 0:
        if name[:end] in there:
            return True
        end = name.rfind("/", 0, end)
    return False


class _OfProgram(NamedTuple):
    """What is said of a program, in the provenance of each image that it is in; files by their paths from the top."""

    given: dict[str, object]
    internal: dict[str, object]
    files: dict[str, Dependency]
    dependencies: tuple[Dependency, ...]


def _of_program(run: Run, node: Any) -> _OfProgram:
    build, values = node.attributes.target.build, facts_of(node).values
    materials = run.build.lister().materials(build, run.tree.root)
    files = {name: provenance.source(name, digest) for name, digest in materials.files if not _is_made(run, name)}
    dependencies = [provenance.module(*_fields(module)) for module in materials.modules]
    sources = run.build.go_sources()
    digests = (("dirHash", sources),) if sources else ()
    dependencies.append(provenance.package("generic", "go", values.get("go", "").removeprefix("go"), digests))
    for compiler in ("CC", "CXX"):
        digest = values.get(f"{compiler} program", "")
        if digest:
            dependencies.append(provenance.package("generic", compiler.lower(), "", (("sha256", digest),)))
    inside = {key: value for key, value in values.items() if value and not key.startswith(_ELSEWHERE)}
    shown_inside: dict[str, object] = {key: provenance.shown(value) for key, value in inside.items()}
    return _OfProgram(_go(build), shown_inside, files, tuple(dependencies))


def _fields(module: Any) -> tuple[str, str, str, str]:
    return module.path, module.version, module.checksum, module.replaces


def _go(build: GoBuild) -> dict[str, object]:
    """What the user said of a program."""
    given: dict[str, object] = {
        "package": build.package,
        "platform": str(build.platform),
        "flags": [provenance.shown(flag) for flag in build.flags],
        "ldflags": provenance.shown(build.ldflags),
        "tags": list(build.tags),
        "env": {name: provenance.shown(value) for name, value in build.env},
        "cc": build.cc,
        "cxx": build.cxx,
    }
    given |= {name: True for name in ("cgo", "race", "debug") if getattr(build, name)}
    return {name: value for name, value in given.items() if value}


def _copied(run: Run, plan: BuildPlan, facts: Facts) -> Iterator[Dependency]:
    """The Dockerfile, and what it copies as it lies in the tree; what this build makes is no source."""
    for file in taken(facts.files):
        if plan.text and file.name == plan.name:
            continue  # it follows from the parameters
        name = _from_top(run, plan, file)
        if _is_made(run, name):
            continue
        if file.digest:
            yield provenance.source(name, file.digest)
        if file.state:
            yield provenance.entry(name, file.state, file.digest or None)


def _from_top(run: Run, plan: BuildPlan, file: Taken) -> str:
    """A file's path from the top of the tree; of what lies elsewhere, its name in the context."""
    named, slashes, path = file.name.partition("//")
    context = next((context for context in plan.contexts if slashes and context.name == named), None)
    files, folder = (plan.files, plan.context) if context is None else (context.files or (), context.folder)
    path = file.name if context is None else path
    given = covering(files, path)
    if given is not None:
        if given.origin is None:
            return file.name
        real = os.path.join(given.origin, path[len(given.path) :].strip("/")) if path != given.path else given.origin  # noqa: PTH118
    elif folder is None:
        return file.name
    elif not plan.overlays:
        real = f"{folder}{os.sep}{'' if path == '.' else path}"
    else:
        real = plan.real_path(folder, "" if path == "." else path)
    return below(os.path.normpath(real), run.tree.root) or file.name


def ignored(run: Run, plan: BuildPlan) -> Iterator[Dependency]:
    """The ignore file that counts for a Dockerfile."""
    if plan.text:
        return
    for path in (f"{plan.dockerfile}.dockerignore", f"{plan.context}{os.sep}.dockerignore"):
        if os.path.isfile(path):  # noqa: PTH113  # as text: it is asked of every image
            yield provenance.source(below(path, run.tree.root) or os.path.basename(path), plan.file_digest(Path(path)))  # noqa: PTH119
            return


def _version(run: Run, node: Any, texts: list[str]) -> Iterator[Dependency]:
    """The file VERSION, where what it says stands in what the image or its programs are made by."""
    env = node.get_build_env()
    version = str(env.get("VERSION", ""))
    if not version or "VERSION" in env.get("SAID_VARIABLES", ()) or env.get("DESCRIBED") is not None:
        return
    file = run.build.once("file VERSION", lambda: version_file(run))
    name = below(str(file), run.tree.root)
    if name and file.is_file() and any(version in text for text in texts):
        yield provenance.source(name, run.tree.stat.digest(str(file)))
