"""The container every replica is: the same hardening, limits and logging, whoever makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.docker.labels import container_labels
from planning import ServicePlan
from planning.hosts.packetfilter import NO_METADATA
from planning.names import LABEL_BUILD
from planning.plan import Slot
from settings.units import whole_mib

NOT_UPDATED = ["healthcheck", "tmpfs", "init"]
"""Inputs that the provider would note as changed, and leave the container as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaArgs:
    """What a replica needs beside its plan."""

    service: ServicePlan
    slot: Slot
    network: pulumi.Input[str] | None
    """None: the host's network."""
    secrets: Mapping[str, pulumi.Input[str]]
    """Environment name → secret value."""
    labels: Mapping[str, str]
    container_name: str | None = None
    """Unset, as it must be for create-first replacement: two of one name cannot exist."""
    volume: pulumi.Input[str] | None = None
    """The volume of a stateful service."""
    files: Mapping[str, pulumi.Input[str]]
    """Folder → the volume that holds the service's files in it."""
    prefix: str = ""
    """Before the resource's name: on a fleet, the host's."""
    ports: Sequence[tuple[str, int]] = ()
    """Protocol and port that the host publishes: only for what is replaced stop-first."""
    alias: str | None = None
    """Name by which others in its network find it, with all that have the same."""


def replica(args: ReplicaArgs, opts: pulumi.ResourceOptions) -> docker.Container:
    """Declare one container: capabilities dropped, root read-only, memory capped without swap, logs bounded."""
    settings = args.service.settings
    return docker.Container(
        f"{args.prefix}{args.slot.name}",
        name=args.container_name,
        # Docker's own is another with each release, and some keep their data under it (RabbitMQ).
        hostname=args.slot.name if args.volume is not None and args.network is not None else None,
        image=args.slot.image,
        command=list(settings.command) if settings.command is not None else None,
        user=settings.user,
        envs=_environment(args.slot.env, args.secrets),
        hosts=[docker.ContainerHostArgs(host=host, ip=ip) for host, ip in args.service.hosts.items()],
        network_mode="host" if args.network is None else None,
        group_adds=[str(NO_METADATA)] if args.network is None else None,
        networks_advanced=(
            None
            if args.network is None
            else [
                docker.ContainerNetworksAdvancedArgs(
                    name=args.network, aliases=None if args.alias is None else [args.alias]
                )
            ]
        ),
        ports=[
            # On IPv4 alone: Docker 20.10 filters no IPv6 (decisions.md 18).
            docker.ContainerPortArgs(internal=port, external=port, protocol=protocol, ip="0.0.0.0")  # noqa: S104
            for protocol, port in args.ports
        ]
        or None,
        memory=whole_mib(settings.memory),
        memory_swap=whole_mib(settings.memory),
        cpu_shares=max(2, round(settings.cpu * 1024)),
        read_only=settings.read_only,
        tmpfs={"/tmp": "", **dict.fromkeys(settings.writable, "")},  # noqa: S108  # a mount point, not a file
        # With the prefix, as the engine reports them: otherwise the first refresh would replace the container.
        capabilities=docker.ContainerCapabilitiesArgs(
            drops=["ALL"], adds=[f"CAP_{name}" for name in settings.capabilities] or None
        ),
        security_opts=["no-new-privileges:true"],
        init=True,
        restart="unless-stopped",
        # The gate decides whether a release holds, with a better message than the provider's.
        must_run=False,
        # Read from the old state when the container goes, so it has to be there from the first deploy on. It changes in
        # place; what Docker itself waits for does not.
        destroy_grace_seconds=settings.drain,
        stop_timeout=args.service.stop_timeout,
        healthcheck=_healthcheck(args.service),
        volumes=_volumes(args),
        log_driver="local",
        log_opts={"max-size": "10m", "max-file": "3"},
        labels=container_labels({**args.labels, **({LABEL_BUILD: args.slot.build} if args.slot.build else {})}),
        opts=opts,
    )


def _environment(env: Mapping[str, str], secrets: Mapping[str, pulumi.Input[str]]) -> list[pulumi.Input[str]]:
    plain: list[pulumi.Input[str]] = [f"{key}={value}" for key, value in sorted(env.items())]
    # Each secret is marked by itself, so that a preview still shows the plain ones.
    return plain + [
        pulumi.Output.secret(pulumi.Output.concat(key, "=", value)) for key, value in sorted(secrets.items())
    ]


def _healthcheck(service: ServicePlan) -> docker.ContainerHealthcheckArgs:
    health = service.settings.health
    if health.command is None:
        # The image's own is for another command perhaps: a worker may share the image of a web server. ECS takes no
        # notice of it either.
        return docker.ContainerHealthcheckArgs(tests=["NONE"])
    return docker.ContainerHealthcheckArgs(
        tests=["CMD", *health.command],
        interval=f"{health.interval}s",
        timeout=f"{health.timeout}s",
        start_period="0s",
        retries=3,
    )


def _volumes(args: ReplicaArgs) -> Sequence[docker.ContainerVolumeArgs]:
    volumes = [
        docker.ContainerVolumeArgs(container_path=folder, volume_name=volume, read_only=True)
        for folder, volume in args.files.items()
    ]
    data = args.service.settings.volume
    if data is not None and args.volume is not None:
        volumes.append(docker.ContainerVolumeArgs(container_path=data.path, volume_name=args.volume))
    return volumes
