"""Tool: `env.Image`, what a Dockerfile makes for one platform, as a tarball (OCI layout, base by descriptor)."""

from __future__ import annotations

import os
import platform as platform_of_host
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import oci_paths as paths
from multiarch.engine import AUTO, NAMES, BuildPlan, Engine, EngineUnavailable, NamedContext
from multiarch.engine.glance import Reached
from multiarch.engine.telling import describe
from multiarch.errors import MultiarchError
from multiarch.platform import Platform
from multiarch.record import replace
from multiarch.why import Facts
from oci_bases import keep, known, unlocked
from oci_engines import chosen, foreseen, reader, warn
from oci_kinds import ImageTarget, declared_before, platform_of
from oci_nodes import State, declare, reasons, track
from oci_run import Run
from oci_sources import generated
from oci_steps import Step, add_method

if TYPE_CHECKING:
    from multiarch.descriptor import Descriptor


class NoDockerfile(MultiarchError, ValueError):
    """A platform for which no Dockerfile is there."""


def reached(run: Run, plan: BuildPlan, before: Reached | None = None) -> Reached:
    """What the Dockerfile takes of the context, and its bases; at a glance where nothing has changed.

    `before` is what was found a moment ago with other bases.
    """

    def ask(full: BuildPlan) -> Reached:  # the reader is loaded only when it is asked
        return reader(run).inputs(full)

    return run.glances().inputs(plan, ask, before=before)


def settled(run: Run, plan: BuildPlan) -> tuple[BuildPlan, Reached]:
    """The plan with every base that its Dockerfile needs, as images.lock has it, and what it takes then.

    What a base says (its ENV, its ONBUILD) may let the Dockerfile take more, and need further bases.
    """
    plan = replace(plan, hidden=run.hidden)
    found = reached(run, plan)
    while True:
        bases = tuple(known(run, plan, base) for base in found.bases)
        if bases == plan.bases:
            return plan, found
        plan = replace(plan, bases=bases)
        found = reached(run, plan, found)


def facts(run: Run, image: Any) -> Facts:
    """Everything that can change the image: what is copied file by file, the Dockerfile, the rest by value."""
    record, state = image.attributes.target, image.attributes.state
    seen, state.seen = state.seen, None
    values, files = describe(*(seen or settled(run, record.plan)))
    return Facts(values | {"engine": record.engine}, files)


def unkept(run: Run, image: Any) -> str | None:
    """Why an image is made again though its inputs stand: it gets its base's line in images.lock back."""
    if not run.resolved or not unlocked(run, reached(run, image.attributes.target.plan).bases):
        return None
    return "its base is not in images.lock"


_OWN = ("site_scons", "sconsw", "sconsw.bat", "_output")
_OWN_FOLDERS = ("site_scons", "_output", "_output/bin")
_OWN_LOCKS = ("requirements.lock", "requirements-test.lock", "requirements-go.lock")


def own_files(plan: BuildPlan, found: Reached) -> str:
    """The files of the build itself that a `COPY . .` takes, in words; empty where there are none, or all are named."""
    try:
        text = plan.dockerfile.read_text("utf-8", "replace")
    except OSError:
        return ""
    # What is named up to a variable or wildcard is meant: `_output/bin/${TARGETARCH}/linux/demo`.
    named = set(re.findall(r"(?<![\w.-])(?:_output|site_scons|sconsw|requirements)[^\s\"',\]$*?[]*", text))
    paths = [file.path for file in found.files if not file.path.startswith(tuple(named or {"\0"}))]
    taken = {path.partition("/")[0] for path in paths if path not in _OWN_FOLDERS}
    own = [name for name in _OWN if name in taken]
    return ", ".join([*own, *(name for name in _OWN_LOCKS if name in taken and "sconsw" in taken)])


def perform(target: list[Any], _source: list[Any], env: Any) -> None:
    """Build the image by the chosen engine."""
    run, record, state = env["MULTIARCH_RUN"], target[0].attributes.target, target[0].attributes.state
    plan, found = settled(run, record.plan)
    own = own_files(plan, found)
    if own:
        warn(f"the image holds files of the build itself: {own}; leave them out by .dockerignore, or copy them by name")
    output = Path(target[0].get_abspath())
    made = None if reasons(target[0]) else _rebased(run, target[0], plan, output)
    if made is None:
        made = _choice(run, record, plan, output).build(plan, output)
    state.digest = made.digest
    keep(run, plan.bases)


