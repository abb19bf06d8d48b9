"""The Fargate size of a task: the smallest one AWS sells that holds it, and what is paid for but not used.

Sizes by "Task CPU and memory" of the ECS guide (Fargate, Linux; the same for amd64 and arm64).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from settings.problems import Problem
from settings.units import whole_mib

GIB = 1024
"""MiB a GiB: what AWS writes as GB here is 1024 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FargateSize:
    """A size that AWS sells, and how much of it the task leaves over."""

    cpu: int
    """CPU units, 1024 a vCPU."""
    memory: int
    """MiB."""
    unused_cpu: int
    unused_memory: int

    def __str__(self) -> str:
        return f"{self.cpu / 1024:g} vCPU, {_gib(self.memory)}"


_SIZES: dict[int, tuple[int, ...]] = {
    256: (GIB // 2, GIB, 2 * GIB),
    512: tuple(range(1 * GIB, 4 * GIB + 1, GIB)),
    1024: tuple(range(2 * GIB, 8 * GIB + 1, GIB)),
    2048: tuple(range(4 * GIB, 16 * GIB + 1, GIB)),
    4096: tuple(range(8 * GIB, 30 * GIB + 1, GIB)),
    8192: tuple(range(16 * GIB, 60 * GIB + 1, 4 * GIB)),
    16384: tuple(range(32 * GIB, 120 * GIB + 1, 8 * GIB)),
}
LARGEST_CPU = max(_SIZES)
LARGEST_MEMORY = _SIZES[LARGEST_CPU][-1]


def size(cpu: float, memory: int) -> FargateSize | None:
    """The smallest size with ``cpu`` vCPU and ``memory`` bytes; None where there is none.

    The least CPU that can have the memory is also the cheapest: more CPU never comes with less memory.
    """
    units, mib = math.ceil(cpu * 1024), whole_mib(memory)
    for of_cpu, memories in _SIZES.items():
        if of_cpu < units:
            continue
        enough = next((of_memory for of_memory in memories if of_memory >= mib), None)
        if enough is not None:
            return FargateSize(cpu=of_cpu, memory=enough, unused_cpu=of_cpu - units, unused_memory=enough - mib)
    return None


def problem(at: str, cpu: float, memory: int) -> Problem:
    """Why `size` found none for the service at ``at``, such as ``services/web``."""
    mib = whole_mib(memory)
    what = "memory" if mib > LARGEST_MEMORY else "cpu"
    return Problem(
        f"{at}/{what}",
        f"a task of {cpu:g} vCPU and {mib}MiB is more than Fargate has: "
        f"its largest is {LARGEST_CPU // 1024} vCPU with {LARGEST_MEMORY}MiB",
        f"lower {at}/{what}, or set {at}/on to ec2",
    )


def _gib(mib: int) -> str:
    return f"{mib / GIB:g}GiB"
