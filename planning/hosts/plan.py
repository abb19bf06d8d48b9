"""The plan of a stack on a fleet: what one host's plan says, for every host, and who reaches whom between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from planning.haproxy import PUBLIC_PORT, is_routed
from planning.hosts.model import Fleet, Host, Placement
from planning.hosts.security import HEALTH_PORT, MESH_PORT
from planning.names import Naming
from planning.plan import RESERVED_PORTS, Reach, ServicePlan, Slot, decide
from planning.registry import RegistryPlan
from planning.routes import Route
from planning.subnets import Subnet
from settings.problems import Problem
from settings.stack import Stack

TLS_PORT = 10443
"""Where the edge itself listens for visitors' TLS, so that a service may be reached at 443 by its name."""


def published(stack: Stack, host: Host) -> Mapping[int, int]:
    """Port of a host's edge → port of the host.

    One more replaces the edge. So a permanent host has from the start what the first certificate, the first balancer or
    the second host will need; its packet filter lets nobody in but those whom the plan names (security.py).
    """
    mesh = {MESH_PORT: MESH_PORT}
    if host.burst:
        return mesh
    return {PUBLIC_PORT: stack.edge.http, TLS_PORT: stack.edge.https, **mesh, HEALTH_PORT: HEALTH_PORT}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Passage:
    """What one host's edge may reach through another's gateway. Everything that is not a passage is refused."""

    sender: str
    receiver: str
    service: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """One host, with everything decided that its containers and its edge need."""

    host: Host
    services: Mapping[str, ServicePlan]
    """Services that run here, in the order of creation, each with its slots here alone.

    One with a volume and without replicas is among them on the host that has its data. On a host that is down, they
    are those with data there, without their slots: their data alone stays in the program.
    """
    edge_subnet: Subnet
    entry: bool
    """Whether visitors reach its edge: then it routes for the public. One that drains still does."""
    wants: Sequence[str]
    """Services that its edge sends requests to: for its own services and, on an entry, for the public."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    naming: Naming
    fleet: Fleet
    placement: Placement
    hosts: Mapping[str, HostPlan]
    """In the fleet's order, those that are down among them."""
    services: Mapping[str, ServicePlan]
    """In the order of creation, each with its slots on all hosts that are not down."""
    routes: Sequence[Route]
    reach: Sequence[Reach]
    passages: Sequence[Passage]
    """Between hosts that are not down, sorted."""
    registry: RegistryPlan | None = None
    """What runs on every host, burst hosts among them; None: the stack has none."""
    lent: Sequence[str] = ()
    """Services that a burst's services use. Gateways have them ready, so that a burst host is let in by a line more."""

    def slots(self, service: str, host: str) -> Sequence[Slot]:
        """A service's slots on a host that is not down, as they are balanced."""
        names = frozenset(self.placement.services.get(service, {}).get(host, ()))
        return [slot for slot in self.services[service].slots if slot.name in names]


def plan_hosts(
    stack: Stack,
    sources: Mapping[str, str],
    fleet: Fleet,
    placement: Placement,
    known: Iterable[Problem] = (),
    *,
    https: bool = False,
) -> FleetPlan:
    """Decide everything about a stack on a fleet. Raises ConfigError with every problem, the ``known`` ones among them.

    A service has the same subnet on every host (decisions.md 22), so that its callers' `hosts` entries, and with them
    its containers, do not depend on where they run. ``https`` says that visitors come by TLS: to a balancer with a
    certificate, or to edges that have one.
    """
    decided = decide(
        stack,
        sources,
        known,
        reserved=(*RESERVED_PORTS, HEALTH_PORT, MESH_PORT, TLS_PORT),
        https=stack.edge.https if https else None,
    )
    services = {name: _placed(service, placement) for name, service in decided.services.items()}
    entries = {host.name for host in fleet.entries}
    hosts: dict[str, HostPlan] = {}
    for name, host in fleet.hosts.items():
        here = {
            service.name: part
            for service, part in ((s, _part(s, host, fleet, placement)) for s in decided.services.values())
            if part is not None
        }
        entry = name in entries
        wanted = {used for service in here.values() for used in service.settings.uses}
        wanted |= {route.service for route in decided.routes} if entry else set()
        hosts[name] = HostPlan(
            host=host,
            services=here,
            edge_subnet=decided.edge_subnet,
            entry=entry,
            wants=sorted(used for used in wanted if is_routed(services[used])),
        )
    return FleetPlan(
        naming=decided.naming,
        fleet=fleet,
        placement=placement,
        hosts=hosts,
        services=services,
        routes=decided.routes,
        reach=decided.reach,
        passages=sorted(_passages(hosts, placement)),
        registry=decided.registry,
        lent=sorted(used for used in _lent(stack) if used in services and is_routed(services[used])),
    )


def _lent(stack: Stack) -> set[str]:
    named = stack.burst.services if stack.burst is not None else ()
    return {used for name in named if name in stack.services for used in stack.services[name].uses}


def _placed(service: ServicePlan, placement: Placement) -> ServicePlan:
    """With the slots that were placed: its own, with their weights in a fleet, and those that droplets add."""
    mine = {name for here in placement.services.get(service.name, {}).values() for name in here}
    return replace(service, slots=_slots(service, (name for name in placement.slots if name in mine), placement))


def _slots(service: ServicePlan, names: Iterable[str], placement: Placement) -> Sequence[Slot]:
    """Slots by their names. One that a droplet adds is like any replica."""
    own = {slot.name: slot for slot in service.slots}
    like = next((slot for slot in service.slots if not slot.canary), None)
    return [
        replace(slot, name=name, weight=placement.weights.get(name, slot.weight))
        for name in names
        if (slot := own.get(name, like)) is not None
    ]


def _part(service: ServicePlan, host: Host, fleet: Fleet, placement: Placement) -> ServicePlan | None:
    """A service as far as it runs on a host, or has data there."""
    holds = service.stateful and host.name in fleet.named(service.settings.place)
    if host.down:
        # Files are named by their content: new ones would be made there.
        return replace(service, slots=[], files={}) if holds else None
    slots = _slots(service, placement.services.get(service.name, {}).get(host.name, ()), placement)
    if slots:
        return replace(service, slots=slots)
    return replace(service, slots=[]) if holds and not service.slots else None


def _passages(hosts: Mapping[str, HostPlan], placement: Placement) -> Iterable[Passage]:
    living = {name: plan for name, plan in hosts.items() if not plan.host.down}
    for sender, plan in living.items():
        for service in plan.wants:
            for receiver in placement.services.get(service, {}):
                if receiver == sender or receiver not in living:
                    continue
                # A droplet's firewall admits permanent hosts alone, and all that it uses has replicas on those.
                if not (plan.host.burst and living[receiver].host.burst):
                    yield Passage(sender=sender, receiver=receiver, service=service)
