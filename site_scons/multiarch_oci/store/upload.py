"""One blob on its way up: whole in one request, or in chunks that survive a cut and a killed process.

Distribution spec 1.1, "Pushing blobs": POST then PUT; POST, PATCH … PATCH, PUT; GET of the session for its Range.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import BLOCK, verifying
from multiarch_oci.document import Document, InvalidDocument
from multiarch_oci.reference import Reference
from multiarch_oci.store.atomic import replacing
from multiarch_oci.store.http.errors import RegistryRefused, Transient
from multiarch_oci.store.http.exchange import Answer, Request
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.served import check_digest

_RANGE = r"(?:bytes=)?0-(\d{1,19})\Z"
_NOT_FOUND, _RANGE_WRONG = 404, 416
_MISCOUNTED = (400, _NOT_FOUND, _RANGE_WRONG)
_COMMIT_RATE = 2 << 20  # bytes a second: a registry hashes or copies the whole blob before it answers the last PUT
_KEPT_S = 7 * 86_400.0
_TOO_OFTEN = 3
_PROGRESS = 8  # the part of a chunk that has to arrive for it to be worth its sending


class UploadLost(Transient):
    """A registry that does not know an upload any more: it starts again."""


class Content:
    """A blob's bytes from any offset, opened as seldom as possible, verified from the first to the last."""

    def __init__(self, descriptor: Descriptor, content: Callable[[], BinaryIO]) -> None:
        self._descriptor = descriptor
        self._content = content
        self._stream: BinaryIO | None = None
        self._position = 0

    def at(self, offset: int) -> BinaryIO:
        """The bytes from `offset` on; reads from the beginning again only when that lies behind."""
        if self._stream is None or self._position != offset:
            self.close()
            digest, size = self._descriptor.digest, self._descriptor.size
            self._stream = verifying(self._content(), digest, size, where="the content to be sent")
            while self._position < offset and self.read(min(BLOCK, offset - self._position)):
                pass  # what the registry has already counts for the digest all the same
        # No buffer of its own: what it read ahead would be missing from the next chunk.
        return cast("BinaryIO", _Window(self))

    def read(self, size: int) -> bytes:
        """The next bytes; DigestMismatch instead of the last ones when these are not what the descriptor says."""
        block = b"" if self._stream is None else self._stream.read(size)
        self._position += len(block)
        return block

    def close(self) -> None:
        """Close what is open."""
        stream, self._stream, self._position = self._stream, None, 0
        if stream is not None:
            stream.close()


class _Window(io.RawIOBase):
    """What a request reads and closes, while the content stays open for the next chunk."""

    def __init__(self, content: Content) -> None:
        super().__init__()
        self._content = content

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        return self._content.read(-1 if size is None else size)


