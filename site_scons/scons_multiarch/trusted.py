"""Whose images this build may use: TRUST, else trust.json beside the SConstruct."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from multiarch_oci.errors import MultiarchError, without_login

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from multiarch_oci.attest.evidence import Store
    from multiarch_oci.attest.trust import Trust
    from multiarch_oci.attest.verdicts import Use, Verdicts
    from multiarch_oci.digest import Digest
    from multiarch_oci.engine import BuildPlan
    from multiarch_oci.receipt import Receipt
    from multiarch_oci.reference import Reference
    from scons_multiarch.session import Run
    from scons_multiarch.targets import PinTarget

_OVERRIDE = "BUILDKIT_SYNTAX"
"""The build argument by which BuildKit takes another front end than that of `# syntax=`."""

BESIDE = "trust.json"
"""The trust file that is read where none is named."""


def verdicts_of(run: Run) -> Verdicts | None:
    """What says which images may be used; None where there is no trust file. Raises InvalidTrust, InvalidKey."""
    return run.build.once("verdicts", lambda: _verdicts(run))


def _verdicts(run: Run) -> Verdicts | None:
    trusts = trusts_of(run)
    if not trusts:
        return None
    from multiarch_oci.attest.verdicts import Verdicts

    settings, cache = run.settings, run.tree.private / "trust"
    return Verdicts(trusts, cache, partial(_store, run), keeps=settings.keeps)


def _store(run: Run, use: Use) -> Store:
    """Where an image lies, and what is signed about it."""
    if use.folder is None:
        return run.build.registries.registry(use.name.bare)
    from multiarch_oci.store.layout import Layout

    return Layout(run.tree.root / use.folder, reference=use.name.bare)


def trusts_of(run: Run) -> tuple[Trust, ...]:
    """The trust files of this build, read; for a provenance their `files`, names and digests, the file itself first."""
    return run.build.once("trusts", lambda: _read(run))


def paths_of(run: Run) -> Iterator[Path]:
    """Where the trust files lie, or would, and what they name: what `scons watch` waits for."""
    named = [run.tree.root / name for name in run.settings.trust or (BESIDE,)]
    yield from named
    try:
        trusts = trusts_of(run)
    except MultiarchError:
        return
    for path, trust in zip(named, trusts, strict=False):
        yield from (path.parent / name for name, _ in trust.files)


def _read(run: Run) -> tuple[Trust, ...]:
    names = run.settings.trust or ((BESIDE,) if (run.tree.root / BESIDE).exists() else ())
    if not names:
        return ()
    from multiarch_oci.attest.trust import Trust

    return tuple(Trust.read(run.tree.root / name, where=name) for name in names)


def trust_files(run: Run) -> tuple[tuple[str, Digest], ...]:
    """All files that decided which images could be used, by their names: of each trust file itself, keys and roots."""
    return tuple(file for trust in trusts_of(run) for file in trust.files)


def check_frontend(run: Run, plan: BuildPlan, *, fresh: bool = False) -> Reference | None:
    """The front end that a Dockerfile names (`# syntax=`), by the digest that is trusted; None where no rule is for it.

    Raises Untrusted, with file and line; what a tag holds is asked once, and kept with the verdict, unless it is asked
    `fresh`.
    """
    verdicts = verdicts_of(run)
    if verdicts is None:
        return None
    content = plan.read()
    argument = dict(plan.build_args).get(_OVERRIDE)
    if argument is None and b"syntax" not in content:
        return None
    from multiarch_oci.attest.verdicts import Use
    from multiarch_oci.dockerfile.parser import directive
    from multiarch_oci.reference import InvalidReference, Reference

    text = argument or directive("syntax", content.decode("utf-8", "replace").removeprefix("\ufeff"))
    if not text:
        return None
    line = next((n for n, line in enumerate(content.splitlines(), 1) if b"syntax" in line), 1)
    where, spelled = _OVERRIDE if argument else f"{plan.name}:{line}", text.partition(" ")[0]
    try:
        name = Reference.parse(spelled).with_default_tag()
    except InvalidReference as error:
        raise InvalidReference(error.what, where=where, hint=error.hint) from None
    if not verdicts.is_demanded(name):
        return None
    use = Use(name, f"base {without_login(spelled)}, the front end of # syntax,", where)
    verdicts.denial(use)
    if argument and name.digest is None:
        hint = "name it by its digest: BuildKit takes it as it stands here"
        raise InvalidReference(f"{spelled} is not what was verified, once its tag moves", where=where, hint=hint)
    kept = None if fresh else verdicts.digest_of(name)
    digest = name.digest or kept or _front_end(run, name, where)
    verdicts.check(use, digest)
    verdicts.keep_tag(name, digest)
    return None if argument else name.bare.with_digest(digest)


class NoFrontend(MultiarchError):
    """A front end that is not in its registry."""


def _front_end(run: Run, name: Reference, where: str) -> Digest:
    from multiarch_oci.store.sources import Subject, attempt

    subject = Subject.base(str(name), where)
    descriptor = attempt(subject, lambda: run.build.registries.store(name).resolve(name.tag or "latest"))
    if descriptor is None:
        raise NoFrontend(
            f"front end {name} is not in the registry", where=where, hint="check the name behind # syntax="
        )
    return descriptor.digest


def check_pin(run: Run, record: PinTarget, reference: Reference) -> Reference:
    """The image that somebody else pushed, by the digest that is trusted; as it is named where nothing is demanded.

    Raises Untrusted, before anything of it is copied or named in an index.
    """
    verdicts = verdicts_of(run)
    if verdicts is None or not verdicts.is_demanded(reference):
        return reference
    from multiarch_oci.attest.verdicts import Use
    from multiarch_oci.publish import pin
    from scons_multiarch.beforehand import outside

    use = Use(reference, f"external {without_login(str(reference))} for {record.platform}", "EXTERNAL", record.folder)
    verdicts.denial(use)
    seen = pin(outside(run, record), reference, record.platform)
    verdicts.check(use, seen.descriptor.digest, seen.reference.digest)
    digest = seen.reference.digest
    return reference if digest is None else reference.with_digest(digest)


def is_trusted(run: Run, record: PinTarget, receipt: Receipt) -> bool:
    """Whether what a pin saw may be used still; False where that is not known, which its step will tell."""
    try:
        verdicts = verdicts_of(run)
        if verdicts is None:
            return True
        from multiarch_oci.attest.verdicts import Use

        seen = receipt.reference
        verdicts.check(Use(seen, "external", "EXTERNAL", record.folder), receipt.descriptor.digest, seen.digest)
    except MultiarchError:
        return False
    return True
