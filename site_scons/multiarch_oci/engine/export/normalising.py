"""From an engine's image to the sparse tarball in which every engine ends."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec.structs import replace

from multiarch_oci.config import History, ImageConfig, instant
from multiarch_oci.descriptor import BASE_DIGEST, BASE_NAME, Descriptor
from multiarch_oci.engine.export.made import InvalidOutput, Made
from multiarch_oci.engine.export.programs import check_programs, entrypoint_line
from multiarch_oci.engine.export.repacking import repack
from multiarch_oci.engine.export.whole import FILES, names_of, whole_windows
from multiarch_oci.engine.frontend.bases import BaseImage
from multiarch_oci.engine.frontend.fingerprint import MARK
from multiarch_oci.engine.frontend.reader import Settled
from multiarch_oci.engine.frontend.tree import Node, Overlay
from multiarch_oci.errors import MultiarchError
from multiarch_oci.executable import WrongMachine
from multiarch_oci.layer import Written
from multiarch_oci.manifest import Manifest
from multiarch_oci.store.archive import Archive, ArchiveWriter

ENGINE = "multiarch.engine"
"""The annotation, in a tarball's index.json, that says which engine made it; the embedded one writes none."""
MADE_FROM = "multiarch.made.from"
"""The annotation that says, as one digest, what but its base an image was made from (`fingerprint.apart_from`)."""


class WrongBase(MultiarchError):
    """An engine built on something else than the base that it was given."""


def normalise(
    made: Made, settled: Settled, output: Path, *, engine: str, warn: Callable[[str], None], made_from: str = ""
) -> Descriptor:
    """Write the tarball of what an engine made; returns the manifest's descriptor with platform and annotations.

    The layers of the base, recognised by their diff_ids, stay descriptors as the base's own manifest has them. The
    others are written anew (see `repacking`), and what differs from run to run in the config goes. Raises WrongMachine
    when the image is of another platform than the plan, or starts a program of another machine; WrongBase;
    DigestMismatch. `output` is replaced at once or not at all.
    """
    plan = settled.plan
    where = f"{settled.recipe.name} ({engine})"
    config = ImageConfig.from_json(made.config, where=where)
    platform = settled.platform()
    made_for = config.platform.corrected()
    if (made_for.os, made_for.architecture) != (platform.os, platform.architecture):
        what = f"the engine made an image for {config.platform}, but {plan.platform} was asked for"
        raise WrongMachine(what, where=where, hint="use ENGINE=buildx or podman, which build for other platforms")
    if len(config.diff_ids) != len(made.layers):
        raise InvalidOutput(f"has {len(made.layers)} layers, but names {len(config.diff_ids)}", where=where)
    base = settled.base
    lower = _lower(config, base, where)
    files = Overlay()
    with ArchiveWriter(output) as archive:
        own = []
        for opener, diff_id in list(zip(made.layers, config.diff_ids, strict=True))[lower:]:
            with archive.blob() as blob:
                own.append(repack(opener, diff_id, blob.stream, files, epoch=plan.epoch, where=where))
        final = replace(_normalised(config, base, settled, own), platform=platform)
        check_made(files, final, settled, base, warn)
        below = () if base is None else base.layers
        manifest = Manifest(final.descriptor(), (*below, *(layer.descriptor for layer in own)))
        archive.put(manifest.config, lambda: io.BytesIO(final.to_json()))
        archive.put(manifest.descriptor(), lambda: io.BytesIO(manifest.to_json()))
        root = replace(manifest.descriptor(), platform=final.platform, annotations=description(base, engine, made_from))
        archive.root(root)
    return root


def check_made(
    files: Overlay, config: ImageConfig, settled: Settled, base: BaseImage | None, warn: Callable[[str], None]
) -> None:
    """Check the programs (`check_programs`) of an image whose own layers, over `base`, leave `files`."""
    own = inside(files, config.platform.os)

    def whole() -> Overlay:
        if config.platform.os != "windows":
            return files.upon(names_of(base))
        return whole_windows(own, [path[len(FILES) :] for path in files.gone if path.startswith(FILES)], base, warn)

    check_programs(
        own,
        config,
        settled.plan.foreign,
        warn,
        whole=whole,
        declared_at=entrypoint_line(settled.recipe, config),
        alone=base is None,
    )


def engine_of(tarball: Path) -> str | None:
    """The engine that made a tarball, when it was another than the embedded one; None also for no tarball."""
    try:
        roots = Archive(tarball).roots
    except (MultiarchError, OSError):
        return None
    return roots[0].annotation(ENGINE) if len(roots) == 1 else None


def _lower(config: ImageConfig, base: BaseImage | None, where: str) -> int:
    """How many of the image's layers are the base's."""
    if base is None:
        return 0
    lower = base.config.diff_ids
    if config.diff_ids[: len(lower)] != lower or len(base.layers) != len(lower):
        raise WrongBase(
            f"the engine did not build on {base.reference}: its image begins with other layers",
            where=where,
            hint="does the engine take bases from a mirror that changes them? remove its copy of the base",
        )
    return len(lower)


def _normalised(config: ImageConfig, base: BaseImage | None, settled: Settled, own: list[Written]) -> ImageConfig:
    """The config without clock and host, with the plan's labels."""
    moment = instant(settled.plan.epoch)
    of_base: tuple[History, ...] = () if base is None else base.config.history
    if len(of_base) > len(config.history):
        of_base = ()
    lower = () if base is None else base.config.diff_ids
    labels = {name: value for name, value in config.labels if name != MARK}
    return replace(
        config,
        created=moment,
        diff_ids=(*lower, *(layer.diff_id for layer in own)),
        history=(
            *of_base,
            *(_timeless(line, moment) for line in config.history[len(of_base) :] if not _is_mark(line)),
        ),
        # Buildah writes what is not set as set to nothing; no runtime tells the two apart.
        entrypoint=config.entrypoint or None,
        cmd=config.cmd or None,
        # As BuildKit has it over scratch; Buildah and older engines leave it to the runtime, which takes the same.
        working_dir=config.working_dir or ("/" if base is None and config.platform.os == "linux" else ""),
        labels=tuple((labels | dict(settled.plan.labels)).items()),
    )


def _is_mark(line: History) -> bool:
    return line.empty_layer and f"LABEL {MARK}=" in (line.created_by or "")


def _timeless(line: History, moment: str) -> History:
    """A line of history without clock, and without the engine's passing name of what is below (Buildah's comment)."""
    below = line.comment is not None and line.comment.startswith("FROM ")
    return replace(line, created=moment, comment=None if below else line.comment)


def description(base: BaseImage | None, engine: str, made_from: str) -> tuple[tuple[str, str], ...]:
    """What a tarball says of itself: its engine, its base, what else it was made from."""
    pairs = [(ENGINE, engine)]
    if base is not None and base.reference.digest is not None:
        pairs += [(MADE_FROM, made_from)] if made_from else []
        pairs += [(BASE_NAME, str(replace(base.reference, digest=None))), (BASE_DIGEST, str(base.reference.digest))]
    return tuple(sorted(pairs))


def inside(files: Overlay, system: str) -> Mapping[str, Node]:
    """What the layers of an image for this system leave, by path in the image."""
    if system != "windows":
        return files.changes
    return {path[len(FILES) :]: node for path, node in files.changes.pairs() if path.startswith(FILES)}
