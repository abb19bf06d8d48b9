"""The private network that Hetzner's servers and their balancer share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_hcloud as hcloud

from components.hetzner.ids import labels, number
from planning.clouds import LOCATIONS


def network_zone(location: str) -> str:
    """Refuses a location that Hetzner does not have."""
    if location not in LOCATIONS:
        raise ValueError(f"location should be one of {', '.join(sorted(LOCATIONS))}, got {location!r}")
    return LOCATIONS[location]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkArgs:
    location: str
    """Any of the hosts': all of them have to be of one zone."""
    ip_range: str = "10.0.0.0/16"
    """Private; the whole of it is one subnet. It must not overlap the containers' range."""
    labels: Mapping[str, str]


class Network(pulumi.ComponentResource):
    """A private network with one subnet. Hetzner's firewalls do not filter in it: host rules do.

    Range and zone cannot change: all servers would have to leave the network first. Refuses an unknown location.
    """

    network_id: pulumi.Output[int]
    subnet_id: pulumi.Output[str]
    """Known once the subnet is there: what names it waits, and is gone before it goes."""

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:hetzner:Network", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        network = hcloud.Network(name, ip_range=args.ip_range, labels=labels(args.labels), opts=child)
        subnet = hcloud.NetworkSubnet(
            name,
            network_id=number(network.id),
            type="cloud",
            network_zone=network_zone(args.location),
            ip_range=args.ip_range,
            opts=child,
        )
        self.network_id = number(network.id)
        self.subnet_id = subnet.id
        self.register_outputs({"network_id": self.network_id, "subnet_id": self.subnet_id})
