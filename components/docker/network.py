"""A service's own Docker network, in which it meets nobody but the edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.docker.labels import network_labels


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkArgs:
    network_name: str
    """A contract: the release script joins the edge to it by this name."""
    cidr: str
    gateway: str
    containers: str
    """The range Docker gives addresses from; the edge's own fixed address lies outside it."""
    labels: Mapping[str, str]


class Network(pulumi.ComponentResource):
    """One bridge network with a planned subnet. Docker keeps bridge networks apart from each other."""

    network_name: pulumi.Output[str]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:docker:Network", name, None, opts)
        network = docker.Network(
            name,
            name=args.network_name,
            driver="bridge",
            ipam_configs=[
                docker.NetworkIpamConfigArgs(subnet=args.cidr, gateway=args.gateway, ip_range=args.containers)
            ],
            labels=network_labels(args.labels),
            # Its name and subnet are fixed, so a second one cannot exist beside it.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.network_name = network.name
        self.register_outputs({"network_name": self.network_name})
