"""The servers of a fleet that are made at Hetzner, with what stands around them. Imports Hetzner's SDK."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.docker.connection import Connection, ConnectionArgs
from components.docker.deploy_key import DeployKey
from components.hetzner.access import Access, AccessArgs
from components.hetzner.firewall import Firewall, FirewallArgs
from components.hetzner.host import Host, HostArgs
from components.hetzner.load_balancer import EdgeTls, LoadBalancer, LoadBalancerArgs, ManagedTls
from components.hetzner.network import Network, NetworkArgs
from components.hetzner.placement import PlacementGroups, PlacementGroupsArgs
from components.hetzner.rebuild import Generations, GenerationsArgs, RebuildArgs
from components.hetzner.volume import DataVolume, DataVolumeArgs
from components.rules import Rule
from planning.hosts.edge import HEALTH_PATH
from planning.hosts.model import Fleet, FleetSecurity
from planning.hosts.refusals import PRIVATE_RANGE
from planning.hosts.security import HEALTH_PORT, admitted, of_admins
from planning.hosts.site import edge_tls, managed_tls
from planning.names import Naming
from platforms.machines import Machine, cloud_config, jump, rules_of
from settings.capacity import HostCapacity
from settings.load import provider_setting
from settings.stack import Stack
from settings.units import GIB

IMAGE = "debian-12"


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    machines: Mapping[str, Machine]
    network: Network
    access: Sequence[pulumi.Resource]
    """What lets admins in."""


def labels(stack: Stack) -> Mapping[str, str]:
    return {"quayside/stack": f"{stack.project}.{stack.name}"}


def servers(
    stack: Stack, fleet: Fleet, security: FleetSecurity, key: DeployKey, child: pulumi.ResourceOptions
) -> Servers:
    """Network, placement groups, a firewall each, and the servers, which are never without it."""
    made = {name: host for name, host in fleet.hosts.items() if host.kind == "created"}
    tags, naming = labels(stack), Naming(project=stack.project, stack=stack.name)
    locations = {name: host.location or "" for name, host in made.items()}
    image = stack.capacity.image if isinstance(stack.capacity, HostCapacity) else None
    network = Network(
        "network",
        NetworkArgs(location=next(iter(locations.values())), ip_range=PRIVATE_RANGE, labels=tags),
        child,
    )
    groups = PlacementGroups("spread", PlacementGroupsArgs(hosts=locations, labels=tags), child)
    deploy = Access("deploy", AccessArgs(public_key=key.public_key, labels=tags), child)
    generations = Generations(
        "generations", GenerationsArgs(hosts={name: host.generation for name, host in made.items()}), child
    )
    machines: dict[str, Machine] = {}
    admins, others = of_admins(security)
    # Old and new ranges hold both until the end of the `up`: a host that refuses the new ones can still be reached.
    rules = rules_of(admitted(admins, next(iter(made)), {}))
    args = FirewallArgs(rules=rules, labels=tags, applies_to=tags, overlaps=True)
    access = [Firewall("access", args, child).resource] if rules else []
    for name, host in made.items():
        firewall = Firewall(name, FirewallArgs(rules=rules_of(admitted(others, name, {})), labels=tags), child)
        server = Host(
            name,
            HostArgs(
                server_name=naming.machine(name),
                server_type=host.type or "",
                location=locations[name],
                image=image or IMAGE,
                generation=host.generation,
                cloud_config=cloud_config(stack, security, host),
                ssh_key_ids=[deploy.id],
                firewall_ids=[firewall.id],
                subnet_id=network.subnet_id,
                placement_group_id=groups.ids[name],
                labels=tags,
                rebuild=RebuildArgs(
                    identity=key.identity,
                    jump=jump(stack),
                    stack=naming.key,
                    down=host.down,
                    generations=generations,
                    token=provider_setting("hcloud", "token"),
                ),
            ),
            child,
        )
        machines[name] = Machine(
            host=host,
            address=server.address,
            connection=Connection(
                ConnectionArgs(
                    address=server.address,
                    host_key=server.host_key,
                    identity=key.identity,
                    jump=jump(stack),
                    previous_identity=key.previous_identity,
                )
            ),
            id=server.server_id,
            resource=server.server,
        )
    return Servers(machines=machines, network=network, access=access)


def mesh_firewall(stack: Stack, rules: Sequence[Rule], child: pulumi.ResourceOptions) -> Sequence[pulumi.Resource]:
    """What the fleet's own addresses may, put on all servers once these are known: no server waits for another."""
    args = FirewallArgs(rules=rules, labels=labels(stack), applies_to=labels(stack))
    return [Firewall("mesh", args, child).resource] if rules else []


def burst_firewall(stack: Stack, rules: Sequence[Rule], child: pulumi.ResourceOptions) -> pulumi.Resource:
    """What a burst's addresses may, beside `mesh`, so that this one never waits for a droplet."""
    args = FirewallArgs(rules=rules, labels=labels(stack), applies_to=labels(stack), overlaps=True)
    return Firewall("mesh-burst", args, child).resource


def balancer(
    stack: Stack, fleet: Fleet, made: Servers, domains: Sequence[str], child: pulumi.ResourceOptions
) -> LoadBalancer:
    tls: ManagedTls | EdgeTls | None = None
    if managed_tls(stack, fleet) and domains:
        tls = ManagedTls(domains=domains, zone=stack.dns.zone or stack.domain, port=stack.edge.http)
    elif edge_tls(stack):
        tls = EdgeTls(port=stack.edge.https)
    return LoadBalancer(
        "balancer",
        LoadBalancerArgs(
            balancer_type=fleet.balancer or "",
            location=next(iter(made.machines.values())).host.location or "",
            subnet_id=made.network.subnet_id,
            targets={name: machine.id for name, machine in made.machines.items() if machine.id is not None},
            http_port=stack.edge.http,
            tls=tls,
            health_port=HEALTH_PORT,
            health_path=HEALTH_PATH,
            protect=stack.protect,
            labels=labels(stack),
        ),
        child,
    )


def data_volume(
    stack: Stack,
    service: str,
    machine: Machine,
    prepared: pulumi.Resource,
    anchor: pulumi.Resource | None,
    child: pulumi.ResourceOptions,
) -> DataVolume:
    """Its disk, and where a host is there to have it (``anchor``), what mounts it."""
    settings = stack.services[service].volume
    size = settings.size if settings is not None else None
    return DataVolume(
        service,
        DataVolumeArgs(
            server_id=machine.id or "",
            connection=machine.connection,
            size=max(10, -(-size // GIB)) if size is not None else 10,
            prepared=prepared,
            mounted=anchor is not None,
            goes_with=anchor,
            labels=labels(stack),
            protect=stack.protect,
        ),
        child,
    )
