"""What the rehearsal raises: always one message that a person can act on, never a traceback."""

from __future__ import annotations


class RehearsalError(Exception):
    """The program, or what it needs (stack file, passphrase, Docker), stopped the rehearsal."""


class ApplyError(RehearsalError):
    """Carrying the plan out failed, or was refused before anything was touched."""
