"""Platform ``hetzner``: a fleet of Docker hosts with an edge each; made, given, or rented for a peak."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property

import pulumi

from components.dns import Dns, DnsArgs
from components.docker.connection import Connection, ConnectionArgs, Engine, EngineArgs, Login
from components.docker.deploy_key import DeployKey, DeployKeyArgs
from components.docker.door import Door, DoorArgs
from components.docker.edge import Edge, EdgeArgs
from components.docker.host_room import HostRoom, HostRoomArgs
from components.docker.network import Network, NetworkArgs
from components.docker.prepared_host import PreparedHost, PreparedHostArgs
from components.docker.registry import Registry, RegistryArgs
from components.docker.service import Service, ServiceArgs
from components.docker.stateful_service import StatefulService, StatefulServiceArgs
from planning.hosts import tables
from planning.hosts.door import has_door
from planning.hosts.edge import HostConfig
from planning.hosts.fleet import fleet
from planning.hosts.model import Fleet as Hosts
from planning.hosts.model import FleetSecurity
from planning.hosts.placement import place
from planning.hosts.plan import FleetPlan, HostPlan, plan_hosts
from planning.hosts.refusals import notes, refusals
from planning.hosts.room import room, staying
from planning.hosts.security import BALANCER, Addresses, admitted, security, who
from planning.hosts.site import edge_tls, https, issued_names, managed_tls
from planning.names import EDGE
from planning.plan import ServicePlan
from planning.registry import NAME as REGISTRY
from planning.registry import RegistryPlan, is_pulled_here
from platforms.fleet_routing import HostSide, RoutingArgs, route_fleet
from platforms.machines import Machine, mesh_rules, rules_of, script
from settings.load import Loaded
from settings.problems import Problem
from settings.stack import Stack

_MIB = 1024**2


class DockerHost(pulumi.ComponentResource):
    """Everything on one host's Docker engine: the parent that gives it its provider and what holds for all of it."""

    def __init__(self, name: str, machine: Machine, engine: Engine, opts: pulumi.ResourceOptions) -> None:
        opts = pulumi.ResourceOptions.merge(
            opts, pulumi.ResourceOptions(providers=[engine.provider], transformations=list(machine.bound()))
        )
        super().__init__("quayside:platform:DockerHost", name, None, opts)
        self.register_outputs({})


