"""The door of a service on a host: the container that its `ports` are published on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.docker.labels import container_labels
from planning import ServicePlan
from planning.hosts.door import DOOR_MEMORY, door
from planning.names import ROLE_DOOR, Naming
from settings.units import MIB

_CONFIG = "/tmp/haproxy.cfg"  # noqa: S108  # in a file system of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorArgs:
    service: ServicePlan
    naming: Naming
    network: pulumi.Input[str]
    """The service's own."""
    image: str
    """HAProxy: the edge's."""
    after: Sequence[pulumi.Resource] = ()
    """What has pulled the image, for the old one stops before the new one starts."""


class Door(pulumi.ComponentResource):
    """A TCP proxy on the service's published ports, 64 MiB, that sends to the healthy replicas of its network.

    It finds them by the service's name, so a release leaves it as it is; a change of the ports, the health path or the
    image replaces it stop-first, a gap of seconds on these ports alone. Refuses nothing: the plan has.
    """

    def __init__(self, name: str, args: DoorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:docker:Door", name, None, opts)
        of, memory = args.service.name, DOOR_MEMORY // MIB
        docker.Container(
            name,
            name=args.naming.door(of),
            image=args.image,
            entrypoints=["/bin/sh", "-c"],
            command=[f"printf '%s' \"$CONFIG\" >{_CONFIG} && exec haproxy -db -f {_CONFIG}"],
            envs=[f"CONFIG={door(args.service)}"],
            networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=args.network)],
            ports=[
                # On IPv4 alone: Docker 20.10 filters no IPv6 (decisions.md 18).
                docker.ContainerPortArgs(internal=port, external=port, ip="0.0.0.0")  # noqa: S104
                for port in sorted({port.port for port in args.service.settings.ports})
            ],
            sysctls={"net.ipv4.ip_forward": "0", "net.ipv4.ip_unprivileged_port_start": "0"},
            memory=memory,
            memory_swap=memory,
            read_only=True,
            tmpfs={"/tmp": ""},  # noqa: S108  # a mount point, not a file
            capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"]),
            security_opts=["no-new-privileges:true"],
            restart="unless-stopped",
            must_run=False,
            destroy_grace_seconds=10,
            stop_timeout=10,
            # A soft stop would refuse callers for as long as one long connection lives.
            stop_signal="SIGTERM",
            log_driver="local",
            log_opts={"max-size": "10m", "max-file": "3"},
            labels=container_labels(args.naming.labels(of, ROLE_DOOR)),
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True, depends_on=list(args.after)),
        )
        self.register_outputs({})
