"""The registry of a host: where its engine pulls images of the stack's bucket from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components.docker import scripts
from components.docker.connection import Connection
from components.docker.labels import container_labels
from components.docker.network import Network, NetworkArgs
from planning.names import Naming
from planning.registry import NAME, PORT, RegistryPlan
from settings.units import whole_mib

_CONFIG = "/tmp/config.yml"  # noqa: S108  # in a file system of its own
_WAIT = 30
"""Seconds that it may take until it reads the bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryArgs:
    plan: RegistryPlan
    naming: Naming
    host: str
    connection: Connection
    access_key: pulumi.Input[str]
    secret_key: pulumi.Input[str]
    """Both are made secrets whatever they are."""


class Registry(pulumi.ComponentResource):
    """The distribution registry, read-only, published on the host's 127.0.0.1:5000 and nowhere else.

    A network of its own, since nothing but the host's engine has to reach it; a container with a read-only root, no
    capabilities and no user of the host's, replaced stop-first, for its port is fixed; and a Command that waits until
    it reads the bucket. Images that are pulled from it wait for `ready`. The keys of the bucket are secrets in its
    environment; its configuration is plain, so that a preview shows its diff. Refuses nothing: the settings have.
    """

    ready: pulumi.Resource

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:docker:Registry", name, None, opts)
        plan, labels = args.plan, args.naming.labels(NAME, NAME)
        network = Network(
            name,
            NetworkArgs(
                network_name=args.naming.network(NAME),
                cidr=plan.subnet.cidr,
                gateway=plan.subnet.gateway,
                containers=plan.subnet.containers,
                labels=labels,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        memory = whole_mib(plan.memory)
        # The old one stops before the new one starts.
        image = docker.RemoteImage(name, name=plan.image, keep_locally=True, opts=pulumi.ResourceOptions(parent=self))
        container = docker.Container(
            name,
            name=args.naming.stateful(NAME),
            image=plan.image,
            # The official image has its own configuration in a place that differs between its versions.
            entrypoints=["/bin/sh", "-c"],
            command=[f"printf '%s' \"$CONFIG\" >{_CONFIG} && exec registry serve {_CONFIG}"],
            envs=_environment(plan, args.access_key, args.secret_key, memory),
            user="65534:65534",
            networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=network.network_name)],
            # The host's own address alone: what is published on it, no other machine is let through to.
            ports=[docker.ContainerPortArgs(internal=PORT, external=PORT, ip="127.0.0.1")],
            memory=memory,
            memory_swap=memory,
            read_only=True,
            tmpfs={"/tmp": ""},  # noqa: S108  # a mount point, not a file
            capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"]),
            security_opts=["no-new-privileges:true"],
            init=True,
            restart="unless-stopped",
            must_run=False,
            destroy_grace_seconds=10,
            stop_timeout=10,
            healthcheck=docker.ContainerHealthcheckArgs(
                # Whether it answers; what asks the bucket would cost a request and a line of its log each time.
                tests=["CMD-SHELL", f"timeout 5 wget -q -O /dev/null http://127.0.0.1:{PORT}/v2/"],
                interval="30s",
                timeout="10s",
                start_period="0s",
                retries=3,
            ),
            log_driver="local",
            log_opts={"max-size": "10m", "max-file": "3"},
            labels=container_labels(labels),
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True, depends_on=[image]),
        )
        self.ready = command.local.Command(
            name,
            create='exec sh -c "$QUAYSIDE_REACH" reach "$QUAYSIDE_READY"',
            interpreter=["/bin/sh", "-c"],
            environment={
                "QUAYSIDE_HOST": args.host,
                "QUAYSIDE_OPTIONS": args.connection.options,
                "QUAYSIDE_DESTINATION": args.connection.destination,
                "QUAYSIDE_REACH": scripts.REACH,
                "QUAYSIDE_READY": scripts.REGISTRY,
                "QUAYSIDE_REGISTRY": container.id,
                "QUAYSIDE_BUCKET": plan.bucket,
                "QUAYSIDE_WAIT": str(_WAIT),
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[container]),
        )
        self.register_outputs({})


def _environment(
    plan: RegistryPlan, access_key: pulumi.Input[str], secret_key: pulumi.Input[str], memory: int
) -> list[pulumi.Input[str]]:
    plain: Mapping[str, str] = {
        "CONFIG": plan.config,
        # So that it frees memory before the limit ends it.
        "GOMEMLIMIT": f"{memory * 9 // 10}MiB",
        # Version 3 would send traces to its own port 4318, where nothing listens.
        "OTEL_TRACES_EXPORTER": "none",
    }
    keys = {"REGISTRY_STORAGE_S3_ACCESSKEY": access_key, "REGISTRY_STORAGE_S3_SECRETKEY": secret_key}
    return [
        *(f"{key}={value}" for key, value in plain.items()),
        # Each is marked by itself, so that a preview still shows the rest.
        *(pulumi.Output.secret(pulumi.Output.concat(key, "=", value)) for key, value in keys.items()),
    ]
