"""The command `reproduce`: is what was published what its revision makes? Built anew, and compared, by platform."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import SCons.Script

from multiarch_oci.attest.recorded import Irreproducible, Recorded
from multiarch_oci.document import InvalidDocument
from multiarch_oci.errors import MultiarchError
from multiarch_oci.quoting import visible
from scons_multiarch.attested import Published, provenance_of, published
from scons_multiarch.dependencies import EMBEDDED
from scons_multiarch.registries import location
from scons_multiarch.reproducing import Source, build, revisions, toolchain
from scons_multiarch.session import Run
from scons_multiarch.variables import VARIABLES, UnknownWord

TRIES = 3
"""How many revisions with the same files are built, where none is named."""
_SAME = "same, "
CANNOT = "cannot be reproduced because"


class NothingToReproduce(MultiarchError):
    """A command line that names no published image, or several."""


def run(env: Any, _targets: list[Any]) -> int:
    """`reproduce REFERENCE [FROM=.]`: 0 when every platform is the same; else 1, with the first difference of each."""
    run: Run = env["MULTIARCH_RUN"]
    words = list(map(str, SCons.Script.COMMAND_LINE_TARGETS))[1:]
    if len(words) != 1:
        hint = "name one published tag: reproduce ghcr.io/team/demo:v1.0"
        raise NothingToReproduce(f"takes one reference, and has {len(words)}", where="reproduce", hint=hint)
    if env["FROM"] != "." and "FROM" not in SCons.Script.ARGUMENTS:
        raise UnknownWord("is taken from the command line alone: what it names is run", where="FROM")
    source = Source(run, str(env["FROM"]))
    image = published(run, *location(words[0]))
    _say(f"{words[0]}: {image.root.digest}")
    try:
        return _compared(env, image, _recorded(env, image), source)
    except Irreproducible as error:
        _say(f"{words[0]}: {CANNOT} {error.what}")
        return 1


def _recorded(env: Any, image: Published) -> Recorded:
    """What the provenance says, after its signature; raises Irreproducible."""
    attested = provenance_of(env, image.store, image.root.digest)
    if attested is None:
        raise Irreproducible("it has no provenance")
    _say(f"provenance: {attested.signature}")
    try:
        recorded = Recorded.of(attested.predicate, where="provenance")
    except InvalidDocument as error:
        raise Irreproducible(f"its provenance cannot be read: {error}") from None
    if recorded.is_dirty:
        raise Irreproducible("files were not as in the commit when it was made")
    return recorded


def _compared(env: Any, image: Published, recorded: Recorded, source: Source) -> int:
    """Build the revision and compare; what cannot be built anew is said of its platform."""
    run: Run = env["MULTIARCH_RUN"]
    images = image.images if image.content is not None else dict.fromkeys(recorded.images, image.root)
    reasons = {platform: words for platform in images if (words := _reason(recorded, platform))}
    if len(reasons) == len(images):
        raise Irreproducible("; ".join(dict.fromkeys(reasons.values())))
    own = [name for name, _, _ in VARIABLES]
    more = [f"{name}={value}" for name, value in SCons.Script.ARGUMENTS.items() if name not in own]
    best: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="multiarch-reproduce-", ignore_cleanup_errors=True) as folder:
        for top, commit in islice(revisions(run, source, recorded, Path(folder, "source")), TRIES):
            if best:
                _say("it differs; another revision has the same files and another SConstruct")
            _say(f"revision: {commit}")
            go = toolchain(run, recorded, top)
            _say(f"the build of that revision runs now, in {top}")
            whole = image.content is not None and not reasons
            targets = [recorded.target] if whole else [recorded.images[name] for name in images if name not in reasons]
            build(run, recorded, top, go, [*targets, *more])
            lines = list(_differences(image, images, recorded, reasons, top))
            best = lines if not best or _equal(lines) > _equal(best) else best
            if all(words.startswith((_SAME, CANNOT)) for _, words in lines):
                break
    for platform, words in best:
        _say(f"{platform}: {words}")
    return 0 if all(words.startswith(_SAME) for _, words in best) else 1


def _equal(lines: list[tuple[str, str]]) -> int:
    """How many of them are the same."""
    return sum(words.startswith(_SAME) for _, words in lines)


def _reason(recorded: Recorded, platform: str) -> str:
    """Why the image of a platform cannot be built anew; "" where it can."""
    if platform not in recorded.images:
        return "it is external: somebody else pushed it"
    engine = recorded.engines[platform]
    if engine != EMBEDDED:
        return f"its engine was {engine or 'another one'}, and what RUN does there is not known"
    return ""


def _differences(
    image: Published, images: Any, recorded: Recorded, reasons: dict[str, str], top: Path
) -> Iterator[tuple[str, str]]:
    """What is said of each platform, and of the index."""
    from multiarch_oci.difference import in_documents

    same = not reasons
    for platform, descriptor in images.items():
        if platform in reasons:
            yield platform, f"{CANNOT} {reasons[platform]}"
            continue
        words = _difference(image, descriptor, top / recorded.images[platform])
        same = same and words is None
        surroundings = "" if words is None else _surroundings(recorded.packages.get(platform, {}))
        yield platform, f"same, {descriptor.digest}" if words is None else f"differs: {words}{surroundings}"
    if image.content is None:
        return
    if reasons:
        yield "index", f"{CANNOT} not all of its images can"
        return
    ours = (top / recorded.target).read_bytes()
    if ours == image.content:
        yield "index", f"same, {image.root.digest}"
    elif same:
        yield (
            "index",
            f"differs: {in_documents('index', image.content, ours) or 'index: the bytes, though both say the same'}",
        )
    else:
        yield "index", "differs, as its images do"


def _difference(image: Published, descriptor: Any, tarball: Path) -> str | None:
    """The first difference of the published image and the one that was built; None for none."""
    from multiarch_oci.difference import Side, first_difference
    from multiarch_oci.store.archive import Archive

    archive = Archive(tarball)
    built = Side(archive, archive.image().descriptor.bare(), "what was built")
    return first_difference(Side(image.store, descriptor, "what was published"), built)


def _surroundings(packages: Mapping[str, str]) -> str:
    """What of this machine is not as it was where an image was made, and may be why it differs."""
    from multiarch_oci.gzipstream import COMPRESSOR
    from multiarch_oci.programimage import NoProgramImage, certificates, zones

    here = {"compressor": COMPRESSOR}
    for name, look in (("certifi", certificates), ("tzdata", zones)):
        with suppress(NoProgramImage):
            here[name] = look().version
    others = [
        f"{name} {was}, here {here.get(name, 'none')}"
        for name, was in packages.items()
        if not was.startswith(here.get(name) or "\0")
    ]
    return f" (it was made with {'; '.join(others)})" if others else ""


def _say(line: str) -> None:
    print(visible(line), flush=True)  # noqa: T201  # the answer
