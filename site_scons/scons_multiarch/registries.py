"""The registries of a run, folders in the place of one among them: what their tags hold now. Not a Tool."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.errors import MultiarchError, quoted
from multiarch_oci.reference import Destination, InvalidReference, Reference, login_hint
from scons_multiarch.process import say_now

if TYPE_CHECKING:
    from concurrent.futures import Future

    from multiarch_oci.store import Source
    from multiarch_oci.store.cache import Cache
    from multiarch_oci.store.http.transport import Transport
    from multiarch_oci.store.layout import Layout
    from multiarch_oci.store.registry import Mounts, Registry
    from multiarch_oci.store.tags import ListingOf, Observed, Question, Referring
    from multiarch_oci.store.visible import Written
    from scons_multiarch.recorder import Recorder
    from scons_multiarch.session import Settings

_PATIENCE_S = 0.3
"""An answer that takes longer is shown to be waited for, where somebody watches."""
_IMPATIENCE: dict[str, Any] = {"silence": 5.0, "read_timeout": 30.0, "attempts": 2, "longest_pause": 5.0}
"""How the shared cache is asked: 5 s without a byte are too many, an answer of failure is asked for once more."""
CACHE_BYTES = 20 << 30
"""How large the cache of base blobs, which all trees of a user share, may grow."""


class Registries:
    """Opens registries and folders, and keeps for the run what their tags were found to hold; any number of threads."""

    def __init__(self, root: Path, settings: Settings, cancelled: threading.Event) -> None:
        self._root = root
        self._settings = settings
        self._cancelled = cancelled
        self.waiting: Callable[[str, float], AbstractContextManager[None]] = lambda _text, _since: nullcontext()
        self.recorder: Recorder | None = None  # told of all requests, where somebody asks for that
        self._guard = threading.RLock()
        self._transport: Transport | None = None
        self._impatient: Transport | None = None
        self._cache: Cache | None = None
        self._there: set[tuple[str, Digest]] = set()  # what this run put, or manifests that it saw
        self._mounts: dict[tuple[str, str], Mounts] = {}  # what became of them, by both repositories
        self._written: Written | None = None
        self._observed: dict[Question, Future[Observed]] = {}
        self._asking: list[threading.Thread] = []

    def transport(self) -> Transport:
        """The connections of this run; requests are recorded with the step that this thread performs, if any."""
        with self._guard:
            if self._transport is None:
                self._transport = self._connected()
            transport, recorder = self._transport, self.recorder
            transport.watch = recorder  # of requests for tokens
        return _watched(transport, recorder)

    def _of_cache(self) -> Transport:
        """As `transport`, for the shared cache: what it does not give in a moment is made here meanwhile."""
        base = self.transport()
        with self._guard:
            if self._impatient is None:
                from msgspec.structs import replace

                self._impatient = base.impatient(replace(base.settings, **_IMPATIENCE))
            transport, recorder = self._impatient, self.recorder
            transport.watch = recorder
        return _watched(transport, recorder)

    def _connected(self) -> Transport:
        from multiarch_oci.store.auth import Credentials
        from multiarch_oci.store.http import exchange
        from multiarch_oci.store.http.hosts import LOOPBACK
        from multiarch_oci.store.http.transport import Transport

        settings = exchange.Settings(
            insecure=(*LOOPBACK, *self._settings.insecure),
            environment=self._settings.environment,
            sessions=self._root / ".multiarch" / "uploads",
        )
        credentials = Credentials(self._settings.environment, self._home(), self._cancelled)
        return Transport(settings, credentials, self._cancelled)

    def _home(self) -> Path:
        """The user's folder; a user of a container may have none."""
        return Path(
            self._settings.environment.get("HOME")
            or self._settings.environment.get("USERPROFILE")
            or self._root / ".multiarch"
        )

    def store(self, reference: Reference, folder: str | None = None, *, action: str = "pull") -> Registry | Layout:
        """The place that a reference names, for `pull` or `push`: a repository, or the OCI layout in `folder`."""
        if folder is not None:
            from multiarch_oci.store.layout import Layout

            return Layout(self._root / folder, reference=reference.bare)
        return self.registry(reference, action=action)

    def registry(self, reference: Reference, *, action: str = "pull", impatient: bool = False) -> Registry:
        """The repository of a registry, for `pull` or `push`; `impatient` as one is that is a shared cache."""
        from multiarch_oci.store.registry import Registry

        there = self._there if action == "push" else None
        transport = self._of_cache() if impatient else self.transport()
        return Registry(transport, reference, action=action, there=there, written=self.written(), mounts=self._mounts)

    def written(self) -> Written:
        """What this run wrote to registries, which is waited for where it is read again; said on the terminal."""
        from multiarch_oci.store.visible import Written

        with self._guard:
            self._written = self._written or Written(say=lambda line: say_now(f"  {line}"))
            return self._written

    def knew(self, reference: Reference, digests: Iterable[Digest]) -> None:
        """Say what a tag held by this tree's own hand: not somebody else's, where it comes to light again."""
        self.written().saw(reference.bare.name, reference.tag or "", digests)

    def source(self, reference: Reference) -> Source:
        """A registry's repository to read from, blobs kept in the cache that all trees of this user share."""
        from multiarch_oci.store.cache import Cache, Cached

        home = self._settings.environment.get("XDG_CACHE_HOME") or self._home() / ".cache"
        with self._guard:
            self._cache = self._cache or Cache(Path(home) / "multiarch" / "blobs", CACHE_BYTES)
            return Cached(self.store(reference), self._cache)

    def prefetch(self, questions: Iterable[tuple[Question, str | None]]) -> None:
        """Begin to ask all registries for tags and referrers at once, in this order; answers are kept for the run.

        Who wants one of them waits for that one alone, and decides meanwhile what needs no registry.
        """
        self._begin(list(questions))

    def _begin(self, pairs: list[tuple[Question, str | None]]) -> dict[Question, Future[Observed]]:
        """Ask for what was not asked for yet; what each answer will be, which a failure may not leave in the run."""
        from concurrent.futures import Future  # start-up: who asks no registry has no use for it

        with self._guard:
            new = dict(pair for pair in pairs if pair[0] not in self._observed)
            begun: dict[Question, Future[Observed]] = {question: Future() for question in new}
            self._observed |= begun
            answers = {question: self._observed[question] for question, _ in pairs}
        try:
            for question, folder in new.items():
                if folder is not None:
                    answer = self._in_folder(question, folder)
                    begun.pop(question).set_result(answer)
            if begun:
                thread = threading.Thread(target=self._ask, args=(begun,), daemon=True, name="tags")
                self._asking.append(thread)
                thread.start()
        except BaseException as error:
            self._fail(begun, error)
            raise
        return answers

    def _ask(self, begun: dict[Question, Future[Observed]]) -> None:
        """Ask registries; every answer is told as it comes, and what goes wrong to all who wait."""

        def tell(question: Question, answer: Observed) -> None:
            if isinstance(question, Reference) and isinstance(answer, Descriptor):
                self._there.add((question.bare.name, answer.digest))
            begun.pop(question).set_result(answer)

        try:
            from multiarch_oci.store.tags import resolve_all

            resolve_all(self.transport(), list(begun), tell=tell, written=self._written)
        except BaseException as error:  # noqa: BLE001  # raised by whoever waits
            self._fail(begun, error)

    def _fail(self, begun: Mapping[Question, Future[Observed]], error: BaseException) -> None:
        """Tell an error to all who wait for what will not be answered; who asks next asks anew."""
        for question, future in begun.items():
            with self._guard:
                if self._observed.get(question) is future:
                    del self._observed[question]
            future.set_exception(error)

    def asking(self) -> list[threading.Thread]:
        """The threads that still ask."""
        return [thread for thread in self._asking if thread.is_alive()]

    def _in_folder(self, question: Question, folder: str) -> Observed:
        try:
            if isinstance(question, Reference):
                return self.store(question, folder).resolve(_name(question))
            from multiarch_oci.store.layout import Layout
            from multiarch_oci.store.referrers import listing
            from multiarch_oci.store.tags import Referring

            layout = Layout(self._root / folder, reference=question.reference.bare)
            subject = question.reference.digest
            return None if subject is None else Referring(frozenset(map(str, listing(layout, subject).digests())))
        except MultiarchError as error:
            return error

    def observed(self, reference: Reference, folder: str | None) -> Digest | None:
        """What a tag holds now; None = nothing. Raises what the place raised when it was asked."""
        future, began = self._begin([(reference, folder)])[reference], time.monotonic()
        from concurrent.futures import TimeoutError as Late  # another one than Python's own before 3.11

        try:
            answer = future.result(_PATIENCE_S)
        except Late:
            with self.waiting(f"Asking {reference.registry} for its tags", began):
                answer = future.result()
        if isinstance(answer, MultiarchError):
            raise answer
        return answer.digest if isinstance(answer, Descriptor) else None

    def listed(self, question: ListingOf, folder: str | None) -> Referring | None:
        """What refers to a subject now; None = nothing. Raises what the place raised when it was asked."""
        answer = self._begin([(question, folder)])[question].result()
        if isinstance(answer, MultiarchError):
            raise answer
        return None if isinstance(answer, Descriptor) else answer

    def forget(self, question: Question) -> None:
        """Drop an observation: a step has just changed the tag, or what refers to a subject."""
        with self._guard:
            self._observed.pop(question, None)


