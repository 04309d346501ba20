"""What targets are called where they are drawn or reported: kind, title, group, reference. Not a Tool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiarch_oci.errors import public
from scons_multiarch.receipts import spelled
from scons_multiarch.targets import NAMES, LoadTarget, PinTarget, PushTarget, is_index, platform_of, target_of

if TYPE_CHECKING:
    from multiarch_oci.platform import Platform
    from scons_multiarch.session import Run


def groups(run: Run) -> dict[Any, str]:
    """For each node of a declared image that image's name."""
    named: dict[Any, str] = {}
    for name, chain in run.declarations.chains.items():
        of_image = (*chain.images, *chain.archives, *chain.loads, *chain.pushes, *chain.pins, *chain.index)
        for node in (*chain.programs, *of_image, *chain.published):
            named.setdefault(node, name)
    return named


def key_of(node: Any) -> str:
    """The name of a target in reports: its path, as in report.json."""
    return clean(Path(str(node)).as_posix())


def kind_of(node: Any) -> str:
    """One of the KINDS of a record."""
    record = target_of(node)
    if record is None:
        return "file"
    if isinstance(record, PushTarget) and node.sources and is_index(node.sources[0]):
        return "tag"
    return NAMES.get(type(record), "file")


def title_of(node: Any, kind: str, group: str, platform: str) -> str:
    """What a target is called where there is little room."""
    name = Path(str(node)).name
    if kind in ("push", "tag", "pin", "load"):
        text = reference_of(node).rpartition("/")[2]
        return f"{text} {platform}".strip() if kind == "pin" else text
    if kind == "program":
        return f"{name} {platform}"
    if kind in ("image", "archive"):
        return f"{group} {platform}" if group else name
    return group if kind == "index" and group else name


def reference_of(node: Any) -> str:
    """The tag of a push, pin or load, as the command line names it; empty for what has none."""
    record = target_of(node)
    if isinstance(record, (PushTarget, PinTarget)):
        return public(spelled(str(record.reference), [node]))
    return record.name.familiar if isinstance(record, LoadTarget) else ""


def platform_shown(node: Any, kind: str) -> Platform | None:
    """The platform that a target is of, for one that has none of its own that of its source; None for an index."""
    if kind in ("index", "tag"):
        return None
    return platform_of(node) or (platform_of(node.sources[0]) if node.sources and kind != "file" else None)


def clean(text: str, *, lines: bool = False) -> str:
    """A text of any encoding as one that UTF-8 holds, without the logins of URLs; its quoting is the writer's."""
    text = public(text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
    return text if lines else text.replace("\n", " ")
