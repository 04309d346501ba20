from __future__ import annotations

from pathlib import Path

import pytest

from workshop import Workshop


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    folder = tmp_path / "context"
    folder.mkdir()
    return Workshop(folder)
