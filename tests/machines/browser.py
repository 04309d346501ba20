"""A real browser without a screen: Chromium, spoken to over a pipe (Chrome DevTools Protocol)."""

from __future__ import annotations

import base64
import json
import os
import shutil
import struct
import subprocess
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .required import missing

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_LIMIT_S = 30.0


@dataclass(frozen=True)
class Picture:
    """A screenshot: `rows` of red, green and blue, three bytes a pixel."""

    width: int
    height: int
    rows: list[bytes]

    def pixel(self, x: int, y: int) -> tuple[int, int, int]:
        red, green, blue = self.rows[y][3 * x : 3 * x + 3]
        return red, green, blue

    def brightness(self) -> float:
        """Return the mean of all pixels, 0 for black and 1 for white."""
        return sum(map(sum, self.rows)) / (255 * 3 * self.width * self.height)

    def colours(self) -> set[tuple[int, int, int]]:
        return {self.pixel(x, y) for y in range(0, self.height, 2) for x in range(0, self.width, 2)}


class Browser:
    """One page of a browser; `logged` are the errors that it printed, a policy's refusals among them."""

    def __init__(self) -> None:
        program = next(filter(None, map(shutil.which, _NAMES)), None) or missing("chromium")
        self._profile = tempfile.mkdtemp(prefix="browser-")
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--hide-scrollbars")
        self._process = subprocess.Popen(
            [
                *("bash", "-c", f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}', program, *options),
                *(f"--user-data-dir={self._profile}", "--window-size=1400,1000", "about:blank"),
            ],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._number, self._rest = 0, b""
        self.logged: list[str] = []
        target = self._ask("Target.createTarget", {"url": "about:blank"}, session=None)["targetId"]
        attached = {"targetId": target, "flatten": True}
        self._session = self._ask("Target.attachToTarget", attached, session=None)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.requested: list[str] = []

    def close(self) -> None:
        self._process.kill()
        self._process.wait(_LIMIT_S)
        os.close(self._write)
        os.close(self._read)
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, file: Path, *, dark: bool = False, width: int = 1400, height: int = 1000) -> float:
        """Open a file; return the seconds until its script has run."""
        self.logged.clear()
        self.requested.clear()
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", {"features": scheme})
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", size)
        self.ask("Page.navigate", {"url": file.as_uri()})
        ready = "document.readyState == 'complete' && location.href.startsWith('file:') ? performance.timing.loadEventEnd - performance.timing.navigationStart : 0"
        for _ in range(600):
            taken = float(self.value(ready) or 0)
            if taken > 0:
                return taken / 1000
        raise AssertionError("the page was not loaded")

    def value(self, script: str) -> Any:
        """Return what an expression of JavaScript is in the page."""
        answer = self.ask("Runtime.evaluate", {"expression": script, "returnByValue": True, "awaitPromise": True})
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        """Return all text of the first element that a selector names, seen or not."""
        return str(self.value(f"document.querySelector({json.dumps(selector)}).textContent"))

    def press(self, key: str, *, text: str = "") -> None:
        """Press and release a key, by its name (`ArrowDown`, `Tab`, `/`)."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        event = {"key": key, "windowsVirtualKeyCode": codes.get(key, 0)} | ({"text": text} if text else {})
        self.ask("Input.dispatchKeyEvent", {"type": "keyDown", **event})
        self.ask("Input.dispatchKeyEvent", {"type": "keyUp", **event})

    def type(self, text: str) -> None:
        self.ask("Input.insertText", {"text": text})

    def screenshot(self, file: Path | None = None) -> Picture:
        """Take a picture of what is seen; kept in a file where one is named."""
        content = base64.b64decode(self.ask("Page.captureScreenshot", {"format": "png"})["data"])
        if file is not None:
            file.write_bytes(content)
        return decoded(content)

    def ask(self, method: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._ask(method, parameters or {}, session=self._session)

    def _ask(self, method: str, parameters: dict[str, Any], *, session: str | None) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        os.write(self._write, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("method") == "Log.entryAdded":
            self.logged.append(event["params"]["entry"]["text"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.logged.append(str(event["params"]["exceptionDetails"]))
        elif event.get("method") == "Network.requestWillBeSent":
            self.requested.append(event["params"]["request"]["url"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            block = os.read(self._read, 1 << 16)
            assert block, "the browser has ended"
            self._rest += block
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))


def decoded(content: bytes) -> Picture:
    """Decode a PNG of 8 bits a channel, not interlaced (ISO/IEC 15948, filters 0 to 4)."""
    width, height, depth, colour = struct.unpack(">IIBB", content[16:26])
    assert depth == 8
    channels = {2: 3, 6: 4}[colour]
    packed, at = b"", 8
    while at < len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        packed += content[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += length + 12
    raw, stride = zlib.decompress(packed), width * channels
    rows, above = [], bytes(stride)
    for number in range(height):
        start = number * (stride + 1)
        above = _unfiltered(raw[start], raw[start + 1 : start + 1 + stride], above, channels)
        rows.append(above if channels == 3 else bytes(b for i, b in enumerate(above) if i % 4 != 3))
    return Picture(width, height, rows)


def _unfiltered(kind: int, line: bytes, above: bytes, channels: int) -> bytes:
    if kind == 0:
        return line
    if kind == 2:
        return bytes((a + b) & 255 for a, b in zip(line, above, strict=True))
    out = bytearray(len(line))
    for i, byte in enumerate(line):
        left = out[i - channels] if i >= channels else 0
        corner = above[i - channels] if i >= channels else 0
        if kind == 1:
            guess = left
        elif kind == 3:
            guess = (left + above[i]) // 2
        else:
            sum_ = left + above[i] - corner
            distances = (abs(sum_ - left), abs(sum_ - above[i]), abs(sum_ - corner))
            guess = (left, above[i], corner)[distances.index(min(distances))]
        out[i] = (byte + guess) & 255
    return bytes(out)
