from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from pathlib import Path

import pytest

from multiarch_oci.statcache import StatCache

DAY = 86_400


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that has been still for an hour, by the clock that the cache reads."""
    path = tmp_path / "file"
    path.write_bytes(b"one")
    later(monkeypatch)
    return path


def later(monkeypatch: pytest.MonkeyPatch, seconds: int = 3600) -> None:
    now = time.time_ns() + seconds * 1_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: now)
    monkeypatch.setattr(time, "time", lambda: now / 1e9)


def test_a_file_that_is_still_is_read_once(old: Path):
    cache = StatCache(None)
    assert [cache.digest(old), cache.digest(str(old))] == [sha(b"one")] * 2
    assert cache.read == 1


def test_a_relative_path_and_an_absolute_one_are_the_same_file(old: Path, monkeypatch: pytest.MonkeyPatch):
    cache = StatCache(None)
    cache.digest(old)
    monkeypatch.chdir(old.parent)
    cache.digest("file")
    assert cache.read == 1


def test_a_file_touched_a_moment_ago_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    cache = StatCache(None)
    cache.digest(path)
    later(monkeypatch)
    cache.digest(path)
    assert cache.read == 2
    cache.digest(path)
    assert cache.read == 2


def test_two_edits_in_one_tick_of_the_clock_are_seen(tmp_path: Path):
    path = tmp_path / "file"
    cache = StatCache(None)
    for number in range(200):
        content = b"%03d" % number
        path.write_bytes(content)
        assert cache.digest(path) == sha(content)


def test_a_file_from_the_future_is_never_trusted(old: Path):
    os.utime(old, (2**32, 2**32))
    cache = StatCache(None)
    cache.digest(old)
    cache.digest(old)
    assert cache.read == 2


def test_an_edit_that_keeps_the_size_and_restores_mtime_is_seen(old: Path):
    cache = StatCache(None)
    cache.digest(old)
    before = old.stat()
    old.write_bytes(b"two")
    os.utime(old, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert old.stat().st_mtime_ns == before.st_mtime_ns
    assert cache.digest(old) == sha(b"two")


def test_another_file_moved_over_it_with_the_same_size_and_times_is_seen(old: Path):
    cache = StatCache(None)
    cache.digest(old)
    before = old.stat()
    other = old.with_name("other")
    other.write_bytes(b"two")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(old)
    assert cache.digest(old) == sha(b"two")


def test_a_link_that_points_elsewhere_is_seen(old: Path):
    (old.parent / "other").write_bytes(b"two")
    link = old.parent / "link"
    link.symlink_to("file")
    cache = StatCache(None)
    assert cache.digest(link) == sha(b"one")
    link.unlink()
    link.symlink_to("other")
    assert cache.digest(link) == sha(b"two")


def test_without_a_time_of_change_small_files_are_always_read(old: Path):
    large = old.with_name("large")
    large.write_bytes(b"x" * 70_000)
    cache = StatCache(None, trust_ctime=False)
    for _ in range(3):
        cache.digest(old)
        cache.digest(large)
    assert cache.read == 3 + 1


def test_what_has_just_been_made_is_read_once(tmp_path: Path):
    path = tmp_path / "file"
    while True:
        path.write_bytes(b"one")
        if path.stat().st_ctime_ns % 1_000_000_000:  # once in 250 times a fine clock looks like a coarse one
            break
    cache = StatCache(None)
    assert cache.finished(path) == sha(b"one")
    assert cache.digest(path) == sha(b"one")
    assert cache.read == 1
    path.write_bytes(b"three")
    assert cache.digest(path) == sha(b"three")


def test_what_is_made_again_is_read_again(old: Path):
    cache = StatCache(None)
    cache.finished(old)
    cache.finished(old)
    assert cache.read == 2


def test_what_has_just_been_made_is_read_again_where_ctime_is_no_time_of_change(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 70_000)
    cache = StatCache(None, trust_ctime=False)
    cache.finished(path)
    cache.digest(path)
    assert cache.read == 2


def test_what_was_forgotten_is_read(old: Path):
    cache = StatCache(None)
    cache.digest(old)
    cache.forget(old)
    cache.forget(old.with_name("never seen"))
    cache.digest(old)
    assert cache.read == 2


def test_a_missing_file_is_an_error_and_a_removed_one_too(old: Path):
    cache = StatCache(None)
    cache.digest(old)
    old.unlink()
    with pytest.raises(FileNotFoundError):
        cache.digest(old)
    with pytest.raises(FileNotFoundError):
        cache.finished(old)


def test_the_next_run_reads_nothing(old: Path):
    cache = StatCache(old.parent / "folder" / "cache")
    cache.digest(old)
    cache.save()
    again = StatCache(old.parent / "folder" / "cache")
    assert again.digest(old) == sha(b"one")
    assert again.read == 0


def test_it_is_written_only_when_something_was_learnt(old: Path):
    path = old.parent / "cache"
    StatCache(path).save()
    assert not path.exists()
    cache = StatCache(path)
    cache.digest(old)
    cache.save()
    first = path.stat()
    again = StatCache(path)
    again.digest(old)
    again.save()
    assert path.stat().st_ino == first.st_ino
    assert sorted(entry.name for entry in old.parent.iterdir()) == ["cache", "file"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04]",
        b"[]",
        b"[" * 100_000,
        b"null",
        b'{"format": "statcache 1"}',
        b'{"format": "statcache 1", "entries": []}',
        b'{"format": "statcache 1", "entries": {"/a": 3}}',
        b'{"format": "statcache 1", "entries": {"/a": "short"}}',
        b'{"format": "another", "entries": {}}',
    ],
)
def test_a_damaged_cache_is_an_empty_one(old: Path, content: bytes):
    path = old.parent / "cache"
    path.write_bytes(content)
    cache = StatCache(path)
    assert cache.digest(old) == sha(b"one")
    cache.save()
    again = StatCache(path)
    again.digest(old)
    assert again.read == 0


def test_entries_that_nobody_asked_for_are_dropped(old: Path, monkeypatch: pytest.MonkeyPatch):
    path = old.parent / "cache"
    unused = old.with_name("unused")
    unused.write_bytes(b"")
    cache = StatCache(path)
    cache.digest(old)
    cache.digest(unused)
    cache.save()
    for _ in range(4):
        later(monkeypatch, 20 * DAY)
        cache = StatCache(path)
        cache.digest(old)
        cache.save()
    assert cache.read == 0
    assert list(json.loads(path.read_text())["entries"]) == [str(old)]


def test_names_that_are_no_text_survive(old: Path):
    odd = Path(os.fsdecode(os.fsencode(old.parent) + b"/\xff\n"))
    try:
        odd.write_bytes(b"odd")
    except OSError:
        pytest.skip("this file system takes only text as names")
    path = old.parent / "cache"
    cache = StatCache(path)
    cache.digest(odd)
    cache.save()
    again = StatCache(path)
    assert again.digest(odd) == sha(b"odd")
    assert again.read == 0


def test_a_failed_save_leaves_the_old_cache_and_no_rest(old: Path, monkeypatch: pytest.MonkeyPatch):
    path = old.parent / "cache"
    cache = StatCache(path)
    cache.digest(old)
    cache.save()
    content = path.read_bytes()
    cache.forget(old)

    def refuse(*_arguments: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError):
        cache.save()
    assert path.read_bytes() == content
    assert sorted(entry.name for entry in old.parent.iterdir()) == ["cache", "file"]


def test_many_threads_may_ask_at_once(tmp_path: Path):
    paths = [tmp_path / str(number) for number in range(200)]
    for path in paths:
        path.write_text(path.name)
    cache = StatCache(tmp_path / "cache")
    wrong: list[Path] = []

    def ask() -> None:
        for path in paths:
            if cache.digest(path) != sha(path.name.encode()):
                wrong.append(path)
            cache.save()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_another_run_learnt_meanwhile_is_neither_missed_nor_lost(old: Path, tmp_path: Path):
    path = tmp_path / "cache.json"
    first, second = StatCache(path), StatCache(path)
    first.digest(old)
    first.save()
    other = old.with_name("other")
    other.write_bytes(b"other")
    os.utime(other, (1, 1))
    second.finished(other)
    second.save()
    first.refresh()
    assert first.digest(old) == hashlib.sha256(old.read_bytes()).hexdigest()
    first.finished(old)
    first.save()
    again = StatCache(path)
    again.digest(other)
    again.digest(old)
    assert again.read == 0
