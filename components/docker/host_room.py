"""What placement puts on a host, as one thing: room is made for it first, and it can be forgotten without a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command

from components.docker import scripts
from components.docker.connection import Connection

_MAKE = 'exec sh -c "$QUAYSIDE_ROOM" room make'


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRoomArgs:
    host: str
    connection: Connection
    stack: str
    """`Naming.key`, the label of the stack's containers."""
    owner: pulumi.Input[str]
    """`Owner.mark`: a host that was handed over is left as it is, and one that leaves is freed."""
    wanted: Sequence[str]
    """What is placed there, by `planning.hosts.room`."""
    data: Sequence[str]
    """Services with a volume in the host's engine, by `planning.hosts.room`."""
    keep: Sequence[str]
    """What stays in the program while the host is down, and is not swept away: its edge; nothing of a burst host."""
    prepared: pulumi.Resource | None
    """None on a burst host that is down."""
    down: bool = False
    machine: pulumi.Resource | None = None
    """What the program made: nothing has to be swept from what is deleted."""


class HostRoom(pulumi.ComponentResource):
    """Two Commands before everything that placement puts on a host.

    `NAME-room` runs whenever what is placed there changes. It fails, with nothing made, where the host cannot be
    reached or has too little free memory for what is new, by its containers' limits. It prints what it was asked for:
    with that, the next run knows what is new. On a host that is down it calls nobody, and fails where something would
    have to be made there all the same: a volume that it does not remember.

    `NAME-placed` does nothing. Everything that was placed there is `deleted_with` it, but for volumes with data. So a
    host that is down loses it, and with it the engine forgets all of that without a call: a plan has no memory of what
    the host had, and needs none. Once the host is back, `room` takes away what was forgotten and is still there,
    before it is made anew. When the host leaves the program, `HostLeave` takes it away.
    """

    room: pulumi.Resource
    placed: pulumi.Resource | None
    """None on a host that is down."""

    def __init__(self, name: str, args: HostRoomArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:docker:HostRoom", name, None, opts)
        gone = [args.machine] if args.machine is not None else None
        self.room = command.local.Command(
            f"{name}-room",
            # Pulumi prints the command of a failed step before its message, so the script is not in it.
            create=_MAKE,
            # What it prints is for the next run, and no news to anybody.
            logging=command.local.Logging.STDERR,
            interpreter=["/bin/sh", "-c"],
            environment={
                **environment(args),
                "QUAYSIDE_DATA": " ".join(args.data),
                "QUAYSIDE_WANTED": "\n".join(args.wanted),
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.prepared] if args.prepared is not None else None,
                deleted_with=args.machine,
                replace_with=gone,
            ),
        )
        self.placed = None
        if not args.down:
            self.placed = command.local.Command(
                f"{name}-placed",
                create="true",
                opts=pulumi.ResourceOptions(
                    parent=self, depends_on=[self.room], deleted_with=args.machine, replace_with=gone
                ),
            )
        self.register_outputs({})


def environment(args: HostRoomArgs) -> Mapping[str, pulumi.Input[str]]:
    """What `room.sh` needs whatever it is to do."""
    return {
        "QUAYSIDE_ROOM": scripts.ROOM,
        "QUAYSIDE_THERE": scripts.ROOM_THERE,
        "QUAYSIDE_HOST": args.host,
        "QUAYSIDE_OPTIONS": args.connection.options,
        "QUAYSIDE_DESTINATION": args.connection.destination,
        "QUAYSIDE_DOWN": "1" if args.down else "0",
        "QUAYSIDE_OWNER": args.owner,
        "QUAYSIDE_STACK": args.stack,
        "QUAYSIDE_KEEP": " ".join(args.keep),
    }
