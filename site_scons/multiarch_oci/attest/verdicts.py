"""Whether images may be used as the trust files say; what is right is kept by digest, so that nobody is asked again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from multiarch_oci.attest.trust import Rule, Trust, Untrusted
from multiarch_oci.digest import Digest, InvalidDigest
from multiarch_oci.document import key_of, readable, remembered_as
from multiarch_oci.once import Once
from multiarch_oci.reference import Reference

if TYPE_CHECKING:
    from multiarch_oci.attest.evidence import Store


class _Kept(msgspec.Struct, frozen=True):
    """A verdict that was good, as its file says it: of which image, by which trust file, and who signed."""

    image: str
    trust: str
    signer: str


class _Tag(msgspec.Struct, frozen=True):
    """What a tag held when it was judged."""

    image: str
    digest: str


class Use(msgspec.Struct, frozen=True):
    """An image that is to be used: by which name, what it is in words, and where that stands, for the error."""

    name: Reference
    what: str
    where: str | None
    folder: str | None = None  # of the layout that it lies in


class Verdicts:
    """Verdicts on the images of a build, each found once; any number of threads.

    `cache` is the folder where good ones are kept, with `keeps`; bad ones are found anew.
    """

    def __init__(
        self, trusts: tuple[Trust, ...], cache: Path, open_store: Callable[[Use], Store], *, keeps: bool
    ) -> None:
        self._trusts = trusts
        self._cache = cache
        self._open_store = open_store
        self._keeps = keeps
        self._known: Once[None] = Once()

    def check(self, use: Use, digest: Digest, index: Digest | None = None) -> None:
        """Raise Untrusted unless an image may be used.

        `digest` is that of its manifest, `index` that of an index that named it, where it is known; else the one is
        asked for that its name names now. Asks nobody where a good verdict is kept, or where no rule demands anything.
        """
        for trust in self._trusts:
            rule = trust.rule(use.name)
            if rule is not None:
                key = (use.name.bare.name, trust.digest, digest)
                self._known.get(key, functools.partial(self._check, trust, rule, use, digest, index))

    def digest_of(self, name: Reference) -> Digest | None:
        """What a tag held when it was last judged by these trust files; None when it has to be asked for."""
        kept = remembered_as(self._path("tag", str(name)), _Tag)
        try:
            return Digest.parse(kept.digest) if kept is not None and kept.image == str(name) else None
        except InvalidDigest:
            return None

    def keep_tag(self, name: Reference, digest: Digest) -> None:
        """Keep what a tag held when it was judged."""
        self._write(self._path("tag", str(name)), _Tag(str(name), str(digest)))

    def is_demanded(self, name: Reference) -> bool:
        """Whether a rule says anything of an image but that it is allowed."""
        return any(trust.rule(name) is not None for trust in self._trusts)

    def denial(self, use: Use) -> None:
        """Raise Untrusted for an image that is denied, whatever it is: nobody is asked for it."""
        for trust in self._trusts:
            rule = trust.rule(use.name)
            if rule is not None and not rule.verifiers:
                raise _untrusted(trust, rule, use)

    def _check(self, trust: Trust, rule: Rule, use: Use, digest: Digest, index: Digest | None) -> None:
        if not rule.verifiers:
            raise _untrusted(trust, rule, use)
        image = f"{use.name.bare.name}@{digest}"
        path = self._path("image", image, str(trust.digest))
        kept = remembered_as(path, _Kept)
        if kept is not None and (kept.image, kept.trust) == (image, str(trust.digest)):
            return
        from multiarch_oci.attest.evidence import judge  # the network, and keys: most runs need neither

        store = self._open_store(use)
        try:
            signer = judge(rule, store, self._subjects(store, use.name, digest, index))
        except Untrusted as error:
            raise _untrusted(trust, rule, use, digest, error.what) from None
        self._write(path, _Kept(image, str(trust.digest), signer))

    def _subjects(self, store: Store, name: Reference, digest: Digest, index: Digest | None) -> Iterator[Digest]:
        """The manifest, then the indexes that name it: the one that is known, and what its tag names now."""
        from multiarch_oci.attest.evidence import names

        yield digest
        seen = {digest}
        named = str(name.digest) if name.digest is not None else name.tag
        for candidate in (None if index is None else str(index), named):
            descriptor = None if candidate is None else store.resolve(candidate)
            if descriptor is None or descriptor.digest in seen:
                continue
            seen.add(descriptor.digest)
            if names(store, descriptor, digest):
                yield descriptor.digest

    def _path(self, *key: str) -> Path:
        return self._cache / f"{key_of(key)}.json"

    def _write(self, path: Path, kept: msgspec.Struct) -> None:
        from multiarch_oci.store.atomic import replacing

        if self._keeps:
            with replacing(path) as file:
                file.write(readable(msgspec.structs.asdict(kept)))


def _untrusted(trust: Trust, rule: Rule, use: Use, digest: Digest | None = None, evidence: str = "") -> Untrusted:
    """The error: which image, who demands what of it, and what was there."""
    what = use.what if digest is None else f"{use.what} ({digest})"
    there = f"; what is there: {evidence}" if evidence else ""
    hint = "take an image that is signed so, or let the trust file say who signs this one (docs/trust.md)"
    return Untrusted(f"{what} is not trusted: {trust.where} demands {rule.demand()}{there}", where=use.where, hint=hint)
