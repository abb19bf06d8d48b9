"""What a task's containers say: the service, hardened as on Docker hosts, and what lays its files down before it.

ECS keeps a definition as revisions and fills in what it is not told; the provider compares what comes back with what
was sent, and a difference would replace the definition and with it every task (pulumi#4550, awsx#669). So everything
that ECS fills in is said here, in one order, and what the provider evens out itself (empty lists) is left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from posixpath import basename, dirname
from shlex import quote
from typing import Any

from planning.aws.model import AwsService, Variant
from planning.aws.tasks import FILES_CPU, FILES_MEMORY, bad_checks, container_cpu, memory_limit
from planning.rendering import RenderedFile

DATA = "data"
"""Volume of a stateful service."""

_STAGE = "/quayside"
"""Where the container that lays files down sees the volumes: beside the image's own folders, not over them."""
_COPY_WITHOUT = [
    "AUDIT_WRITE", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID",
    "SYS_CHROOT",
]  # fmt: skip
"""Docker's default capabilities but CHOWN, DAC_OVERRIDE and FOWNER. Named, since Fargate can add none to `ALL`."""
_LEAST_STOP = 2
_FARGATE_STOP = 120
"""Seconds: what Fargate lets `stopTimeout` be. 0 would mean the agent's own default."""
_LONGEST_START = 300
"""Seconds: the longest `startPeriod` of a health check."""
_LOW_PORTS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One variant of a service, and the names that AWS gives: text, or what becomes text later."""

    service: AwsService
    variant: Variant
    image: object
    region: object
    log_group: object
    secrets: Mapping[str, object]
    """Environment name → what ECS reads it from: the ARN of a version, so that a changed secret makes a release."""
    login: object | None = None
    """ARN of the secret with the image's registry login."""


def container_definitions(args: Definition) -> list[dict[str, Any]]:
    """The containers as ECS reads them: the service, and what lays its files down before it starts."""
    return [_service(args), _files(args)] if args.service.files else [_service(args)]


def logging(group: object, region: object, prefix: str) -> dict[str, Any]:
    """Options of the awslogs driver. A log service that does not answer costs lines, never the container."""
    return {
        "awslogs-group": group,
        "awslogs-region": region,
        "awslogs-stream-prefix": prefix,
        "max-buffer-size": "10m",
        "mode": "non-blocking",
    }


# --- the service -----------------------------------------------------------------------------------------------------


def _service(args: Definition) -> dict[str, Any]:
    plan, settings = args.service, args.service.settings
    longest = _FARGATE_STOP if plan.fargate else settings.drain
    memory = memory_limit(settings, plan.memory, connected=plan.connect is not None)
    mounts = [_mount(volume, folder, read_only=True) for folder, volume in file_volumes(plan).items()]
    if settings.volume is not None:
        mounts.append(_mount(DATA, settings.volume.path, read_only=False))
    return _known(
        **_common(args, plan.name),
        essential=True,
        command=list(settings.command) if settings.command is not None else None,
        user=settings.user,
        cpu=container_cpu(settings),
        memory=memory,
        readonlyRootFilesystem=settings.read_only,
        linuxParameters=_linux(
            plan,
            memory=memory,
            drop=["ALL"],
            add=sorted(settings.capabilities),
            # As large as the container itself: what lies there counts against its memory, as on Docker hosts.
            tmpfs=["/tmp", *sorted(set(settings.writable) - {"/tmp"})],  # noqa: S108  # mount points, not files
        ),
        systemControls=_low_ports(plan),
        stopTimeout=max(_LEAST_STOP, min(settings.drain, longest)),
        portMappings=_ports(plan),
        healthCheck=_health(plan),
        environment=[{"name": key, "value": value} for key, value in sorted(args.variant.env.items())] or None,
        secrets=[{"name": key, "valueFrom": value} for key, value in sorted(args.secrets.items())] or None,
        mountPoints=mounts or None,
        dependsOn=[{"containerName": _files_name(plan), "condition": "SUCCESS"}] if plan.files else None,
    )


def _common(args: Definition, name: str) -> dict[str, Any]:
    return _known(
        name=name,
        image=args.image,
        privileged=False,
        dockerSecurityOptions=None if args.service.fargate else ["no-new-privileges"],
        repositoryCredentials={"credentialsParameter": args.login} if args.login is not None else None,
        logConfiguration={
            "logDriver": "awslogs",
            "options": logging(args.log_group, args.region, args.variant.name),
        },
    )


def _linux(
    plan: AwsService, *, memory: int, drop: Sequence[str], add: Sequence[str] = (), tmpfs: Sequence[str] = ()
) -> dict[str, Any]:
    return _known(
        # Both lists, also when one is empty: that is how ECS gives them back.
        capabilities={"add": list(add), "drop": list(drop)},
        initProcessEnabled=True,
        maxSwap=None if plan.fargate else 0,
        tmpfs=[
            {"containerPath": path, "mountOptions": ["rw", "noexec", "nosuid", "nodev"], "size": memory}
            for path in tmpfs
        ]
        or None,
    )


