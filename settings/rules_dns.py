"""Where the records of a fleet's names can have health checks, which Route 53 makes from the public internet."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from settings.capacity import HostCapacity
from settings.problems import Problem
from settings.stack import Stack

_AT = "quayside:dns/health"
_REMOVE = "remove health"
_UNCHECKABLE = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.168.0.0/16", "224.0.0.0/3", "::/127", "fc00::/7", "fe80::/10", "ff00::/8"),
    )
)
"""Route 53 "can't check the health of endpoints for which the IP address is in local, private, non-routable, or
multicast ranges" (CreateHealthCheck, IPAddress). Ranges for documentation are left out."""


def check(stack: Stack, cloud: str | None) -> Iterator[Problem]:
    """Every problem of `dns.health`; nothing where it is off."""
    if not stack.dns.health or cloud is None:
        return
    if cloud != "hetzner":
        why = ": a load balancer's records are checked as they are" if cloud == "aws" else ""
        yield Problem(_AT, f"is for fleets of hosts, and this stack is {cloud}", f"{_REMOVE}{why}")
        return
    if stack.dns.provider != "route53":
        yield Problem(
            _AT,
            f"is for Route 53, whose records can be checked, and dns.provider is {stack.dns.provider}",
            f"set quayside:dns: {{provider: route53, health: true}}, or {_REMOVE}",
        )
    capacity = stack.capacity
    if not isinstance(capacity, HostCapacity):
        return
    if capacity.balancer is not None:
        yield Problem(
            _AT,
            "cannot be combined with capacity.balancer, which checks the hosts itself and is all that the DNS leads to",
            f"{_REMOVE}, or remove the balancer",
        )
    address = stack.edge.address
    # An edge that listens everywhere is open to the world on its HTTP port; on one address, it is as public as that is.
    if not ipaddress.ip_address(address).is_unspecified and _is_uncheckable(address):
        yield Problem(
            "quayside:edge/address",
            f"is {address}, where Route 53 cannot ask for the health of an edge: it asks from the internet",
            "remove it, so that the edge listens on all addresses, or remove dns.health",
        )
    for number, server in enumerate(capacity.existing):
        if not server.burst and _is_uncheckable(server.address):
            yield Problem(
                f"quayside:capacity/existing/{number}/address",
                f"{server.address} of {server.name} is not public, and Route 53 asks hosts from the internet",
                f"name its public address, or {_REMOVE} from quayside:dns",
            )


def _is_uncheckable(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return any(parsed in network for network in _UNCHECKABLE if network.version == parsed.version)
