"""What a run says at its end of the tags that it published, and `PRINT=digest`. Not a Tool."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiarch_oci.errors import MultiarchError
from scons_multiarch.graph import declared_children, is_done, reachable
from scons_multiarch.receipts import receipt_at
from scons_multiarch.targets import PushTarget, is_attest, is_image, is_index, target_of
from scons_multiarch.tracking.phases import has_succeeded
from scons_multiarch.tracking.state import state_of

if TYPE_CHECKING:
    from multiarch_oci.digest import Digest
    from scons_multiarch.session import Run


class Closed(MultiarchError):
    """No standard output to print digests on."""


def divert() -> int:
    """Let all that is printed from now on, also by programs, go to standard error; returns where stdout was.

    A descriptor of this process alone: programs that it starts do not hold it open. Raises Closed.
    """
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    closed = Closed("there is no standard output, or no standard error", where="PRINT")
    if sys.__stdout__ is None:  # its number may be that of another file by now
        raise closed
    try:
        saved = os.dup(1)
        os.dup2(2, 1)
    except OSError:
        raise closed from None
    sys.stdout = sys.stderr
    return saved


def print_digests(run: Run, descriptor: int) -> None:
    """Write `repository@digest` of what this run was asked to publish: a line an image and registry.

    Images whose index is published are not listed beside it. Nothing is written when anything failed.
    """
    nodes = _pushes_asked_for()
    covered = set(_children(nodes))
    nodes = [node for node in nodes if node not in covered]
    if not has_succeeded(interactive=run.settings.interactive) or not all(map(is_done, nodes)):
        return
    lines = dict.fromkeys(line for node in nodes if (line := _pinned(node)) is not None)
    if not lines:
        sys.stderr.write("scons: PRINT=digest: no target of this run is a tag; push and push-manifest are\n")
    try:
        _write(descriptor, "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
    except OSError as error:
        run.output.note(error)


def _pushes_asked_for() -> list[Any]:
    """The pushes that this run leads to."""
    return [node for node in reversed(reachable()) if isinstance(target_of(node), PushTarget)]


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _children(nodes: Iterable[Any]) -> Iterator[Any]:
    """The pushes that others of these come after: the images of an index."""
    for node in nodes:
        yield from (child for child in declared_children(node) if not is_attest(child))


def _held(node: Any) -> Digest | None:
    """What the tag of a push holds: what was pushed now, or what its receipt says."""
    digest: Digest | None = node.attributes.state.digest
    if digest is None and (receipt := receipt_at(Path(node.get_abspath()))) is not None:
        digest = receipt.descriptor.digest
    return digest


def _pinned(node: Any) -> str | None:
    digest = _held(node)
    return None if digest is None else f"{_repository(node)}@{digest}"


def _repository(node: Any) -> str:
    """The repository of a push as its declaration spells it, a folder as on the command line."""
    text = str(node.attributes.state.subject)
    name, colon, tag = text.rpartition(":")
    return name if colon and "/" not in tag else text


def summary(pushed: Iterable[Any]) -> list[str]:
    """A line for each tag that these pushes wrote: `repository:tag@digest  platform size, …; bytes sent`.

    An index stands for its images, also where it was asked for and its own tag holds it already.
    """
    nodes = dict.fromkeys(node for node in pushed if isinstance(target_of(node), PushTarget))
    stays = [node for node in _pushes_asked_for() if node not in nodes and is_done(node)]
    nodes |= dict.fromkeys(node for node in stays if not nodes.keys().isdisjoint(_children([node])))
    covered = set(_children(nodes))
    return [line for node in nodes if node not in covered for line in _lines(node)]


def _lines(node: Any) -> Iterator[str]:
    from multiarch_oci.quoting import readable_size

    done = node.attributes.state.published
    pinned = f"@{_held(node)}"
    total = sum(_sent(child) for child in (node, *_children([node])))
    platforms = [f"{name} {readable_size(size)}" if size else name for name, size in sizes(node.sources[0])]
    sent = f"{readable_size(total)} sent" if total else "nothing sent"
    yield f"{node.attributes.state.subject}{pinned}  {', '.join(platforms)}{'; ' if platforms else ''}{sent}"
    for tag in () if done is None else done.also:
        yield f"{_repository(node)}:{tag}{pinned}"


def _sent(node: Any) -> int:
    state = state_of(node)
    done = None if state is None else state.published
    own = 0 if done is None else sum(blob.size for blob in done.copied.sent)
    return own + sum(_sent(before) for before in node.depends or () if is_attest(before))


def sizes(node: Any) -> list[tuple[str, int]]:
    """The platforms of an image or index, each with the bytes of its layers and config, compressed; 0 = not known."""
    from multiarch_oci.store.archive import read_image

    members = node.sources if is_index(node) else [node]
    known = []
    for member in members:
        platform = getattr(target_of(member), "platform", None)
        size = 0
        if is_image(member):
            with suppress(OSError, MultiarchError):
                size = read_image(Path(member.get_abspath())).size
        if platform is not None:
            known.append((str(platform), size))
    return known
