"""What ATTEST has said of an image or index, an SBOM and a provenance: declared only where its receipt needs them.

A run with nothing to do asks what decides them, and declares neither: each costs such a run as much as an image does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import msgspec
import SCons.Node.FS
import SCons.Script

from multiarch_oci.errors import MultiarchError
from scons_multiarch.commands import COMMANDS
from scons_multiarch.interrupts import Interrupted
from scons_multiarch.targets import SbomTarget, is_image, is_index, target_of
from scons_multiarch.tracking.late import depend_late, depend_now
from scons_multiarch.tracking.nodes import track
from scons_multiarch.tracking.phases import after_reading

if TYPE_CHECKING:
    from scons_multiarch.session import Run

_FOLDERS = ("sbom", "provenance")
"""Below `_output`, where the documents are written."""


class Documents(msgspec.Struct, frozen=True, eq=False):
    """What is to be said of a subject. `sbom` is the record of its SBOM, or None where none is promised."""

    subject: Any
    sbom: SbomTarget | None
    provenance: bool
    declare: Callable[[], Sequence[Any]]

    def digest(self, run: Run) -> str:
        """One sha256 over all that decides the documents' bytes, in hexadecimal; "" where it cannot be found out."""
        from scons_multiarch.inputs import digest

        try:
            with run.interrupts.performing():
                return digest(run, self.subject, self.sbom, provenance=self.provenance)
        except (MultiarchError, OSError, Interrupted):
            return ""

    def _paths(self) -> Iterator[str]:
        if self.sbom is not None:
            yield from (f"{stem(self.subject, 'sbom')}.{ending}" for ending in ("spdx.json", "cdx.json"))
        if self.provenance:
            yield f"{stem(self.subject, 'provenance')}.json"

    def are_as_recorded(self, run: Run, names: Sequence[str], records: Sequence[Any]) -> bool:
        """Whether these paths, from the top, and SCons' records of them are all documents, and their bytes."""
        if list(names) != list(self._paths()):
            return False
        try:
            digests = [run.tree.stat.digest(str(run.tree.root / name)) for name in names]
        except OSError:
            return False
        return all(digest == getattr(info, "csig", None) for digest, info in zip_longest(digests, records))


def stem(subject: Any, folder: str) -> str:
    """Where a document of an image or index lies, from the top and without an ending: it is called as the subject."""
    return f"_output/{folder}/{subject.name.removesuffix('.json' if is_index(subject) else '.tar')}"


def documents_of(receipt: Any) -> Documents | None:
    """What is attached that ATTEST promises; None for a receipt that depends on nothing of that."""
    documents: Documents | None = receipt.attributes.__dict__.get("documents")
    return documents


def is_promised(node: Any) -> bool:
    """Whether this is the receipt of what ATTEST and SIGN promise of a chain; `also` is attached beside that."""
    return "also" in node.attributes.__dict__


def promise(receipt: Any, documents: Documents, needs: Callable[[], bool]) -> None:
    """Have a receipt depend on documents: at once, or in a run that only builds when it is known to `need` them."""
    if is_promised(receipt):  # declared twice, alike
        return
    receipt.attributes.also = []
    if documents.sbom is None and not documents.provenance:
        return
    receipt.attributes.documents = documents
    run: Run = receipt.attributes.run
    if receipt.env.get("PROVENANCE") == "full" or _are_seen(run, documents):
        receipt.add_dependency(documents.declare())
        return
    depend_late(receipt, documents.declare, needs)
    after_reading(lambda _: _declare_named(run), name="documents")


def join(env: Any, receipt: Any, files: list[Any]) -> Any:
    """Have a receipt of what is promised attach files, too; returns it."""
    depend_now(receipt)
    new = [node for node in files if node not in receipt.attributes.also]
    receipt.attributes.also += track(env, new)
    receipt.add_dependency(new)
    return receipt


def _are_seen(run: Run, documents: Documents) -> bool:
    """Whether a run has another use for documents than that they are attached, so that they are declared with all else.

    Questions show them, `-c` removes them, a session does not know what it will be asked, a shared cache is told which
    of them are in use, and what somebody else says of an image may have to be made.
    """
    settings, option = run.settings, SCons.Script.GetOption
    words = list(map(str, SCons.Script.COMMAND_LINE_TARGETS))
    return bool(
        settings.interactive
        or settings.asks
        or settings.outputs
        or settings.cache
        or settings.shard
        or any(map(option, ("clean", "cache_force")))
        or (words and words[0] in COMMANDS)
        or (is_image(documents.subject) and target_of(documents.subject).sboms)
    )


def _declare_named(run: Run) -> None:
    """Declare all documents where an SConscript names the folder of some, or something in it."""
    entries = SCons.Node.FS.get_default_fs().Dir("#/_output").entries
    if any(folder in entries for folder in _FOLDERS):
        for node, _ in run.declarations.attests:
            depend_now(node)
