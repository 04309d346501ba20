"""Files that come out of SCons' shared cache (`CacheDir`), whoever makes them."""

from __future__ import annotations

from scons_multiarch.tracking.folders import SAME_LAYOUT, Plain, is_folder


class Kept(Plain):
    """A file that comes out of SCons' cache only whole. Existing File nodes of other builders change to this class."""

    __slots__ = SAME_LAYOUT

    def _is_cached(self) -> bool:
        """Whether SCons' cache may hold this file."""
        if not self.has_builder() or self.nocache:
            return False
        env = self.env or self.get_build_env()  # that of the executor is put together anew for each target
        return bool(env.get_CacheDir().is_enabled())

    def retrieve_from_cache(self) -> bool:
        """Take the file out of SCons' cache when it is there, and whole."""
        if not self._is_cached():
            return False
        from scons_multiarch.tracking import cache

        retrieved = cache.prepare(self) and bool(super().retrieve_from_cache())
        if retrieved:
            cache.finish(self)
        return retrieved

    def push_to_cache(self) -> None:
        """Put the file that was just made into SCons' cache, when it is what it will be called there."""
        if self._is_cached() and not is_folder(self):
            from scons_multiarch.tracking.cache import keep

            keep(self, super().push_to_cache)
