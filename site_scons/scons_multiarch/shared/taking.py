"""What stands in the place of a step whose outputs the cache has: a record, a tarball without layers, or the files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SCons.Action

from multiarch_oci.actioncache import Entry, NoEntry, Output
from multiarch_oci.document import InvalidDocument
from multiarch_oci.errors import one_line
from multiarch_oci.executable import agrees, identify
from multiarch_oci.heldfiles import HeldFile
from multiarch_oci.mediatype import JSON, OCTETS
from multiarch_oci.store import read
from scons_multiarch.paths import shown
from scons_multiarch.process import say
from scons_multiarch.shared.fetching import CacheLost, fetch, fetch_held, is_wanted
from scons_multiarch.shared.lookups import lookups
from scons_multiarch.shared.origins import open_origin, origin_of
from scons_multiarch.step import explain, step_of, write
from scons_multiarch.targets import ImageTarget, ProgramTarget, is_image, target_of
from scons_multiarch.tracking.held import held_file, look_anew, note_taken, taken

if TYPE_CHECKING:
    from multiarch_oci.image import Image
    from scons_multiarch.session import Run
    from scons_multiarch.tracking.state import State

WHY = "from cache"


def take(node: Any) -> bool:
    """Take what a step would make out of the shared cache; False where it has to be made. Any thread; never raises."""
    state: State = node.attributes.state
    if node is not state.targets[0]:
        return state.retrieved  # the first of them took all
    try:
        return _take(node)
    except Exception as error:  # noqa: BLE001  # what somebody else wrote there fails no build
        say(f"  {shown(node)}: the cache does not give it ({one_line(error)}); it is made here")
        return False


def foresee(node: Any) -> bool:
    """Whether the cache has what a step would make: nothing is written, but a program is known by its digest then."""
    run: Run = node.attributes.run
    entry = lookups(run).look(node)
    if entry is None:
        return False
    try:
        if isinstance(target_of(node), ProgramTarget):
            output = _only(entry)
            held = HeldFile(output.descriptor.digest.hex, output.descriptor.size, origin_of(run, node))
            run.tree.held.put(node.get_abspath(), held, keep=False)
        elif isinstance(target_of(node), ImageTarget):
            _checked_image(node, entry)
    except Exception:  # noqa: BLE001  # what somebody else wrote there ends no question
        return False
    return True


def _take(node: Any) -> bool:
    run: Run = node.attributes.run
    held = held_file(node)
    if held is not None and not node.changed():
        return _fetched(node, held)
    entry = lookups(run).look(node) if run.settings.cache is not None else None
    if entry is None:
        return False
    from scons_multiarch.recorder import CACHED, INTERRUPTED

    state, origin = node.attributes.state, origin_of(run, node)
    if state.because is None:
        explain(node)
    try:
        with run.build.recorder().step(step_of(node).verb, node) as record:
            record.outcome = INTERRUPTED  # where it does not count no line is printed: the step itself comes next
            is_file = _put(node, entry, origin)
            record.outcome, record.reason = CACHED, WHY
            own = sum(output.descriptor.size for output in entry.outputs if output.data is None)
            record.spared = 0 if is_file and not is_image(node) else own
    except (NoEntry, InvalidDocument) as error:
        lookups(run).troubles.left_out(error)
        return False
    taken(node, is_file=is_file)
    for target in state.targets:
        note_taken(target)
    _note_packages(run, node)
    state.retrieved = state.shared = True
    state.because = f"{state.because}; {WHY}" if state.because else WHY
    state.sentences = (*state.sentences, WHY)
    if SCons.Action.execute_actions:
        run.tree.records.remember(str(node), state.facts, state.because)
    if state.taken is not None and is_file and SCons.Action.execute_actions:
        state.taken()
    return True


def _note_packages(run: Run, node: Any) -> None:
    """Let the packages that a program is compiled with count as in use, where this run says what is."""
    settings, record = run.settings.cache, target_of(node)
    if isinstance(record, ProgramTarget) and settings is not None and settings.writes:
        from scons_multiarch.shared.packages import packages_of

        packages_of(run).note(node, record.build, run.build.lister().environment(record.build))


def _fetched(node: Any, held: HeldFile) -> bool:
    """Make a held target, of which all stands but its bytes, a file; False where it has to be made."""
    state = node.attributes.state
    if SCons.Action.execute_actions:
        try:
            fetch_held(node, held)
        except CacheLost as lost:
            say(f"  {lost.where}: {lost.what}; it is made here")
            node.attributes.run.tree.held.drop(node.get_abspath())
            return False
    say(f"{step_of(node).verb} {state.subject}: {WHY}")
    state.retrieved = state.shared = True
    taken(node, is_file=True)
    return True


def _put(node: Any, entry: Entry, origin: str) -> bool:
    """Put what an entry has under the names of a step's targets; whether it is files now. NoEntry: it is not used."""
    record = target_of(node)
    if isinstance(record, ProgramTarget):
        return _put_program(node, record, entry, origin)
    if isinstance(record, ImageTarget):
        return _put_image(node, entry, origin)
    return _put_files(node, entry, origin)


