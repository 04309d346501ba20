"""What of a checkout stands in the key of a shared listing."""

from __future__ import annotations

import os
from pathlib import Path

from multiarch_oci.golang.sharing import Sharing, _kind


def test_a_file_that_goes_while_names_are_read_ends_no_build(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "gone").touch()
    with os.scandir(tmp_path) as entries:
        below = sorted(entries, key=lambda entry: entry.name)
    (tmp_path / "gone").unlink()
    assert [_kind(entry) for entry in below] == ["/", "?"]


def test_files_stand_in_an_order_that_no_separator_decides():
    rows = [["aB.go", "1"], ["a/b.go", "2"], [".", "3"], ["a.go", "4"]]  # a\b.go would be behind aB.go
    assert [path for path, _ in Sharing._ordered(rows)] == [".", "a.go", "a/b.go", "aB.go"]
