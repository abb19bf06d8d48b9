"""Where the public names of a fleet lead to, and what is asked of the hosts behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planning.hosts.edge import HEALTH_PATH
from planning.hosts.model import Fleet
from planning.hosts.plan import FleetPlan
from settings.stack import Stack


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCheck:
    """What the DNS asks a host for, to leave it out of its answers while it fails."""

    port: int
    path: str


def record_names(plan: FleetPlan) -> Sequence[str]:
    """Every host of a route, once: each has records."""
    return sorted({route.host for route in plan.routes})


def record_hosts(fleet: Fleet) -> Sequence[str]:
    """The hosts that records lead to without a balancer: one that drains or is down gets no new visitors."""
    return [host.name for host in fleet.entries if host.usable]


def host_check(stack: Stack) -> HostCheck | None:
    """The edge answers there before it redirects to HTTPS, whatever host is asked for, and 503 while it drains."""
    return HostCheck(port=stack.edge.http, path=HEALTH_PATH) if stack.dns.health else None
