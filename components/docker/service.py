"""A stateless service on one Docker engine: its replicas, replaced create-first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.docker.container import NOT_UPDATED, ReplicaArgs, replica
from components.docker.files import service_files
from planning import ServicePlan
from planning.names import Naming


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceArgs:
    service: ServicePlan
    naming: Naming
    network: pulumi.Input[str] | None
    """The service's own network; None on the host's network."""
    secrets: Mapping[str, pulumi.Input[str]]
    after: Sequence[pulumi.Resource] = ()
    """Containers that are created before these."""
    pulls: Sequence[pulumi.Resource] = ()
    """What its images cannot be pulled without: the registry of its host."""
    prefix: str = ""
    """Before the names of resources: on a fleet, the host's."""
    alias: str | None = None
    """Name by which a door in the service's network finds its replicas."""


class Service(pulumi.ComponentResource):
    """One container a slot, with no fixed name and no published port.

    A changed container is created beside the old one, which goes only after the routing has switched; both are there
    meanwhile, so a release needs memory for two of everything it changes. Refuses nothing: the plan has.
    """

    containers: Mapping[str, pulumi.Output[str]]
    """Slot → container name."""
    resources: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: ServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:docker:Service", name, None, opts)
        files = service_files(args.service, args.naming, pulumi.ResourceOptions(parent=self), args.prefix, args.pulls)
        containers = {
            slot.name: replica(
                ReplicaArgs(
                    service=args.service,
                    slot=slot,
                    network=args.network,
                    secrets=args.secrets,
                    files=files.get(slot.image, {}),
                    prefix=args.prefix,
                    alias=args.alias,
                    labels=args.naming.labels(args.service.name, "canary" if slot.canary else "service", slot.name),
                ),
                pulumi.ResourceOptions(
                    parent=self,
                    # Said outright: left alone, the provider deletes the healthy container first (facts.md 1).
                    delete_before_replace=False,
                    replace_on_changes=NOT_UPDATED,
                    depends_on=[*args.after, *args.pulls],
                ),
            )
            for slot in args.service.slots
        }
        self.containers = {slot: container.name for slot, container in containers.items()}
        self.resources = tuple(containers.values())
        self.register_outputs({"containers": self.containers})
