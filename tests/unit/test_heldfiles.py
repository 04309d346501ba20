"""Files that are known although they are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from multiarch_oci.heldfiles import HeldFile, HeldFiles

HELD = HeldFile("ab" * 32, 7, "host/cache")


@pytest.fixture
def records(tmp_path: Path) -> HeldFiles:
    return HeldFiles(tmp_path, tmp_path / "held.json")


def test_a_record_counts_while_no_file_lies_there(records: HeldFiles, tmp_path: Path):
    path = tmp_path / "bin" / "demo"
    records.put(path, HELD)
    assert records.get(path) == HELD
    path.parent.mkdir()
    path.write_bytes(b"")
    assert records.get(path) is None


def test_records_outlive_the_process_unless_they_are_for_it_alone(records: HeldFiles, tmp_path: Path):
    records.put(tmp_path / "kept", HELD)
    records.put(tmp_path / "tried", HELD, keep=False)
    records.save()
    again = HeldFiles(tmp_path, tmp_path / "held.json")
    assert again.get(tmp_path / "kept") == HELD
    assert again.get(tmp_path / "tried") is None


def test_folders_of_held_files_are_known(records: HeldFiles, tmp_path: Path):
    records.put(tmp_path / "bin" / "amd64" / "demo", HELD)
    assert records.names(tmp_path) == {"bin"}
    assert records.names(tmp_path / "bin" / "amd64") == {"demo"}
    assert records.is_folder(tmp_path / "bin")
    assert not records.is_folder(tmp_path / "bin" / "amd64" / "demo")


def test_folders_follow_what_is_held_and_dropped(records: HeldFiles, tmp_path: Path):
    assert records.names(tmp_path / "bin") == set()
    for name in ("a", "b"):
        records.put(tmp_path / "bin" / "amd64" / name, HELD)
        assert name in records.names(tmp_path / "bin" / "amd64")
    before = records.names(tmp_path / "bin" / "amd64")
    records.put(tmp_path / "lib" / "c", HELD)
    assert (records.names(tmp_path), before) == ({"bin", "lib"}, {"a", "b"})
    records.drop(tmp_path / "bin" / "amd64" / "a")
    assert records.names(tmp_path / "bin" / "amd64") == {"b"}
    records.drop(tmp_path / "lib" / "c")
    assert records.names(tmp_path) == {"bin"}


def test_what_is_dropped_is_gone_for_the_next_run_too(records: HeldFiles, tmp_path: Path):
    records.put(tmp_path / "demo", HELD)
    records.save()
    again = HeldFiles(tmp_path, tmp_path / "held.json")
    again.drop(tmp_path / "demo")
    again.save()
    assert HeldFiles(tmp_path, tmp_path / "held.json").is_empty()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"format":"other","files":{}}', b'{"format":"held 1","files":{"a":1}}']
)
def test_a_file_that_is_damaged_or_foreign_is_no_record(tmp_path: Path, content: bytes):
    (tmp_path / "held.json").write_bytes(content)
    assert HeldFiles(tmp_path, tmp_path / "held.json").is_empty()


def test_nothing_is_written_where_nothing_changed(records: HeldFiles, tmp_path: Path):
    assert records.is_empty()
    records.drop(tmp_path / "x")
    records.save()
    assert not (tmp_path / "held.json").exists()
