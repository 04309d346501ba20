"""The version of a build: as given, else of the file VERSION, else of git; and what a program may know of it.

A version of git is another with each commit. So `$VERSION` in the flags of a program is the release (the nearest tag,
`-dev` after it): a commit that changes nothing else compiles nothing. `$REVISION` is the commit, for who wants it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SCons.Script
from SCons.Node.FS import get_default_fs

from multiarch_oci.document import content_of
from multiarch_oci.errors import MultiarchError, quoted
from multiarch_oci.version import Version
from scons_multiarch.process import say
from scons_multiarch.session import Run

if TYPE_CHECKING:
    from multiarch_oci.git import Described, Git

_LONGEST = 64 << 10
_UNKNOWN = "unknown"
"""What `-h` shows of a tree that says no version."""


class NoVersion(MultiarchError, ValueError):
    """A file VERSION that says none."""


class NotAsTagged(MultiarchError):
    """Files that are changed since the tag that the build is called by, which must never be moved."""


def version_file(run: Run) -> Path:
    """Where the file VERSION is, or would be: at the top, else in a Repository() that was declared by now."""
    folders = [run.tree.root, *(Path(folder.get_abspath()) for folder in get_default_fs().Top.get_all_rdirs())]
    files = [folder / "VERSION" for folder in folders]
    return next(filter(os.path.lexists, files), files[0])


def version_of(run: Run, given: str, tags: str) -> tuple[Version, Described | None]:
    """The version, and what git says where it is git's; `given` is that of the command line, or "".

    `tags` is a glob of the tags that count, as in VERSION_TAG. Raises MultiarchError, which says what is missing; but
    `-h` is answered in a tree without a version, too: who asks has perhaps set none yet.
    """
    if given:
        return Version.parse(given), None
    try:
        return _version_of_tree(run, tags)
    except MultiarchError:
        if SCons.Script.GetOption("help"):
            return Version.parse(_UNKNOWN), None
        raise


def version_if_any(run: Run, given: Mapping[str, str], *, needed: bool) -> tuple[Version | None, Described | None]:
    """As `version_of`, by the texts of the variables; nothing where nobody names a version, and none is `needed`."""
    if not given["VERSION"]:
        run.note_read(version_file(run))
    is_named = any(given[name] for name in ("VERSION", "VERSION_TAG", "TAGS"))
    try:
        return version_of(run, given["VERSION"], given["VERSION_TAG"])
    except MultiarchError:
        if needed or is_named or os.path.lexists(version_file(run)):
            raise
        return None, None


def _version_of_tree(run: Run, tags: str) -> tuple[Version, Described | None]:
    file = version_file(run)
    if tags or not os.path.lexists(file):
        from multiarch_oci.git import NoAnswer

        try:
            described = described_by_git(run, tags)
        except NoAnswer as error:
            if tags:
                raise
            raise NoVersion(f"the file is missing, and {error.what}", where="VERSION", hint=error.hint) from None
        run.declarations.names_commit = True
        return described.version, described
    return _of_file(file), None


def described_by_git(run: Run, tags: str) -> Described:
    """What git says of the tree, asked once a run, and only when HEAD or a ref is another than in the last run."""
    from multiarch_oci.git import Repository

    if run.settings.interactive and (repository := Repository.around(run.tree.root)) is not None:
        run.declarations.refs = repository, repository.state()
    return run.build.once(("described", tags), lambda: git_of(run).describe(tags))


def git_of(run: Run) -> Git:
    """Git in this tree."""
    from multiarch_oci.git import Git

    cache = run.tree.private / "git.json" if run.settings.keeps else None
    return Git(run.tree.root, run.settings.environment, cache)


def with_release(env: Any) -> Any:
    """The environment for the flags of a program: where VERSION is git's, `$VERSION` is the release."""
    described = env.get("DESCRIBED")
    return env if described is None else env.Override({"VERSION": described.release})


def revision(env: Any) -> str:
    """The commit of HEAD in full: `$REVISION`. Raises MultiarchError where git does not know one."""
    described = env.get("DESCRIBED")
    run: Run = env["MULTIARCH_RUN"]
    return run.build.once("HEAD", lambda: git_of(run).head()) if described is None else str(described.commit)


def check_tree(run: Run, node: Any) -> None:
    """Say once a run, before the first tag is written, that tracked files are not as the commit has them that is named.

    Raises NotAsTagged where the version of this target is a tag of git and IMMUTABLE=yes: what it holds could never be
    made again.
    """
    described = node.get_build_env().get("DESCRIBED")
    if described is None and not run.declarations.names_commit:
        return
    changed: tuple[str, ...] = run.build.once("changed files", lambda: git_of(run).changed())
    if not changed:
        return
    others = f" and {len(changed) - 1} more" if changed[1:] else ""
    what = f"{quoted(changed[0])[1:-1]}{others}: not as in git's commit"
    if described is not None and described.distance == 0 and run.settings.policy.immutable:
        hint = "commit and set another tag, or give VERSION=… on the command line"
        what = f"{what} {described.commit[:7]}, which has the tag {described.tag}"
        raise NotAsTagged(what, where="IMMUTABLE", hint=hint)
    words = f"  {what} {git_of(run).head()[:7]}, which the index names"
    if run.build.is_new(words):
        say(words)


def _of_file(path: Path) -> Version:
    hint = "write the version into it, as v1.0, or give VERSION=v1.0 on the command line"
    try:
        content = content_of(path, _LONGEST, where="VERSION")
    except MultiarchError as error:
        raise NoVersion(f"the file {error.what}", where="VERSION", hint=hint) from None
    text = (content or b"").decode("utf-8", "replace").removeprefix("\ufeff").strip()
    if not text:
        what = "the file cannot be read" if content is None else "the file is empty"
        raise NoVersion(what, where="VERSION", hint=hint)
    return Version.parse(text)
