"""A host that leaves the program: what was placed there is taken away, before its data can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command

from components.docker.host_room import HostRoomArgs, environment


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLeaveArgs:
    room: HostRoomArgs
    after: Sequence[pulumi.Resource]
    """What is deleted later: volumes with data, which are in use until then, and the host's routing."""


class HostLeave(pulumi.ComponentResource):
    """A Command that does nothing until it is deleted. Then it takes away what was forgotten with `HostRoom.placed`.

    On a host that is down, and with a machine that goes as well, that is nothing, and no call is made.
    """

    def __init__(self, name: str, args: HostLeaveArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:docker:HostLeave", name, None, opts)
        machine = args.room.machine
        command.local.Command(
            f"{name}-leave",
            create="true",
            delete='exec sh -c "$QUAYSIDE_ROOM" room away',
            interpreter=["/bin/sh", "-c"],
            environment=environment(args.room),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                deleted_with=machine,
                replace_with=[machine] if machine is not None else None,
            ),
        )
        self.register_outputs({})
