"""Who may reach whom in a fleet: every flow that is let through, each with its cause. Everything else is refused.

Visitors reach the edges that take them in, edges reach each other (8443, mutual TLS), admins reach SSH. Services reach
each other through edges, which know who may (``uses``); ``ports`` opens what else there is, to named ranges. A burst
host admits only the fleet's edges and the admins, and is admitted by them only where a service on it uses another.

What replies to the above needs no flow, nor does anything that hosts and containers ask of the outside: Docker lets it
out, but for 169.254.169.254, where a cloud hands out what only the host should know.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from planning.flows import WORLD, Flow, Protocol, flow, merged, rows
from planning.hosts.model import Fleet, FleetSecurity, Host, Placement
from settings.problems import Problem
from settings.service import Service
from settings.stack import Stack

MESH_PORT = 8443
"""Where edges take each other's requests."""
HEALTH_PORT = 8405
"""Where a balancer asks an edge for its health, without the PROXY protocol."""
BALANCER = "balancer"
EDGES = "edges"
BURST = "burst"
ENTRIES = "entries"
HOSTS = "hosts"

_SSH_OF_ADMINS, _PING_OF_ADMINS = "SSH of admins", "ping of admins"
_WHY_LENGTH = 255
MOST_RULES = 50
MOST_EFFECTIVE_RULES = 500
"""Limits of a Hetzner firewall (API: "limited to 50 entries per Firewall and 500 effective rules")."""


def security(stack: Stack, fleet: Fleet, placement: Placement) -> tuple[FleetSecurity, list[Problem]]:
    """The plan of every firewall, and what it cannot keep to."""
    plan = FleetSecurity(
        flows=merged(
            [
                *_from_visitors(stack, fleet),
                *_mesh(stack, fleet),
                *_from_admins(stack, fleet),
                *_published(stack, placement),
                *_uses(stack),
            ]
        ),
        members={
            EDGES: tuple(host.name for host in fleet.permanent),
            BURST: tuple(host.name for host in fleet.burst),
            ENTRIES: tuple(host.name for host in fleet.entries),
            HOSTS: tuple(host.name for host in fleet.hosts.values() if host.ssh_port == 22),
            **{f"host-{name}": (name,) for name in fleet.hosts},
        },
    )
    return plan, [*_check(stack, fleet), *_check_size(plan, fleet)]


def who(plan: FleetSecurity) -> list[dict[str, str]]:
    """The plan as a table for people."""
    return rows(plan.flows)


# --- what is let through ---------------------------------------------------------------------------------------------


def _from_visitors(stack: Stack, fleet: Fleet) -> Iterator[Flow]:
    if not fleet.entries:
        return
    source = WORLD if fleet.balancer is None else BALANCER
    yield flow(source, ENTRIES, stack.edge.http, "HTTP")
    yield flow(source, ENTRIES, stack.edge.https, "HTTPS")
    if fleet.balancer is not None:
        yield flow(BALANCER, ENTRIES, HEALTH_PORT, "health checks")
    else:
        yield flow(WORLD, ENTRIES, 0, "path MTU, ping", "icmp")


def _mesh(stack: Stack, fleet: Fleet) -> Iterator[Flow]:
    pairs: list[tuple[str, str, str]] = []
    if len(fleet.permanent) > 1:
        pairs.append((EDGES, EDGES, "requests between hosts, mutual TLS"))
    if fleet.burst:
        pairs.append((EDGES, BURST, "requests for burst replicas, mutual TLS"))
        named = stack.burst.services if stack.burst else ()
        users = sorted(name for name in named if name in stack.services and stack.services[name].uses)
        if users:
            pairs.append((BURST, EDGES, f"what {', '.join(users)} uses, mutual TLS"))
    for source, target, why in pairs:
        yield flow(source, target, MESH_PORT, why)
        yield flow(source, target, 0, "path MTU, ping", "icmp")


