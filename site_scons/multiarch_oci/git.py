"""The version of a tree by git: the nearest tag, how many commits HEAD is past it, and HEAD's commit.

git itself is asked (git-describe(1), git-status(1)), and only when HEAD or a ref is another than the last time: what
they are is read from the files of the repository (gitrepository-layout(5)), so that a run with nothing to do starts
no process. Only names and commits leave this module, never a remote's address.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from multiarch_oci.document import remembered_as
from multiarch_oci.errors import MultiarchError, quoted
from multiarch_oci.statcache import replace_text
from multiarch_oci.version import InvalidVersion, Version

_ABBREVIATED = 7
"""Hexadecimal digits of a commit in a version: as many in each clone, whatever its size or configuration."""
_LIMIT_S = 60
_DEEPEST = 5
"""Symbolic references that lead to one another, as git follows them."""
_LONG = re.compile(r"(?P<tag>.+)-(?P<distance>[0-9]+)-g(?P<commit>[0-9a-f]{7,64})")
_HEAD = "HEAD alone"
"""No glob of tags: a tag holds no blank."""
OF_ANOTHER = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_NAMESPACE")
"""Variables, set in hooks of git, that name another repository than the one which a folder lies in."""
_GIVE = "or give VERSION=v1.0 on the command line"


class NoAnswer(MultiarchError):
    """What git does not know of a tree, and why."""


class Described(msgspec.Struct, frozen=True):
    """HEAD: its nearest tag as git spells it (`api/v0.3.1`), the number of commits since, the commit in full."""

    tag: str
    distance: int
    commit: str

    @property
    def version(self) -> Version:
        """`v0.3.1` at the tag, `v0.3.1-4-gabc1234` after it; what stands before a `/` is left out, a `+` is a `-`.

        After the tag it is a pre-release, whatever the tag is. Raises InvalidVersion for what cannot be a tag of a
        registry.
        """
        released = self._parsed(self._name.partition("+")[0])
        text = self._name.replace("+", "-") + (
            f"-{self.distance}-g{self.commit[:_ABBREVIATED]}" if self.distance else ""
        )
        self._parsed(text)
        return Version(text, released.numbers, is_prerelease=released.is_prerelease or self.distance > 0)

    @property
    def release(self) -> str:
        """The nearest release: `v0.3.1` at the tag, `v0.3.1-dev` after it, the same for each commit up to the next."""
        return self._name.replace("+", "-") + ("-dev" if self.distance else "")

    @property
    def _name(self) -> str:
        return self.tag.rpartition("/")[2]

    def _parsed(self, text: str) -> Version:
        try:
            return Version.parse(text)
        except InvalidVersion as error:
            what = f"git's tag {quoted(self.tag)} is no version: {error.what}"
            hint = f"VERSION_TAG='v*' leaves out all tags but those, {_GIVE}"
            raise InvalidVersion(what, where="VERSION", hint=hint) from None


class Repository(msgspec.Struct, frozen=True):
    """A working tree and where git keeps it: `git_dir` its own HEAD, `common_dir` the refs that worktrees share."""

    worktree: Path
    git_dir: Path
    common_dir: Path

    @classmethod
    def around(cls, folder: Path) -> Repository | None:
        """The repository that a folder lies in, the nearest one; None where there is none."""
        for parent in (folder, *folder.parents):
            git_dir = _git_dir(parent / ".git")
            if git_dir is not None and (git_dir / "HEAD").exists():
                common = _text(git_dir / "commondir").strip()
                return cls(parent, git_dir, git_dir / common if common else git_dir)
        return None

    @property
    def is_shallow(self) -> bool:
        """Whether commits, and tags with them, were left out when it was cloned (`fetch-depth` of a CI)."""
        return (self.common_dir / "shallow").exists()

    def _refs(self) -> Iterator[str]:
        """HEAD and what it leads to, each as it stands in its file; a branch may be a symbolic reference, too."""
        text = _text(self.git_dir / "HEAD")
        yield text
        for _ in range(_DEEPEST):
            if not text.startswith("ref: "):
                return
            name = text[5:].strip()
            text = _text(self.git_dir / name) or _text(self.common_dir / name)
            yield text

    def has_tags(self) -> bool:
        """Whether any tag is there, by the files that hold them; where refs are tables of their own, nobody knows."""
        packed = "refs/tags/" in _text(self.common_dir / "packed-refs")
        return packed or (self.common_dir / "reftable").exists() or any(_loose(str(self.common_dir / "refs" / "tags")))

    def state(self) -> str:
        """A digest of HEAD, of its branch and of all tags, from files alone: equal as long as git says the same."""
        parts = list(self._refs())
        kept = ("packed-refs", "shallow", "reftable/tables.list")
        parts += [_signature(folder / name) for folder in (self.git_dir, self.common_dir) for name in kept]
        parts += sorted(_loose(str(self.common_dir / "refs" / "tags")))
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


class Git:
    """What git says of a tree. `folder` is the tree's, `environment` the process's; answers are kept in `cache`."""

    def __init__(self, folder: Path, environment: Mapping[str, str], cache: Path | None = None) -> None:
        self._folder = folder
        self._environment = {name: value for name, value in environment.items() if name not in OF_ANOTHER}
        self._environment |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
        self._cache = cache

    def describe(self, pattern: str = "") -> Described:
        """HEAD by its nearest tag of those that `pattern` (a glob, `api/v*`; "" for all) matches.

        Starts git only when HEAD or a ref is another than at the last call with this cache. Raises NoAnswer, which
        says what is missing: git, a repository, a commit, a tag, or the history of a shallow clone.
        """
        return self._kept(pattern, lambda repository: self._describe(repository, pattern))

    def _kept(self, question: str, ask: Callable[[Repository], Described]) -> Described:
        """What was answered to this question in this state of the refs, or is now."""
        repository = self._repository()
        state = f"{repository.worktree}\0{repository.state()}"
        known = (None if self._cache is None else remembered_as(self._cache, dict[str, _Answer])) or {}
        if (answer := known.get(question)) is not None and answer.state == state:
            return answer.described
        described = ask(repository)
        if self._cache is not None:
            kept = {**known, question: _Answer(state, described)}
            replace_text(self._cache, _ascii(kept))
        return described

    def head(self) -> str:
        """HEAD's commit in full, asked as `describe` asks. Raises NoAnswer where there is none."""
        return self._kept(_HEAD, self._head).commit

    def _head(self, repository: Repository) -> Described:
        done = self._run(repository, ("rev-parse", "--verify", "HEAD^{commit}"))
        if done.returncode:
            raise _refused(done)
        return Described("", 0, done.stdout.strip())

    def changed(self) -> tuple[str, ...]:
        """The tracked files, as git spells them, that are not as HEAD has them; untracked ones do not count."""
        repository = self._repository()
        status = (
            "status",
            "--porcelain",
            "-z",
            "--untracked-files=no",
            "--no-renames",
            "--ignore-submodules=untracked",
        )
        done = self._run(repository, status)
        if done.returncode:
            raise _refused(done)
        return tuple(entry[3:] for entry in done.stdout.split("\0") if entry)

    def _repository(self) -> Repository:
        repository = Repository.around(self._folder)
        if repository is None:
            what = "this is no git repository"
            raise NoAnswer(what, where="VERSION", hint=f"write the version into the file, as v1.0, {_GIVE}")
        return repository

    def _describe(self, repository: Repository, pattern: str) -> Described:
        match = (f"--match={pattern}",) if pattern else ()
        done = self._run(repository, ("describe", "--tags", "--long", "--abbrev=64", *match, "HEAD"))
        parts = _LONG.fullmatch(done.stdout.strip())
        if done.returncode == 0 and parts is not None:
            return Described(parts["tag"], int(parts["distance"]), parts["commit"])
        raise self._no_version(repository, pattern, done)

    def _no_version(
        self, repository: Repository, pattern: str, done: subprocess.CompletedProcess[str]
    ) -> MultiarchError:
        if self._run(repository, ("rev-parse", "--verify", "--quiet", "HEAD^{commit}")).returncode == 1:
            hint = f"commit, and set a tag: git tag v0.1.0; {_GIVE}"
            return NoAnswer("git has no commit yet", where="VERSION", hint=hint)
        if "No names found" not in done.stderr and "No tags can describe" not in done.stderr:
            return _refused(done)
        tags = f"no tag like {quoted(pattern)}" if pattern else "no tag"
        if repository.is_shallow:
            what = f"git knows {tags}: this clone is shallow"
            hint = f"clone with tags (fetch-depth: 0 in GitHub's checkout, GIT_DEPTH: 0 in GitLab), {_GIVE}"
            return NoAnswer(what, where="VERSION", hint=hint)
        what = f"git knows {tags} before HEAD"
        return NoAnswer(what, where="VERSION", hint=f"set one: git tag {_example(pattern)}; {_GIVE}")

    def _run(self, repository: Repository, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        command = ["git", "-C", str(repository.worktree), "-c", "core.quotePath=false", *arguments]
        try:
            return subprocess.run(
                command,
                capture_output=True,
                check=False,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                encoding="utf-8",
                errors="surrogateescape",
                timeout=_LIMIT_S,
            )
        except FileNotFoundError:
            what = "there is no git on PATH"
            raise NoAnswer(what, where="VERSION", hint=f"install git, {_GIVE}") from None
        except subprocess.TimeoutExpired:
            raise NoAnswer(f"git did not answer within {_LIMIT_S} s", where="VERSION", hint=_GIVE[3:]) from None


class _Answer(msgspec.Struct, frozen=True):
    """What git said of HEAD, and the state of the refs in which it said so."""

    state: str
    described: Described


def _ascii(kept: Mapping[str, _Answer]) -> str:
    import json  # a run with nothing to do does not come here

    return json.dumps(msgspec.to_builtins(kept), indent=1)


def _refused(done: subprocess.CompletedProcess[str]) -> NoAnswer:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    words = next((line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")), "")
    hint = f"VERSION=v1.0 on the command line asks no git{_advice(lines)}"
    return NoAnswer(f"git says: {words or f'exit status {done.returncode}'}", where="VERSION", hint=hint)


def _advice(lines: Sequence[str]) -> str:
    """The command that git itself advises for a repository of another owner, as CI containers have it."""
    command = next((line for line in lines if line.startswith("git config ")), "")
    return f"; {command}" if command else ""


def _example(pattern: str) -> str:
    return pattern.replace("*", "0.1.0", 1) if pattern.count("*") == 1 and not set(pattern) & set("?[]\\") else "v0.1.0"


def _git_dir(path: Path) -> Path | None:
    """The folder that a `.git` is or, in a worktree or submodule, names (`gitdir: …`)."""
    if path.is_dir():
        return path
    text = _text(path)
    return path.parent / text[8:].strip() if text.startswith("gitdir: ") else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except (OSError, ValueError):
        return ""


def _signature(path: Path | os.DirEntry[str]) -> str:
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def _loose(folder: str) -> Iterator[str]:
    """Each tag that has a file of its own, with what changes when it is set anew."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _loose(entry.path)
        else:
            yield f"{entry.path} {_signature(entry)}"
