"""A service with a volume: one container, replaced stop-first, and data that no release deletes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.docker.container import NOT_UPDATED, ReplicaArgs, replica
from components.docker.files import service_files
from components.docker.labels import volume_labels
from planning import ServicePlan
from planning.names import ROLE_STATEFUL, Naming


@dataclass(frozen=True, slots=True, kw_only=True)
class StatefulServiceArgs:
    service: ServicePlan
    naming: Naming
    network: pulumi.Input[str] | None
    secrets: Mapping[str, pulumi.Input[str]]
    after: Sequence[pulumi.Resource] = ()
    pulls: Sequence[pulumi.Resource] = ()
    """What its image cannot be pulled without: the registry of its host."""
    prefix: str = ""
    """Before the names of resources, but for the volume's: on a fleet, the host's."""
    device: str | None = None
    """Folder of the host that is the volume, on a disk that is protected itself; None: Docker's own folder."""
    protect: bool = True
    """The stack's: the volume cannot be deleted until this is false and was applied."""
    ports: Sequence[tuple[str, int]] = ()
    """Protocol and port that the host publishes."""


class StatefulService(pulumi.ComponentResource):
    """One container on a volume, which the stack protects; with `replicas: 0` the volume alone.

    The old one stops before the new one starts: two processes on one volume corrupt it. So there is a gap of seconds;
    the edge holds new connections meanwhile, and the image is on the host before the old container stops. The container
    keeps its name, so the routing does not change with it.
    """

    containers: Mapping[str, pulumi.Output[str]]
    ids: Mapping[str, pulumi.Output[str]]
    """Slot → container id: what tells a replaced container from its predecessor, whose name it has."""
    resources: Sequence[pulumi.Resource]
    volume: pulumi.Resource

    def __init__(self, name: str, args: StatefulServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:docker:StatefulService", name, None, opts)
        of = args.service.name
        volume = docker.Volume(
            of,
            name=args.naming.volume(of),
            driver="local" if args.device is not None else None,
            driver_opts={"type": "none", "o": "bind", "device": args.device} if args.device is not None else None,
            labels=volume_labels(args.naming.labels(of, ROLE_STATEFUL)),
            # One that the rehearsal made, and pulumi takes over, has labels beside these; no volume's can be changed.
            opts=pulumi.ResourceOptions(
                parent=self,
                # What is bound goes with its host, and the disk outlives both.
                protect=args.protect and args.device is None,
                ignore_changes=["labels"],
                depends_on=list(args.after) if args.device is not None else None,
            ),
        )
        files = service_files(args.service, args.naming, pulumi.ResourceOptions(parent=self), args.prefix, args.pulls)
        containers: dict[str, docker.Container] = {}
        for slot in args.service.slots:
            image = docker.RemoteImage(
                f"{args.prefix}{of}",
                name=slot.image,
                keep_locally=True,
                opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.pulls) or None),
            )
            containers[slot.name] = replica(
                ReplicaArgs(
                    service=args.service,
                    slot=slot,
                    network=args.network,
                    secrets=args.secrets,
                    files=files.get(slot.image, {}),
                    prefix=args.prefix,
                    ports=args.ports,
                    labels=args.naming.labels(of, ROLE_STATEFUL, slot.name),
                    container_name=args.naming.stateful(of),
                    volume=volume.name,
                ),
                pulumi.ResourceOptions(
                    parent=self,
                    delete_before_replace=True,
                    replace_on_changes=NOT_UPDATED,
                    depends_on=[image, *args.after],
                ),
            )
        self.containers = {slot: container.name for slot, container in containers.items()}
        self.ids = {slot: container.id for slot, container in containers.items()}
        self.resources = tuple(containers.values())
        self.volume = volume
        self.register_outputs({"containers": self.containers})
