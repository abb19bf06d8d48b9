"""Sizes of memory and disks, in bytes."""

MIB = 1024**2
GIB = 1024**3


def mib(size: int) -> str:
    """A size as it is written in settings: whole MiB, rounded up."""
    return f"{-(-size // MIB)}MiB"
