"""The VPC of a burst: droplets that share one with others could be reached from there."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_digitalocean as digitalocean


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkArgs:
    region: str
    ip_range: str | None = None
    """Private, /16 to /24, and of no other VPC of the account; None: DigitalOcean picks one."""
    description: str
    """For people, up to 255 characters."""


class Network(pulumi.ComponentResource):
    """A VPC that nothing but the burst's droplets are in. Region and range cannot change while any is there."""

    vpc_id: pulumi.Output[str]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:digitalocean:Network", name, None, opts)
        vpc = digitalocean.Vpc(
            name,
            region=args.region,
            ip_range=args.ip_range,
            description=args.description[:255],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.vpc_id = vpc.id
        self.register_outputs({"vpc_id": self.vpc_id})
