"""What the rehearsal raises: always one message that a person can act on, never a traceback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rehearsal.checks import Finding


class RehearsalError(Exception):
    """The program, or what it needs (stack file, passphrase, Docker), stopped the rehearsal."""

    def __init__(self, message: str, problems: Sequence[Finding] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)
        """The same one by one, for reports that programs read; empty where there is only the message."""


class ApplyError(RehearsalError):
    """Carrying the plan out failed, or was refused before anything was touched."""
