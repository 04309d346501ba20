from __future__ import annotations

import io
from pathlib import Path

import pytest
from msgspec.structs import replace

from multiarch_oci.baselock import BaseLock, Chosen, InvalidLock
from multiarch_oci.bases import BaseNotFound, BaseNotLocked, Bases
from multiarch_oci.config import ImageConfig
from multiarch_oci.digest import Digest
from multiarch_oci.document import UnreadableFile
from multiarch_oci.engine import BuildPlan
from multiarch_oci.engine.frontend.recipe import BaseWanted
from multiarch_oci.index import Index
from multiarch_oci.manifest import Manifest
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference
from multiarch_oci.store.memory import Memory

DEBIAN = Reference.parse("debian:12")
AMD64, ARM64 = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")
ONE, TWO = Digest.of(b"1"), Digest.of(b"2")


def test_an_empty_file_is_an_empty_lock():
    assert BaseLock.parse("") == BaseLock()


def test_what_is_written_is_read_again():
    lock = BaseLock().with_entry(DEBIAN, ARM64, TWO).with_entry(DEBIAN, AMD64, ONE)
    assert BaseLock.parse(str(lock)) == lock


def test_the_sbom_of_a_base_stands_last_with_its_name():
    lock = BaseLock().with_entry(DEBIAN, AMD64, Chosen(ONE, "10.0.1"), sbom=TWO)
    assert str(lock).splitlines()[-1] == f"docker.io/library/debian:12 linux/amd64 {ONE} 10.0.1 sbom={TWO}"
    assert BaseLock.parse(str(lock)) == lock
    without = str(lock).replace(" 10.0.1", "")
    assert BaseLock.parse(without).entries[0].sbom == TWO
    with pytest.raises(InvalidLock):
        BaseLock.parse(f"debian:12 linux/amd64 {ONE} sbom=none\n")


def test_entries_are_sorted_whatever_the_order_in_which_they_came():
    one = BaseLock().with_entry(DEBIAN, ARM64, TWO).with_entry(DEBIAN, AMD64, ONE)
    assert str(one) == str(BaseLock().with_entry(DEBIAN, AMD64, ONE).with_entry(DEBIAN, ARM64, TWO))
    assert str(one).splitlines()[-2:] == [
        f"docker.io/library/debian:12 linux/amd64 {ONE}",
        f"docker.io/library/debian:12 linux/arm64 {TWO}",
    ]


def test_a_platform_has_its_own_entry():
    lock = BaseLock().with_entry(DEBIAN, AMD64, ONE)
    assert lock.find(DEBIAN, AMD64) == ONE
    assert lock.find(DEBIAN, ARM64) is None


def test_an_entry_is_replaced():
    assert BaseLock().with_entry(DEBIAN, AMD64, ONE).with_entry(DEBIAN, AMD64, TWO).find(DEBIAN, AMD64) == TWO


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("debian:12 linux/amd64", "holds 2 words, not 3"),
        ("debian:12 linux/amd64 sha256:1", "'sha256:1' is not a sha256 or sha512 digest"),
        (f"Debian linux/amd64 {ONE}", None),
        (f"debian linux/amd64/v1/x {ONE}", None),
    ],
)
def test_a_bad_line_is_an_error_with_file_and_line(line, what):
    with pytest.raises(InvalidLock) as caught:
        BaseLock.parse(f"# header\n{line}\n")
    assert caught.value.where == "images.lock:2"
    if what is not None:
        assert caught.value.what == what


def test_one_base_twice_is_an_error():
    with pytest.raises(
        InvalidLock, match=r"images\.lock:2: docker\.io/library/debian:12 for linux/amd64 stands here twice"
    ):
        BaseLock.parse(f"debian:12 linux/amd64 {ONE}\ndebian:12 linux/amd64 {TWO}\n")