class Fleet(pulumi.ComponentResource):
    """Machines, closed from their first second; on each an edge, and the services that were placed there."""

    records: Sequence[pulumi.Output[Mapping[str, str]]] = ()

    def __init__(
        self,
        name: str,
        loaded: Loaded,
        planned: FleetPlan,
        admits: FleetSecurity,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("quayside:platform:Fleet", name, None, opts)
        self._loaded, self._stack, self._plan, self._security = loaded, loaded.stack, planned, admits
        self._child = pulumi.ResourceOptions(parent=self)
        self._hosts: Hosts = planned.fleet
        self._key = DeployKey("deploy", DeployKeyArgs(stack=loaded.stack.name), self._child)
        self._visitors: dict[str, pulumi.Output[str]] = {}
        self._visitors6: dict[str, pulumi.Output[str]] = {}
        self._sources: dict[str, pulumi.Output[str]] = {}
        self.machines = self._make_machines()
        known: pulumi.Output[Mapping[str, str]] = pulumi.Output.all(  # pyright: ignore[reportAssignmentType]
            **{name: machine.address for name, machine in self.machines.items()}, **self._sources
        )
        self._addresses = known
        self._prepared = {name: self._prepare(machine) for name, machine in self.machines.items()}
        self._rooms = {name: self._make_room(machine) for name, machine in self.machines.items()}
        self._sides = {name: self._make_edge(machine) for name, machine in self.machines.items()}
        self._pulls: Mapping[str, Sequence[pulumi.Resource]] = {
            name: self._make_registry(name, planned.registry) for name in self._sides if planned.registry is not None
        }
        self._make_services()
        route_fleet(
            RoutingArgs(
                plan=planned,
                config=self._config(),
                sides=self._sides,
                addresses=self._addresses,
                certificate=self._certificate(),
            ),
            self._child,
        )
        self._make_records()
        self.register_outputs({})

    # --- machines ----------------------------------------------------------------------------------------------------

    def _make_machines(self) -> Mapping[str, Machine]:
        stack, hosts = self._stack, self._hosts
        machines = {name: self._existing(name) for name, host in hosts.hosts.items() if host.kind == "existing"}
        kinds = {host.kind for host in hosts.hosts.values()}
        # Each SDK is imported for a stack that uses it alone.
        if "created" in kinds:
            from platforms import hetzner_servers

            made = hetzner_servers.servers(stack, hosts, self._security, self._key, self._child)
            machines.update(made.machines)
            if hosts.balancer is not None:
                domains = sorted({route.host for route in self._plan.routes})
                balancer = hetzner_servers.balancer(stack, hosts, made, domains, self._child)
                self._sources[BALANCER] = balancer.private_address
                self._visitors["balancer"], self._visitors6["balancer"] = balancer.ipv4, balancer.ipv6
        addresses = {name: machine.address for name, machine in machines.items()}
        if "droplet" in kinds:
            from platforms import hetzner_droplets

            first = next(name for name, host in hosts.hosts.items() if host.kind == "droplet")
            rules = [
                *rules_of(admitted(self._security, first, {})),
                *mesh_rules(self._security, [first], addresses),
            ]
            rented = hetzner_droplets.droplets(stack, hosts, self._security, rules, self._key, self._child)
            machines.update(rented)
            addresses.update({name: machine.address for name, machine in rented.items()})
        if "created" in kinds:
            from platforms import hetzner_servers

            names = [name for name, host in hosts.hosts.items() if host.kind == "created"]
            hetzner_servers.mesh_firewall(stack, mesh_rules(self._security, names, addresses), self._child)
        return {name: machines[name] for name in hosts.hosts}

    def _existing(self, name: str) -> Machine:
        host = self._hosts.hosts[name]
        return Machine(
            host=host,
            address=pulumi.Output.from_input(host.address or ""),
            connection=Connection(
                ConnectionArgs(
                    address=host.address or "",
                    host_key=host.host_key or "",
                    identity=self._key.identity,
                    user=host.user,
                    port=host.ssh_port,
                )
            ),
        )

    # --- what is on a host -------------------------------------------------------------------------------------------

    def _prepare(self, machine: Machine) -> pulumi.Resource:
        stack, admits, host = self._stack, self._security, machine.host

        def written(known: Mapping[str, str]) -> str:
            addresses: Addresses = {name: [address] for name, address in known.items()}
            return script(stack, admits, host, addresses)

        down = list(machine.bound()) if host.down else None
        return PreparedHost(
            host.name,
            PreparedHostArgs(
                host=host.name,
                connection=machine.connection,
                script=self._addresses.apply(written),
                public_key=self._key.public_key,
                machine=machine.id,
            ),
            pulumi.ResourceOptions(parent=self, transformations=down),
        ).resource

    def _make_room(self, machine: Machine) -> HostRoom:
        name = machine.host.name
        here = self._plan.hosts[name].services.values()
        return HostRoom(
            name,
            HostRoomArgs(
                host=name,
                connection=machine.connection,
                stack=self._plan.naming.key,
                wanted=room(here),
                keep=staying(here),
                prepared=self._prepared[name],
                down=machine.host.down,
                machine=machine.resource,
            ),
            self._child,
        )

    def _make_edge(self, machine: Machine) -> HostSide:
        stack, naming, name = self._stack, self._plan.naming, machine.host.name
        here = self._plan.hosts[name]
        engine = Engine(
            name,
            EngineArgs(
                connection=machine.connection,
                registries={
                    registry: Login(username=login.username, password=self._loaded.secrets[login.password])
                    for registry, login in stack.registries.items()
                },
                after=[self._prepared[name], self._rooms[name].room],
            ),
            self._child,
        )
        component = DockerHost(name, machine, engine, self._child)
        edge = Edge(
            f"{name}-{EDGE}",
            EdgeArgs(
                image=stack.edge.image,
                naming=naming,
                subnet=self._plan.hosts[name].edge_subnet,
                labels=naming.labels(EDGE, EDGE),
                http=stack.edge.http if here.entry else None,
                address=stack.edge.address,
                memory=stack.edge.memory // _MIB,
                https=stack.edge.https if here.entry and edge_tls(stack) else None,
                # Also on the only host, whose edge would be replaced when a second one joins it.
                mesh=True,
                health=here.entry and self._hosts.balancer is not None,
            ),
            pulumi.ResourceOptions(parent=component),
        )
        return HostSide(machine=machine, component=component, edge=edge, containers={}, ids={}, resources=[])

    def _make_registry(self, name: str, plan: RegistryPlan) -> Sequence[pulumi.Resource]:
        """What images of a host's own registry wait for. A host that is down forgets its own, as it does services."""
        side, secrets, anchor = self._sides[name], self._loaded.secrets, self._rooms[name].placed
        if anchor is None:
            return []
        made = Registry(
            f"{name}-{REGISTRY}",
            RegistryArgs(
                plan=plan,
                naming=self._plan.naming,
                host=name,
                connection=side.machine.connection,
                access_key=secrets[plan.access_key],
                secret_key=secrets[plan.secret_key],
            ),
            pulumi.ResourceOptions(parent=side.component, transformations=list(side.machine.placed(anchor))),
        )
        return [made.ready]

    def _make_services(self) -> None:
        """In the order of creation, on every host that has a part of the service."""
        made: dict[str, dict[str, Sequence[pulumi.Resource]]] = {}
        containers: dict[str, dict[str, pulumi.Output[str]]] = {name: {} for name in self._sides}
        ids: dict[str, dict[str, pulumi.Output[str]]] = {name: {} for name in self._sides}
        for service_name in self._plan.services:
            for host, here in self._plan.hosts.items():
                service = here.services.get(service_name)
                if service is None:
                    continue
                # Of burst hosts only their own, so that a droplet comes and goes without touching what others wait for.
                after = [
                    resource
                    for other in service.settings.after
                    for at, found in made.get(other, {}).items()
                    if at == host or not (here.host.down or self._hosts.hosts[at].down or self._hosts.hosts[at].burst)
                    for resource in found
                ]
                one = self._make_service(service, here, after)
                made.setdefault(service_name, {})[host] = one.resources
                containers[host].update(one.containers)
                if isinstance(one, StatefulService):
                    ids[host].update(one.ids)
        self._sides = {
            name: HostSide(
                machine=side.machine,
                component=side.component,
                edge=side.edge,
                containers=containers[name],
                ids=ids[name],
                resources=[resource for found in made.values() for resource in found.get(name, ())],
            )
            for name, side in self._sides.items()
        }

    def _make_service(
        self, service: ServicePlan, here: HostPlan, after: Sequence[pulumi.Resource]
    ) -> Service | StatefulService:
        naming, host = self._plan.naming, here.host.name
        machine, anchor = self.machines[host], self._rooms[host].placed
        placed = list(machine.placed(anchor)) if anchor is not None and not service.stateful else None
        child = pulumi.ResourceOptions(parent=self._sides[host].component, transformations=placed)
        name, prefix = f"{host}-{service.name}", f"{host}-"
        network = None
        if service.subnet is not None:
            network = Network(
                name,
                NetworkArgs(
                    network_name=naming.network(service.name),
                    cidr=service.subnet.cidr,
                    gateway=service.subnet.gateway,
                    containers=service.subnet.containers,
                    labels=naming.labels(service.name, "network"),
                ),
                child,
            ).network_name
        secrets = {env: self._loaded.secrets[key] for env, key in service.settings.secrets.items()}
        pulls = self._pulls.get(host, ()) if is_pulled_here(service.settings) else ()
        if not service.stateful:
            if has_door(service.settings) and network is not None:
                image = self._stack.edge.image
                args = DoorArgs(service=service, naming=naming, network=network, image=image)
                Door(f"{name}_door", args, child)
            return Service(
                name,
                ServiceArgs(
                    service=service,
                    naming=naming,
                    network=network,
                    secrets=secrets,
                    after=after,
                    pulls=pulls,
                    prefix=prefix,
                    alias=service.name if has_door(service.settings) else None,
                ),
                child,
            )
        device = None
        if here.host.kind == "created":
            from platforms.hetzner_servers import data_volume

            still = pulumi.ResourceOptions(
                parent=self, transformations=list(machine.bound()) if here.host.down else None
            )
            disk = data_volume(self._stack, service.name, machine, self._prepared[host], still)
            device, after = disk.device, [*after, disk.resource]
        ports = [(port.protocol, port.port) for port in service.settings.ports]
        return StatefulService(
            name,
            StatefulServiceArgs(
                service=service,
                naming=naming,
                network=network,
                secrets=secrets,
                after=after,
                pulls=pulls,
                prefix=prefix,
                device=device,
                ports=ports if service.settings.network != "host" else (),
            ),
            child,
        )

    # --- visitors ----------------------------------------------------------------------------------------------------

    def _config(self) -> HostConfig:
        edge = self._stack.edge
        return HostConfig(
            http=edge.http,
            https=edge.https,
            balancer_https=managed_tls(self._stack, self._hosts),
            extra=edge.extra,
        )

    def _certificate(self) -> pulumi.Output[str] | None:
        key, acme, names = self._stack.edge.certificate, self._stack.edge.acme, issued_names(self._stack)
        if key is not None:
            return pulumi.Output.secret(self._loaded.secrets[key])
        if acme is None or not names:
            return None
        # Its SDK is imported for a stack that uses it alone.
        from components.site_certificate import SiteCertificate, SiteCertificateArgs
        from platforms.dns_challenge import credentials

        dns = self._stack.dns.provider
        return SiteCertificate(
            "site",
            SiteCertificateArgs(
                server=acme.server,
                email=acme.email,
                names=names,
                dns=dns,
                credentials=credentials(dns, self._zone_id),
            ),
            self._child,
        ).pem

    @cached_property
    def _zone_id(self) -> pulumi.Output[str] | None:
        """Of the zone at Route 53; it has names of its own for zones."""
        if self._stack.dns.provider != "route53":
            return None
        import pulumi_aws as aws

        return aws.route53.get_zone_output(name=self._stack.dns.zone or self._stack.domain).zone_id

    def _make_records(self) -> None:
        names = sorted({route.host for route in self._plan.routes})
        dns = self._stack.dns
        ipv4 = self._visitors or {
            # Who drains gets no new visitors; what is published is published on IPv4 alone (decisions.md 18).
            host.name: self.machines[host.name].address
            for host in self._hosts.entries
            if host.usable
        }
        if not names or not ipv4:
            return
        zone = dns.zone or self._stack.domain
        self.records = Dns(
            "dns",
            DnsArgs(
                provider=dns.provider, zone=zone, zone_id=self._zone_id, names=names, ipv4=ipv4, ipv6=self._visitors6
            ),
            self._child,
        ).records


def build(loaded: Loaded) -> Mapping[str, object]:
    stack = loaded.stack
    planned, admits = decided(stack, loaded.sources)
    for note in notes(stack, planned.fleet):
        pulumi.log.warn(note)
    made = Fleet("fleet", loaded, planned, admits)
    return outputs(planned, admits, made)


def decided(stack: Stack, sources: Mapping[str, str]) -> tuple[FleetPlan, FleetSecurity]:
    """The whole plan. Raises ConfigError with every problem at once."""
    hosts, problems = fleet(stack)
    problems += refusals(stack, hosts)
    if os.environ.get("DOCKER_CONTEXT"):
        problems.append(
            Problem("DOCKER_CONTEXT", "is set, and Docker would go there instead of to each host", "unset it")
        )
    placement, misplaced = place(stack, hosts)
    # Where hosts are not known, everything would be said to have no place.
    problems += misplaced if not problems else []
    admits, unkept = security(stack, hosts, placement)
    planned = plan_hosts(stack, sources, hosts, placement, [*problems, *unkept], https=https(stack, hosts))
    return planned, admits


def outputs(planned: FleetPlan, admits: FleetSecurity, made: Fleet) -> Mapping[str, object]:
    """What the stack exports: plain values, known at preview, but for addresses."""
    found: dict[str, object] = {
        "urls": tables.urls(planned),
        "hosts": [
            {
                "host": name,
                "kind": machine.host.kind,
                "size": machine.host.type or "",
                "state": tables.state(machine.host),
                "address": machine.address,
            }
            for name, machine in made.machines.items()
        ],
        "routes": tables.routes(planned),
        "reach": who(admits),
        "placement": tables.placement(planned),
        "services": tables.services(planned),
    }
    if made.records:
        found["records"] = list(made.records)
    return found
