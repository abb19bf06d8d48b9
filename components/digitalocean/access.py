"""The stack's public key, as the cloud puts it on the machines that it makes."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_digitalocean as digitalocean


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessArgs:
    public_key: pulumi.Input[str]
    """`DeployKey.public_key`. An account has each key once; those of people are for cloud-init."""


class Access(pulumi.ComponentResource):
    """The key that a new machine lets in as root; with one, the cloud makes and mails no password."""

    id: pulumi.Output[str]

    def __init__(self, name: str, args: AccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:digitalocean:Access", name, None, opts)
        key = digitalocean.SshKey(name, public_key=args.public_key, opts=pulumi.ResourceOptions(parent=self))
        self.id = key.id
        self.register_outputs({"id": self.id})
