"""What `go list` said of this checkout, as an entry of the shared cache: a machine that finds it starts no `go`."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING

from multiarch_oci.actioncache import Entry, Key, Output
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.errors import MultiarchError
from multiarch_oci.mediatype import OCTETS
from scons_multiarch.shared.lookups import lookups
from scons_multiarch.shared.origins import common_origin, open_origin

if TYPE_CHECKING:
    from scons_multiarch.session import CacheSettings, Run

KIND = "go list"
_NAME = "listing.json.gz"
_LARGEST = 64 << 20


class SharedListings:
    """Listings as entries of the cache of a run; as those of steps they cost time where they are missing, no more.

    They lie where the entry of the first program lies that is declared.
    """

    def __init__(self, run: Run, settings: CacheSettings) -> None:
        self._run = run
        self._settings = settings

    def get(self, key: str) -> bytes | None:
        """What an entry holds; None where there is none that counts, and where the cache is not read."""
        if not self._settings.reads:
            return None
        origin = common_origin(self._run)
        entry = None if origin is None else lookups(self._run).find(self._key(key), origin)
        if origin is None or entry is None or len(entry.outputs) != 1 or entry.outputs[0].descriptor.size > _LARGEST:
            return None
        output = entry.outputs[0]
        if output.data is not None:
            return output.data
        try:
            with open_origin(self._run, origin).open(output.descriptor) as stream:
                return stream.read()
        except (MultiarchError, OSError) as error:
            lookups(self._run).troubles.failed(origin, error)
            return None

    def put(self, key: str, content: bytes) -> None:
        """Write an entry; never raises."""
        origin = common_origin(self._run)
        if not self._settings.writes or origin is None or len(content) > _LARGEST:
            return
        output = Output(Descriptor.of(OCTETS, content), _NAME, data=content)
        entry = Entry(self._key(key), (output,), names=("sources",))
        contents = {output.descriptor.digest: partial(io.BytesIO, content)}
        lookups(self._run).keep(origin, lambda: (entry, contents), subject=_NAME)

    def _key(self, key: str) -> Key:
        return Key(KIND, key, self._settings.scope)
