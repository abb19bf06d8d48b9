"""Platform ``hetzner``: a fleet of Docker hosts with an edge each; made, given, or rented for a peak."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pulumi

from components.docker.connection import Connection, ConnectionArgs, Engine, EngineArgs, Login
from components.docker.deploy_key import DeployKey, DeployKeyArgs
from components.docker.door import Door, DoorArgs
from components.docker.edge import Edge, EdgeArgs
from components.docker.host_leave import HostLeave, HostLeaveArgs
from components.docker.host_room import HostRoom, HostRoomArgs
from components.docker.network import Network, NetworkArgs
from components.docker.opened_host import OpenedHost, OpenedHostArgs
from components.docker.owner import Owner, OwnerArgs
from components.docker.prepared_host import PreparedHost, PreparedHostArgs
from components.docker.registry import Registry, RegistryArgs
from components.docker.service import Service, ServiceArgs
from components.docker.stateful_service import StatefulService, StatefulServiceArgs
from planning.edge import edge_image
from planning.hosts.burst import without_burst
from planning.hosts.door import has_door
from planning.hosts.edge import HostConfig
from planning.hosts.fleet import fleet
from planning.hosts.model import Fleet as Hosts
from planning.hosts.model import FleetSecurity
from planning.hosts.packetfilter import opened
from planning.hosts.placement import place
from planning.hosts.plan import FleetPlan, HostPlan, plan_hosts, published
from planning.hosts.refusals import notes, refusals
from planning.hosts.room import data, room, staying
from planning.hosts.security import BALANCER, Addresses, admitted, lets_burst_in, of_admins, security, ssh_ranges
from planning.hosts.site import https, issued_names, managed_tls
from planning.names import EDGE, on_host
from planning.notes import notes as notes_everywhere
from planning.plan import ServicePlan
from planning.registry import NAME as REGISTRY
from planning.registry import RegistryPlan, is_pulled_here
from platforms.fleet_outputs import outputs
from platforms.fleet_records import make_records, zone_id
from platforms.fleet_routing import HostSide, RoutingArgs, mesh_certificates, route_burst, route_fleet
from platforms.machines import Machine, jump, later, mesh_rules, rules_of, script
from settings.load import Loaded
from settings.problems import Problem
from settings.stack import Stack
from settings.units import MIB

BALANCER_NOTICES = 10
"""Seconds until Hetzner's balancer sends to a host again: two checks, three seconds apart (components/hetzner)."""


class DockerHost(pulumi.ComponentResource):
    """Everything on one host's Docker engine: the parent that gives it its provider and what holds for all of it."""

    def __init__(self, name: str, machine: Machine, engine: Engine, opts: pulumi.ResourceOptions) -> None:
        opts = pulumi.ResourceOptions.merge(
            opts, pulumi.ResourceOptions(providers=[engine.provider], transformations=list(machine.bound()))
        )
        super().__init__("quayside:platform:DockerHost", name, None, opts)
        self.register_outputs({})


@dataclass(frozen=True, slots=True)
class _Ground:
    """What comes before everything on a host's engine."""

    args: HostRoomArgs
    room: HostRoom