def _rebased(run: Run, node: Any, plan: BuildPlan, output: Path) -> Descriptor | None:
    """The image over a new base without its engine, where nothing else changed; said, or why not."""
    record, state = node.attributes.target, node.attributes.state
    if not record.rebase or not output.exists():
        return None
    from multiarch.engine.embedded.rebasing import rebase

    words, found = "", None
    try:
        found = rebase(plan, output, reader=reader(run), open_source=run.places.source, warn=warn, engine=record.engine)
    except MultiarchError as error:
        words = f"not rebased ({str(error).partition(chr(10))[0]})"
    if found is not None:
        words = f"rebased from {found.before} to {found.after} (no engine run)"
        state.because = f"{state.because}; rebased, no engine run"
    if words:
        print(f"  {words}", flush=True)  # noqa: T201  # for the user
    return None if found is None else found.descriptor


def prospect(node: Any) -> str:
    """What `plan` and `why` add for an image whose base alone changed."""
    run, record, output = node.attributes.run, node.attributes.target, Path(node.get_abspath())
    if not record.rebase or not output.exists():
        return ""
    from multiarch.engine.embedded.rebasing import promising

    plan, _ = settled(run, record.plan)
    can = promising(plan, output, reader(run), engine=record.engine)
    return "; to be rebased without an engine, if its files allow" if can else ""


def engine_foreseen(node: Any) -> tuple[str | None, str]:
    """The engine that would build an image, and why not an earlier one; None: nobody can. MultiarchError, OSError."""
    run, record = node.attributes.run, node.attributes.target
    return foreseen(run, record, settled(run, record.plan)[0], Path(node.get_abspath()))


def _choice(run: Run, record: ImageTarget, plan: BuildPlan, output: Path) -> Engine:
    """The engine for this image; said when it is not the embedded one, which is what nobody wonders about."""
    found = chosen(run, record, plan, output)
    if found.because:
        print(f"  engine: {found.engine.name} ({found.because})", flush=True)  # noqa: T201  # for the user
    return found.engine


STEP = Step("Image", perform)


def host_of_engines() -> Platform:
    """What a Linux engine of this machine runs on: the engines of macOS and Windows run in a Linux of its machine."""
    return replace(Platform.of_machine("linux", platform_of_host.machine().lower()), variant="")


def dockerfile_of(env: Any, candidates: Any, platform: Platform) -> Any:
    """The first Dockerfile that exists or is generated; ends the run when there is none."""
    nodes = [paths.file(env, "Image: dockerfile", name) for name in paths.flat(candidates)]
    for node in nodes:
        env["MULTIARCH_RUN"].note_looked_for(Path(node.srcnode().get_abspath()))
        if node.has_builder() or node.rexists() or node.srcnode().rexists():  # under -n no variant folder gets copies
            return node
    names = ", ".join(map(paths.shown, nodes))
    hint = f"write one of: {names}" if names else 'dockerfile="Dockerfile"'
    raise NoDockerfile(f"there is no Dockerfile for {platform}", hint=hint)


def recipe_path(node: Any) -> Path:
    """Where to read a Dockerfile: one that nothing makes where it was written, its ignore file beside it.

    That is the folder of the sources for one in a variant folder, or a Repository.
    """
    if not node.has_builder() and node.srcnode().rexists():
        node = node.srcnode()
    return Path(node.rfile().get_abspath())


