"""Platform ``local``: every service on one Docker engine, behind one edge."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.docker.edge import Edge, EdgeArgs
from components.docker.network import Network, NetworkArgs
from components.docker.routing import Routing, RoutingArgs
from components.docker.service import Service, ServiceArgs
from components.docker.stateful_service import StatefulService, StatefulServiceArgs
from planning import Plan, plan
from planning.edge import PUBLIC_PORT, EdgeConfig, edge_image, render
from planning.names import EDGE
from planning.notes import notes
from platforms.local_images import builds
from settings.load import Loaded
from settings.units import MIB


class Local(pulumi.ComponentResource):
    """An edge, and for each service a network and its containers; then one routing that brings them together."""

    def __init__(self, name: str, loaded: Loaded, planned: Plan, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:platform:Local", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        naming, settings = planned.naming, loaded.stack.edge
        edge = Edge(
            EDGE,
            EdgeArgs(
                image=edge_image(loaded.stack),
                naming=naming,
                subnet=planned.edge_subnet,
                labels=naming.labels(EDGE, EDGE),
                # No port for HTTPS: a laptop has no packet filter that would close it, and no certificate.
                ports={PUBLIC_PORT: settings.http},
                address=settings.address,
                memory=settings.memory // MIB,
            ),
            child,
        )
        services: dict[str, Service | StatefulService] = {}
        for service_name, service in planned.services.items():
            network = None
            if service.subnet is not None:
                network = Network(
                    service_name,
                    NetworkArgs(
                        network_name=naming.network(service_name),
                        cidr=service.subnet.cidr,
                        gateway=service.subnet.gateway,
                        containers=service.subnet.containers,
                        labels=naming.labels(service_name, "network"),
                    ),
                    child,
                ).network_name
            secrets = {env: loaded.secrets[key] for env, key in service.settings.secrets.items()}
            after = [resource for other in service.settings.after for resource in services[other].resources]
            if service.stateful:
                services[service_name] = StatefulService(
                    service_name,
                    StatefulServiceArgs(
                        service=service,
                        naming=naming,
                        network=network,
                        secrets=secrets,
                        after=after,
                        protect=loaded.stack.protect,
                    ),
                    child,
                )
            else:
                services[service_name] = Service(
                    service_name,
                    ServiceArgs(service=service, naming=naming, network=network, secrets=secrets, after=after),
                    child,
                )
        containers = {slot: name for service in services.values() for slot, name in service.containers.items()}
        ids = {
            slot: number
            for service in services.values()
            if isinstance(service, StatefulService)
            for slot, number in service.ids.items()
        }
        config = EdgeConfig(public_port=settings.http, extra=settings.extra, memory=settings.memory)
        Routing(
            "routing",
            RoutingArgs(
                config=pulumi.Output.all(pulumi.Output.from_input(containers), pulumi.Output.from_input(ids)).apply(
                    lambda known: render(planned, config, *known)
                ),
                edge_name=edge.container_name,
                edge_id=edge.container_id,
                network_prefix=naming.prefix,
            ),
            [edge.resource, *(resource for service in services.values() for resource in service.resources)],
            child,
        )
        self.register_outputs({})


def build(loaded: Loaded) -> Mapping[str, object]:
    planned = plan(loaded.stack, loaded.sources, builds(loaded.stack))
    for note in notes(loaded.stack):
        pulumi.log.warn(note)
    Local("local", loaded, planned)
    return outputs(planned)


def outputs(planned: Plan) -> Mapping[str, object]:
    """What the stack exports: plain values, known at preview."""
    return {
        "urls": sorted({url for service in planned.services.values() for url in service.urls}),
        "routes": [{"host": route.host, "path": route.path, "service": route.service} for route in planned.routes],
        "reach": [{"from": r.source, "to": r.target, "address": r.address} for r in planned.reach],
        "placement": [
            {
                "host": "local",
                "steady": planned.fit.steady,
                "surge": planned.fit.surge,
                "available": planned.fit.available,
            }
        ],
        "services": [
            {
                "service": service.name,
                "replicas": len(service.slots),
                "memory": service.settings.memory,
                "urls": list(service.urls),
            }
            for service in sorted(planned.services.values(), key=lambda s: s.name)
        ],
    }
