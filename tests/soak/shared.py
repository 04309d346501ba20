"""Random edits on three machines that share one cache in a registry; each makes what a build without any cache makes.

Machines are killed in the middle, or begin anew with nothing; the registry loses entries and blobs, or damages them;
some builds have another scope; and somebody without the key puts entries of right digests under right tags.
Run by hand: python tests/soak/shared.py --seed 1 --steps 300
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "site_scons"))

import conftest
from machines.places import Folder, Remote
from machines.project import Run, steps_of
from machines.registry import Registry, registry_program
from machines.small import Tree
from machines.suppliers import Keys
from multiarch_oci.mediatype import MANIFEST
from multiarch_oci.store.archive import Archive
from soak import edits
from soak.sources import Sources
from soak.world import Base, Wrong, check_whole, python

WORDS = (("manifest",), ("push-manifest",), ("bin", "manifest"), ("push-manifest", "release"), ("bin", "images"))
CLEAN = ("bin", "images", "release", "push-manifest")
FOLDERS = {name: f"{name}/" for name in ("bin", "images", "release", "manifest")} | {"push-manifest": "manifest/"}
MODES, SCOPES = ("read", "readwrite", "readwrite", "readwrite", "write"), ("", "", "pulls")
OWN = {"_output", ".multiarch", "site_scons", "images.lock"}


class Machine:
    """A clone with a HOME, caches of Go and a `.multiarch` of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tree = folder, Tree(folder / "clone", folder / "go.log")

    def forget(self) -> None:
        """Begin anew with nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def pull(self, origin: Path) -> None:
        """Bring the sources to the state of `origin`."""
        self.tree.path.mkdir(parents=True, exist_ok=True)
        for name in {entry.name for entry in self.tree.path.iterdir()} - OWN:
            self.tree.remove(name)
        known = OWN & {entry.name for entry in self.tree.path.iterdir()}
        ignored = shutil.ignore_patterns("_output", ".multiarch", *known)
        shutil.copytree(origin, self.tree.path, symlinks=True, ignore=ignored, dirs_exist_ok=True)

    def start(self, words: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start SCons in a process group of its own; what it prints goes to a file, as a killed one leaves others."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        places = {"HOME": "", "USERPROFILE": "", "GOPATH": "go", "GOMODCACHE": "go/pkg/mod", "GOCACHE": "go-build"}
        with (self.folder / "output").open("wb") as output:
            return subprocess.Popen(
                [*python(), *words],
                cwd=self.tree.path,
                env=os.environ | environment | {name: str(home / path) for name, path in places.items()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def end(self, process: subprocess.Popen[bytes]) -> Run:
        """Wait for the end."""
        status = process.wait(600)
        text = (self.folder / "output").read_text(encoding="utf-8", errors="replace")
        return Run(steps_of(text), status, text)


class Hands:
    """What others do to a cache in a registry, `cache`: it loses things, and somebody without the key writes to it."""

    def __init__(self, registry: Registry) -> None:
        self.registry, self.folder = registry, registry.repository("cache")

    def entries(self) -> dict[str, dict[str, Any]]:
        """The entries that can be read, by tag."""
        found = {}
        for tag in self.registry.tags("cache"):
            try:
                document = json.loads(self.registry.blob(self._digest(tag)).read_bytes())
            except (OSError, ValueError):
                continue  # lost or damaged before
            if "multiarch.kind" in document.get("annotations", {}):
                found[tag] = document
        return found

    def _digest(self, tag: str) -> str:
        return (self.folder / "_manifests/tags" / tag / "current/link").read_text(encoding="utf-8")

    def lose(self, random: Random) -> str:
        """Let one or more entries or blobs be gone, or other bytes; return what, in words."""
        entries, done = self.entries(), []
        for tag in random.sample(sorted(entries), min(len(entries), random.choice((1, 2, 5, 50)))):
            kind = _noted(entries[tag])["multiarch.kind"]
            digest = self._digest(tag)
            blob = random.choice(entries[tag]["layers"])["digest"]
            link = self.folder / "_layers" / blob.replace(":", "/") / "link"
            how = random.choice(("entry", "tag", "entry's bytes", "blob", "blob", "blob's bytes", "blob", "damage"))
            if how == "entry":
                self.registry.delete_manifest("cache", digest)
            elif how == "tag":
                self.registry.delete_tag("cache", tag)
            elif how == "entry's bytes":
                self.registry.blob(digest).unlink()
            elif how == "blob" and link.exists():
                with suppress(OSError):  # its bytes went before
                    self.registry.ask("DELETE", f"/v2/cache/blobs/{blob}")
            elif how == "blob's bytes":
                self.registry.blob(blob).unlink(missing_ok=True)
            elif how == "damage" and kind != "image":  # a push mounts layers unread: those are the registry's to keep
                self._damage(self.registry.blob(random.choice((blob, digest))), random)
            done.append(f"{how} of {kind} {tag[6:14]}")
        return ", ".join(done)

    def _damage(self, path: Path, random: Random) -> None:
        if path.is_file() and path.stat().st_size:
            content = bytearray(path.read_bytes())
            content[random.randrange(len(content))] ^= 1 << random.randrange(8)
            path.write_bytes(content[: random.choice((len(content), len(content), len(content) // 2))])

    def poison(self, random: Random) -> Counter[str]:
        """Under each tag put what another entry of its kind says, or a program of one's own; count them by kind."""
        entries, changed = self.entries(), Counter[str]()
        for tag, entry in copy.deepcopy(entries).items():
            kind = _noted(entry)["multiarch.kind"]
            others = [one for name, one in entries.items() if name != tag and _noted(one)["multiarch.kind"] == kind]
            if kind == "program" and (not others or random.random() < 0.5):
                self._plant(entry)
            elif others:
                self._replay(entry, random.choice(others), keep=random.random() < 0.5)
            if random.random() < 0.2:
                _noted(entry).pop("multiarch.signature", None)
            try:
                self.registry.put_manifest("cache", tag, json.dumps(entry).encode(), MANIFEST)
                changed[kind] += 1
            except OSError:  # the registry misses a blob of it
                changed["refused by the registry"] += 1
        return changed

    def _replay(self, entry: dict[str, Any], other: dict[str, Any], *, keep: bool) -> None:
        """Let an entry say what another says, under its own key and scope; `keep` its signature, or take the other's."""
        own = {f"multiarch.{word}" for word in ("key", "scope", *(["signature"] if keep else []))}
        noted = {name: text for name, text in _noted(other).items() if name not in own}
        noted |= {name: text for name, text in _noted(entry).items() if name in own}
        entry |= copy.deepcopy(other) | {"annotations": noted}

    def _plant(self, document: dict[str, Any]) -> None:
        """Let an entry name a program of its machine with bytes of somebody else."""
        layer = document["layers"][0]
        path = self.registry.blob(layer["digest"])
        evil = (path.read_bytes() if path.exists() else b"") + b"evil"
        layer |= {"digest": f"sha256:{hashlib.sha256(evil).hexdigest()}", "size": len(evil)}
        self.registry.put_blob("cache", evil, layer["digest"])


