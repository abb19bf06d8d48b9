"""A server that the stack makes: its addresses, its identity, and how it is rebuilt."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_hcloud as hcloud

from components.docker.connection import Connection, ConnectionArgs
from components.docker.deploy_key import host_key, plain_key, with_host_key
from components.hetzner.ids import labels, number
from components.hetzner.network import network_zone
from components.hetzner.rebuild import RebuildArgs, drained

GENERATION = "generation"
"""The label whose change rebuilds the server, and which tells of every server how often that was."""

_AT_CREATION = ("userData", "sshKeys", "image", "location", "serverType", "placementGroupId")
"""What a server is made with, and keeps until it is rebuilt.

The first four replace it (terraform-provider-hcloud, internal/server/resource.go: ForceNew); the last two switch it
off to be changed. All hosts at once, either way. A rebuild takes the values of its day: Pulumi ignores changes of a
resource that stays, and gives a new one what the program says (tried on CLI 3.260).
"""

_NAME = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostArgs:
    server_name: str
    """Its host name, of which the Hetzner project has one: at most 63 of a–z, 0–9, hyphens and dots."""
    server_type: str
    location: str
    """Where it is first made. It stays there with its addresses: a host moves by getting another name."""
    image: str
    """Name or id."""
    generation: int
    cloud_config: str
    """A cloud-init document without host keys, at most 31 KiB."""
    ssh_key_ids: Sequence[pulumi.Input[str]]
    """At least one: Hetzner would mail a password for root otherwise."""
    firewall_ids: Sequence[pulumi.Input[int]]
    """At least one."""
    subnet_id: pulumi.Input[str]
    private_address: str | None = None
    """In the subnet; None: the next free one, and another after a rebuild."""
    placement_group_id: pulumi.Input[int] | None = None
    labels: Mapping[str, str]
    rebuild: RebuildArgs | None = None
    """None: a raised generation rebuilds it whatever runs there."""


class Host(pulumi.ComponentResource):
    """A server with a primary IPv4 and IPv6 address of its own, which outlive it, and a host key made by the program.

    It is rebuilt when its `generation` changes, and only then; with `rebuild`, one an `up` and drained. The old server
    is shut down and deleted first, since an address can be on one server only; its targets at the balancer go before
    it. Address and host key stay, so nothing that connects to it changes; what is on it is lost, so that every Docker
    resource of it needs `deleted_with` (and for CLIs before 3.260 `replace_with`) this server. Data belongs on a
    `DataVolume`.

    Refuses a name that is no host name, a location that Hetzner does not have, a cloud-init document that is too long,
    and a server without firewall or SSH key.
    """

    server: hcloud.Server
    """For `deleted_with`."""
    server_id: pulumi.Output[str]
    """Another one after a rebuild."""
    address: pulumi.Output[str]
    """IPv4, known before the server and through every rebuild."""
    ipv6_address: pulumi.Output[str]
    """Likewise: the first of the server's /64."""
    private_address: pulumi.Output[str]
    host_key: pulumi.Output[str]
    """`ssh-ed25519 AAAA…`."""

    def __init__(self, name: str, args: HostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:hetzner:Host", name, None, opts)
        _check(args)
        child = pulumi.ResourceOptions(parent=self)
        tags = labels(args.labels, host=name)
        ipv4, ipv6 = (
            hcloud.PrimaryIp(
                f"{name}-{kind}",
                type=kind,
                location=args.location,
                # The API would delete it with the first server.
                auto_delete=False,
                labels=tags,
                opts=pulumi.ResourceOptions(parent=self, ignore_changes=["location"]),
            )
            for kind in ("ipv4", "ipv6")
        )
        key = host_key(name, child)
        after: list[pulumi.Resource] = []
        if args.rebuild is not None:
            connection = Connection(
                ConnectionArgs(
                    address=ipv4.ip_address,
                    host_key=key.public_key_openssh.apply(plain_key),
                    identity=args.rebuild.identity,
                    jump=args.rebuild.jump,
                )
            )
            after = [drained(name, args.generation, (args.server_type, args.location), args.rebuild, connection, self)]
        self.server = hcloud.Server(
            name,
            name=args.server_name,
            server_type=args.server_type,
            # Where its addresses are, which cannot leave their location.
            location=ipv4.location,
            image=args.image,
            user_data=with_host_key(args.cloud_config, key),
            ssh_keys=list(args.ssh_key_ids),
            firewall_ids=list(args.firewall_ids),
            # A firewall that is put on servers by their labels is not for this list to take off again.
            ignore_remote_firewall_ids=True,
            placement_group_id=args.placement_group_id,
            public_nets=[
                hcloud.ServerPublicNetArgs(
                    ipv4_enabled=True, ipv4=number(ipv4.id), ipv6_enabled=True, ipv6=number(ipv6.id)
                )
            ],
            networks=[
                # Without `alias_ips`, every update would detach the network (terraform-provider-hcloud#650).
                hcloud.ServerNetworkArgs(subnet_id=args.subnet_id, ip=args.private_address, alias_ips=[])
            ],
            # Containers get their SIGTERM and file systems are written out: volumes come off a machine that is still.
            shutdown_before_deletion=True,
            labels={**tags, GENERATION: str(args.generation)},
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=after,
                ignore_changes=list(_AT_CREATION),
                replace_on_changes=[f"labels.{GENERATION}"],
                delete_before_replace=True,
            ),
        )
        self.server_id = self.server.id
        self.address = ipv4.ip_address
        # The network's own address is what the API gives for an IPv6 one; the server has the first behind it.
        self.ipv6_address = ipv6.ip_address.apply(lambda network: f"{network}1")
        self.private_address = self.server.networks.apply(_private_address)
        self.host_key = key.public_key_openssh.apply(plain_key)
        self.register_outputs(
            {
                "server_id": self.server_id,
                "address": self.address,
                "ipv6_address": self.ipv6_address,
                "private_address": self.private_address,
                "host_key": self.host_key,
            }
        )


def _private_address(networks: Sequence[hcloud.outputs.ServerNetwork] | None) -> str:
    return (networks[0].ip or "") if networks else ""


def _check(args: HostArgs) -> None:
    if not _NAME.fullmatch(args.server_name):
        raise ValueError(f"server_name should be 1–63 of a–z, 0–9, hyphens and dots, got {args.server_name!r}")
    if args.generation < 0:
        raise ValueError(f"generation should be at least 0, got {args.generation}")
    if not args.ssh_key_ids:
        raise ValueError(f"ssh_key_ids should have at least one, got none for {args.server_name}")
    if not args.firewall_ids:
        raise ValueError(f"firewall_ids should have at least one, got none for {args.server_name}")
    network_zone(args.location)