def _low_ports(plan: AwsService) -> list[dict[str, str]] | None:
    """Lets any user listen on ports below 1024 in the task's own network, as Docker does."""
    port = plan.settings.port
    if port is None or port >= _LOW_PORTS or plan.network == "host":
        return None
    return [{"namespace": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]


def port_name(plan: AwsService) -> str:
    """What Service Connect finds the port by."""
    return f"{plan.name}-{plan.settings.protocol}"


def _ports(plan: AwsService) -> list[dict[str, Any]] | None:
    port = plan.settings.port
    if port is None:
        return None
    # The name is what Service Connect finds the port by; neither it nor the protocol exists in host mode.
    named = plan.network != "host"
    return [
        _known(
            containerPort=port,
            hostPort=0 if plan.network == "bridge" else port,
            protocol="tcp",
            name=port_name(plan) if named else None,
            appProtocol="http" if named and plan.settings.protocol == "http" else None,
        )
    ]


def _health(plan: AwsService) -> dict[str, Any] | None:
    health = plan.settings.health
    if health.command is None:
        return None
    return {
        "command": ["CMD", *health.command],
        "interval": health.interval,
        "timeout": health.timeout,
        "retries": bad_checks(health.interval),
        "startPeriod": min(health.grace, _LONGEST_START),
    }


# --- its files -------------------------------------------------------------------------------------------------------


def _files(args: Definition) -> dict[str, Any]:
    """The container that lays the service's files down: ECS has no files, and an image of its own has none of the rest.

    It is the service's image, so that whatever that has in those folders is there too; it needs a shell for it, and cp,
    mkdir and chmod. Root, to keep the owners of what it copies, with the three capabilities this takes and no others.
    """
    plan = args.service
    volumes = file_volumes(plan)
    return _known(
        **_common(args, _files_name(plan)),
        essential=False,
        entryPoint=["/bin/sh", "-c"],
        command=[_script(plan)],
        user="0",
        cpu=FILES_CPU,
        memory=FILES_MEMORY,
        readonlyRootFilesystem=True,
        linuxParameters=_linux(plan, memory=FILES_MEMORY, drop=_COPY_WITHOUT),
        environment=[
            {"name": f"QUAYSIDE_FILE_{number}", "value": file.content}
            for number, file in enumerate(_files_in_order(plan))
        ],
        mountPoints=[_mount(volume, _stage(number), read_only=False) for number, volume in enumerate(volumes.values())],
    )


def _script(plan: AwsService) -> str:
    folders = list(file_volumes(plan))
    inside = [*folders, *plan.settings.writable, *([plan.settings.volume.path] if plan.settings.volume else [])]
    lines = ["set -eu"]
    for number, folder in enumerate(folders):
        lines.append(f"[ ! -d {quote(folder)} ] || cp -a {quote(folder)}/. {_stage(number)}")
        # Mounted read-only, a folder cannot get the mount points of what is mounted inside it.
        lines += [
            f"mkdir -p {quote(_stage(number) + path.removeprefix(folder))}"
            for path in sorted(set(inside))
            if path.startswith(f"{folder}/")
        ]
    for number, file in enumerate(_files_in_order(plan)):
        target = quote(f"{_stage(folders.index(dirname(file.path)))}/{basename(file.path)}")
        # Removed first: the image may have a link there, and it would be followed.
        lines += [
            f"rm -f {target}",
            f"printf '%s' \"$QUAYSIDE_FILE_{number}\" > {target}",
            f"chmod {'0755' if file.executable else '0644'} {target}",
        ]
    return "\n".join(lines)


def _files_in_order(plan: AwsService) -> Sequence[RenderedFile]:
    return sorted(plan.files, key=lambda file: file.path)


def file_volumes(plan: AwsService) -> Mapping[str, str]:
    """Folder → the volume with the service's files in it."""
    return {folder: _volume_name(folder) for folder in sorted({dirname(file.path) for file in plan.files})}


def _volume_name(folder: str) -> str:
    """Readable, and told apart from another folder whose name differs in a character that ECS does not take."""
    readable = re.sub("[^A-Za-z0-9_-]", "-", folder).strip("-")
    return f"files-{readable}-{hashlib.sha256(folder.encode()).hexdigest()[:6]}"


def _stage(number: int) -> str:
    return f"{_STAGE}/{number}"


def _files_name(plan: AwsService) -> str:
    return f"{plan.name}-files"


def _mount(volume: str, path: str, *, read_only: bool) -> dict[str, Any]:
    return {"sourceVolume": volume, "containerPath": path, "readOnly": read_only}


def _known(**members: Any) -> dict[str, Any]:
    """Without what is None: ECS takes no null."""
    return {key: value for key, value in members.items() if value is not None}