def _from_admins(stack: Stack, fleet: Fleet) -> Iterator[Flow]:
    for cidr in stack.access.ssh:
        if any(host.ssh_port == 22 for host in fleet.hosts.values()):
            yield flow(cidr, HOSTS, 22, _SSH_OF_ADMINS)
            yield flow(cidr, HOSTS, 0, _PING_OF_ADMINS, "icmp")
        for host in fleet.hosts.values():
            if host.ssh_port != 22:
                yield flow(cidr, f"host-{host.name}", host.ssh_port, _SSH_OF_ADMINS)
                yield flow(cidr, f"host-{host.name}", 0, _PING_OF_ADMINS, "icmp")


def _published(stack: Stack, placement: Placement) -> Iterator[Flow]:
    for name, service in sorted(stack.services.items()):
        for port in service.ports:
            for host in placement.services.get(name, {}):
                for cidr in port.sources:
                    yield flow(cidr, f"host-{host}", port.port, f"ports of {name}", port.protocol)


def _uses(stack: Stack) -> Iterator[Flow]:
    for name, service in sorted(stack.services.items()):
        for used in sorted(set(service.uses) & set(stack.services)):
            port = _door(stack.services[used])
            if port is not None:
                yield flow(f"service-{name}", f"service-{used}", port, f"{name} uses {used}, through edges")


def _door(service: Service) -> int | None:
    """The port that a service's callers know."""
    return 80 if service.port is not None and service.protocol == "http" else service.port


def ssh_ranges(plan: FleetSecurity, host: Host) -> Sequence[str]:
    """The ranges that SSH of a host is open to."""
    return [
        source
        for one in admitted(plan, host.name, {})
        if one.protocol == "tcp" and one.first <= host.ssh_port <= one.last
        for source in one.sources
    ]


def of_admins(plan: FleetSecurity) -> tuple[FleetSecurity, FleetSecurity]:
    """What admins may, and all else: a firewall each, so that SSH's old ranges hold as long as an `up`."""
    whys = {_SSH_OF_ADMINS, _PING_OF_ADMINS}
    return (
        replace(plan, flows=[one for one in plan.flows if one.why in whys]),
        replace(plan, flows=[one for one in plan.flows if one.why not in whys]),
    )


def lets_burst_in(plan: FleetSecurity) -> bool:
    """Whether permanent hosts have to admit burst hosts, since services there use others."""
    return any(one.source == BURST and one.target == EDGES for one in plan.flows)