def _put_program(node: Any, record: ProgramTarget, entry: Entry, origin: str) -> bool:
    output = _only(entry)
    machine = identify(output.head)
    if machine is not None and not agrees(machine, record.platform):
        raise NoEntry(f"is a program for {machine}, not for {record.platform}", where=entry.key.tag)
    run: Run = node.attributes.run
    _put_licences(run, node, entry, origin)
    path, descriptor = Path(node.get_abspath()), output.descriptor
    if not os.path.lexists(path) and not is_wanted(node):
        held = HeldFile(descriptor.digest.hex, descriptor.size, origin, output.executable)
        run.tree.held.put(path, held, keep=bool(SCons.Action.execute_actions))
        return False
    if SCons.Action.execute_actions:
        _write(run, origin, output, path)
    return True


def _only(entry: Entry) -> Output:
    programs = [output for output in entry.outputs if output.descriptor.media_type == OCTETS]
    if len(programs) != 1 or programs[0].descriptor.digest.algorithm != "sha256":
        raise NoEntry(f"has {len(programs)} files, not one", where=entry.key.tag)
    return programs[0]


def _put_licences(run: Run, node: Any, entry: Entry, origin: str) -> None:
    """Keep what was read of the licences in a program when it was compiled: its sources may be nowhere here."""
    output = next((output for output in entry.outputs if output.descriptor.media_type == JSON), None)
    if output is None or not SCons.Action.execute_actions:
        return
    content = read(open_origin(run, origin), output.descriptor) if output.data is None else output.data
    write(run.tree.records.beside(str(node), "licences"), content)


def _write(run: Run, origin: str, output: Output, path: Path) -> None:
    """Write one output to a file, unless these bytes are there."""
    if path.is_file() and run.tree.stat.digest(path) == output.descriptor.digest.hex:
        return
    fetch(run, origin, output.descriptor, path, executable=output.executable)


def _put_image(node: Any, entry: Entry, origin: str) -> bool:
    """Write the tarball of an image, none of whose layers is here."""
    from multiarch_oci.actioncache.imageentry import write

    image = _checked_image(node, entry)
    if SCons.Action.execute_actions:
        config = entry.output(image.manifest.config.digest)
        assert config is not None  # noqa: S101  # `check` saw it
        node.attributes.state.digest = write(image, config.data or b"", Path(node.get_abspath()), origin).digest
    return True


def _checked_image(node: Any, entry: Entry) -> Image:
    """The image of an entry, checked as one that was just made."""
    from multiarch_oci.actioncache.imageentry import check
    from scons_multiarch.images import with_bases

    plan, _ = with_bases(node.attributes.run, target_of(node).plan)
    return check(entry, plan.platform, [base.digest for base in plan.bases])


def _put_files(node: Any, entry: Entry, origin: str) -> bool:
    """Write the files of a step, all of them or none."""
    run: Run = node.attributes.run
    targets = node.attributes.state.targets
    if [output.name for output in entry.outputs] != [target.name for target in targets]:
        raise NoEntry("has other files than this step makes", where=entry.key.tag)
    if SCons.Action.execute_actions:
        for target, output in zip(targets, entry.outputs, strict=True):
            _write(run, origin, output, Path(target.get_abspath()))
            if target is not node:
                look_anew(target)
    return True
