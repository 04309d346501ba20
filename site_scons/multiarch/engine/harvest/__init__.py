"""What an engine made, as our tarball: read, checked, normalised, its base left out."""

from __future__ import annotations

from multiarch.engine.harvest.made import InvalidOutput, Made, of_layout, of_save
from multiarch.engine.harvest.normalising import ENGINE, WrongBase, engine_of, harvest

__all__ = ["ENGINE", "InvalidOutput", "Made", "WrongBase", "engine_of", "harvest", "of_layout", "of_save"]
