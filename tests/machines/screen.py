"""A real terminal: tmux, which runs a command and shows what a person sees."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .required import required

SHELL = "bare-shell$ "
"""What the shell says when nothing runs."""


class Screen:
    """A window of a tmux server of its own, with a shell in a folder; ends with its block."""

    def __init__(self, folder: Path, socket: Path, environment: Mapping[str, str], *, width: int, height: int) -> None:
        self._tmux = [required("tmux"), "-S", str(socket), "-f", os.devnull]
        size = ["-x", str(width), "-y", str(height)]
        shell = ["env", *(f"{name}={value}" for name, value in environment.items()), f"PS1={SHELL}", "sh", "-i"]
        self._run("new-session", "-d", *size, "-c", str(folder), *shell)
        self._run("set-option", "-g", "history-limit", "5000")

    def __enter__(self) -> Screen:  # noqa: PYI034  # Self is not in Python 3.10
        self.until(lambda text: SHELL.strip() in text)
        return self

    def __exit__(self, *_: object) -> None:
        self._run("kill-server")

    def _run(self, *arguments: str) -> str:
        ran = subprocess.run([*self._tmux, *arguments], capture_output=True, text=True, check=True, encoding="utf-8")
        return ran.stdout

    def type(self, command: Sequence[str]) -> None:
        """Type a command, and Enter."""
        self._run("send-keys", "-l", shlex.join(command))
        self.press("Enter")

    def press(self, key: str) -> None:
        """Press a key, by tmux' name for it: `C-c`."""
        self._run("send-keys", key)

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        self._run("resize-window", "-x", str(width), "-y", str(height))

    def text(self) -> str:
        """What the window shows now."""
        return self._run("capture-pane", "-p", "-J")

    def history(self) -> str:
        """What the window shows, and all that was scrolled out of it; long lines as one."""
        return self._run("capture-pane", "-p", "-J", "-S", "-")

    def cursor_is_visible(self) -> bool:
        """Whether the terminal shows its cursor."""
        return self._run("display-message", "-p", "#{cursor_flag}").strip() == "1"

    def until(self, is_so: object, seconds: float = 60) -> str:
        """Wait until the text of the window is as wanted, and return it; fails the test with the last one."""
        assert callable(is_so)
        end = time.monotonic() + seconds
        while not is_so(text := self.text()):
            assert time.monotonic() < end, text
            time.sleep(0.1)
        return text

    def until_done(self, seconds: float = 120) -> str:
        """Wait until the shell has the terminal again, and return all that was printed."""
        self.until(lambda text: text.rstrip().endswith(SHELL.strip()), seconds)
        return self.history()
