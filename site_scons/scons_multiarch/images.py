"""What decides an image's bytes, and how it is built: by the chosen engine, or moved to a new base without one."""

from __future__ import annotations

import platform as platform_of_host
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from multiarch_oci.engine import OURS, BuildPlan, Engine
from multiarch_oci.engine.frontend import ContextInputs
from multiarch_oci.engine.frontend.fingerprint import describe, has_bases
from multiarch_oci.errors import MultiarchError, one_line
from multiarch_oci.platform import Platform
from multiarch_oci.why import Facts
from scons_multiarch.context import overlays
from scons_multiarch.engines import chosen, expected, reader, warn
from scons_multiarch.graph import ordered
from scons_multiarch.process import say
from scons_multiarch.session import Run
from scons_multiarch.targets import ImageTarget, is_image
from scons_multiarch.tracking.state import reasons
from scons_multiarch.trusted import check_frontend

if TYPE_CHECKING:
    from multiarch_oci.bases import Named
    from multiarch_oci.descriptor import Descriptor


def inputs_of(run: Run, plan: BuildPlan, before: ContextInputs | None = None) -> ContextInputs:
    """What the Dockerfile takes of the context, and its bases; from the cache where nothing has changed.

    `before` is what was found a moment ago with other bases.
    """

    def ask(full: BuildPlan, known: ContextInputs | None) -> ContextInputs:  # loads the reader only when it is asked
        return reader(run).inputs(full, known)

    return run.build.input_cache().inputs(plan, ask, before=before)


def with_bases(run: Run, plan: BuildPlan) -> tuple[BuildPlan, ContextInputs]:
    """The plan with every base that its Dockerfile needs, as images.lock has it, and what it takes then.

    What a base says (its ENV, its ONBUILD) may let the Dockerfile take more, and need further bases.
    """
    plan = replace(plan, hidden=run.declarations.hidden, overlays=overlays(run))
    inputs = inputs_of(run, plan)
    if not plan.files and any(f"{path}/".startswith(f"{OURS}/") for path in inputs.patterns):
        from scons_multiarch.recipes import with_ours

        plan = with_ours(plan)  # a Dockerfile as `scons dockerfile` shows it
        inputs = inputs_of(run, plan)
    while True:
        bases = tuple(run.build.bases().resolve(plan, base) for base in inputs.bases)
        if bases == plan.bases:
            frontend = check_frontend(run, plan)
            return plan if frontend is None else replace(plan, frontend=str(frontend)), inputs
        plan = replace(plan, bases=bases)
        inputs = inputs_of(run, plan, inputs)


def facts(run: Run, image: Any) -> Facts:
    """Everything that can change the image: what is copied file by file, the Dockerfile, the rest by value."""
    record, state = image.attributes.target, image.attributes.state
    seen, state.seen = state.seen, None
    values, files = describe(*(seen or with_bases(run, record.plan)))
    return Facts(values | {"engine": record.engine}, files)


def unkept(run: Run, image: Any) -> str | None:
    """Why an image is made again though its inputs stand: it gets its base's line in images.lock back."""
    known = image.attributes.state.facts
    if known is None or not has_bases(known.values):
        return None
    bases = run.build.bases()
    if not bases.has_new() or not bases.are_new(inputs_of(run, image.attributes.target.plan).bases):
        return None
    return "its base is not in images.lock"


_OWN = ("site_scons", "sconsw", "sconsw.bat", "_output")


_OWN_FOLDERS = ("site_scons", "_output", "_output/bin")


_OWN_LOCKS = ("requirements.lock", "requirements-test.lock", "requirements-go.lock")


def own_files(plan: BuildPlan, inputs: ContextInputs) -> str:
    """The files of the build itself that a `COPY . .` takes, in words; empty where there are none, or all are named."""
    try:
        text = plan.read().decode("utf-8", "replace")
    except OSError:
        return ""
    # What is named up to a variable or wildcard is meant: `_output/bin/${TARGETARCH}/linux/demo`.
    named = set(re.findall(r"(?<![\w.-])(?:_output|site_scons|sconsw|requirements)[^\s\"',\]$*?[]*", text))
    paths = [file.path for file in inputs.files if not file.path.startswith(tuple(named or {"\0"}))]
    taken = {path.partition("/")[0] for path in paths if path not in _OWN_FOLDERS}
    own = [name for name in _OWN if name in taken]
    return ", ".join([*own, *(name for name in _OWN_LOCKS if name in taken and "sconsw" in taken)])


