"""What an EC2 instance type gives to ECS: vCPU, memory, architecture, and how many tasks get a network interface.

The numbers are regular enough to be a function of family and size; what is irregular is listed. They come from:

- vCPU and memory: "Amazon EC2 instance types", specifications by family.
- Interfaces: "Maximum IP addresses per network interface" of the EC2 guide. A task in ``awsvpc`` mode takes one, and
  the instance keeps one for itself.
- With trunking: "Supported instances for increased Amazon ECS container network interfaces" of the ECS guide. Its last
  public source lists nothing newer than the 7g families; for 7i, 7a and 8g the limits follow from the branch interfaces
  that amazon-vpc-resource-controller-k8s states (4, 9, 18, 38, 54, 84, 114 or 107 there are 4, 10, 20, 40, 60, 90, 120
  tasks in every family that both sources list).

``metal`` sizes are left out: an ECS pool of them is another trade altogether.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from settings.types import nearest

Architecture = Literal["amd64", "arm64"]
GIB = 1024
UNITS = 1024
"""ECS counts a vCPU as 1024 CPU units."""

RESERVED_MEMORY = 256
"""MiB that the agent keeps from tasks: ``ECS_RESERVED_MEMORY``, which the instances' user data must set to this.

ECS counts only what containers reserve. Docker, the agent and the log drivers live in the rest, and without a reserve
they compete with full tasks until the kernel kills one (amazon-ecs-agent#2022).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceType:
    """One instance type, as ECS sees it."""

    name: str
    cpu: int
    """CPU units, 1024 a vCPU."""
    memory: int
    """MiB by the data sheet; tasks get `registered_memory` of it."""
    architecture: Architecture
    tasks: int
    """Tasks in ``awsvpc`` mode without trunking."""
    trunked_tasks: int | None
    """Tasks in ``awsvpc`` mode with trunking; None where the type does not support it."""
    burstable: bool
    """Whether sustained CPU use is paid with credits (or money), as on t types."""

    def interfaces(self, *, trunking: bool) -> int:
        """Tasks in ``awsvpc`` mode that one instance holds."""
        return self.trunked_tasks if trunking and self.trunked_tasks is not None else self.tasks


def registered_memory(nominal: int) -> int:
    """MiB that an instance of ``nominal`` MiB offers to tasks, at the least.

    The agent registers what the kernel sees, less `RESERVED_MEMORY`. What firmware and kernel take was measured for 300
    types by karpenter-provider-aws (zz_generated.memory_overhead.go): 103 MiB of a t3.micro, 197 of a t4g.small, 433 of
    a c5.large, 559 of an m5.large or c5.xlarge, 3521 of a c5.9xlarge. The lines here lie above every measured type of
    these families, by 7 MiB on a c5.large and by less than 5 % of the memory on any: kernels differ, and a task that is
    a few MiB too large for its instance never starts.
    """
    taken = 64 + nominal * 3 // 40 if nominal < 4 * GIB else 256 + nominal * 9 // 200
    return max(0, nominal - taken - RESERVED_MEMORY)


@dataclass(frozen=True, slots=True)
class _Size:
    vcpu: int
    tasks: int
    trunked: int
    """In the families of the fifth generation and on Graviton."""
    trunked_newer: int
    """In 6i, 6a, 7i and 7a, which have more interfaces in the middle sizes."""


_SIZES: Mapping[str, _Size] = {
    "medium": _Size(1, 1, 4, 4),
    "large": _Size(2, 2, 10, 10),
    "xlarge": _Size(4, 3, 20, 20),
    "2xlarge": _Size(8, 3, 40, 40),
    "4xlarge": _Size(16, 7, 60, 60),
    "8xlarge": _Size(32, 7, 60, 90),
    "9xlarge": _Size(36, 7, 60, 60),
    "12xlarge": _Size(48, 7, 60, 120),
    "16xlarge": _Size(64, 14, 120, 120),
    "18xlarge": _Size(72, 14, 120, 120),
    "24xlarge": _Size(96, 14, 120, 120),
    "32xlarge": _Size(128, 14, 120, 120),
    "48xlarge": _Size(192, 14, 120, 120),
}
_FIFTH = "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge"
_GRAVITON = "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"
_FAMILY_SIZES: Mapping[str, str] = {
    "m5 m5a r5 r5a c5a": _FIFTH,
    "c5": "large xlarge 2xlarge 4xlarge 9xlarge 12xlarge 18xlarge 24xlarge",
    "m6i c6i r6i": f"{_FIFTH} 32xlarge",
    "m6a c6a r6a": f"{_FIFTH} 32xlarge 48xlarge",
    "m7i c7i r7i": f"{_FIFTH} 48xlarge",
    "m7a c7a r7a": f"medium {_FIFTH} 32xlarge 48xlarge",
    "m6g c6g r6g m7g c7g r7g": _GRAVITON,
    "m8g c8g r8g": f"{_GRAVITON} 24xlarge 48xlarge",
}
_GIB_PER_VCPU = {"c": 2, "m": 4, "r": 8}
# Named as unsupported by the ECS guide and by the agent's own list, though their families are supported.
_NOT_TRUNKED = frozenset({"r5.8xlarge", "c5a.8xlarge"})

# Burstable: size → vCPU, MiB, tasks. None of them supports trunking: no t type is in the list of the ECS guide.
_BURSTABLE: Mapping[str, tuple[int, int, int]] = {
    "nano": (2, GIB // 2, 1),
    "micro": (2, 1 * GIB, 1),
    "small": (2, 2 * GIB, 2),
    "medium": (2, 4 * GIB, 2),
    "large": (2, 8 * GIB, 2),
    "xlarge": (4, 16 * GIB, 3),
    "2xlarge": (8, 32 * GIB, 3),
}
_BURSTABLE_TASKS = {"t3a.small": 1}
"""The one burstable type with an interface less than its size."""


def _architecture(family: str) -> Architecture:
    return "arm64" if family.endswith("g") else "amd64"


def _table() -> Iterator[InstanceType]:
    for family in ("t3", "t3a", "t4g"):
        for size, (vcpu, memory, tasks) in _BURSTABLE.items():
            name = f"{family}.{size}"
            yield InstanceType(
                name=name,
                cpu=vcpu * UNITS,
                memory=memory,
                architecture=_architecture(family),
                tasks=_BURSTABLE_TASKS.get(name, tasks),
                trunked_tasks=None,
                burstable=True,
            )
    for families, sizes in _FAMILY_SIZES.items():
        for family in families.split():
            for size in sizes.split():
                name, of = f"{family}.{size}", _SIZES[size]
                trunked = of.trunked_newer if re.fullmatch("[mcr](6i|6a|7i|7a)", family) else of.trunked
                yield InstanceType(
                    name=name,
                    cpu=of.vcpu * UNITS,
                    memory=of.vcpu * _GIB_PER_VCPU[family[0]] * GIB,
                    architecture=_architecture(family),
                    tasks=of.tasks,
                    trunked_tasks=None if name in _NOT_TRUNKED else trunked,
                    burstable=False,
                )


INSTANCE_TYPES: Mapping[str, InstanceType] = MappingProxyType({known.name: known for known in _table()})
"""Every type that the plan knows, by name."""


def instance_type(name: str) -> InstanceType | None:
    """The type of that name, or None where it is not known: `nearest_type` then says what was meant."""
    return INSTANCE_TYPES.get(name)


def nearest_type(name: str) -> str | None:
    """The known type that ``name`` most likely was meant to be."""
    family = name.lower().partition(".")[0]
    # A right family with a wrong size is better answered from that family.
    siblings = [known for known in INSTANCE_TYPES if known.partition(".")[0] == family]
    return nearest(name, siblings or INSTANCE_TYPES)
