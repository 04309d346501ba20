"""What the container runs."""

import os

from greeting import TEXT

print(f"{TEXT} from Python on {os.uname().machine}, {os.environ['VERSION']}")  # noqa: T201  # it is a program
