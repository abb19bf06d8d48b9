"""The edge: the one published container of a host, in front of every service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.docker.labels import container_labels, network_labels, volume_labels
from planning.edge import BOOTSTRAP, MASTER_PORT, PUBLIC_PORT
from planning.hosts.plan import MESH_PORT, TLS_PORT
from planning.hosts.security import HEALTH_PORT
from planning.names import EDGE, Naming
from planning.subnets import Subnet

_CONFIG = "/var/lib/haproxy/haproxy.cfg"
_START = f"""\
test -s {_CONFIG} || printf '%s' "$BOOTSTRAP" >{_CONFIG}
exec haproxy -W -db -S 127.0.0.1:{MASTER_PORT} -f {_CONFIG}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeArgs:
    image: str
    naming: Naming
    subnet: Subnet
    labels: Mapping[str, str]
    http: int | None
    """Port of the host for visitors; None: none come here."""
    address: str
    """Address of the host."""
    memory: int
    """Hard limit in MiB."""
    https: int | None = None
    """Port of the host, where the edge has a visitors' certificate."""
    mesh: bool = False
    """Whether edges of other hosts reach it."""
    health: bool = False
    """Whether a balancer asks for its health."""


class Edge(pulumi.ComponentResource):
    """HAProxy with its configuration on a volume, so that it comes back with its last good routing by itself.

    Nothing here changes when services come, change or go: all of that is configuration, which the routing brings in.
    Replacing the edge itself (its image, its port) is stop-first and costs a gap of seconds on a single host.
    """

    container_id: pulumi.Output[str]
    container_name: pulumi.Output[str]
    resource: pulumi.Resource

    def __init__(self, name: str, args: EdgeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:docker:Edge", name, None, opts)
        network = docker.Network(
            name,
            name=args.naming.edge_network,
            driver="bridge",
            ipam_configs=[
                docker.NetworkIpamConfigArgs(
                    subnet=args.subnet.cidr, gateway=args.subnet.gateway, ip_range=args.subnet.containers
                )
            ],
            labels=network_labels(args.labels),
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        volume = docker.Volume(
            name,
            name=args.naming.volume(EDGE),
            labels=volume_labels(args.labels),
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        container = docker.Container(
            name,
            name=args.naming.edge,
            image=args.image,
            entrypoints=["/bin/sh", "-c"],
            command=[_START],
            envs=[f"BOOTSTRAP={BOOTSTRAP}"],
            networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=network.name)],
            ports=[
                docker.ContainerPortArgs(internal=internal, external=external, ip=args.address)
                for internal, external in _ports(args).items()
            ],
            volumes=[docker.ContainerVolumeArgs(container_path="/var/lib/haproxy", volume_name=volume.name)],
            sysctls={
                # It is in every service's network and must not be a way from one to another.
                "net.ipv4.ip_forward": "0",
                "net.ipv4.ip_unprivileged_port_start": "0",
            },
            memory=args.memory,
            memory_swap=args.memory,
            read_only=True,
            tmpfs={"/tmp": ""},  # noqa: S108  # a mount point, not a file
            capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"]),
            security_opts=["no-new-privileges:true"],
            restart="unless-stopped",
            must_run=False,
            destroy_grace_seconds=10,
            stop_timeout=10,
            # A soft stop would refuse visitors for as long as one long connection lives.
            stop_signal="SIGTERM",
            log_driver="local",
            log_opts={"max-size": "10m", "max-file": "3"},
            labels=container_labels(args.labels),
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.container_id = container.id
        self.container_name = container.name
        self.resource = container
        self.register_outputs({"container_name": self.container_name})


def _ports(args: EdgeArgs) -> Mapping[int, int]:
    """Port of the edge → port of the host."""
    ports = {} if args.http is None else {PUBLIC_PORT: args.http}
    if args.https is not None:
        ports[TLS_PORT] = args.https
    if args.mesh:
        ports[MESH_PORT] = MESH_PORT
    if args.health:
        ports[HEALTH_PORT] = HEALTH_PORT
    return ports
