"""What one task of a service asks for, and where it runs: sizes, network, architecture, capacity providers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from planning.aws.capacity import SERVICE_CONNECT_CPU, SERVICE_CONNECT_MEMORY
from settings.capacity import AwsCapacity
from settings.service import Service
from settings.stack import Stack
from settings.units import whole_mib

PATIENCE = 45
"""Seconds that a task may fail its health checks."""
FILES_CPU = 0
"""CPU units: it is done before the service starts, and Fargate's sizes are too far apart to pay for it."""
FILES_MEMORY = 32
"""MiB of the container that lays a service's files down and ends before the service starts."""


def capacity_of(stack: Stack) -> AwsCapacity:
    """What an AWS stack has to run on; Fargate alone where it does not say."""
    return stack.capacity if isinstance(stack.capacity, AwsCapacity) else AwsCapacity()


def container_cpu(service: Service) -> int:
    """CPU units of the service's own container: a share under contention, as on Docker hosts."""
    return max(2, round(service.cpu * 1024))


def container_memory(service: Service) -> int:
    """MiB that the service's own container asks for."""
    return whole_mib(service.memory)


def memory_limit(service: Service, task_memory: int, *, connected: bool) -> int:
    """MiB that the service's own container may use, a hard limit: all of its task that nothing else there needs.

    On instances that is what it asks for; on Fargate the size that AWS sells is paid for whether it is used or not.
    """
    return task_memory - (FILES_MEMORY if service.files else 0) - (SERVICE_CONNECT_MEMORY if connected else 0)


def network_mode(service: Service) -> Literal["awsvpc", "bridge", "host"]:
    return "awsvpc" if service.network == "own" else service.network


def asked(service: Service, connected: bool) -> tuple[int, int]:
    """CPU units and MiB that a task asks for in all: its container, its files, its Service Connect proxy."""
    cpu, memory = container_cpu(service), container_memory(service)
    if service.files:
        cpu, memory = cpu + FILES_CPU, memory + FILES_MEMORY
    if connected:
        cpu, memory = cpu + SERVICE_CONNECT_CPU, memory + SERVICE_CONNECT_MEMORY
    return cpu, memory


def providers(service: Service, stack: Stack) -> Mapping[str, int]:
    """Capacity provider → weight. On Fargate, nothing that holds data runs where AWS may take it back."""
    if service.on == "ec2":
        return {"pool": 1}
    spot = capacity_of(stack).fargate.spot if service.volume is None else 0
    weights = {"FARGATE": 100 - spot, "FARGATE_SPOT": spot}
    return {name: weight for name, weight in weights.items() if weight}


def bad_checks(interval: int) -> int:
    """Bad checks in a row after which ECS replaces a task: those of about 45 seconds, as it ends a task for good.

    Three of them would be 15 seconds by default: no more than a full heap or a slow disk may take. AWS's own defaults
    are a minute and more. API elbv2 CreateTargetGroup.UnhealthyThresholdCount: 2–10.
    """
    return min(10, max(3, -(-PATIENCE // interval)))


def base(providers: Mapping[str, int], provider: str) -> int:
    """Tasks that run on ``provider`` before the weights count: the first one stays off Spot, where both are in use.

    The weights are a share of many. One task alone might sit on Spot, and nothing would serve once AWS takes it back.
    """
    return 1 if provider == "FARGATE" and "FARGATE_SPOT" in providers else 0


def placed_on(providers: Mapping[str, int]) -> str:
    """The providers as people read them: ``FARGATE 1 + 50 %, FARGATE_SPOT 50 %``."""
    if len(providers) == 1:
        return next(iter(providers))
    first = {name: f"{base(providers, name)} + " if base(providers, name) else "" for name in providers}
    return ", ".join(f"{name} {first[name]}{share} %" for name, share in providers.items())