def _watched(transport: Transport, recorder: Recorder | None) -> Transport:
    """It, its requests recorded with the step that this thread performs, if any."""
    step = None if recorder is None else recorder.current()
    return transport if step is None else transport.watched(step)


def _name(reference: Reference) -> str:
    return str(reference.digest) if reference.digest is not None else reference.tag or "latest"


@functools.lru_cache(64)  # the tags of an image, and the images of a folder, are declared one after the other
def _destination(text: str) -> Destination:
    return Destination.parse(text, where=None)


def location(text: str) -> tuple[Reference, str | None]:
    """What `host/repository:tag` or `folder/repository:tag` names: its reference, and the layout's folder if it is one.

    A digest may follow. Raises InvalidReference, InvalidDigest.
    """
    if login := login_hint(text):
        raise InvalidReference(f"{quoted(text)} holds a login", hint=login)
    bare, at, digest = text.partition("@")
    name, colon, tag = bare.rpartition(":")
    if not colon or "/" in tag:
        name, tag = bare, ""
    if _destination(name).registry is not None:
        return Reference.parse(text), None
    folder, _, image = name.rpartition("/")
    destination = _destination(folder or ".")
    reference = destination.reference(image, tag or None)
    return reference.with_digest(Digest.parse(digest)) if at else reference, destination.layout(image)