def perform(target: list[Any], _source: list[Any], env: Any) -> None:
    """Build the image by the chosen engine."""
    run, record, state = env["MULTIARCH_RUN"], target[0].attributes.target, target[0].attributes.state
    plan, inputs = with_bases(run, record.plan)
    own = own_files(plan, inputs)
    if own:
        warn(f"the image holds files of the build itself: {own}; leave them out by .dockerignore, or copy them by name")
    if target[0].sources and not plan.text:
        from scons_multiarch.stages import unused

        words = unused(run, target[0], plan, inputs)
        if words:
            warn(words)
    output = Path(target[0].get_abspath())
    made = None if reasons(target[0]) else _rebased(run, target[0], plan, output)
    if made is None:
        made = _choice(run, record, plan, output).build(plan, output)
    state.digest = made.digest
    keep(run, plan)
    if plan.files:
        from scons_multiarch.recipes import lay_out

        lay_out(run, plan)


def keep(run: Run, plan: BuildPlan) -> None:
    """Write the bases of an image that is made now into images.lock, where they are not there yet, and say so."""
    for line in run.build.bases().keep(plan.bases) if plan.bases else ():
        say(f"  {line}")


def _rebased(run: Run, node: Any, plan: BuildPlan, output: Path) -> Descriptor | None:
    """The image over a new base without its engine, where nothing else changed; said, or why not."""
    record, state = node.attributes.target, node.attributes.state
    if not record.rebase or not output.exists():
        return None
    from multiarch_oci.engine.rebase.rebasing import rebase

    remark, rebased = "", None
    try:
        rebased = rebase(
            plan, output, reader=reader(run), open_source=run.build.registries.source, warn=warn, engine=record.engine
        )
    except MultiarchError as error:
        remark = f"not rebased ({one_line(error)})"
    if rebased is not None:
        remark = f"rebased from {rebased.before} to {rebased.after} (no engine run)"
        state.because = f"{state.because}; rebased, no engine run"
        state.sentences = (*state.sentences, "rebased, no engine run")
    if remark:
        say(f"  {remark}")
    return None if rebased is None else rebased.descriptor


def prospect(node: Any) -> str:
    """What `plan` and `why` add for an image whose base alone changed."""
    run, record, output = node.attributes.run, node.attributes.target, Path(node.get_abspath())
    if not record.rebase or not output.exists():
        return ""
    from multiarch_oci.engine.rebase.rebasing import promising

    plan, _ = with_bases(run, record.plan)
    can = promising(plan, output, reader(run), engine=record.engine)
    return "; to be rebased without an engine, if its files allow" if can else ""


def expected_engine(node: Any) -> tuple[str | None, str]:
    """The engine that would build an image, and why not an earlier one; None: nobody can. MultiarchError, OSError."""
    run, record = node.attributes.run, node.attributes.target
    return expected(run, record, with_bases(run, record.plan)[0], Path(node.get_abspath()))


def _choice(run: Run, record: ImageTarget, plan: BuildPlan, output: Path) -> Engine:
    """The engine for this image; said when it is not the embedded one, which is what nobody wonders about."""
    choice = chosen(run, record, plan, output)
    if choice.because:
        say(f"  engine: {choice.engine.name} ({choice.because})")
    return choice.engine


def host_of_engines() -> Platform:
    """What a Linux engine of this machine runs on: the engines of macOS and Windows run in a Linux of its machine."""
    return replace(Platform.of_machine("linux", platform_of_host.machine().lower()), variant="")


def declared_plans(env: Any) -> Iterator[BuildPlan]:
    """How each image of this build is made."""
    for node in ordered([env.Alias("images")[0]]):
        if is_image(node):
            yield node.attributes.target.plan


def declared_bases(env: Any) -> Iterator[tuple[BuildPlan, Named]]:
    """Every base of every image of this build, with the plan whose Dockerfile names it."""
    for plan in declared_plans(env):
        for base in reader(env["MULTIARCH_RUN"]).inputs(plan).bases:
            yield plan, base
