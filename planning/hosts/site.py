"""How visitors of a fleet get TLS: by which certificate, for which names, and who ends it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from planning.hosts.model import Fleet
from planning.routes import table
from settings.stack import Stack

MOST_NAMES = 100
"""Of one certificate (Let's Encrypt, "Rate Limits": "identifiers per certificate")."""


def managed_tls(stack: Stack, fleet: Fleet) -> bool:
    """Whether the balancer has a certificate that Hetzner manages, which it does where it holds the DNS."""
    edge = stack.edge
    return (
        fleet.balancer is not None
        and stack.dns.provider == "hetzner"
        and edge.certificate is None
        and edge.acme is None
    )


def edge_tls(stack: Stack) -> bool:
    """Whether the edges have the visitors' certificate: a given one, or one that is issued for the routes there are."""
    return stack.edge.certificate is not None or bool(issued_names(stack))


def https(stack: Stack, fleet: Fleet) -> bool:
    return edge_tls(stack) or managed_tls(stack, fleet)


def issued_names(stack: Stack) -> Sequence[str]:
    """What the visitors' certificate is issued for; nothing where none is."""
    if stack.edge.acme is None:
        return ()
    return certificate_names(route.host for route in table(stack.services, stack.domain))


def certificate_names(hosts: Iterable[str]) -> Sequence[str]:
    """Every host once, but for those that a wildcard among them covers: authorities refuse both in one certificate."""
    found = set(hosts)
    return sorted(host for host in found if host.startswith("*.") or f"*.{host.partition('.')[2]}" not in found)
