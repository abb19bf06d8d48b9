"""The stack's public key, as the cloud puts it on the machines that it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_hcloud as hcloud

from components.hetzner.ids import labels


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessArgs:
    public_key: pulumi.Input[str]
    """`DeployKey.public_key`. A project has each key once; those of people are for cloud-init."""
    labels: Mapping[str, str]


class Access(pulumi.ComponentResource):
    """The key that a new machine lets in as root; with one, the cloud makes and mails no password."""

    id: pulumi.Output[str]

    def __init__(self, name: str, args: AccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:hetzner:Access", name, None, opts)
        key = hcloud.SshKey(
            name, public_key=args.public_key, labels=labels(args.labels), opts=pulumi.ResourceOptions(parent=self)
        )
        self.id = key.id
        self.register_outputs({"id": self.id})
