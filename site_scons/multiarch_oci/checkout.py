"""A revision of a git repository in a clean folder, and which revision holds files with known contents.

What is cloned is named by the user; nothing that a repository says is run: no hook, no template, no transport but
https, ssh and files (git(1), GIT_ALLOW_PROTOCOL).
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from multiarch_oci.errors import MultiarchError, quoted
from multiarch_oci.git import OF_ANOTHER

_SCP = r"(?a:(?:[\w.-]+@)?[\w.-]+\.[\w-]+:(?!//)[\w./~-]+)"
_COMMIT = r"[0-9a-f]{40}(?:[0-9a-f]{24})?"
_LIMIT_S = 600
MOST = 300
"""How many revisions are looked at for files with known contents: those that changed one of them, the newest first."""
_DESCRIBING = ("SConstruct", "SConscript", "custom.py", "site_scons")
_DESCRIPTION = r"(?:\A|/)(?:[Ss][Cc]onstruct(?:\.py)?|SConscript[^/]*|custom\.py|site_scons/.*)\Z"
_NAMED = 500
"""How many files git is told to look for: a command line has its length."""


class CannotCheckOut(MultiarchError):
    """A repository that cannot be cloned, or a revision that it does not have."""


def is_address(text: str) -> bool:
    """Whether this names a repository elsewhere, by https or ssh; all else is a path of this machine."""
    return text.startswith(("https://", "ssh://")) or re.fullmatch(_SCP, text) is not None


class Clone:
    """A clone in a folder of its own, made without a working tree; `environment` is the process's."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.differing: tuple[int, str] = (-1, "")  # of the commit that came closest, what `holding` did not find
        kept = {name: value for name, value in environment.items() if name not in OF_ANOTHER}
        self._environment = kept | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "https:ssh:file"}
        self._environment["GIT_LITERAL_PATHSPECS"] = "1"

    def fetch(self, source: str) -> None:
        """Clone a repository by its address or path; raises CannotCheckOut."""
        if "://" in source and not is_address(source):
            hint = "FROM takes https://…, ssh://…, or a path"
            raise CannotCheckOut(f"{quoted(source)} is neither", where="FROM", hint=hint)
        words = ["clone", "--quiet", "--no-checkout", "--template=", "--", source, str(self.folder)]
        status, _, complaint = self._run(words, self.folder.parent)
        if status:
            raise CannotCheckOut(f"{quoted(source)} cannot be cloned: {_brief(complaint)}", where="FROM")

    def checkout(self, commit: str) -> None:
        """Lay out the files of a commit, and nothing else; raises CannotCheckOut."""
        status, _, complaint = self._run(["checkout", "--quiet", "--force", "--detach", commit, "--"])
        self._run(["clean", "--quiet", "-ffdx"])
        if status:
            raise CannotCheckOut(f"the commit {commit[:12]} cannot be checked out: {_brief(complaint)}", where="FROM")

    def commit(self, name: str) -> str | None:
        """The commit, in full, that a name (a tag, HEAD, a commit) means here; None when there is none."""
        status, text, _ = self._run(["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"])
        return text.strip() if not status and re.fullmatch(_COMMIT, text.strip()) else None

    def holding(self, files: Mapping[str, str], names: Sequence[str], prefix: str = "") -> Iterator[str]:
        """The commits whose files have these sha256 (in hexadecimal, by path), the likeliest first.

        `names` are looked at first, then the commits that changed one of the files. Of commits that say the same of how
        things are built (SConstruct, SConscript, site_scons) one is given. Paths are below `prefix`.
        """
        known: dict[str, str] = {}
        descriptions = set()
        for commit in self._candidates(names, [f"{prefix}{path}" for path in (*_DESCRIBING, *files)]):
            blobs = self._blobs(commit)
            differing = self._differing(blobs, files, prefix, known)
            if differing is not None:
                self.differing = max(self.differing, differing)
                continue
            description = frozenset(item for item in blobs.items() if re.search(_DESCRIPTION, item[0]))
            if description not in descriptions:
                descriptions.add(description)
                yield commit

    def _differing(
        self, blobs: Mapping[str, str], files: Mapping[str, str], prefix: str, known: dict[str, str]
    ) -> tuple[int, str] | None:
        """The first file that a commit has not so, and how many came before it; None where it has all."""
        for number, (path, digest) in enumerate(sorted(files.items())):
            blob = blobs.get(f"{prefix}{path}", "")
            if blob and blob not in known:
                known[blob] = self._sha256(blob)
            if known.get(blob) != digest:
                return number, path
        return None

    def _candidates(self, names: Sequence[str], paths: list[str]) -> Iterator[str]:
        commits = dict.fromkeys(filter(None, map(self.commit, names)))
        yield from commits
        _, text, _ = self._run(["rev-list", "--all", f"--max-count={MOST}", "--", *paths[:_NAMED]])
        yield from (commit for commit in text.split() if commit not in commits)

    def _blobs(self, commit: str) -> dict[str, str]:
        """The object of each file of a commit, by path."""
        _, text, _ = self._run(["ls-tree", "-r", "-z", "--full-tree", commit])
        lines = [line.partition("\t") for line in text.split("\0") if line]
        return {path: head.split()[2] for head, _, path in lines if head.split()[1] == "blob"}

    def _sha256(self, blob: str) -> str:
        done = self._ended(["cat-file", "blob", blob])
        return hashlib.sha256(done.stdout).hexdigest() if not done.returncode else ""

    def _run(self, words: Sequence[str], folder: Path | None = None) -> tuple[int, str, str]:
        done = self._ended(words, folder)
        output, complaint = (content.decode("utf-8", "surrogateescape") for content in (done.stdout, done.stderr))
        return done.returncode, output, complaint

    def _ended(self, words: Sequence[str], folder: Path | None = None) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                ["git", "-c", f"core.hooksPath={self.folder / '.git' / 'none'}", *words],  # noqa: S607  # the user's own git
                cwd=folder or self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_LIMIT_S,
            )
        except FileNotFoundError:
            raise CannotCheckOut("git is not on PATH", where="FROM", hint="install git") from None
        except (OSError, subprocess.SubprocessError) as error:
            raise CannotCheckOut(f"git cannot be run: {' '.join(str(error).split())}", where="FROM") from None


def _brief(complaint: str) -> str:
    return quoted(" ".join(complaint.split()) or "git says no reason", 300)[1:-1]
