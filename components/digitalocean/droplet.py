"""A rented host for a peak."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_digitalocean as digitalocean

from components.docker.deploy_key import host_key, plain_key, with_host_key

_AT_CREATION = ("userData", "sshKeys", "vpcUuid", "image", "region", "size")
"""What a droplet is made with, and keeps until it is rebuilt.

All but the size replace it (terraform-provider-digitalocean, droplet/resource_droplet.go: ForceNew); a changed size
powers it off. All droplets at once, either way.
"""

_NAME = re.compile(r"(?=.{1,58}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class DropletArgs:
    droplet_name: str
    """At most 58 of a–z, 0–9, hyphens and dots; its generation, where it has one, is put behind, after a dot."""
    size: str
    region: str
    image: str
    """Slug or id."""
    generation: int
    cloud_config: str
    """A cloud-init document without host keys, at most 31 KiB: the same as that of the fleet's other hosts."""
    ssh_key_ids: Sequence[pulumi.Input[str]]
    """At least one: DigitalOcean would mail a password for root otherwise."""
    vpc_id: pulumi.Input[str]
    tags: Sequence[pulumi.Input[str]]
    """Of Tag resources, the firewall's among them."""
    firewall: pulumi.Resource
    """Is there before the droplet."""


class Droplet(pulumi.ComponentResource):
    """A droplet with a host key made by the program, watched by DigitalOcean's agent, without its web console.

    It has no IPv6: the fleet's edges reach it by IPv4, and there is nothing else to reach. It is rebuilt when its
    `generation` changes, and only then; the old one is deleted first, after a shutdown. It gets another address then.
    Refuses a name that is no host name, and a droplet without SSH key or tag.
    """

    droplet: digitalocean.Droplet
    """For `deleted_with`."""
    droplet_id: pulumi.Output[str]
    address: pulumi.Output[str]
    """IPv4."""
    host_key: pulumi.Output[str]
    """`ssh-ed25519 AAAA…`."""

    def __init__(self, name: str, args: DropletArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:digitalocean:Droplet", name, None, opts)
        _check(args)
        key = host_key(name, pulumi.ResourceOptions(parent=self))
        suffix = f".g{args.generation}" if args.generation else ""
        self.droplet = digitalocean.Droplet(
            name,
            # The name tells the generation: tags are a set without values, and any other of them would rebuild it, too.
            name=f"{args.droplet_name}{suffix}",
            size=args.size,
            region=args.region,
            image=args.image,
            user_data=with_host_key(args.cloud_config, key),
            ssh_keys=list(args.ssh_key_ids),
            vpc_uuid=args.vpc_id,
            tags=list(args.tags),
            monitoring=True,
            droplet_agent=False,
            ipv6=False,
            backups=False,
            graceful_shutdown=True,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.firewall],
                ignore_changes=list(_AT_CREATION),
                replace_on_changes=["name"],
                delete_before_replace=True,
            ),
        )
        self.droplet_id = self.droplet.id
        self.address = self.droplet.ipv4_address
        self.host_key = key.public_key_openssh.apply(plain_key)
        self.register_outputs({"droplet_id": self.droplet_id, "address": self.address, "host_key": self.host_key})


def _check(args: DropletArgs) -> None:
    if not _NAME.fullmatch(args.droplet_name):
        raise ValueError(f"droplet_name should be 1–58 of a–z, 0–9, hyphens and dots, got {args.droplet_name!r}")
    if args.generation < 0:
        raise ValueError(f"generation should be at least 0, got {args.generation}")
    if not args.ssh_key_ids:
        raise ValueError(f"ssh_key_ids should have at least one, got none for {args.droplet_name}")
    if not args.tags:
        raise ValueError(f"tags should have the firewall's, got none for {args.droplet_name}")