class Fleet(pulumi.ComponentResource):
    """Machines, closed from their first second; on each an edge, and the services that were placed there."""

    records: Sequence[pulumi.Output[Mapping[str, str]]] = ()

    def __init__(
        self,
        name: str,
        loaded: Loaded,
        planned: FleetPlan,
        permanent: FleetPlan,
        admits: FleetSecurity,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("quayside:platform:Fleet", name, None, opts)
        self._loaded, self._stack, self._plan, self._security = loaded, loaded.stack, planned, admits
        self._child = pulumi.ResourceOptions(parent=self)
        self._hosts: Hosts = planned.fleet
        self._key = DeployKey(
            "deploy", DeployKeyArgs(stack=loaded.stack.name, number=loaded.stack.access.deploy_key), self._child
        )
        self.private_key, self.public_key = self._key.private_key, self._key.public_key
        self.owner = Owner("owner", OwnerArgs(project=loaded.stack.project, stack=loaded.stack.name), self._child)
        self._visitors: dict[str, pulumi.Output[str]] = {}
        self._visitors6: dict[str, pulumi.Output[str]] = {}
        self._sources: dict[str, pulumi.Output[str]] = {}
        # What is no step of a release, and comes before a burst all the same.
        self._permanent: list[pulumi.Resource] = []
        self._made: dict[str, dict[str, Sequence[pulumi.Resource]]] = {}
        self._grounds: dict[str, _Ground] = {}
        self._pulls: dict[str, Sequence[pulumi.Resource]] = {}
        mesh = mesh_certificates(planned, self._child)
        machines = self._make_machines()
        known: pulumi.Output[Mapping[str, str]] = pulumi.Output.all(  # pyright: ignore[reportAssignmentType]
            **{name: machine.address for name, machine in machines.items()}, **self._sources
        )
        first = RoutingArgs(
            plan=permanent,
            config=self._config(),
            sides=self._on_hosts(permanent, machines, known, self._child),
            mesh=mesh,
            addresses=known,
            certificate=self._certificate(),
        )
        routing = route_fleet(first, self._child)
        self.machines = machines
        self._make_records()
        # Of the burst there is nothing above this line, and nothing below it is waited for above.
        after = pulumi.ResourceOptions.merge(
            self._child, pulumi.ResourceOptions(transformations=[later(*routing.done, *self._permanent)])
        )
        rented = self._make_burst_machines(machines, after)
        second = replace(first, plan=planned, sides=self._on_hosts(planned, rented, known, after), certificate=None)
        route_burst(second, first, routing, self._let_in(machines, rented, routing.done), self._child)
        self._make_leaves({**first.sides, **second.sides}, routing.forgets)
        self.machines = {name: {**machines, **rented}[name] for name in self._hosts.hosts}
        self.register_outputs({})

    # --- machines ----------------------------------------------------------------------------------------------------

    def _make_machines(self) -> Mapping[str, Machine]:
        """Permanent ones."""
        stack, hosts = self._stack, self._hosts
        machines = {host.name: self._existing(host.name) for host in hosts.permanent if host.kind == "existing"}
        created = [host.name for host in hosts.permanent if host.kind == "created"]
        # Each SDK is imported for a stack that uses it alone.
        if created:
            from platforms import hetzner_servers

            made = hetzner_servers.servers(stack, hosts, self._security, self._key, self._child)
            machines.update(made.machines)
            self._permanent += made.access
            if hosts.balancer is not None:
                domains = sorted({route.host for route in self._plan.routes})
                balancer = hetzner_servers.balancer(stack, hosts, made, domains, self._child)
                self._sources[BALANCER] = balancer.private_address
                self._visitors["balancer"], self._visitors6["balancer"] = balancer.ipv4, balancer.ipv6
                self._permanent.append(balancer)
            addresses = {name: machine.address for name, machine in machines.items()}
            rules = mesh_rules(self._security, created, addresses)
            self._permanent += hetzner_servers.mesh_firewall(stack, rules, self._child)
        return {host.name: machines[host.name] for host in hosts.permanent}

    def _make_burst_machines(
        self, permanent: Mapping[str, Machine], after: pulumi.ResourceOptions
    ) -> Mapping[str, Machine]:
        hosts = self._hosts
        machines = {host.name: self._existing(host.name) for host in hosts.burst if host.kind == "existing"}
        droplets = [host.name for host in hosts.burst if host.kind == "droplet"]
        if droplets:
            from platforms import hetzner_droplets

            addresses = {name: machine.address for name, machine in permanent.items()}
            admins, others = (rules_of(admitted(part, droplets[0], {})) for part in of_admins(self._security))
            rules = [*others, *mesh_rules(self._security, droplets[:1], addresses)]
            machines.update(
                hetzner_droplets.droplets(self._stack, hosts, self._security, rules, admins, self._key, after)
            )
        return {host.name: machines[host.name] for host in hosts.burst}

    def _let_in(
        self, permanent: Mapping[str, Machine], rented: Mapping[str, Machine], after: Sequence[pulumi.Resource]
    ) -> Sequence[pulumi.Resource]:
        """Permanent hosts admit a burst's, where services there use others."""
        addresses = {name: machine.address for name, machine in rented.items() if not machine.host.down}
        if not addresses or not lets_burst_in(self._security):
            return []
        found: list[pulumi.Resource] = []
        for name, machine in permanent.items():
            anchor = self._grounds[name].room.placed
            if anchor is None:
                continue
            scripts = pulumi.Output.all(*addresses.values(), machine.id or "").apply(
                lambda known: opened(known[:-1], known[-1])
            )
            made = OpenedHost(
                name,
                OpenedHostArgs(
                    host=self._reached(machine, scripts.apply(lambda both: both[0])),
                    closing=scripts.apply(lambda both: both[1]),
                    after=after,
                ),
                pulumi.ResourceOptions(parent=self, transformations=[*machine.placed(anchor), *machine.bound()]),
            )
            found.append(made.resource)
        created = [name for name, machine in permanent.items() if machine.host.kind == "created"]
        if created:
            from platforms import hetzner_servers

            rules = mesh_rules(self._security, created, addresses)
            found.append(hetzner_servers.burst_firewall(self._stack, rules, self._child))
        return found

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
                    jump=jump(self._stack),
                    previous_identity=self._key.previous_identity,
                )
            ),
        )

    # --- what is on a host -------------------------------------------------------------------------------------------

    def _on_hosts(
        self,
        plan: FleetPlan,
        machines: Mapping[str, Machine],
        addresses: pulumi.Output[Mapping[str, str]],
        child: pulumi.ResourceOptions,
    ) -> Mapping[str, HostSide]:
        """All that is on these hosts, but for their routing. ``addresses`` are those of permanent hosts."""
        for name, machine in machines.items():
            # Of a burst host that is down nothing stays but its room: it may never have come up.
            gone = machine.host.burst and machine.host.down
            prepared = self._prepare(machine, addresses, child) if not gone else None
            self._grounds[name] = self._make_room(plan, machine, prepared, child)
        sides: dict[str, HostSide] = {}
        before: Sequence[pulumi.Resource] = ()
        for name, machine in machines.items():
            if self._grounds[name].args.prepared is None:
                continue
            sides[name] = self._make_edge(plan.hosts[name], machine, self._grounds[name], before, child)
            # One after another, so that the others serve while one is replaced. Nobody waits for a host that is down,
            # nor for another one of a burst, which may not come up.
            if not (machine.host.down or machine.host.burst):
                before = [sides[name].edge.resource]
        if plan.registry is not None:
            for name, side in sides.items():
                self._pulls[name] = self._make_registry(plan.registry, side, self._grounds[name])
        return self._make_services(plan, sides)

    def _reached(self, machine: Machine, script: pulumi.Input[str]) -> PreparedHostArgs:
        return PreparedHostArgs(
            host=machine.host.name,
            connection=machine.connection,
            script=script,
            public_key=self._key.public_key,
            owner=self.owner.mark,
            machine=machine.id,
            ranges=", ".join(ssh_ranges(self._security, machine.host)),
            down=machine.host.down,
        )

    def _prepare(
        self, machine: Machine, addresses: pulumi.Output[Mapping[str, str]], child: pulumi.ResourceOptions
    ) -> pulumi.Resource:
        stack, admits, host = self._stack, self._security, machine.host

        def written(known: Sequence[Any]) -> str:
            addresses: Addresses = {name: [address] for name, address in known[0].items()}
            return script(stack, admits, host, addresses, known[1], known[2])

        whole = pulumi.Output.all(addresses, self._key.public_key, self._key.previous_public_key)
        return PreparedHost(host.name, self._reached(machine, whole.apply(written)), child).resource

    def _make_room(
        self, plan: FleetPlan, machine: Machine, prepared: pulumi.Resource | None, child: pulumi.ResourceOptions
    ) -> _Ground:
        host, services = machine.host, plan.hosts[machine.host.name].services.values()
        args = HostRoomArgs(
            host=host.name,
            connection=machine.connection,
            stack=self._plan.naming.key,
            owner=self.owner.mark,
            wanted=room(services, plan.registry if not host.down else None),
            data=data(host, services),
            keep=staying(host),
            prepared=prepared,
            down=host.down,
            machine=machine.resource,
        )
        return _Ground(args, HostRoom(host.name, args, child))

    def _make_leaves(self, sides: Mapping[str, HostSide], routed: Mapping[str, pulumi.Resource]) -> None:
        for name, ground in self._grounds.items():
            side = sides.get(name)
            after = [
                ground.room.room,
                *([routed[name]] if name in routed else []),
                *([side.edge.resource, *side.volumes] if side is not None else []),
            ]
            HostLeave(name, HostLeaveArgs(room=ground.args, after=after), self._child)

    def _make_edge(
        self,
        here: HostPlan,
        machine: Machine,
        ground: _Ground,
        after: Sequence[pulumi.Resource],
        child: pulumi.ResourceOptions,
    ) -> HostSide:
        stack, naming, name = self._stack, self._plan.naming, machine.host.name
        engine = Engine(
            name,
            EngineArgs(
                connection=machine.connection,
                registries={
                    registry: Login(username=login.username, password=self._loaded.secrets[login.password])
                    for registry, login in stack.registries.items()
                },
                after=[*([ground.args.prepared] if ground.args.prepared is not None else []), ground.room.room],
            ),
            child,
        )
        # A burst host that is down is forgotten as a whole.
        anchor = ground.room.placed if machine.host.burst else None
        forgotten = pulumi.ResourceOptions(transformations=list(machine.placed(anchor)) if anchor is not None else [])
        component = DockerHost(name, machine, engine, pulumi.ResourceOptions.merge(child, forgotten))
        edge = Edge(
            on_host(name, EDGE),
            EdgeArgs(
                image=edge_image(stack),
                naming=naming,
                subnet=here.edge_subnet,
                labels=naming.labels(EDGE, EDGE),
                ports=published(stack, machine.host),
                address=stack.edge.address,
                memory=stack.edge.memory // MIB,
                host=name,
                connection=machine.connection,
                down=machine.host.down,
                after=after,
                settle=BALANCER_NOTICES if here.entry and self._hosts.balancer is not None else 0,
            ),
            pulumi.ResourceOptions(parent=component),
        )
        return HostSide(
            machine=machine,
            component=component,
            edge=edge,
            containers={},
            ids={},
            resources=[],
            goes_with=anchor or machine.resource,
        )

    def _make_registry(self, plan: RegistryPlan, side: HostSide, ground: _Ground) -> Sequence[pulumi.Resource]:
        """What images of a host's own registry wait for. A host that is down forgets its own, as it does services."""
        name, secrets, anchor = side.machine.host.name, self._loaded.secrets, ground.room.placed
        if anchor is None:
            return []
        made = Registry(
            on_host(name, REGISTRY),
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

    def _make_services(self, plan: FleetPlan, sides: Mapping[str, HostSide]) -> Mapping[str, HostSide]:
        """In the order of creation, on every host that has a part of the service."""
        made, hosts = self._made, self._hosts.hosts
        containers: dict[str, dict[str, pulumi.Output[str]]] = {name: {} for name in sides}
        ids: dict[str, dict[str, pulumi.Output[str]]] = {name: {} for name in sides}
        volumes: dict[str, list[pulumi.Resource]] = {name: [] for name in sides}
        for service_name in plan.services:
            for host in sides:
                here = plan.hosts[host]
                service = here.services.get(service_name)
                if service is None:
                    continue
                # Of burst hosts only their own, so that a droplet comes and goes without touching what others wait for.
                after = [
                    resource
                    for other in service.settings.after
                    for at, found in made.get(other, {}).items()
                    if at == host or not (here.host.down or hosts[at].down or hosts[at].burst)
                    for resource in found
                ]
                one = self._make_service(service, here, sides[host], self._grounds[host], after)
                if one is None:
                    continue
                made.setdefault(service_name, {})[host] = one.resources
                containers[host].update(one.containers)
                if isinstance(one, StatefulService):
                    ids[host].update(one.ids)
                    volumes[host].append(one.volume)
        return {
            name: replace(
                side,
                containers=containers[name],
                ids=ids[name],
                resources=[resource for found in made.values() for resource in found.get(name, ())],
                volumes=volumes[name],
            )
            for name, side in sides.items()
        }

    def _make_service(
        self,
        service: ServicePlan,
        here: HostPlan,
        side: HostSide,
        ground: _Ground,
        after: Sequence[pulumi.Resource],
    ) -> Service | StatefulService | None:
        """None: nothing of it is in the host's engine."""
        naming, host = self._plan.naming, here.host.name
        machine, anchor = side.machine, ground.room.placed
        own = service.name if service.stateful and here.host.kind == "existing" else None
        placed = list(machine.placed(anchor, own)) if anchor is not None else None
        child = pulumi.ResourceOptions(parent=side.component, transformations=placed)
        name, prefix = on_host(host, service.name), on_host(host, "")
        network = None
        # Of a host that is down, data alone stays.
        if service.subnet is not None and anchor is not None:
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
                pulled = [side.edge.image]
                image = edge_image(self._stack)
                args = DoorArgs(service=service, naming=naming, network=network, image=image, after=pulled)
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
                    alias=service.name if network is not None else None,
                ),
                child,
            )
        device = None
        if here.host.kind == "created":
            from platforms.hetzner_servers import data_volume

            if ground.args.prepared is None:
                raise ValueError(f"{service.name} has data on {host}, which is a burst host")
            disk = data_volume(self._stack, service.name, machine, ground.args.prepared, anchor, self._child)
            if disk.resource is None:
                return None
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
                protect=self._stack.protect,
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
            memory=edge.memory,
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
        return zone_id(self._stack)

    def _make_records(self) -> None:
        balancer = (self._visitors, self._visitors6)
        dns = make_records(self._stack, self._plan, self.machines, balancer, self._zone_id, self._child)
        if dns is not None:
            self.records = dns.records
            self._permanent.append(dns)


def build(loaded: Loaded) -> Mapping[str, object]:
    stack = loaded.stack
    planned, permanent, admits = decided(stack, loaded.sources)
    for note in [*notes(stack, planned.fleet), *notes_everywhere(stack)]:
        pulumi.log.warn(note)
    made = Fleet("fleet", loaded, planned, permanent, admits)
    return outputs(planned, admits, made)


def decided(stack: Stack, sources: Mapping[str, str]) -> tuple[FleetPlan, FleetPlan, FleetSecurity]:
    """The whole plan, that of the permanent hosts as if there were no burst, and who may reach whom.

    Raises ConfigError with every problem at once.
    """
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
    alone = without_burst(hosts)
    permanent = plan_hosts(stack, sources, alone, place(stack, alone)[0], https=https(stack, hosts))
    return planned, permanent, admits
