"""Runs any stack with no account and no CLI; can apply a Docker stack for real.

`rehearse` runs the unchanged program against simulated providers and says what would exist. `apply` and `destroy` carry
a stack of Docker resources and commands out on a real engine, with Pulumi's order, replacement and failure semantics.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Ours before the project's: Python puts its folder first, and it may well have a `settings` of its own.
if sys.path[0] != (_house := str(Path(__file__).parents[1])):
    sys.path.insert(0, _house)

from rehearsal.engine import apply, destroy, engine_state
from rehearsal.errors import ApplyError, RehearsalError
from rehearsal.events import Applied, Event
from rehearsal.preview import Report, rehearse
from rehearsal.state import StateFile

__all__ = [
    "Applied",
    "ApplyError",
    "Event",
    "RehearsalError",
    "Report",
    "StateFile",
    "apply",
    "destroy",
    "engine_state",
    "rehearse",
]
