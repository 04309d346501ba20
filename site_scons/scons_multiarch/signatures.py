"""Who signs what this build makes: SIGN, SIGN_KEY, SIGN_IDENTITY, SIGN_ROOT; passwords, and keys kept out of images."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiarch_oci.document import UnreadableFile
from multiarch_oci.errors import MultiarchError, visible
from scons_multiarch.interrupts import Interrupted

if TYPE_CHECKING:
    from multiarch_oci.attest.signing import Password, Signer
    from multiarch_oci.attest.verifying import Verifier
    from scons_multiarch.session import Run

PASSWORDS = ("SIGN_PASSWORD", "COSIGN_PASSWORD")
"""Variables of the environment that the password of a key is taken from, the first that is set."""

_LONGEST = 4096
"""Bytes of the longest line that a terminal hands over."""

_TURN_S = 0.1


class PasswordShown(MultiarchError):
    """A password where others can read it."""


class UnusableSigner(MultiarchError):
    """One who cannot sign; the words are those of what would go wrong."""


def take_passwords(environment: MutableMapping[str, str]) -> dict[str, str]:
    """Take the passwords of keys out of the environment: no engine, no `go` and no other program inherits them."""
    return {name: environment.pop(name) for name in PASSWORDS if name in environment}


def check_words(words: Mapping[str, object]) -> None:
    """Raise PasswordShown for a password on the command line or in custom.py; it is not repeated."""
    for name in PASSWORDS:
        if name in words:
            hint = f"set {name} in the environment, or be asked in a terminal; and take another password"
            raise PasswordShown(f"{name} stands where others can read it", hint=hint)


def hide_signer(run: Run, sign: str) -> None:
    """Keep the private key that SIGN names, if it names one, out of every image."""
    if sign:
        from multiarch_oci.attest.signing import is_key_file

        if is_key_file(sign):
            hide_key(run, sign)


def hide_key(run: Run, name: str) -> None:
    """Keep the file of a private key out of every image, by all the names that it has: links, hard ones too."""
    path = run.tree.root / name
    links = (Path(os.path.abspath(path)), Path(os.path.realpath(path)))  # noqa: PTH100  # kept, and followed
    for key in (*links, *_hard_links(path, run.tree.root)):
        for root in (run.tree.root, Path(os.path.realpath(run.tree.root))):
            if key.is_relative_to(root):
                run.declarations.hide(key.relative_to(root).as_posix())


def _hard_links(path: Path, root: Path) -> Iterator[Path]:
    """The names of a file below a folder; where it has one name alone, as most files have, nothing is looked at."""
    try:
        status = path.stat()
    except OSError:
        return
    if status.st_nlink < 2:  # noqa: PLR2004  # its own name, and another one
        return
    folders = [os.fspath(root)]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.inode() == status.st_ino and path.samefile(entry.path):
                    yield Path(entry.path)


def signed_by(env: Any) -> str:
    """Who signs, as far as it is known without opening a key: what a signature is tracked by; empty for nobody.

    Raises UnknownSigner, UnreadableFile, OSError.
    """
    if not _is_signed(env):
        return ""
    from multiarch_oci.attest.keys import fingerprint_of
    from multiarch_oci.attest.signing import Asked, check, public_file

    run: Run = env["MULTIARCH_RUN"]
    given = Asked(*words_of(env))
    check(given)
    public = public_file(given, run.tree.root)
    if public is not None:  # whichever file it stands in
        return f"key sha256:{fingerprint_of(run.tree.root / public, where=public)}"
    if given.identity:
        return str(given.identity)
    private = run.tree.root / given.sign
    if not private.is_file():
        hint = "SIGN names a private key, or plugin:<program>, or keyless"
        what = "is a folder, not a file" if private.is_dir() else "there is no such file"
        raise UnreadableFile(what, where=given.sign, hint=hint)
    return f"the key in a file of sha256 {run.tree.stat.digest(str(private))}"


def fault_of(env: Any) -> str | None:
    """Why who is named cannot sign, as far as it is known before anything is built; None where nothing is known.

    Found once a run for all who say the same.
    """
    run: Run = env["MULTIARCH_RUN"]
    given = words_of(env)

    def look() -> str | None:
        from multiarch_oci.attest.signing import Asked, check_files

        try:
            check_files(Asked(*given), run.tree.root)
        except MultiarchError as error:
            return str(error)
        return None

    return run.build.once(("signer", given), look) if any(given[:3]) else None


def signer_of(env: Any) -> Signer | None:
    """Who signs what is declared in an environment; None where nobody is named. One for all who say the same.

    With SIGN_KEY or SIGN_IDENTITY alone it is one who is believed, and cannot sign: what is not there is an error.
    Its key is opened when something is to be signed, and once a run. Raises UnknownSigner, InvalidKey, UnreadableFile.
    """
    if not _is_signed(env):
        return None
    from multiarch_oci.attest.signing import Asked, signer

    run: Run = env["MULTIARCH_RUN"]
    given = Asked(*words_of(env))

    def make() -> Signer:
        return signer(
            given,
            root=run.tree.root,
            password=functools.partial(_password, run, given.sign),
            environment={**run.settings.environment, **run.settings.passwords},
            interactive=_is_terminal(),
        )

    return run.signers.get((given, _state(run.tree.root / given.sign)), make)


def password_of(run: Run, name: str) -> Password:
    """What asks for the password of the key file of this name, when it is opened."""
    return functools.partial(_password, run, name)


def verifier_of_run(env: Any) -> Verifier | None:
    """Whose signatures count where nothing is signed: of SIGN, or as SIGN_KEY or SIGN_IDENTITY say it alone; or None.

    Raises MultiarchError where the key that SIGN names cannot be known without being opened, and cannot be opened.
    """
    signer = signer_of(env)
    return None if signer is None else signer.verifier()


def _is_signed(env: Any) -> bool:
    """Whether somebody is named who signs, or whose signatures count."""
    return any(env[name] for name in ("SIGN", "SIGN_KEY", "SIGN_IDENTITY"))


def words_of(env: Any) -> tuple[str, ...]:
    """What SIGN, SIGN_KEY, SIGN_IDENTITY and SIGN_ROOT say: the fields of `Asked`, whose module need not be loaded."""
    return tuple(str(env.get(name, "")) for name in ("SIGN", "SIGN_KEY", "SIGN_IDENTITY", "SIGN_ROOT"))


def _state(path: Path) -> tuple[int, int] | None:
    """What tells a key file from one that was put in its place, in a session."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def _password(run: Run, name: str) -> bytes | None:
    """The password of a key: from the environment, else from the user; None where neither has one."""
    for variable in PASSWORDS:
        if variable in run.settings.passwords:
            return run.settings.passwords[variable].encode("utf-8", "surrogateescape")
    if not _is_terminal():
        return None
    with run.build.lines().asking():
        return _typed_password(run, f"Password of {name}: ")


def _typed_password(run: Run, prompt: str) -> bytes | None:
    """What the user types, unseen; None at the end of input. Raises Interrupted, with the terminal as it was.

    It is waited for in turns: a thread that waits within the operating system hears of no Ctrl-C, and one that is ended
    there leaves a terminal behind that shows nothing of what is typed.
    """
    try:
        import select
        import termios
    except ImportError:  # Windows: nothing is set there
        import getpass

        with suppress(EOFError):
            return getpass.getpass(prompt).encode("utf-8", "surrogateescape")
        return None
    try:
        terminal = shown = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        terminal, shown = os.dup(sys.stdin.fileno()), sys.stderr.fileno()
    before = termios.tcgetattr(terminal)
    unseen = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    try:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, unseen)
        os.write(shown, visible(prompt).encode("utf-8", "backslashreplace"))
        while not select.select([terminal], [], [], _TURN_S)[0]:
            if run.interrupts.cancelled.is_set():
                raise Interrupted
        typed = os.read(terminal, _LONGEST)  # a line, as the terminal is one that hands over lines
        return typed.rstrip(b"\r\n") if typed else None
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
        os.write(shown, b"\n")
        os.close(terminal)


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
