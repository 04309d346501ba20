"""An image that another engine made, moved to a new base without that engine: its own layers as they are, a new config.

Sound where nothing but the base changed, no instruction over the base runs anything, and the layers do not depend on
the base (`independence`). The config is evaluated from the Dockerfile over both bases. Over the old one it has to be
what the engine made, so that over the new one it is what the engine would make; else the engine is asked.
Crane's `mutate.Rebase` keeps the old image's config instead, and with it what that had from its old base.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
from msgspec.structs import replace

from multiarch_oci.config import History, ImageConfig, instant
from multiarch_oci.descriptor import BASE_DIGEST, Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.dockerfile.instructions import Add, Cmd, Copy, Env, Run, Workdir
from multiarch_oci.engine import AUTO, Base, BuildPlan
from multiarch_oci.engine.embedded.building import line_of
from multiarch_oci.engine.embedded.configuring import begun, executed, is_root, recorded
from multiarch_oci.engine.embedded.engine import refusal
from multiarch_oci.engine.export.normalising import ENGINE, MADE_FROM, check_made, description
from multiarch_oci.engine.frontend import BaseWanted, sources
from multiarch_oci.engine.frontend.bases import BaseImage, OpenSource, load, resolved
from multiarch_oci.engine.frontend.fingerprint import apart_from
from multiarch_oci.engine.frontend.reader import Reader, Settled
from multiarch_oci.engine.frontend.recipe import Recipe, Scope, environment
from multiarch_oci.engine.frontend.tree import Overlay
from multiarch_oci.engine.rebase.basefiles import files_of, own_layer
from multiarch_oci.engine.rebase.independence import Comparison, Dependent, OwnLayers, Write
from multiarch_oci.errors import MultiarchError
from multiarch_oci.image import Image
from multiarch_oci.manifest import Manifest
from multiarch_oci.store.archive import Archive, ArchiveWriter

_BUILDKIT = "buildx"
_NOP = "/bin/sh -c #(nop) "
"""What Buildah writes before an instruction as it stands in the Dockerfile."""
_INHERITED = ("user", "exposed_ports", "env", "entrypoint", "cmd", "volumes", "working_dir", "labels", "stop_signal")
_EVALUATED = (*_INHERITED, "shell", "healthcheck", "on_build", "author")
_OWN_WAY = ("shell", "author")
"""What Buildah and the legacy builder do not take from a base as BuildKit does."""
_KEPT = ("args_escaped", "others", "config_others")
_DATED = ("diff_ids", "history", "created", "platform")


class Rebased(msgspec.Struct, frozen=True):
    """An image over its new base: the manifest's descriptor, and the digests of both bases."""

    descriptor: Descriptor
    before: Digest
    after: Digest


def candidate(plan: BuildPlan, output: Path, reader: Reader, *, engine: str = AUTO) -> Digest | None:
    """The base of the image in `output`, when its engine made it of the same things, and only the base is new.

    `engine` is who shall build it, by name; `auto` stays with another one as long as the embedded one cannot. The bases
    of the plan say their ENV and ONBUILD. Asks nothing but the files; an image that cannot be read is no candidate.
    """
    try:
        roots = Archive(output).roots
        annotations = dict(roots[0].annotations) if len(roots) == 1 else {}
        if not {ENGINE, MADE_FROM, BASE_DIGEST} <= annotations.keys() or engine not in (AUTO, annotations[ENGINE]):
            return None
        recipe = reader.recipe(plan)
        first, before = recipe.base_stage, Digest.parse(annotations[BASE_DIGEST])
        if _planned_base(plan, recipe).digest == before or (engine == AUTO and refusal(plan, reader) is None):
            return None
        same = annotations[MADE_FROM] == apart_from(plan, reader.inputs(plan), first.base, first.platform)
    except (MultiarchError, OSError):
        return None
    return before if same else None


