"""What a step that was performed leaves in the shared cache for others, and the list of what a run left and used."""

from __future__ import annotations

import io
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiarch_oci.actioncache import Entry, Key, Output
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.errors import public
from multiarch_oci.executable import essential, read_head
from multiarch_oci.mediatype import JSON, OCTETS
from scons_multiarch.paths import shown
from scons_multiarch.session import content_of
from scons_multiarch.shared.lookups import lookups
from scons_multiarch.shared.origins import origin_of
from scons_multiarch.targets import ImageTarget, ProgramTarget, target_of
from scons_multiarch.tracking.cache import may_keep

if TYPE_CHECKING:
    from multiarch_oci.actioncache.cache import Contents
    from scons_multiarch.session import Run


def leave(node: Any) -> None:
    """Put what a step made, which was performed here, where the shared cache is written. Never raises."""
    run: Run = node.attributes.run
    if run.settings.cache is not None and run.settings.cache.writes:
        keep(node)


def keep(node: Any) -> None:
    """Put what a step has just made into the cache, unless what it was made from changed meanwhile. Never raises."""
    run: Run = node.attributes.run
    asking = lookups(run)
    key, origin = asking.key(node), origin_of(run, node)
    if key is None or asking.is_closed(origin) or not may_keep(node):
        return
    if asking.keep(origin, lambda: _entry(node, key), subject=shown(node)):
        node.attributes.state.kept_at = origin


def _entry(node: Any, key: Key) -> tuple[Entry, Contents]:
    """The entry of a step, and where to read its outputs."""
    facts = node.attributes.state.facts
    names = (
        tuple(public(name).encode("utf-8", "backslashreplace").decode() for name in facts.values)
        if facts is not None
        else ()
    )
    if isinstance(target_of(node), ImageTarget):
        from multiarch_oci.actioncache.imageentry import entry_of
        from multiarch_oci.store.archive import Archive

        archive = Archive(Path(node.get_abspath()))
        entry = entry_of(key, archive, names)
        return entry, {o.descriptor.digest: _opened(archive, o.descriptor) for o in entry.outputs}
    outputs, contents = [], {}
    for target in node.attributes.state.targets:
        path = Path(target.get_abspath())
        output = output_of(node.attributes.run, path)
        outputs.append(output)
        contents[output.descriptor.digest] = lambda path=path: path.open("rb")
    if isinstance(target_of(node), ProgramTarget):
        beside = _licences(node)
        outputs += beside
        contents |= {output.descriptor.digest: partial(io.BytesIO, output.data or b"") for output in beside}
    return Entry(key, tuple(outputs), names=names), contents


def _licences(node: Any) -> list[Output]:
    """What was read of licences when a program was compiled; nothing where that names a folder of this host."""
    path = node.attributes.run.tree.records.beside(str(node), "licences")
    content = content_of(path)
    if content is None or re.search(rb'"folder": "(?:/|[A-Za-z]:)', content):
        return []
    return [Output(Descriptor.of(JSON, content), "licences.json", data=content)]


def _opened(archive: Any, descriptor: Descriptor) -> Any:
    return lambda: archive.open(descriptor)


def output_of(run: Run, path: Path) -> Output:
    """A file that a step made, as an output."""
    status = path.stat()
    descriptor = Descriptor(OCTETS, Digest("sha256", run.tree.stat.finished(path)), status.st_size)
    head = essential(read_head(lambda: path.open("rb")))
    return Output(descriptor, path.name, bool(status.st_mode & 0o100), head)
