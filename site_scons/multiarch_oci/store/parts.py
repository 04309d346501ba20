"""A manifest that a registry does not take, as it says that it lacks what the manifest names.

Distribution spec 1.1, "Error Codes": BLOB_UNKNOWN, MANIFEST_BLOB_UNKNOWN, MANIFEST_UNKNOWN. Where all was sent, the
registry shows late what it took, or lost it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.errors import MultiarchError
from multiarch_oci.index import Index
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import is_foreign, is_index
from multiarch_oci.store import PartsMissing
from multiarch_oci.store.http.exchange import Answer
from multiarch_oci.store.visible import Written

_CODES = re.compile(rb"(?:BLOB|MANIFEST)[_ ]UNKNOWN|UNKNOWN[_ ](?:BLOB|MANIFEST)", re.IGNORECASE)
_CLIENT_ERRORS = range(400, 500)
_HINT = "the registry lost what it took, or somebody deleted it; run the same command again: what is there stays"


def lacks_parts(answer: Answer) -> bool:
    """Whether a manifest was refused because something that it names is not known there."""
    return answer.status in _CLIENT_ERRORS and _CODES.search(answer.content) is not None


def parts(descriptor: Descriptor, content: bytes) -> tuple[Descriptor, ...]:
    """What a manifest or index names and a registry has to hold before it, each once; InvalidDocument."""
    where = str(descriptor.digest)
    if is_index(descriptor.media_type):
        entries = Index.from_json(content, where=where, media_type=descriptor.media_type).manifests
        return tuple(dict.fromkeys(entry.bare() for entry in entries))
    manifest = Manifest.from_json(content, where=where, media_type=descriptor.media_type)
    return tuple(dict.fromkeys(blob.bare() for blob in manifest.blobs() if not is_foreign(blob.media_type)))


def insist(
    offer: Callable[[], MultiarchError | None],
    missing: Callable[[], tuple[Descriptor, ...]],
    written: Written,
    name: str,
    check: Callable[[], object],
) -> None:
    """Offer a manifest called `name` until it is taken; `offer` returns the refusal for want of its parts, else None.

    After each refusal the parts are asked for: PartsMissing at once with those that are `missing` for good, or the
    refusal itself when none is, and the time of the patience is over.
    """
    began, pause = None, written.patience.first
    while (refusal := offer()) is not None:
        began = time.monotonic() if began is None else began
        lost = missing()
        if lost:
            why = f"{refusal.what}; it lacks {', '.join(str(part.digest) for part in lost)}"
            raise PartsMissing(why, where=name, hint=_HINT, missing=lost)
        waited = time.monotonic() - began
        remaining = written.patience.limit - waited
        if remaining <= 0:
            raise refusal
        written.report_refused(name, refusal.what, waited)
        written.pause(min(pause, remaining), check)
        pause = min(2 * pause, written.patience.longest)
