"""What others do to a cache in a registry: it loses or damages things, and somebody without the key writes to it."""

from __future__ import annotations

import copy
import hashlib
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from machines.registry import Registry
from multiarch_oci.mediatype import MANIFEST


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