def _noted(entry: dict[str, Any]) -> dict[str, str]:
    noted: dict[str, str] = entry["annotations"]
    return noted


@dataclass(frozen=True)
class Clean:
    """What a build without any cache does and makes, by path, and its tags."""

    run: Run
    outputs: dict[str, str]
    tags: dict[str, str]

    @classmethod
    def made(cls, tree: Tree, sources: Sources) -> Clean:
        """Build in a copy, and take it away."""
        try:
            run = tree.scons(*CLEAN, *sources.arguments(), env=sources.env, check=False, timeout=600)
            return cls(run, outputs(tree), Folder(tree.path).tags())
        finally:
            shutil.rmtree(tree.path)


@dataclass(frozen=True)
class Build:
    """A build that was started, and where it pushes to."""

    machine: Machine
    words: list[str]
    place: Remote
    process: subprocess.Popen[bytes]


class SharedRun(edits.EditRun):
    """Three machines; `counts` says what was done, and how often an entry was taken or refused."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self.counts: Counter[str] = Counter()
        self.keys = Keys.make(folder)
        self.machines = [Machine(folder / f"machine{number}") for number in (1, 2, 3)]
        self.registries: list[Registry] = []
        self.clean: Clean | None = None
        try:
            for name in ("shared", "other"):
                self.registries.append(Registry(registry_program(conftest.CACHE, "debian"), folder / name))
            self.sources = Sources(self.tree, (Base(self.registries[1]).name,)).plant()
        except BaseException:
            self.stop()
            raise
        self.hands = Hands(self.registries[0])

    def stop(self) -> None:
        """End the registries."""
        for registry in self.registries:
            registry.stop()

    def step(self, number: int) -> None:
        """Edit up to three things, do something to cache or machines, build on one or two of them, compare each."""
        random = Random(self.random.getrandbits(64))  # noqa: S311  # one step draws no more than its own numbers
        for _ in range(random.choice((0, 0, 0, 1, 1, 2))):
            self.log.append(f"{number}. {self.sources.edit(random)}")
            self.clean = None
        one, other = random.sample(self.machines, 2)
        event = random.choice(("none", "none", "anew", "kill", "kill", "lose", "lose", "poison", "two", "down"))
        self.counts[event] += 1
        self.log.append(f"{number}. {event}, machine {self.machines.index(one) + 1}")
        scope = random.choice(SCOPES)
        if event == "anew" or (event in ("lose", "down") and random.random() < 0.6):
            self.share(one, other, scope, random)
        if event == "kill":
            self.kill(one, scope, random)
        elif event == "lose":
            self.log.append(f"   {self.hands.lose(random)}")
        elif event == "poison":
            self.poison(one, other, scope, random)
        elif event == "down":
            self.registries[0].stop()
        machines = (one, other) if event == "two" else (one,)
        for build in [self.begin(machine, random.choice(WORDS), scope, random) for machine in machines]:
            self.check(build, again=random.random() < 0.3)
        self.registries[0].start()
        self.log.append(f"   so far {dict(self.counts)}")

    def share(self, one: Machine, other: Machine, scope: str, random: Random) -> None:
        """Let one machine write all entries, and another that has nothing make what needs no bytes of them."""
        if random.random() < 0.7:
            other.forget()
        self.check(self.begin(other, CLEAN, scope, random, mode="readwrite"), again=False)
        one.forget()
        self.check(self.begin(one, ("manifest",), scope, random, mode="read"), again=False)

    def poison(self, one: Machine, other: Machine, scope: str, random: Random) -> None:
        """Let a machine write all entries, somebody without the key change them, and one with nothing read them."""
        other.forget()
        self.check(self.begin(other, CLEAN, scope, random, mode="readwrite"), again=False)
        changed = self.hands.poison(random)
        self.log.append(f"   poisoned: {dict(changed)}")
        one.forget()
        build = self.begin(one, ("bin", *random.choice(WORDS)), scope, random, mode=random.choice(MODES[:2]))
        here = self.check(build, again=False)
        believed = re.findall(r"(?m)^Compile .*: from cache", here.text)
        if not here.status and not changed["refused by the registry"] and (believed or "is left out" not in here.text):
            self.differ(f"believed: {believed}", here)

    def kill(self, machine: Machine, scope: str, random: Random) -> None:
        """Begin a build, and kill it in the middle: alone, so that what it started goes on, or all of them."""
        machine.forget()  # there is much to do: it is met alive
        process = self.begin(machine, random.choice((*WORDS, CLEAN)), scope, random, mode="readwrite").process
        group, after = random.random() < 0.5, random.uniform(0.5, 3)
        with suppress(subprocess.TimeoutExpired):
            process.wait(after)
        if process.poll() is None:
            (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
            self.counts["killed alive"] += 1
        process.wait()
        self.log.append(f"   killed after {after:.2f} s, {'all of it' if group else 'alone'}")

    def begin(self, machine: Machine, targets: tuple[str, ...], scope: str, random: Random, *, mode: str = "") -> Build:
        """Start a build of the sources as they are now, with the cache."""
        machine.pull(self.tree.path)
        given, mode = mode, mode or random.choice(MODES)
        runs = [registry for registry in self.registries if registry._process is not None]
        place = Remote(random.choice(runs), f"step{len(self.log)}/demo")
        shared = {
            "CACHE": f"{self.registries[0].host}/cache",
            "CACHE_MODE": mode,
            "CACHE_KEY": str(self.keys.public if mode == "read" else self.keys.private),
            "CACHE_SCOPE": scope,
            "REGISTRY": f"{place.name}/step{len(self.log)}",
        }
        if random.random() < 0.1 and not given:
            del shared["CACHE"]  # what lies here may lie in it alone
        words = [*targets, *self.sources.arguments(), *(f"{name}={value}" for name, value in shared.items())]
        self.log.append(f"   machine {self.machines.index(machine) + 1}: scons {' '.join(words)}")
        return Build(machine, words, place, machine.start(words, self.sources.env))

    def check(self, build: Build, *, again: bool) -> Run:
        """Wait for a build, compare it with the clean one and return it; `again`: the run after it does nothing."""
        here = build.machine.end(build.process)
        if self.clean is None:
            self.clean = Clean.made(self.tree.copy(self.folder / "clean", built=False), self.sources)
        there = self.clean.run
        self.counts["taken"] += here.text.count(": from cache")
        self.counts["refused"] += here.text.count("is left out")
        if here.status != there.status or (there.status != 0) != self.sources.broken or "Traceback" in here.text:
            self.differ(f"exit {here.status} with the cache, {there.status} without", here, there)
        if there.status:
            return here
        mine, folders = outputs(build.machine.tree), tuple(FOLDERS[word] for word in build.words if word in FOLDERS)
        wrong = [
            path for path, digest in self.clean.outputs.items() if path.startswith(folders) and mine.get(path) != digest
        ]
        if wrong:
            self.differ(f"not as without a cache: {', '.join(wrong)}", here, there)
        if "push-manifest" in build.words:
            self.check_pushed(build, here)
        if again:
            after = build.machine.end(build.machine.start(build.words, self.sources.env))
            if after.steps or after.status:
                self.differ("the run after is no no-op", here, after)
        return here

    def check_pushed(self, build: Build, here: Run) -> None:
        """Compare all tags with those of the clean build, and read every byte below them."""
        assert self.clean is not None
        held, wanted = build.place.tags(), self.clean.tags
        if held != wanted:
            self.differ(f"pushed {held}, without a cache {wanted}", here)
        main = self.tree.read("VERSION").strip()
        try:
            check_whole(build.place, main, wanted[main], self.sources.platforms())
        except (Wrong, OSError) as error:
            self.differ(f"what was pushed is not whole: {error}", here)


def outputs(tree: Tree) -> dict[str, str]:
    """The digests of what a tree made.

    Of an image that of its manifest, as its tarball may lack the layers; of an archive, too, as it names the registry:
    it is read as a whole.
    """
    made = tree.digests()
    for path in made:
        if path.endswith(".tar"):
            archive = Archive(tree.path / "_output" / path)
            made[path] = str(archive.roots[0].digest)
            for layer in archive.image().layers if path.startswith("release/") else ():
                with archive.open(layer) as stream:
                    shutil.copyfileobj(stream, io.BytesIO())  # raises for other bytes
    return made


if __name__ == "__main__":
    sys.exit(edits.main(SharedRun))
