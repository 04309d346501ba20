"""The command `plan`: what a build would do, found out without building or writing anything."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import SCons.Script

from multiarch_oci.errors import MultiarchError, one_line
from scons_multiarch.commands.why import StepState, step_states
from scons_multiarch.images import expected_engine
from scons_multiarch.receipts import Intention, assembled, last_receipt, not_moved, receipt_at, spelled, tags_of
from scons_multiarch.session import Run
from scons_multiarch.targets import document_kind, is_attest, is_image, is_index, is_pin, is_remote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from multiarch_oci.descriptor import Descriptor
    from multiarch_oci.digest import Digest
    from multiarch_oci.image import Image
    from multiarch_oci.index import Index
    from multiarch_oci.plan.forecast import AttestPlan, Content, ImagePlan, Observed, PinState, TagState
    from multiarch_oci.reference import Reference
    from scons_multiarch.shared.sharding import Part
    from scons_multiarch.targets import IndexTarget


def run(env: Any, targets: list[Any]) -> int:
    """`plan [T]`: print what T would do to images and tags; PLAN names a file for the same as JSON."""
    from msgspec.structs import replace

    from multiarch_oci.plan.forecast import forecast

    run: Run = env["MULTIARCH_RUN"]
    run.keep_nothing()
    roots, part = _part(run, targets or [env.Alias("push-manifest")[0]])
    SCons.Script.BUILD_TARGETS[:] = roots
    steps = {step.node: step for step in step_states(roots)}
    remote = [node for node in steps if is_remote(node)]
    run.build.registries.prefetch(pair for node in remote for pair in tags_of(node))
    pins = [node for node in remote if is_pin(node)]
    states = [_tag(steps, node) for node in remote if node not in pins]
    outcome = forecast(
        [_image(step) for step in steps.values() if is_image(step.node)],
        [_pin(node) for node in pins],
        [*(_copied(node) for node in pins if node.attributes.target.copy_to is not None), *_with_contents(run, states)],
        run.settings.policy,
        _hits(steps.values()),
        attests=[_attest(run, step) for step in steps.values() if is_attest(step.node)],
        documents=[_document(step, kind) for step in steps.values() if (kind := document_kind(step.node))],
    )
    if part is not None:
        outcome = replace(outcome, shard=(part.words(), part.to_json()))
    output = next(iter(run.settings.outputs.get("PLAN", ())), None)
    # Where the JSON goes to standard output, a program reads it there: the lines for people stand aside.
    stream = sys.stderr if output is not None and output.is_stdout else sys.stdout
    for line in outcome.lines():
        print(spelled(line, remote), file=stream)  # the answer
    if output is not None:
        content = spelled(
            outcome.to_json().decode(), remote, quote=lambda text: json.dumps(text, ensure_ascii=False)[1:-1]
        )
        sys.stdout.flush()
        output.write(content.encode())
    return 0


def _part(run: Run, roots: list[Any]) -> tuple[list[Any], Part | None]:
    """What this run would come to, and with SHARD its part."""
    if run.settings.shard is None:
        return roots, None
    from scons_multiarch.shared.sharding import foreseen

    return foreseen(run, roots)


def _hits(steps: Iterable[StepState]) -> tuple[int, int] | None:
    """How many of the steps that would run a shared cache has, and how many it may have; None without one."""
    answers = [step.hit for step in steps if step.hit is not None]
    return (sum(answers), len(answers)) if answers else None


def _image(step: StepState) -> ImagePlan:
    from multiarch_oci.plan.forecast import ImagePlan, Rebuild

    target = Path(str(step.node)).as_posix()
    if step.reason is None and not step.waits_for:
        image = _present(step.node)
        return ImagePlan(target, Rebuild.NO, None, None if image is None else image.descriptor.digest)
    try:
        engine, because = expected_engine(step.node)
    except (MultiarchError, OSError):  # `why` says it
        engine, because = None, ""
    if step.hit:
        return ImagePlan(target, Rebuild.CACHED, step.reason)
    if step.reason is not None:
        return ImagePlan(target, Rebuild.YES, step.reason, engine=engine, because=because)
    why = f"if {', '.join(map(str, step.waits_for))} changes"
    return ImagePlan(target, Rebuild.PERHAPS, why, engine=engine, because=because)


def _document(step: StepState, kind: str) -> ImagePlan:
    """What becomes of the files that say something of an image, called by the first that the step makes."""
    from multiarch_oci.plan.forecast import ImagePlan, Rebuild

    target, why = Path(str(step.node)).as_posix(), step.reason
    if why is not None:
        return ImagePlan(target, Rebuild.CACHED if step.hit else Rebuild.YES, why.partition("\n")[0], kind=kind)
    if not step.waits_for:
        return ImagePlan(target, Rebuild.NO, kind=kind)
    return ImagePlan(target, Rebuild.PERHAPS, f"if {', '.join(map(str, step.waits_for))} changes", kind=kind)


def _attest(run: Run, step: StepState) -> AttestPlan:
    from multiarch_oci.plan.forecast import AttestPlan, Rebuild
    from scons_multiarch.signatures import fault_of

    fault = next((fault_of(env) for node, env in run.declarations.attests if node is step.node), None)
    if fault is not None:
        reason = None if step.reason is None else step.reason.partition("\n")[0]
        return AttestPlan(step.node.attributes.target.reference, Rebuild.YES, reason, fault.partition("\n")[0])
    reference = step.node.attributes.target.reference
    if step.reason is not None:
        return AttestPlan(reference, Rebuild.YES, step.reason)
    if not step.waits_for:
        return AttestPlan(reference, Rebuild.NO)
    return AttestPlan(reference, Rebuild.PERHAPS, f"if {', '.join(map(str, step.waits_for))} changes")


def _present(node: Any) -> Image | None:
    """The image in a tarball as it lies there; None when there is none that can be read."""
    from multiarch_oci.store.archive import read_image

    try:
        return read_image(Path(node.get_abspath()))
    except (MultiarchError, OSError):
        return None


def _pin(node: Any) -> PinState:
    from multiarch_oci.plan.forecast import PinState

    record = node.attributes.target
    receipt = receipt_at(Path(node.get_abspath()))
    seen = None if receipt is None else receipt.reference.digest
    return PinState(record.reference, record.platform, seen, _observed(node, record.reference, record.folder))


def _copied(node: Any) -> TagState:
    """The tag of ours under which the image of another repository joins the index."""
    from multiarch_oci.plan.forecast import TagState

    record = node.attributes.target
    receipt, state = receipt_at(Path(node.get_abspath())), _pin(node)
    known = receipt.descriptor.digest if receipt is not None and state.seen == state.observed else None
    observed = _observed(node, record.copy_to, record.copy_folder)
    return TagState(record.copy_to, known, known, observed, needs=(record.reference,), policed=False)


class TagContents(NamedTuple):
    """A tag before anybody asked for its contents: each content with the repository that it may be mounted from."""

    state: TagState
    folder: str | None
    contents: list[tuple[Descriptor, Reference | None]] | None
    fresh: frozenset[Digest]


def _tag(steps: dict[Any, StepState], node: Any) -> TagContents:
    """What a push should do, as far as the files that are there tell."""
    from multiarch_oci.plan.forecast import TagState

    reference, folder = node.attributes.target.reference, node.attributes.target.folder
    receipt = last_receipt(node)
    pins = [child for child in node.depends if is_pin(child)]
    digest, contents, fresh, refused = None, None, frozenset[Any](), None
    try:
        digest, contents, fresh = _content(steps, node.sources[0])
    except (MultiarchError, OSError) as error:
        refused = one_line(error)
    unmoved_tags, because = not_moved(node)
    state = TagState(
        reference,
        digest,
        None if receipt is None else receipt.descriptor.digest,
        _observed(node, reference, folder),
        unfinished=Intention(node.attributes.run, reference).digests(),
        also=tuple((also, _observed(node, also, where)) for also, where in tags_of(node)[1:]),
        needs=tuple(pin.attributes.target.reference for pin in pins),
        refused=refused,
        not_moved=tuple(unmoved_tags),
        not_moved_because=because,
    )
    return TagContents(state, folder, contents, fresh)


def _content(
    steps: dict[Any, StepState], node: Any
) -> tuple[Digest | None, list[tuple[Descriptor, Reference | None]] | None, frozenset[Digest]]:
    """The digest of an image or index (None: after the build), what a push of it sends, what of that will be new."""
    from multiarch_oci.mediatype import is_foreign

    step = steps.get(node)
    stale = step is not None and (step.reason is not None or bool(step.waits_for))
    if is_index(node):
        if step is not None and step.waits_for:
            return None, [(_stand_in(node.attributes.target).descriptor(), None)], frozenset()
        root = assembled(node).descriptor()
        return root.digest, [(root, None)], frozenset()
    image = _present(node)
    if image is None:
        return None, None, frozenset()
    blobs = [blob.bare() for blob in image.manifest.blobs() if not is_foreign(blob.media_type)]
    descriptors = [image.descriptor.bare(), *blobs]
    origins = image.mountable
    contents = [(descriptor, origins.get(descriptor.digest)) for descriptor in descriptors]
    if stale:
        return None, contents, frozenset(descriptor.digest for descriptor in descriptors) - set(origins)
    return image.descriptor.digest, contents, frozenset()


def _with_contents(run: Run, tags: list[TagContents]) -> list[TagState]:
    """The tags with what of their contents is there, asked for all at once."""
    from msgspec.structs import replace

    from multiarch_oci.plan.forecast import Content
    from multiarch_oci.store import holds

    questions = []
    for number, tag in enumerate(tags):
        state = tag.state
        if tag.contents is None or isinstance(state.observed, MultiarchError) or state.observed == state.digest:
            continue
        store = run.build.registries.store(state.reference, tag.folder)
        for content, origin in tag.contents:
            if content.digest not in tag.fresh:
                questions.append((number, content, store))
                if origin is not None and origin.registry == state.reference.registry:
                    questions.append((number, content, run.build.registries.store(origin)))
    answers = holds([(store, content) for _, content, store in questions])
    present: dict[tuple[int, Digest], bool | None] = {}
    for (number, content, _), answer in zip(questions, answers, strict=True):
        known = None if isinstance(answer, MultiarchError) else answer
        present[number, content.digest] = present.get((number, content.digest)) or known
    states = []
    for number, tag in enumerate(tags):
        contents: tuple[Content, ...] | None = None
        if tag.contents is not None:
            contents = tuple(Content(content, present.get((number, content.digest))) for content, _ in tag.contents)
        states.append(replace(tag.state, contents=contents))
    return states


def _observed(node: Any, reference: Reference, folder: str | None) -> Observed:
    run: Run = node.attributes.run
    try:
        return run.build.registries.observed(reference, folder)
    except MultiarchError as error:
        return error


def _stand_in(record: IndexTarget) -> Index:
    """An index of the same platforms, of manifests that are not known yet: as many bytes, give or take a digit."""
    from multiarch_oci.descriptor import Descriptor
    from multiarch_oci.digest import Digest
    from multiarch_oci.index import Index
    from multiarch_oci.mediatype import MANIFEST

    members = (Descriptor(MANIFEST, Digest.of(b""), 9999, platform) for platform in record.platforms)
    return Index(tuple(members), record.annotations)
