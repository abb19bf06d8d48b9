"""The small command line: from a bare machine to a running stack, and what one wants to know of it afterwards."""

import sys
from pathlib import Path

# Ours before the project's: Python puts its folder first, and it may well have a `settings` of its own.
if sys.path[0] != (_house := str(Path(__file__).parents[1])):
    sys.path.insert(0, _house)
