"""Random sequences of edits, faults, kills and foreign hands; the end is always that of a build from clean.

Run by hand: python tests/soak/soak.py --seed 1 --sequences 200 [--minutes 30]
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "site_scons"))

from soak import alone, sequences
from soak.world import world


def main() -> int:
    """Run by hand; a failure is shown with its steps when it is met, the figures at the end."""
    told = alone.arguments("sequences", 200)
    with alone.surroundings() as folder, world(folder) as ready:
        figures = sequences.soak(ready, told.seed, told.count, told.enough, alone.say)
    alone.say(f"{dict(figures.counts)}, {len(figures.failures)} failures")
    return 1 if figures.failures else 0


if __name__ == "__main__":
    sys.exit(main())
