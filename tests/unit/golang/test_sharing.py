"""What of a checkout stands in the key of a shared listing."""

from __future__ import annotations

import os
from pathlib import Path

from multiarch_oci.golang.sharing import _kind


def test_a_file_that_goes_while_names_are_read_ends_no_build(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "gone").touch()
    with os.scandir(tmp_path) as entries:
        below = sorted(entries, key=lambda entry: entry.name)
    (tmp_path / "gone").unlink()
    assert [_kind(entry) for entry in below] == ["/", "?"]