class Registry:
    """Bases in memory, for `Bases` to ask; `asked` are the references that were opened."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.asked: list[Reference] = []
        self._store = Memory()
        self.put()

    def put(self, *env: str) -> dict[Platform, Digest]:
        """Let the tag 12 name an index of two platforms, whose configs have this ENV; return their manifests."""
        members = []
        for platform in (AMD64, ARM64):
            config = ImageConfig(platform, env=env)
            manifest = Manifest(config.descriptor(), ())
            for record in (config, manifest):
                content = record.to_json()
                self._store.put(record.descriptor(), lambda content=content: io.BytesIO(content))
            members.append((platform, manifest.descriptor()))
        index = Index.assemble(
            [replace(descriptor, platform=platform) for platform, descriptor in members],
            platforms=(AMD64, ARM64),
            where="test",
        )
        self._store.put(index.descriptor(), lambda: io.BytesIO(index.to_json()))
        self._store.tag("12", index.descriptor())
        return {platform: descriptor.digest for platform, descriptor in members}

    def open(self, reference: Reference) -> Memory:
        self.asked.append(reference)
        return self._store

    def bases(self, *, locked: bool = False, caches: bool = True) -> Bases:
        """What a new build has."""
        return Bases(self.tree, self.tree / "cache", self.open, locked=locked, caches=caches)

    @property
    def lock(self) -> BaseLock:
        return BaseLock.parse((self.tree / "images.lock").read_text())

    @property
    def plan(self) -> BuildPlan:
        return BuildPlan(AMD64, self.tree / "Dockerfile", self.tree, lambda _: "")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


BASE, OTHER = BaseWanted("debian:12", AMD64, 3), BaseWanted("debian:12", ARM64, 4)


def test_a_base_without_an_entry_is_resolved_once_and_written_when_it_is_kept(registry: Registry):
    digest = registry.put("A=1")[AMD64]
    bases = registry.bases()
    base = bases.resolve(registry.plan, BASE)
    assert (base.digest, base.env) == (digest, ("A=1",))
    assert bases.has_new()
    assert bases.are_new([BASE])
    assert not bases.are_new([OTHER])
    asked = len(registry.asked)
    assert bases.resolve(registry.plan, BASE) == base
    assert len(registry.asked) == asked
    assert not (registry.tree / "images.lock").exists()
    assert bases.keep([base]) == [f"images.lock: {DEBIAN} for linux/amd64 is {digest}"]
    assert registry.lock.find(DEBIAN, AMD64) == digest
    assert not bases.has_new()
    assert bases.keep([base]) == []


def test_a_base_with_an_entry_is_that_wherever_its_tag_is(registry: Registry):
    first = registry.bases()
    base = first.resolve(registry.plan, BASE)
    first.keep([base])
    registry.put("A=2")
    registry.asked.clear()
    assert registry.bases(locked=True).resolve(registry.plan, BASE) == base
    assert registry.asked == [], "what its config says was read before"


def test_what_configs_say_is_written_only_where_that_is_allowed(registry: Registry):
    registry.bases(caches=False).resolve(registry.plan, BASE)
    assert not (registry.tree / "cache").exists()
    base = registry.bases().resolve(registry.plan, BASE)
    file = registry.tree / "cache" / f"{base.digest.hex}.json"
    file.write_text("no JSON")
    assert registry.bases().resolve(registry.plan, BASE) == base


def test_a_missing_entry_is_an_error_where_all_are_locked(registry: Registry):
    with pytest.raises(BaseNotLocked, match=r"images\.lock: .*debian:12 for linux/amd64 is not there") as caught:
        registry.bases(locked=True).resolve(registry.plan, BASE)
    assert caught.value.hint == "build once without LOCKED=yes, and commit it"
    assert registry.asked == []


def test_a_base_that_is_not_there_is_asked_for_once_and_named_with_each_line(registry: Registry):
    bases = registry.bases()
    for line in (3, 7):
        with pytest.raises(BaseNotFound) as caught:
            bases.resolve(registry.plan, BaseWanted("debian:13", AMD64, line))
        assert caught.value.where == f"Dockerfile:{line}"
        assert "debian:13" in str(caught.value)
    assert len(registry.asked) == 1


def test_a_lock_that_is_a_link_is_read_and_not_replaced(registry: Registry):
    (registry.tree / "elsewhere").write_text(str(BaseLock().with_entry(DEBIAN, AMD64, registry.put()[AMD64])))
    (registry.tree / "images.lock").symlink_to("elsewhere")
    assert registry.bases().resolve(registry.plan, BASE).digest == registry.put()[AMD64]
    for refused in (
        lambda bases: bases.resolve(registry.plan, OTHER),
        lambda bases: bases.update([(registry.plan, BASE)]),
    ):
        with pytest.raises(UnreadableFile, match="is a link, which is not replaced"):
            refused(registry.bases())


def test_what_moved_is_stale_until_it_is_updated(registry: Registry):
    named = [(registry.plan, BASE), (registry.plan, OTHER), (registry.plan, BASE)]
    old = registry.put("A=1")
    assert registry.bases().update(named) == [
        f"{DEBIAN} for linux/amd64: not locked → {old[AMD64]}",
        f"{DEBIAN} for linux/arm64: not locked → {old[ARM64]}",
    ]
    new = registry.put("A=2")
    stale = [(base.platform, str(base)) for base in registry.bases().current(named) if base.is_stale()]
    assert stale == [(platform, f"{old[platform]} → {new[platform]}") for platform in (AMD64, ARM64)]
    registry.bases().update(named)
    assert registry.lock.find(DEBIAN, ARM64) == new[ARM64]
    assert registry.bases().update(named[:1]) == [f"{DEBIAN} for linux/amd64: unchanged"]
    assert not [base for base in registry.bases().current(named) if base.is_stale()]


def test_no_entry_is_written_when_one_base_is_not_there(registry: Registry):
    with pytest.raises(BaseNotFound):
        registry.bases().update([(registry.plan, BASE), (registry.plan, BaseWanted("debian:13", AMD64, 9))])
    assert not (registry.tree / "images.lock").exists()
