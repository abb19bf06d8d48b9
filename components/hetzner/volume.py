"""The data of a stateful service on a host that is made: a volume that outlives the host."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_command as command
import pulumi_hcloud as hcloud

from components.docker.connection import Connection
from components.hetzner.ids import labels

SMALLEST, LARGEST = 10, 10240
"""GB that a volume can have."""

_MOUNT = (Path(__file__).parent / "mount_volume.sh").read_text()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataVolumeArgs:
    server_id: pulumi.Input[str]
    connection: Connection
    size: int
    """GB, 10–10240; it can be raised later, and never lowered."""
    prepared: pulumi.Resource
    """What prepares the host: the volume is mounted after it."""
    mounted: bool = True
    """False on a host that is down: the volume stays attached, and no call goes there."""
    goes_with: pulumi.Resource | None = None
    """What mounted it is deleted with this."""
    labels: Mapping[str, str]
    protect: bool = True
    """The stack's: by Pulumi and by Hetzner, until this is false and was applied."""


class DataVolume(pulumi.ComponentResource):
    """A protected volume with an ext4 file system, attached and mounted. Its name leaves out the host.

    The attachment is part of the volume, not a resource: a rebuild of the server deletes what refers to it first, and
    would so pull the volume from under a running database. This way the server is shut down, deleted and made anew, and
    then the volume changes in place to the new one. Growing it is done in place, too.

    To move a service to another host of the same location, set its `replicas: 0` and apply that first: Pulumi attaches
    the volume to the new host before it stops the container on the old one.

    Refuses a size that Hetzner does not sell. Raising it is final.
    """

    device: str
    """Folder on the host for Docker's `local` driver (`type: none, o: bind`)."""
    resource: pulumi.Resource | None = None
    """Whatever uses the folder depends on it: before, the folder is not there. None where it is not mounted."""

    def __init__(self, name: str, args: DataVolumeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:hetzner:DataVolume", name, None, opts)
        if not SMALLEST <= args.size <= LARGEST:
            raise ValueError(f"size should be {SMALLEST}–{LARGEST} GB, got {args.size} for {name}")
        volume = hcloud.Volume(
            name,
            size=args.size,
            server_id=pulumi.Output.from_input(args.server_id).apply(int),
            format="ext4",
            automount=False,
            delete_protection=args.protect,
            labels=labels(args.labels, volume=name),
            # Where it is follows from the server it was made with, and cannot change.
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect, ignore_changes=["format", "automount"]),
        )
        folder = mount_point(name)
        self.device = f"{folder}/data"
        if args.mounted:
            self.resource = self._mount(name, folder, volume, args)
        self.register_outputs({"device": self.device})

    def _mount(self, name: str, folder: str, volume: hcloud.Volume, args: DataVolumeArgs) -> pulumi.Resource:
        return command.local.Command(
            name,
            # Pulumi prints the command of a failed step before its message, so the script is not in it.
            create='eval "ssh $QUAYSIDE_OPTIONS \\"\\$QUAYSIDE_DESTINATION\\" \\"\\$QUAYSIDE_RUN\\""',
            stdin=_MOUNT,
            interpreter=["/bin/sh", "-c"],
            environment={
                "QUAYSIDE_OPTIONS": args.connection.options,
                "QUAYSIDE_DESTINATION": args.connection.destination,
                "QUAYSIDE_RUN": pulumi.Output.concat(
                    "" if args.connection.user == "root" else "sudo -n ",
                    "sh -s -- ",
                    volume.linux_device.apply(shlex.quote),
                    " ",
                    folder,
                ),
                # Both run it again: another machine, and a larger volume.
                "QUAYSIDE_MACHINE": args.server_id,
                "QUAYSIDE_SIZE": str(args.size),
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.prepared, volume], deleted_with=args.goes_with),
        )


def mount_point(name: str) -> str:
    return f"/mnt/quayside/{name}"