class Upload:
    """The upload of one blob to one repository; `run` once.

    `offered`: a session that the registry gave in place of a mount. With `settings.sessions`, the session of a chunked
    upload is kept in a file that only the user can read until the blob is there, and found again by the next run.
    """

    def __init__(
        self,
        transport: Transport,
        name: Reference,
        descriptor: Descriptor,
        content: Callable[[], BinaryIO],
        offered: str | None = None,
    ) -> None:
        self._transport = transport
        self._name = name
        self._descriptor = descriptor
        self._content = Content(descriptor, content)
        self._chunk = max(1, transport.settings.chunk)
        self._whole = descriptor.size <= self._chunk
        self._location = offered
        self._offset = 0
        self._doubtful = False
        self._restarts = 0
        self._furthest = 0  # of this session's offsets
        self._vain = 0  # chunks in a row that were not worth their sending
        self._odd = False  # whether the registry's Range contradicts what it took
        self._kept = None if self._whole else self._session_file(transport.settings.sessions)

    def run(self) -> None:
        """Return when the blob is there; raises what the transport raises, and then the next `run` may go on."""
        if self._location is None and self._kept is not None:
            self._location = _load(self._kept)
            self._doubtful = self._location is not None
        try:
            with self._transport.uploading(self._name.registry):
                while not self._transport.patiently(self._advance):
                    pass
        finally:
            self._content.close()

    def _advance(self) -> bool:
        """One step; True when the blob is there. After a failed one, first finds out what became of it."""
        if self._doubtful:
            if self._is_there():
                self._forget()
                return True
            self._find_out()
        if self._location is None:
            self._begin()
        self._doubtful = True
        done = self._whole or self._offset == self._descriptor.size
        if done:
            self._commit()
        else:
            self._send_chunk()
        self._doubtful = False
        return done

    def _is_there(self) -> bool:
        answer = self._transport.ask(
            self._request("HEAD", f"/v2/{self._name.repository}/blobs/{self._descriptor.digest}")
        )
        return answer.fine

    def _begin(self) -> None:
        request = self._request("POST", f"/v2/{self._name.repository}/blobs/uploads/")
        answer = self._transport.ask(request)
        if not answer.fine:
            raise self._transport.refused(request, answer)
        self._offset = self._furthest = self._vain = 0
        self._chunk = max(self._chunk, _number(answer.headers.get("OCI-Chunk-Min-Length")))
        self._take_location(answer, request)

    def _send_chunk(self) -> None:
        offset = self._offset
        length = min(self._chunk, self._descriptor.size - offset)
        request = self._request(
            "PATCH",
            self._location or "",
            headers=(("Content-Type", _BYTES), ("Content-Range", f"{offset}-{offset + length - 1}")),
            body=lambda: self._content.at(offset),
            length=length,
        )
        answer = self._transport.ask(request)
        if not answer.fine:
            # Some take no chunks, or not of this size; the way in one piece is open with every registry.
            expired = answer.status == _NOT_FOUND or (answer.status == _RANGE_WRONG and offset > 0)
            self._whole = self._odd or not expired
            raise self._lost()
        self._take_location(answer, request)
        held = _held(answer)
        self._odd = self._odd or held not in (None, offset + length)
        # It took the chunk; a Range that says nothing of the kind is an old one, or counts otherwise.
        self._offset = held if held is not None and offset < held < offset + length else offset + length
        self._check_progress(length)

    def _check_progress(self, sent: int) -> None:
        """Send the blob in one piece where chunk after chunk brings next to nothing.

        Each chunk that is taken begins to count its tries anew: by a byte a chunk, or with a registry that forgets what
        it took, an upload would take for ever.
        """
        gained = self._offset - self._furthest
        self._furthest = max(self._offset, self._furthest)
        done = self._offset == self._descriptor.size
        self._vain = 0 if done or gained >= sent // _PROGRESS else self._vain + 1
        if self._vain >= self._transport.settings.attempts:
            self._whole = True
            raise self._lost()

    def _commit(self) -> None:
        location = self._location or ""
        glue = "&" if "?" in location else "?"
        url = f"{location}{glue}{urllib.parse.urlencode({'digest': str(self._descriptor.digest)})}"
        headers = (("Content-Type", _BYTES),)
        if self._whole:
            size = self._descriptor.size
            request = self._request("PUT", url, headers=headers, body=lambda: self._content.at(0), length=size)
        else:
            request = self._request("PUT", url, headers=headers, body=io.BytesIO, length=0)
        answer = self._transport.ask(request)
        if self._odd and not self._whole and answer.status in _MISCOUNTED:
            self._whole = True
            raise self._lost()
        if self._whole and answer.status == _NOT_FOUND and self._restarts == 0:
            self._whole = False  # some take nothing in one piece
            raise self._lost()
        self._check_session(answer, request)
        check_digest(answer, self._descriptor.digest, where=request.name)
        self._forget()

    def _find_out(self) -> None:
        """Ask how much of the upload the registry holds. A blob sent whole begins anew instead."""
        if self._whole or self._location is None:
            self._location, self._offset = None, 0
            return
        request = self._request("GET", self._location)
        answer = self._transport.ask(request)
        if not answer.fine:  # not every registry can tell
            raise self._lost()
        self._take_location(answer, request)
        self._offset = _held(answer) or 0
        if self._offset > self._descriptor.size:
            raise self._lost()

    def _check_session(self, answer: Answer, request: Request) -> None:
        if answer.status in (_NOT_FOUND, _RANGE_WRONG):
            raise self._lost()
        if not answer.fine:
            raise self._transport.refused(request, answer)

    def _lost(self) -> Exception:
        self._forget()
        self._location, self._offset = None, 0
        self._restarts += 1
        self._whole = self._whole or self._restarts >= _TOO_OFTEN
        if self._restarts >= self._transport.settings.attempts:
            what = f"the registry lost the upload of {self._descriptor.digest} {self._restarts} times"
            return RegistryRefused(what, where=self._name.name, hint="is its storage full, or shared badly by several?")
        return UploadLost(f"the registry lost the upload of {self._descriptor.digest}", where=self._name.name)

    def _take_location(self, answer: Answer, request: Request) -> None:
        self._location = answer.location or self._location
        if self._location is None:
            raise RegistryRefused("the registry began an upload without saying where (no Location)", where=request.name)
        if self._kept is not None and self._location is not None:
            _save(self._kept, self._location)

    def _request(
        self,
        method: str,
        url: str,
        headers: tuple[tuple[str, str], ...] = (),
        body: Callable[[], BinaryIO] | None = None,
        length: int = 0,
    ) -> Request:
        return Request(
            method,
            url,
            self._name.registry,
            self._name.repository,
            action="push",
            headers=headers,
            body=body,
            length=length,
            read_timeout=self._commit_limit() if method == "PUT" else None,
        )

    def _commit_limit(self) -> float:
        """Seconds for the answer to the last PUT: what any other may take, and more for a large blob."""
        return self._transport.settings.read_timeout + self._descriptor.size / _COMMIT_RATE

    def _session_file(self, folder: Path | None) -> Path | None:
        if folder is None:
            return None
        key = f"{self._name.name}@{self._descriptor.digest}"
        return folder / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    def _forget(self) -> None:
        if self._kept is not None:
            with contextlib.suppress(OSError):
                self._kept.unlink(missing_ok=True)


_BYTES = "application/octet-stream"


def _held(answer: Answer) -> int | None:
    """How many bytes a session holds by its Range header, `0-<last>`; None when it does not say.

    `0-0` is what registries say of an empty session as well; one byte is never sent alone, so it counts as empty.
    """
    match = re.match(_RANGE, answer.headers.get("Range") or "")
    if match is None:
        return None
    last = int(match[1])
    return last + 1 if last else 0


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 12 else 0  # noqa: PLR2004


def _load(file: Path) -> str | None:
    try:
        location = Document.parse(file.read_bytes(), where=str(file)).required("location")
        return Answer(0, {}, b"", location).linked(location)
    except (OSError, InvalidDocument):
        return None


def _save(file: Path, location: str) -> None:
    """Keep a session's URL, for the user alone; that it cannot be kept costs no more than the way back."""
    with contextlib.suppress(OSError):
        if not file.exists():
            _sweep(file.parent)
        with replacing(file) as stream:
            Path(stream.name).chmod(0o600)
            stream.write(json.dumps({"location": location}).encode())


def _sweep(folder: Path) -> None:
    """Remove the sessions that nobody came back for; registries forget them too."""
    if folder.is_dir():
        for file in folder.glob("*.json"):
            if file.stat().st_mtime < time.time() - _KEPT_S:
                file.unlink(missing_ok=True)