# --- what one host admits --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Admitted:
    """What one host lets in: the flows into it, with the addresses that their sources have."""

    protocol: Protocol
    first: int
    last: int
    sources: Sequence[str]
    """Ranges of addresses; never empty."""
    why: str

    @property
    def ports(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


Addresses = Mapping[str, Sequence[str]]
"""Host, or `balancer` → the addresses that its packets come from. Who is not in it is not let in yet."""


def admitted(plan: FleetSecurity, host: str, addresses: Addresses) -> Sequence[Admitted]:
    """Everything that ``host`` lets in, one for each port."""
    sources: dict[tuple[Protocol, int, int], dict[str, None]] = {}
    whys: dict[tuple[Protocol, int, int], dict[str, None]] = {}
    for one in plan.flows:
        if host not in plan.members.get(one.target, ()):
            continue
        found = _ranges(plan, one.source, host, addresses)
        if found:
            key = (one.protocol, one.first, one.last)
            sources.setdefault(key, {}).update(dict.fromkeys(found))
            whys.setdefault(key, {})[one.why] = None
    return sorted(
        Admitted(
            protocol=key[0], first=key[1], last=key[2], sources=_narrowed(found), why="; ".join(whys[key])[:_WHY_LENGTH]
        )
        for key, found in sources.items()
    )


def _ranges(plan: FleetSecurity, source: str, host: str, addresses: Addresses) -> Sequence[str]:
    if source == BALANCER:
        return [_range(address) for address in addresses.get(BALANCER, ())]
    if source in plan.members:
        others = [name for name in plan.members[source] if name != host]
        return [_range(address) for name in others for address in addresses.get(name, ())]
    return [source]


def _range(address: str) -> str:
    return str(ipaddress.ip_network(address))


def _narrowed(ranges: Mapping[str, None]) -> Sequence[str]:
    """Without those that others contain, in order."""
    four = [ipaddress.IPv4Network(one) for one in ranges if ":" not in one]
    six = [ipaddress.IPv6Network(one) for one in ranges if ":" in one]
    return [
        *(str(one) for one in sorted(four) if not any(one != other and one.subnet_of(other) for other in four)),
        *(str(one) for one in sorted(six) if not any(one != other and one.subnet_of(other) for other in six)),
    ]


# --- what cannot be kept to ------------------------------------------------------------------------------------------


def _check(stack: Stack, fleet: Fleet) -> Iterator[Problem]:
    if not stack.access.ssh:
        yield Problem(
            "quayside:access/ssh",
            "is empty, so nobody could reach a host over SSH, nor could this program",
            "name the ranges that you and your CI come from: [198.51.100.0/24]",
        )
    if stack.access.jump_host_key is not None and stack.access.jump is None:
        yield Problem("quayside:access/jump_host_key", "is of a jump host, and access.jump names none", "name it there")
    port = (stack.access.jump or "").rpartition("@")[2].rpartition("]")[2].partition(":")[2]
    if port and int(port) > 65535:
        yield Problem("quayside:access/jump", f"should have a port of 1–65535, got {port}")
    edge = {
        stack.edge.http: "HTTP at the edge",
        stack.edge.https: "HTTPS at the edge",
        MESH_PORT: "other hosts' edges",
        HEALTH_PORT: "a balancer's health checks",
    }
    taken = {**dict.fromkeys((host.ssh_port for host in fleet.hosts.values()), "a host's SSH"), **edge}
    for key, port in (("http", stack.edge.http), ("https", stack.edge.https)):
        own = port in (MESH_PORT, HEALTH_PORT)
        if own or any(port == host.ssh_port for host in fleet.hosts.values()):
            owner = "the edges' own" if own else "a host's SSH"
            yield Problem(f"quayside:edge/{key}", f"{port} is {owner} port", "choose another")
    if stack.edge.http == stack.edge.https:
        yield Problem("quayside:edge/https", f"{stack.edge.https} is edge/http as well", "choose another")
    for name, service in sorted(stack.services.items()):
        for index, port in enumerate(service.ports):
            at = f"services/{name}/ports/{index}"
            if port.protocol == "tcp" and port.port in taken:
                yield Problem(f"{at}/port", f"tcp {port.port} is for {taken[port.port]}", "publish another port")
            if any(other.port == port.port and other.protocol == port.protocol for other in service.ports[:index]):
                yield Problem(f"{at}/port", f"{port.protocol} {port.port} is there twice", "name all sources at one")
            for number, cidr in enumerate(port.sources):
                if ":" in cidr:
                    yield Problem(
                        f"{at}/sources/{number}",
                        f"{cidr} is IPv6, and containers are published on IPv4 alone",
                        "name IPv4 ranges",
                    )
        if service.ports and stack.burst and name in stack.burst.services:
            yield Problem(
                f"services/{name}/ports",
                "cannot be had with quayside:burst/services: burst hosts admit only the fleet's edges and admins",
                f"remove ports, or take {name} out of the burst",
            )


def _check_size(plan: FleetSecurity, fleet: Fleet) -> Iterator[Problem]:
    # Two addresses for each host, a public and a private one, whatever they will be.
    addresses = {
        name: (f"10.0.{number // 256}.{number % 256}", f"10.1.{number // 256}.{number % 256}")
        for number, name in enumerate(fleet.hosts)
    }
    for name, host in fleet.hosts.items():
        if host.kind != "created":
            continue
        rules = admitted(plan, name, addresses | {BALANCER: ("10.2.0.0",)})
        effective = sum(len(rule.sources) for rule in rules)
        if len(rules) > MOST_RULES or effective > MOST_EFFECTIVE_RULES:
            yield Problem(
                "quayside:access",
                f"the firewall of {name} needs {len(rules)} rules with {effective} sources; Hetzner allows "
                f"{MOST_RULES} with {MOST_EFFECTIVE_RULES}",
                "name fewer, wider ranges in access/ssh and in services' ports, or publish fewer ports",
            )
