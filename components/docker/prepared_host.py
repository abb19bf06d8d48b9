"""A host made ready for containers over SSH, as often as what it should be changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_command as command

from components.docker import scripts
from components.docker.connection import Connection

BOOT = 600
"""Seconds that a machine which is made may take until it lets us in: creation, boot, cloud-init's first stage."""
REACH = 30
"""Seconds that one which is there already may take: a restart of its SSH server lies within."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedHostArgs:
    host: str
    connection: Connection
    script: pulumi.Input[str]
    """Shell script for the host, run by its root; may run any number of times. A preview shows its diff. It names no
    burst host: those are let in by `OpenedHost`, which no engine of a permanent host waits for (decisions.md 19)."""
    public_key: pulumi.Input[str]
    """`DeployKey.public_key`."""
    owner: pulumi.Input[str]
    """`Owner.mark`: a host that shows another is left as it is."""
    machine: pulumi.Input[str] | None = None
    """Id of a machine that the program made: a rebuilt one is prepared anew. None: an existing server, which lets in
    the stack's key, or that of the person who runs this the first time."""
    ranges: str = ""
    """What SSH is open to, for messages and for the next run's."""
    down: bool = False
    """Known to be dead: it is not called, and prepared anew once it is back."""


class PreparedHost(pulumi.ComponentResource):
    """Runs the host's script over SSH, with the host key pinned; a host that shows another fails the step at once.

    A Command without `triggers` (decisions.md 6): whatever is part of its inputs runs it again in place, and a failed
    run is not stored, so that it is repeated. It has no `delete`: an existing server is never undone, and of one that
    was made nothing is left. Everything on the host has to wait for `resource`.
    """

    ready: pulumi.Output[str]
    resource: pulumi.Resource

    def __init__(self, name: str, args: PreparedHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:docker:PreparedHost", name, None, opts)
        made = args.machine is not None
        run = command.local.Command(
            name,
            # Pulumi prints the command of a failed step before its message, so the script is not in it.
            create="true" if args.down else 'exec sh -c "$QUAYSIDE_PREPARE"',
            stdin=args.script,
            interpreter=["/bin/sh", "-c"],
            environment={
                **environment(args),
                "QUAYSIDE_WAIT": str(BOOT if made else REACH),
                "QUAYSIDE_BOOTS": "1" if made else "0",
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.ready = run.stdout
        self.resource = run
        self.register_outputs({"ready": self.ready})


def environment(args: PreparedHostArgs) -> Mapping[str, pulumi.Input[str]]:
    """How `prepare_host.sh` reaches the host, once it is up."""
    return {
        "QUAYSIDE_PREPARE": scripts.PREPARE_HOST,
        "QUAYSIDE_HOST": args.host,
        "QUAYSIDE_OPTIONS": args.connection.options,
        "QUAYSIDE_OWN_OPTIONS": args.connection.own_options,
        "QUAYSIDE_PREVIOUS_OPTIONS": args.connection.previous_options,
        "QUAYSIDE_DESTINATION": args.connection.destination,
        "QUAYSIDE_PORT": str(args.connection.port),
        # sudo leaves out where the connection comes from, which the script has to know.
        "QUAYSIDE_SHELL": "sh -s"
        if args.connection.user == "root"
        else 'sudo -n env "SSH_CONNECTION=$SSH_CONNECTION" sh -s',
        "QUAYSIDE_PUBLIC_KEY": args.public_key,
        "QUAYSIDE_OWNER": args.owner,
        "QUAYSIDE_WAIT": str(REACH),
        "QUAYSIDE_REACH": str(REACH),
        "QUAYSIDE_BOOTS": "0",
        "QUAYSIDE_MACHINE": args.machine or "",
        "QUAYSIDE_RANGES": args.ranges,
        "QUAYSIDE_JUMP": args.connection.jump.destination if args.connection.jump is not None else "",
    }
