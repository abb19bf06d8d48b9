"""A fleet's plan as tables for people: plain values, known at preview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from planning.hosts.model import Host
from planning.hosts.plan import FleetPlan
from settings.units import MIB

Row = Mapping[str, object]


def state(host: Host) -> str:
    """What the settings say of a host; whether it answers is for `quayside status`."""
    if host.down:
        return "down"
    return "draining" if host.draining else "burst" if host.burst else "serving"


def routes(plan: FleetPlan) -> Sequence[Row]:
    return [{"host": route.host, "path": route.path, "service": route.service} for route in plan.routes]


def placement(plan: FleetPlan) -> Sequence[Row]:
    """Every usable host: what runs there, and how full it is."""
    return [
        {
            "host": use.host,
            "runs": ", ".join(use.slots) or "–",
            "used": _mib(use.memory),
            "surge": _mib(use.surge),
            "free": _mib(use.memory_free),
            "cpu used": f"{use.cpu:g}",
            "cpu free": f"{round(use.cpu_total - use.cpu, 3):g}",
        }
        for use in plan.placement.use.values()
    ]


def slots(plan: FleetPlan, host: str) -> Sequence[str]:
    """What a host should run; nothing is asked of one that is down."""
    use = plan.placement.use.get(host)
    return list(use.slots) if use is not None else []


def services(plan: FleetPlan) -> Sequence[Row]:
    return [
        {
            "service": name,
            "replicas": len(service.slots),
            "memory": service.settings.memory,
            "hosts": list(plan.placement.services.get(name, {})),
            "urls": list(service.urls),
        }
        for name, service in sorted(plan.services.items())
    ]


def urls(plan: FleetPlan) -> Sequence[str]:
    return sorted({url for service in plan.services.values() for url in service.urls})


def _mib(size: int) -> str:
    return f"{size // MIB} MiB"