def image(
    env: Any,
    target: Any,
    contents: Any = (),
    *,
    dockerfile: Any,
    platform: Any = None,
    engine: str | None = None,
    build_args: Any = (),
    labels: Any = (),
    foreign: Any = (),
    stage: str = "",
    endpoint: str = "",
    builder: str = "",
    secrets: Any = (),
    ssh: Any = (),
    network: str = "",
    rebase: bool | None = None,
    contexts: Any = (),
) -> Any:
    """Declare an image. `contents` are built first; what else the Dockerfile copies is found, whoever makes it.

    `platform` defaults to that of the contents; `foreign` are globs of files in the image that may be of another
    machine, also when they are started; `stage` is the Dockerfile's stage to build, by default its last. `endpoint` is
    the address or the context of the engine `docker`, `builder` the builder of the engine `buildx`; `secrets`
    (`id=token,src=file`) and `ssh` (`default`) are for RUN, and no part of what is remembered; `network` (`none`,
    `host`) is what RUN may reach.
    `rebase=False`: the engine builds it, too, when nothing but the base changed; by default REBASE says it. `contexts`
    say what names in the Dockerfile mean: folders, from the SConscript's, or images (`docker-image://ref`).
    """
    run: Run = env["MULTIARCH_RUN"]
    given = track(env, paths.nodes(env, "Image: contents", contents))
    if platform is None:
        platform = next(filter(None, map(platform_of, given)), "linux")
    wanted = paths.platform_of("Image: platform", platform)
    for node in given:
        if node.has_builder() and platform_of(node) is None:
            node.attributes.platform = wanted  # a program of Program or Command does not say; `run` looks for its own
    recipe = dockerfile_of(env, dockerfile, wanted)
    plan = BuildPlan(
        platform=wanted,
        dockerfile=recipe_path(recipe),
        context=run.root,
        file_digest=run.stat.digest,
        build_args=(*env.get("BUILD_ARGS", ()), *paths.named(env, "Image: build_args", build_args).items()),
        labels=(*env.get("LABELS", ()), *paths.named(env, "Image: labels", labels).items()),
        target=paths.text(env, "Image: stage", stage),
        epoch=run.epoch,
        foreign=paths.texts(env, "Image: foreign", foreign),
        build_platform=run.once("host of engines", host_of_engines) if wanted.os == "linux" else None,
        secrets=paths.texts(env, "Image: secrets", secrets),
        ssh=paths.texts(env, "Image: ssh", ssh),
        network=paths.text(env, "Image: network", network),
        contexts=_contexts(env, run, contexts),
    )
    moves = env.get("REBASE", True) if rebase is None else rebase
    place = paths.text(env, "Image: endpoint", endpoint), paths.text(env, "Image: builder", builder)
    record = ImageTarget(plan, _engine(env, engine), *place, moves)
    node = paths.file(env, "Image: target", target)
    if declared_before([node], record, [recipe, *given]):
        return [node]
    nodes = env.OciImage([node], [recipe, *given])
    run.hide(nodes)
    state = State(
        paths.shown(node),
        lambda: facts(run, node),
        lambda: unkept(run, node),
        scan=lambda: scan(node, env),
        taken=lambda: keep(run, settled(run, plan)[0].bases),
    )
    declare(env, nodes, record, state)
    return nodes


def _engine(env: Any, given: Any) -> str:
    name = paths.text(env, "Image: engine", given or env.get("ENGINE", AUTO))
    if name not in (AUTO, *NAMES):
        raise EngineUnavailable(f"there is no engine '{name}'", hint=f"there is: {', '.join((AUTO, *NAMES))}")
    return name


def _contexts(env: Any, run: Run, given: Any) -> tuple[NamedContext, ...]:
    """The named contexts, as they are given: texts with variables, or nodes of folders. Raises InvalidContext."""
    if not given:
        return ()
    from multiarch.engine.reading.named import named_contexts

    here = Path(env.fs.getcwd().srcnode().get_abspath())
    texts = paths.named(env, "Image: contexts", given)
    top = str(run.root) + os.sep
    return named_contexts({name: re.sub(r"^#/?", lambda _: top, text) for name, text in texts.items()}, here)


def scan(node: Any, env: Any) -> list[Any]:
    """The files of the image that something in this build makes, found in what its Dockerfile copies."""
    for source in node.sources:
        if not source.has_builder():
            source.exists()  # a variant folder gets its copy by this question
    plan = node.attributes.target.plan
    if not plan.dockerfile.exists():
        return []
    run = env["MULTIARCH_RUN"]
    run.leave_out_cache(env)
    try:
        # Kept for the decision, which comes next: when something before the image is made, SCons scans again.
        node.attributes.state.seen = _, found = settled(run, plan)
    except MultiarchError:
        return []  # the step says what is wrong with the Dockerfile
    return list(track(env, generated(env, found, node)))


def generate(env: Any) -> None:
    """Add `env.Image`."""
    env["BUILDERS"]["OciImage"] = STEP.builder()
    add_method(env, image, "Image")


def exists(_env: Any) -> bool:
    """Always: the embedded engine needs nothing, and the others are found when they are asked."""
    return True