def promising(plan: BuildPlan, output: Path, reader: Reader, *, engine: str = AUTO) -> bool:
    """Whether a rebase would be tried, and nothing is against it that can be told without reading a base."""
    try:
        base = candidate(plan, output, reader, engine=engine)
        if base is not None:
            _check_stages(reader.recipe(plan))
    except MultiarchError:
        return False
    return base is not None


def rebase(
    plan: BuildPlan,
    output: Path,
    *,
    reader: Reader,
    open_source: OpenSource,
    warn: Callable[[str], None],
    engine: str = AUTO,
) -> Rebased | None:
    """Move the image in `output` to the base that the plan names; None where it is no `candidate`.

    Dependent says why the engine has to build it; another MultiarchError why that cannot be told, such as a base that
    is gone. `output` is replaced at once or not at all.
    """
    before = candidate(plan, output, reader, engine=engine)
    if before is None:
        return None
    settled = reader.settled(plan, open_source)
    _check_stages(settled.recipe)
    platform = settled.platform()
    move = _move(settled, Archive(output), before, open_source)
    files, own = _own(move)
    _check_layers(move, own, reader)
    config = replace(_moved(move), platform=platform)
    check_made(files, config, settled, settled.base, warn)
    return Rebased(_written(move, config, output), before, _planned_base(settled.plan, settled.recipe).digest)


class _Evaluated(msgspec.Struct, frozen=True):
    """What the Dockerfile makes of a base's config, and the instructions that write files."""

    config: ImageConfig
    writes: tuple[Write, ...]


class _Move(msgspec.Struct, frozen=True):
    """An image between two bases; `models` are the Dockerfile over both, as its engine may take it."""

    settled: Settled
    archive: Archive
    image: Image
    engine: str
    bases: tuple[BaseImage, BaseImage]
    models: tuple[tuple[_Evaluated, _Evaluated], ...]

    @property
    def own(self) -> tuple[Descriptor, ...]:
        return self.image.layers[len(self.bases[0].layers) :]


def _check_stages(recipe: Recipe) -> None:
    """Nothing over the base runs, and nothing else asks for the base."""
    chain = _chain(recipe)
    first = recipe.base_stage
    if recipe.triggers:
        raise Dependent("ONBUILD of a base", where=recipe.where(recipe.stages[min(recipe.triggers)].stage.line))
    for number in recipe.needed:
        planned = recipe.stages[number]
        if number not in chain and (
            planned.below in chain
            or (planned.on_image and (planned.base, planned.platform) == (first.base, first.platform))
        ):
            raise Dependent(f"another stage stands on {first.base}, too", where=recipe.where(planned.stage.line))
        for command in recipe.commands(number):
            where = recipe.where(command.line)
            if isinstance(command, Run) and number in chain:
                raise Dependent("RUN may use anything of the base", where=where)
            if any(origin in chain or origin == first.base for _, origin in recipe.origins(command)):
                raise Dependent("copies from the base", where=where)


def _planned_base(plan: BuildPlan, recipe: Recipe) -> Base:
    first = recipe.base_stage
    return resolved(BaseWanted(first.base, first.platform, first.stage.line), plan, recipe)


def _chain(recipe: Recipe) -> tuple[int, ...]:
    """The target's stage and those that it stands on, from the base up."""
    numbers = [recipe.target]
    while (below := recipe.stages[numbers[-1]].below) is not None:
        numbers.append(below)
    return tuple(reversed(numbers))


