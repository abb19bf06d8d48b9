"""How the edges of a fleet get their certificates and configuration. The one place that knows those components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import cast

import pulumi

from components.docker.burst_routing import BurstRouting, BurstRoutingArgs
from components.docker.edge import Edge
from components.docker.host_routing import FleetRouting, FleetRoutingArgs, HostRoutingArgs
from components.docker.mesh import MeshCertificates, MeshCertificatesArgs
from planning.hosts.burst import overlay
from planning.hosts.certificates import certificates, file_name
from planning.hosts.edge import HostConfig, render_host
from planning.hosts.gateway import Mesh
from planning.hosts.plan import FleetPlan
from planning.hosts.security import BALANCER
from platforms.machines import Machine

_Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSide:
    """What the program has of one host."""

    machine: Machine
    component: pulumi.Resource
    """Parent of all that is on the host's engine."""
    edge: Edge
    containers: Mapping[str, pulumi.Output[str]]
    """Slot → container name, of this host."""
    ids: Mapping[str, pulumi.Output[str]]
    """Slot → id, of those that keep their name."""
    resources: Sequence[pulumi.Resource]
    volumes: Sequence[pulumi.Resource] = ()
    """Those with data."""
    goes_with: pulumi.Resource | None = None
    """What its routing is deleted with, where it has to leave no network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingArgs:
    plan: FleetPlan
    """Of permanent hosts alone, or of the whole fleet."""
    config: HostConfig
    sides: Mapping[str, HostSide]
    """Hosts of the plan that are routed."""
    mesh: MeshCertificates
    addresses: pulumi.Output[Mapping[str, str]]
    """Host → where others reach it; `balancer` → where its requests come from."""
    certificate: pulumi.Output[str] | None
    """The visitors' certificate with its key, as PEM."""


def mesh_certificates(plan: FleetPlan, child: pulumi.ResourceOptions) -> MeshCertificates:
    """Those of every host: they wait for none."""
    known = certificates(plan.naming, plan.hosts, date.today())
    return MeshCertificates("mesh", MeshCertificatesArgs(certificates=known), child)


def route_fleet(args: RoutingArgs, child: pulumi.ResourceOptions) -> FleetRouting:
    """On every permanent host the files, accept on all, route on all, forget on all (decisions.md 3)."""
    return FleetRouting(
        "routing",
        FleetRoutingArgs(hosts=_routed(args), network_prefix=args.plan.naming.prefix),
        child,
    )


def route_burst(
    args: RoutingArgs,
    permanent: RoutingArgs,
    fleet: FleetRouting,
    ready: Sequence[pulumi.Resource],
    child: pulumi.ResourceOptions,
) -> None:
    """The same for a burst's hosts (``args``, with the whole plan) beside those that ``fleet`` routed."""
    rented = pulumi.Output.from_input({name: side.machine.address for name, side in args.sides.items()})

    def laid_over(host: str) -> pulumi.Output[str]:
        return rented.apply(lambda known: overlay(args.plan, permanent.plan, host, cast("_Texts", known)))

    BurstRouting(
        "burst",
        BurstRoutingArgs(
            permanent={
                name: replace(_host_routing(side), config="" if side.machine.host.down else laid_over(name))
                for name, side in permanent.sides.items()
            },
            burst=_routed(args),
            fleet=fleet,
            ready=ready,
            network_prefix=args.plan.naming.prefix,
        ),
        child,
    )


def _routed(args: RoutingArgs) -> Mapping[str, HostRoutingArgs]:
    hosts: dict[str, HostRoutingArgs] = {}
    for name, side in args.sides.items():
        site = args.certificate if args.plan.hosts[name].entry else None
        hosts[name] = replace(
            _host_routing(side),
            config="" if side.machine.host.down else _config(args, side, args.mesh.names[name], site),
            files=_with_site(args.mesh.files(name), site),
            containers=[side.edge.resource, *side.resources],
        )
    return hosts


def _host_routing(side: HostSide) -> HostRoutingArgs:
    """What every step on a host is told."""
    return HostRoutingArgs(
        connection=side.machine.connection,
        config="",
        files={},
        edge_name=side.edge.container_name,
        edge_id=side.edge.container_id,
        containers=[],
        down=side.machine.host.down,
        # What is down is not asked to undo anything either: it is forgotten with all that is on it.
        machine=side.goes_with or (side.component if side.machine.host.down else None),
    )


def _config(
    args: RoutingArgs, side: HostSide, mesh: pulumi.Output[Mesh], site: pulumi.Output[str] | None
) -> pulumi.Output[str]:
    def rendered(containers: _Texts, ids: _Texts, addresses: _Texts, names: Mesh, certificate: str) -> str:
        balancers = (addresses[BALANCER],) if BALANCER in addresses else ()
        config = replace(args.config, balancers=balancers, certificate=certificate or None)
        return render_host(args.plan, side.machine.host.name, config, containers, ids, addresses, names)

    return pulumi.Output.all(
        pulumi.Output.from_input(dict(side.containers)),
        pulumi.Output.from_input(dict(side.ids)),
        args.addresses,
        mesh,
        pulumi.Output.unsecret(site.apply(site_file)) if site is not None else "",
    ).apply(lambda known: rendered(*known))


def _with_site(
    files: pulumi.Output[Mapping[str, str]], site: pulumi.Output[str] | None
) -> pulumi.Output[Mapping[str, str]]:
    if site is None:
        return files
    return pulumi.Output.all(files, site).apply(lambda known: {**known[0], site_file(known[1]): known[1]})


def site_file(pem: str) -> str:
    """The name of the visitors' certificate, by what is public in it."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    blocks = [begin + part.partition(end)[0] + end for part in pem.split(begin)[1:]]
    return file_name("site", "\n".join(blocks))
