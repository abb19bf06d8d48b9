"""The edge: the one published container of a host, in front of every service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components.docker import scripts
from components.docker.connection import Connection
from components.docker.labels import container_labels, network_labels, volume_labels
from planning import route_map
from planning.edge import MASTER_PORT, bootstrap
from planning.names import EDGE, Naming
from planning.subnets import Subnet
from settings.units import MIB

_FOLDER = "/var/lib/haproxy"
_LEAST = 64 * MIB
"""What the first configuration is made for, whatever `memory` is: another one would replace the edge."""
_CONFIG = f"{_FOLDER}/haproxy.cfg"
_ROUTES = f"{_FOLDER}/{route_map.FOLDER}"
# Without the file of its routes, on a volume that came back from elsewhere or after a loss of power, HAProxy would not
# start, and nobody could mend it from inside.
# A container that was just made is in none of the networks that its configuration names: HAProxy would wait for each
# name of it, so it starts when `edge_ready.sh` has joined them. One that starts again is in them already.
START = f"""\
test -s {_CONFIG} || printf '%s' "$BOOTSTRAP" >{_CONFIG}
name=$(sed -n 's/^#: routes //p' {_CONFIG})
if [ -n "$name" ] && ! sed -n 's/^#: route //p' {_CONFIG} | cmp -s - {_ROUTES}/"$name"; then
    mkdir -p {_ROUTES}
    sed -n 's/^#: route //p' {_CONFIG} >{_ROUTES}/"$name"
fi
tries=0
until [ "$(cat {_FOLDER}/joined 2>/dev/null)" = "$HOSTNAME" ] || [ "$tries" -ge 100 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
exec haproxy -W -db -S 127.0.0.1:{MASTER_PORT} -f {_CONFIG}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeArgs:
    image: str
    naming: Naming
    subnet: Subnet
    labels: Mapping[str, str]
    ports: Mapping[int, int]
    """Port of the edge → port of the host. One more replaces the edge, so all that a later setting may need are there
    from the start; whom they are open to, the host's packet filter decides."""
    address: str
    """Address of the host."""
    memory: int
    """Hard limit in MiB."""
    host: str = ""
    """Its name in messages."""
    connection: Connection | None = None
    """None: this machine's engine."""
    down: bool = False
    """Known to be dead: it is not called."""
    after: Sequence[pulumi.Resource] = ()
    """`Edge.resource` of the edge that is replaced before this one: while one is away, the others serve."""
    settle: int = 0
    """Seconds until a balancer has seen that a new container serves."""


class Edge(pulumi.ComponentResource):
    """HAProxy with its configuration on a volume, so that it comes back with its last good routing by itself.

    Nothing here changes when services come, change or go: all of that is configuration, which the routing brings in.
    Replacing the edge itself (its image, its port) is stop-first and costs a gap of seconds on a single host. Its image
    is there before the old one goes. A Command then brings it back to the routing that it had, and fails where it does
    not serve; it is no part of a release, which may take as long as its replicas need.
    """

    container_id: pulumi.Output[str]
    container_name: pulumi.Output[str]
    resource: pulumi.Resource
    """The edge, once it serves again."""
    image: pulumi.Resource
    """What has pulled its image."""

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
        self.image = docker.RemoteImage(
            name, name=args.image, keep_locally=True, opts=pulumi.ResourceOptions(parent=self)
        )
        container = docker.Container(
            name,
            name=args.naming.edge,
            image=args.image,
            entrypoints=["/bin/sh", "-c"],
            command=[START],
            envs=[f"BOOTSTRAP={bootstrap(_LEAST)}"],
            networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=network.name)],
            ports=[
                docker.ContainerPortArgs(internal=internal, external=external, ip=args.address)
                for internal, external in args.ports.items()
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
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True, depends_on=[self.image, *args.after]),
        )
        self.container_id = container.id
        self.container_name = container.name
        self.resource = self._ready(name, args, container)
        self.register_outputs({"container_name": self.container_name})

    def _ready(self, name: str, args: EdgeArgs, container: docker.Container) -> pulumi.Resource:
        run, reached = 'exec sh -c "$QUAYSIDE_READY"', dict[str, pulumi.Input[str]]()
        if args.connection is not None:
            run = 'exec sh -c "$QUAYSIDE_REACH" reach "$QUAYSIDE_READY"'
            reached = {
                "QUAYSIDE_REACH": scripts.REACH,
                "QUAYSIDE_OPTIONS": args.connection.options,
                "QUAYSIDE_DESTINATION": args.connection.destination,
            }
        return command.local.Command(
            name,
            # Pulumi prints the command of a failed step before its message, so the script is not in it.
            create="true" if args.down else run,
            interpreter=["/bin/sh", "-c"],
            environment={
                "QUAYSIDE_READY": scripts.EDGE_READY,
                "QUAYSIDE_HOST": args.host,
                "QUAYSIDE_EDGE": container.name,
                # Whatever makes it anew runs this again.
                "QUAYSIDE_EDGE_ID": container.id,
                "QUAYSIDE_SETTLE": str(args.settle),
                **reached,
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[container]),
        )