def _move(settled: Settled, archive: Archive, before: Digest, open_source: OpenSource) -> _Move:
    image, new = archive.image(), settled.base
    planned = _planned_base(settled.plan, settled.recipe)
    where = settled.recipe.where(settled.recipe.base_stage.stage.line)
    if new is None:
        raise Dependent("there is no base", where=where)
    old = load(replace(planned, digest=before), open_source, where=where)
    if old.config.on_build or new.config.on_build:
        raise Dependent("ONBUILD of a base", where=where)
    lower = len(old.layers)
    if image.layers[:lower] != old.layers or image.config.diff_ids[:lower] != old.config.diff_ids:
        raise Dependent("the image does not begin with the layers of its base", where=where)
    if old.config.platform.normalized() != new.config.platform.normalized() and new.config.platform.os != "windows":
        raise Dependent(f"the base was {old.config.platform} and is {new.config.platform}", where=where)
    for config in (old.config, new.config, image.config):
        if sum(not line.empty_layer for line in config.history) != len(config.diff_ids):
            raise Dependent("a history that does not tell all layers", where=where)
    engine = image.descriptor.annotation(ENGINE) or ""
    models = [(_evaluated(settled, old), _evaluated(settled, new))]
    if engine != _BUILDKIT:
        models.append((_evaluated(settled, old, own_last=True), _evaluated(settled, new, own_last=True)))
    for ours, theirs in zip(models[0][0].writes, models[0][1].writes, strict=True):
        if ours.decided != theirs.decided:
            raise Dependent(f"{ours.verb}: means something else over the new base", where=ours.where)
    return _Move(settled, archive, image, engine, (old, new), tuple(models))


def _evaluated(settled: Settled, base: BaseImage, *, own_last: bool = False) -> _Evaluated:
    """The target's stages, as far as they are config; the history is as BuildKit writes it.

    `own_last`: a variable that a stage sets stands behind all others, as Buildah has it, not in its old place.
    """
    recipe, epoch = settled.recipe, settled.plan.epoch
    config, variables, writes = base.config, dict[str, str](), list[Write]()
    for number in _chain(recipe):
        config = begun(replace(config, on_build=()))
        scope = Scope(recipe, variables | environment(config.env), config.platform.os)
        cmd_is_set = False
        names = list[str]()
        for command in recipe.commands(number):
            taken, where = scope.take(command), recipe.where(command.line)
            if isinstance(taken, Copy | Add):
                if isinstance(taken, Add) and any(map(sources.is_remote, taken.sources)):
                    raise Dependent("ADD: fetches something from elsewhere", where=where)
                writes.append(Write(where, taken, config))
                config = recorded(config, line_of(taken), epoch, layer=True)
                continue
            config, line = executed(taken, config, cmd_is_set=cmd_is_set)
            cmd_is_set = cmd_is_set or isinstance(taken, Cmd)
            names += [pair.name for pair in taken.pairs] if isinstance(taken, Env) and own_last else []
            makes = isinstance(taken, Workdir) and not is_root(config)
            if isinstance(taken, Workdir) and makes:
                writes.append(Write(where, taken, config))
            if line is not None:
                config = recorded(config, line, epoch, layer=makes)
        variables = scope.variables
        config = replace(config, env=_last(config.env, names))
    labels = dict(config.labels) | dict(settled.plan.labels)
    return _Evaluated(replace(config, created=instant(epoch), labels=tuple(labels.items())), tuple(writes))


def _last(env: tuple[str, ...], names: list[str]) -> tuple[str, ...]:
    known = {line.partition("=")[0]: line for line in env}
    own = tuple(known[name] for name in dict.fromkeys(names))
    return (*(line for line in env if line not in own), *own)


def _own(move: _Move) -> tuple[Overlay, OwnLayers]:
    files = Overlay()
    diff_ids = move.image.config.diff_ids[len(move.bases[0].layers) :]
    layers = []
    for layer, diff_id in zip(move.own, diff_ids, strict=True):
        where = f"{move.archive.path}: layer {layer.digest}"
        layers.append(own_layer(partial(move.archive.open, layer), diff_id, files, where))
    return files, layers


