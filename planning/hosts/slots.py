"""Names of slots: a release, a move or a burst elsewhere leaves a slot its name."""

from __future__ import annotations

from collections.abc import Sequence

from planning.placement import canary_count, replica_count
from settings.service import Service


def replica_slots(name: str, service: Service) -> Sequence[str]:
    return [f"{name}-{number}" for number in range(1, replica_count(service) + 1)]


def canary_slots(name: str, service: Service) -> Sequence[str]:
    return [f"{name}-canary{number}" for number in range(1, canary_count(service) + 1)]


def burst_slot(name: str, number: int, host: str) -> str:
    """No other slot can be called this: names of services and hosts have no underscore."""
    return f"{name}_{number}_{host}"


def service_of(slot: str) -> str:
    return slot.partition("_")[0] if "_" in slot else slot.rpartition("-")[0]


def thousandths(cpu: float) -> int:
    return round(cpu * 1000)
