"""The plan of who reaches whom, as rules of Hetzner's and DigitalOcean's firewalls: plain data, one set a host."""

from __future__ import annotations

from collections.abc import Sequence

from planning.hosts.model import FleetSecurity
from planning.hosts.security import Addresses, admitted

Rule = dict[str, str | list[str]]

_ANYWHERE = ["0.0.0.0/0", "::/0"]


def hetzner_rules(plan: FleetSecurity, host: str, addresses: Addresses) -> Sequence[Rule]:
    """Inbound rules of a server's firewall. Without outbound rules everything is let out.

    Hetzner's firewall sees the public interface alone: what comes by the private network is the host's own to filter.
    """
    return [
        {
            "direction": "in",
            "protocol": one.protocol,
            **({"port": one.ports} if one.protocol in {"tcp", "udp"} else {}),
            "source_ips": list(one.sources),
            "description": one.why,
        }
        for one in admitted(plan, host, addresses)
    ]


def droplet_rules(plan: FleetSecurity, host: str, addresses: Addresses) -> Sequence[Rule]:
    """Inbound rules of a droplet's firewall."""
    return [
        {
            "protocol": one.protocol,
            **({"port_range": one.ports} if one.protocol in {"tcp", "udp"} else {}),
            "source_addresses": list(one.sources),
        }
        for one in admitted(plan, host, addresses)
    ]


def droplet_outbound() -> Sequence[Rule]:
    """Outbound rules of a droplet's firewall: without any, nothing is let out, images and updates included."""
    return [
        {"protocol": "tcp", "port_range": "1-65535", "destination_addresses": _ANYWHERE},
        {"protocol": "udp", "port_range": "1-65535", "destination_addresses": _ANYWHERE},
        {"protocol": "icmp", "destination_addresses": _ANYWHERE},
    ]