def _check_layers(move: _Move, own: OwnLayers, reader: Reader) -> None:
    """Raise Dependent when the layers might be others over the new base; the bases are read only where it matters."""
    writes = move.models[0][0].writes
    plan, where = move.settled.plan, move.settled.recipe.name
    if len(own) > len(writes):
        raise Dependent("it has layers that no instruction explains", where=where)
    if not writes:
        return
    old, new = move.bases
    if new.config.platform.os == "windows":
        raise Dependent(f"{writes[0].verb}: the files of a Windows base are not compared", where=writes[0].where)
    if move.engine == _BUILDKIT and len(own) != len(writes):
        raise Dependent("its layers are not those of its instructions", where=where)
    # BuildKit leaves the folders of volumes alone.
    volumes = {*old.config.volumes, *move.models[0][1].config.volumes} if move.engine != _BUILDKIT else set()
    trees = files_of(old), files_of(new)
    Comparison(trees, own, reader.context(plan), plan.epoch).check(writes, sorted(volumes))


def _moved(move: _Move) -> ImageConfig:
    """The config over the new base."""
    image, (old, new) = move.image.config, move.bases
    where = f"{move.settled.recipe.name} ({move.engine})"
    evaluated: dict[str, object] = {}
    alike = _alike(old.config, new.config)
    for name in (*_KEPT, *(() if move.engine == _BUILDKIT else _OWN_WAY)):
        if getattr(old.config, name) != getattr(new.config, name):
            raise Dependent(f"the configs of the bases differ in '{name}'", where=where)
    for name in _EVALUATED:
        made = {
            getattr(theirs.config, name)
            for ours, theirs in move.models
            if _plain(ours.config, name) == _plain(image, name)
        }
        if len(made) == 1:
            (evaluated[name],) = made
        elif made or not alike:
            raise Dependent(f"what the engine makes of '{name}' is not known", where=where)
    lines = _history(move, where)
    diff_ids = (*new.config.diff_ids, *image.diff_ids[len(old.layers) :])
    return replace(image, **evaluated, diff_ids=diff_ids, history=(*new.config.history, *lines))


def _history(move: _Move, where: str) -> tuple[History, ...]:
    """The own lines of history: as evaluated where the engine writes such ones, else as they are, free of the base."""
    old, new = (base.config for base in move.bases)
    made = move.image.config.history[len(old.history) :]
    ours, theirs = (
        over.config.history[len(base.history) :] for over, base in zip(move.models[0], (old, new), strict=True)
    )
    if made == ours:
        return theirs
    if ours == theirs and old.shell == new.shell and move.engine != _BUILDKIT:
        return made
    recipe = move.settled.recipe
    written = {_spaced(command.original) for number in _chain(recipe) for command in recipe.commands(number)}
    for line in made:
        words = _spaced((line.created_by or "").removeprefix(_NOP))
        if words not in written and not words.startswith(("COPY ", "ADD ")):  # which are the same over both bases
            raise Dependent("its history speaks of the base", where=where)
    return made


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _plain(config: ImageConfig, name: str) -> object:
    value = getattr(config, name)
    if name in ("exposed_ports", "volumes", "labels"):
        return frozenset(value)
    return value or None


def _alike(old: ImageConfig, new: ImageConfig) -> bool:
    """Whether the configs say the same but for layers and times, so that any engine makes the same of them."""
    return all(_plain(old, name) == _plain(new, name) for name in (*_EVALUATED, *_KEPT) if name not in _DATED)


def _written(move: _Move, config: ImageConfig, output: Path) -> Descriptor:
    """The tarball, in the order in which `export` writes it."""
    new = move.bases[1]
    with ArchiveWriter(output) as archive:
        for layer in move.own:
            if not archive.take_over(move.archive, layer):
                raise Dependent(f"layer {layer.digest} is damaged", where=str(output))
        manifest = Manifest(config.descriptor(), (*new.layers, *move.own))
        archive.put(manifest.config, lambda: io.BytesIO(config.to_json()))
        archive.put(manifest.descriptor(), lambda: io.BytesIO(manifest.to_json()))
        made_from = move.image.descriptor.annotation(MADE_FROM) or ""
        annotations = description(new, move.engine, made_from)
        root = replace(manifest.descriptor(), platform=config.platform, annotations=annotations)
        archive.root(root)
    return root
