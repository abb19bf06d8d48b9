"""The program that test_fleet_release.py deploys: components of a fleet, without a platform. It reads fleet.json."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pulumi

from components.docker.connection import Connection, ConnectionArgs, Engine, EngineArgs
from components.docker.edge import Edge, EdgeArgs
from components.docker.host_routing import FleetRouting, FleetRoutingArgs, HostRoutingArgs
from components.docker.mesh import MeshCertificates, MeshCertificatesArgs
from components.docker.network import Network, NetworkArgs
from components.docker.service import Service, ServiceArgs
from components.docker.stateful_service import StatefulService, StatefulServiceArgs
from planning.edge import IMAGE, PUBLIC_PORT
from planning.hosts.certificates import certificates
from planning.hosts.edge import HostConfig, render_host
from planning.hosts.gateway import Mesh
from planning.hosts.plan import MESH_PORT, FleetPlan, plan_hosts
from planning.names import EDGE, on_host
from platforms.machines import Machine
from tests import mesh


def main() -> None:
    given = json.loads(Path("fleet.json").read_text())
    hosts = [mesh.host(name, down=one.get("down", False)) for name, one in given["hosts"].items()]
    where = {slot: (at[0], at[1]) for slot, at in given["where"].items()}
    stranded = {host: tuple(slots) for host, slots in given.get("stranded", {}).items()}
    stack = mesh.stack(given["services"])
    planned = plan_hosts(stack, {}, mesh.fleet(*hosts), mesh.placed(where, stranded=stranded))
    # A host that is down keeps all it had: nothing here could make that anew.
    had = {slot: (slot.partition("-")[0], host) for host, slots in stranded.items() for slot in slots}
    left = plan_hosts(stack, {}, mesh.fleet(*(mesh.host(name) for name in given["hosts"])), mesh.placed(had))
    planned = replace(
        planned,
        hosts={
            **planned.hosts,
            **{name: replace(left.hosts[name], host=one.host) for name, one in planned.hosts.items() if one.host.down},
        },
    )
    known = MeshCertificates(
        "mesh",
        MeshCertificatesArgs(
            certificates=certificates(planned.naming, planned.hosts, date.fromisoformat(given["today"]))
        ),
    )
    addresses = {name: one["address"] for name, one in given["hosts"].items()}
    routing = {name: _host(planned, name, given["hosts"][name], addresses, known) for name in planned.hosts}
    FleetRouting("routing", FleetRoutingArgs(hosts=routing, network_prefix=planned.naming.prefix))


def _host(
    planned: FleetPlan, name: str, given: dict[str, Any], addresses: dict[str, str], known: MeshCertificates
) -> HostRoutingArgs:
    here, naming = planned.hosts[name], planned.naming
    connection = Connection(
        ConnectionArgs(address=given["address"], host_key=given["host_key"], identity=given["identity"])
    )
    engine = Engine(name, EngineArgs(connection=connection, registries={}))
    machine = Machine(host=here.host, address=pulumi.Output.from_input(given["address"]), connection=connection)
    opts = pulumi.ResourceOptions(provider=engine.provider, transformations=[*machine.bound()])
    edge = Edge(
        on_host(name, EDGE),
        EdgeArgs(
            image=IMAGE,
            naming=naming,
            subnet=here.edge_subnet,
            labels=naming.labels(EDGE, EDGE),
            ports={PUBLIC_PORT: 80, MESH_PORT: MESH_PORT},
            address="0.0.0.0",
            memory=256,
            host=name,
            connection=connection,
            down=here.host.down,
        ),
        opts,
    )
    made: list[Service | StatefulService] = []
    for service in here.services.values():
        assert service.subnet is not None
        network = Network(
            on_host(name, service.name),
            NetworkArgs(
                network_name=naming.network(service.name),
                cidr=service.subnet.cidr,
                gateway=service.subnet.gateway,
                containers=service.subnet.containers,
                labels=naming.labels(service.name, "network"),
            ),
            opts,
        ).network_name
        if service.stateful:
            args = StatefulServiceArgs(
                service=service, naming=naming, network=network, secrets={}, prefix=on_host(name, "")
            )
            made.append(StatefulService(service.name, args, opts))
        else:
            plain = ServiceArgs(service=service, naming=naming, network=network, secrets={}, prefix=on_host(name, ""))
            made.append(Service(on_host(name, service.name), plain, opts))
    containers = {slot: container for one in made for slot, container in one.containers.items()}
    ids = {slot: number for one in made if isinstance(one, StatefulService) for slot, number in one.ids.items()}

    def render(values: list[Any]) -> str:
        names: Mesh = values[2]
        return render_host(planned, name, HostConfig(), values[0], values[1], addresses, names)

    return HostRoutingArgs(
        connection=connection,
        config=pulumi.Output.all(
            pulumi.Output.from_input(containers), pulumi.Output.from_input(ids), known.names[name]
        ).apply(render),
        files=known.files(name),
        edge_name=edge.container_name,
        edge_id=edge.container_id,
        containers=[edge.resource, *(resource for one in made for resource in one.resources)],
        down=given.get("down", False),
    )


main()
