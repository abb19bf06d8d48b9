"""Sizes of memory and disks, in bytes."""

MIB = 1024**2
GIB = 1024**3


def whole_mib(size: int) -> int:
    """A size in whole MiB, rounded up."""
    return -(-size // MIB)


def mib(size: int) -> str:
    """A size as it is written in settings."""
    return f"{whole_mib(size)}MiB"
