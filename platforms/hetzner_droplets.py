"""The droplets of a burst, with what stands around them; none of it is there without a droplet. DigitalOcean's SDK."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi

from components.digitalocean.access import Access, AccessArgs
from components.digitalocean.droplet import Droplet, DropletArgs
from components.digitalocean.firewall import Firewall, FirewallArgs
from components.digitalocean.network import Network, NetworkArgs
from components.docker.connection import Connection, ConnectionArgs
from components.docker.deploy_key import DeployKey
from components.rules import Rule
from planning.hosts.model import Fleet, FleetSecurity
from planning.names import Naming
from platforms.machines import Machine, cloud_config, jump
from settings.stack import Stack

IMAGE = "debian-12-x64"


def droplets(
    stack: Stack,
    fleet: Fleet,
    security: FleetSecurity,
    rules: Sequence[Rule],
    admins: Sequence[Rule],
    key: DeployKey,
    child: pulumi.ResourceOptions,
) -> Mapping[str, Machine]:
    rented = {name: host for name, host in fleet.hosts.items() if host.kind == "droplet"}
    region = next(iter(rented.values())).location or ""
    naming = Naming(project=stack.project, stack=stack.name)
    network = Network("burst", NetworkArgs(region=region, description=f"burst of {naming.key}"), child)
    access = Access("burst", AccessArgs(public_key=key.public_key), child)
    firewall = Firewall("burst", FirewallArgs(rules=rules, admins=admins, tag=naming.tag("burst")), child)
    machines: dict[str, Machine] = {}
    for name, host in rented.items():
        droplet = Droplet(
            name,
            DropletArgs(
                droplet_name=naming.machine(name),
                size=host.type or "",
                region=region,
                image=IMAGE,
                generation=host.generation,
                cloud_config=cloud_config(stack, security, host),
                ssh_key_ids=[access.id],
                vpc_id=network.vpc_id,
                tags=[firewall.tag],
                firewall=firewall.resource,
            ),
            child,
        )
        machines[name] = Machine(
            host=host,
            address=droplet.address,
            connection=Connection(
                ConnectionArgs(
                    address=droplet.address,
                    host_key=droplet.host_key,
                    identity=key.identity,
                    jump=jump(stack),
                    previous_identity=key.previous_identity,
                )
            ),
            id=droplet.droplet_id,
            resource=droplet.droplet,
        )
    return machines
